"""Which rows stay, and how many of them are drawn."""

from collections import Counter

import pytest
from support.mix import composed, questions, row, solved, unsolved

from r1reward.data.mix.select import MixError, Selection
from r1reward.tools.mix import settings_of

ANNOTATED = [
    row(0, **solved(1)), row(1, **solved(2)), row(2, **solved(3)), row(3, **unsolved()),
    row(4, **unsolved(1)), row(5), row(6, **solved(1, reasoning=None)),
    row(7, source="b", **solved(2)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("option", "stay"),
    [("all", range(8)), ("rl", [1, 2, 3, 4, 7]), ("sft", [0, 1, 2, 7])],
)
def test_selections_by_difficulty(write, made, option, stay):
    settings = settings_of(composed("inputs=[x]", f"select={option}"), weighted=False)
    parts, dropped, _ = made(write(ANNOTATED), select=settings.select)
    assert sorted(questions(parts["train"])) == [f"Question {n}?" for n in stay]
    assert len(dropped) == 8 - len(stay)
    kept = {item["question"]: item for item in parts["train"]}
    if option == "sft":
        assert kept["Question 1?"]["reasoning"] == "Since."
        reasons = Counter(line["reason"] for line in dropped)
        assert reasons == {"other difficulty": 3, "no reasoning": 1}


@pytest.mark.parametrize(
    ("chosen", "stay"),
    [
        ({"attempts": (3, 3), "unsolved": False, "unannotated": False}, [2]),
        ({"attempts": None, "unannotated": False}, [3, 4]),
        ({"attempts": None, "unsolved": False}, [5]),
    ],
)
def test_ranges_of_attempts(write, made, chosen, stay):
    parts, _, _ = made(write(ANNOTATED), select=Selection(**chosen))
    assert sorted(questions(parts["train"])) == [f"Question {n}?" for n in stay]


def test_an_annotators_liking_for_one_side_is_drawn_away(write, made):
    # All hard pairs have the better response second: what an annotator that likes the first finds.
    rows = [row(n, label=2, **solved(2)) for n in range(400)]
    settings = settings_of(composed("inputs=[x]", "select=rl"), weighted=False)
    parts, dropped, _ = made(write(rows), select=settings.select)
    kept = {item["question"]: item for item in parts["train"]}
    assert len(kept) == 400
    assert not dropped
    labels = Counter(item["label"] for item in kept.values())
    assert abs(labels[1] - 200) < 60  # six standard deviations of a fair coin
    for given in rows:
        item = kept[given["question"]]
        first, second = given["responses"]
        assert item["responses"][item["label"] - 1] == second  # the better one stays the better
        assert sorted(item["responses"]) == sorted([first, second])
        assert item["reasoning"] == (None if item["label"] == 1 else given["reasoning"])
        assert (item["attempts"], item["solved"]) == (2, True)
    again, _, _ = made(write(rows), select=settings.select)
    assert {item["question"]: item for item in again["train"]} == kept


def test_a_reasoning_is_about_one_order():
    cfg = composed("inputs=[x]", "select=sft", "select.reorder=true")
    with pytest.raises(MixError, match="about one order"):
        settings_of(cfg, weighted=False)


def test_sources(write, made):
    parts, dropped, _ = made(write(ANNOTATED), sources=("b", "c"))
    assert questions(parts["train"]) == ["Question 7?"]
    assert {line["reason"] for line in dropped} == {"other source"}


def test_numbers_and_fractions_of_sources(write, made):
    rows = [row(n, source="abcd"[n % 4]) for n in range(2000)]
    parts, dropped, _ = made(write(rows), take={"a": 40, "b+c": 60}, fraction={"d": 0.3})
    found = Counter(item["source"] for item in parts["train"])
    assert found["a"] == 40
    assert found["b"] + found["c"] == 60
    assert 115 <= found["d"] <= 185  # 150 of 500, give or take 3.4 standard deviations of 10.2
    assert Counter(line["reason"] for line in dropped) == {"not drawn": 2000 - found.total()}


def test_strata_keep_their_proportions(write, made):
    # 600, 300, 90 and 10 of 1000: 37 of them are 22.2, 11.1, 3.33, 0.37: 22, 11, 3, and 1 more to
    # the largest remainder, the last.
    kinds = [solved(1)] * 600 + [solved(2)] * 300 + [unsolved()] * 90 + [{}] * 10
    rows = [row(n, **kind) for n, kind in enumerate(kinds)]
    parts, _, _ = made(write(rows), take={"a": 37}, stratify=("source", "difficulty"))
    found = Counter((item["attempts"], item["solved"]) for item in parts["train"])
    assert found == {(1, True): 22, (2, True): 11, (3, False): 3, (None, None): 1}
    sources = [row(n, source="a" if n < 750 else "b") for n in range(1000)]
    parts, _, _ = made(write(sources, "other"), rows=100, stratify=("source",))
    assert Counter(item["source"] for item in parts["train"]) == {"a": 75, "b": 25}


def test_weights_are_proportions_without_repeats(write, made):
    first = write([row(n) for n in range(300)], "first")
    second = write([row(n, source="b") for n in range(300, 400)], "second")
    parts, _, _ = made(first, second, weights=(1, 1))
    assert Counter(item["source"] for item in parts["train"]) == {"a": 100, "b": 100}
    parts, _, _ = made(first, second, weights=(3, 1))
    assert Counter(item["source"] for item in parts["train"]) == {"a": 300, "b": 100}
    parts, _, _ = made(first, second, weights=(1, 4), rows=50)
    assert Counter(item["source"] for item in parts["train"]) == {"a": 10, "b": 40}
    with pytest.raises(MixError, match="rows=300: with these weights there are 200"):
        made(first, second, weights=(1, 1), rows=300)


def test_too_few_rows_are_said(write, made):
    data = write([row(n) for n in range(10)])
    parts, _, result = made(data, take={"a+b": 20})
    assert len(parts["train"]) == 10
    assert result.notes == ["take.a+b: no b in the inputs", "take.a+b: 20 asked for, 10 there"]
    with pytest.raises(MixError, match=r"take\.c: no such source in the inputs; there are: a"):
        made(data, take={"c": 20})
