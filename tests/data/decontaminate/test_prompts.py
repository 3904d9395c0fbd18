"""Prompts that are alike, however they are written."""

import pytest
from support.decontaminate import LONG, RULES, STOCK

from r1reward.data.decontaminate.prompts import PromptIndex
from r1reward.tools.bench.decontaminate import prompts
from r1reward.tools.bench.planted import PROMPT_CHANGES, prompt, seeded

TEMPLATE = "First perform reasoning, then select the right letter from the choices. Question: "


def runs(text):
    return {text[place : place + 5] for place in range(len(text) - 4)}


def test_the_similarity_of_prompts_is_the_share_of_common_shingles():
    one = "what is the old man near the yellow boat holding in his left hand"
    other = "what is the old man near the yellow boat hiding in his right hand"
    [match] = PromptIndex([one], ["a"], 3).find(other, 0.1)
    shared = runs(one) & runs(other)
    assert match.similarity == pytest.approx(len(shared) / len(runs(one) | runs(other)))
    assert match.specific == len(shared)
    assert not match.exact


@pytest.mark.parametrize("change", ["the same", "in capitals", "other white space",
                                    "other punctuation", "placeholder before"])  # fmt: skip
def test_a_prompt_in_other_dress_is_the_same(change):
    index = PromptIndex([LONG, STOCK], ["a", "b"], 3)
    for number, text in enumerate((LONG, STOCK)):
        [match] = index.find(PROMPT_CHANGES[change](text, seeded()), 0.6)
        assert (match.prompt, match.exact, match.similarity) == (number, True, 1.0)


def test_signs_of_a_formula_are_no_punctuation():
    index = PromptIndex(["What is the value of 3 - 2 + 1 in the figure above?"], ["a"], 3)
    [match] = index.find("What is the value of 3 + 2 - 1 in the figure above?", 0.1)
    assert not match.exact


def test_planted_prompts_are_found_and_others_of_the_same_make_are_not():
    copies, [wrong] = prompts(RULES, 200, seed=1)
    assert wrong.found == 0
    bounds = {"one word changed": 0.9, "sentences in another order": 0.9}
    for copy in copies:
        assert copy.n > 100
        assert copy.found / copy.n >= bounds.get(copy.what, 0.95), copy.what


def test_a_template_says_nothing_about_where_a_prompt_comes_from():
    rng = seeded(2)
    asked = [TEMPLATE + prompt(rng, 1) for _ in range(8)]
    index = PromptIndex(asked, [str(n) for n in range(8)], 3)
    assert index.find(TEMPLATE + prompt(rng, 1), 0.3) == []
    [match] = index.find(TEMPLATE + asked[3].removeprefix(TEMPLATE) + " Say it in a word.", 0.6)
    assert match.prompt == 3
    # The same texts, where the template is that of few images, are alike.
    assert PromptIndex(asked[:3], ["a", "b", "c"], 3).find(TEMPLATE + prompt(rng, 1), 0.3)


def test_what_is_asked_of_many_images_is_not_specific():
    index = PromptIndex([LONG] * 5 + [STOCK], ["a", "b", "c", "d", "e", "a"], 3)
    assert index.first == [0, 0, 0, 0, 0, 5]
    assert index.find(LONG, 0.6)[0].specific == 0
    assert PromptIndex([LONG] * 5, ["a"] * 5, 3).find(LONG, 0.6)[0].specific > 50


def test_a_very_long_prompt_costs_little():
    index = PromptIndex([LONG], ["a"], 3)
    assert index.find("word after word " * 70_000, 0.6) == []
