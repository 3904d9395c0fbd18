"""What the rule check reads in a reasoning."""

import asyncio
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from r1reward.consistency.base import Agreement, Case
from r1reward.consistency.rule import RuleCheck, conclusion

# Reasoning -> the response that it concludes is better, or None.
READINGS = [
    # plain conclusions
    ("Response 2 is better", 2),
    ("I prefer response 1", 1),
    ("The first response is the better one.", 1),
    ("Thus, **Response 1** is the better choice because it counts the people correctly.", 1),
    ("Overall, Response 2's answer is more accurate.", 2),
    ("Therefore, response two is superior to response one.", 2),
    ("I would go with the latter.", 2),
    ("The winner is Response 2.", 2),
    ("Considering accuracy, I would choose Response 1 as the better option.", 1),
    ("The photo shows a train, so response 2 is better.", 2),
    ("Response 1 hallucinates a dog. This makes Response 2 better.", 2),
    ("### Conclusion\nResponse 2 is superior due to its accuracy.", 2),
    ("Response 2 gives a detailed description of the scene, making it the better choice.", 2),
    # digits
    ("Answer: 2", 2),
    ("My final answer is 1.", 1),
    ("2 is better", 2),
    ("I choose 2.", 2),
    ("Response 1 says there are 2 dogs and is better.", 1),
    ("The correct answer to the question is 2. Response 1 is right and better.", 1),
    ("Response 12 is better.", None),
    # the order of a comparison
    ("Response 1 is more accurate than Response 2.", 1),
    ("Response 1 is worse than Response 2.", 2),
    ("It is better than Response 1.", 2),
    ("I favor Response 1 over Response 2.", 1),
    ("Response 2, compared to Response 1, is better.", 2),
    ("Compared to Response 2, Response 1 is better.", 1),
    ("Response 2 outperforms Response 1.", 2),
    ("Response 1 has flaws, so the better response is Response 2.", 2),
    ("Response 1 contains more errors than Response 2.", 2),
    ("Response 1 contains fewer errors.", 1),
    ("Response 2 is less accurate.", 1),
    # negations
    ("Response 1 is not better.", 2),
    ("Response 1 isn't better than Response 2.", 2),
    ("Response 1 isn’t significantly better.", 2),
    ("Response 1 is not as good as Response 2.", 2),
    ("I would not choose Response 1.", 2),
    ("Response 2 does not hallucinate and is better.", 2),
    ("Response 2 is not only more accurate but also more helpful.", 2),
    ("The important, different response is response 1, which is better.", 1),
    # several statements: the last one counts, a concession does not
    ("Response 1 is better. On reflection, Response 2 is better.", 2),
    ("While Response 1 is more detailed, Response 2 is more accurate.", 2),
    ("Response 2 is better, although Response 1 is more concise.", 2),
    ("Response 1 is wrong, whereas Response 2 is better.", 2),
    ("Response 2, despite some flaws, is better.", 2),
    ("Both responses are equally detailed, but Response 2 is better.", 2),
    ("Response 1 and Response 2 are both good.\nOverall, Response 1 is slightly better.", 1),
    # no clear choice
    ("", None),
    ("The image shows a cat.", None),
    ("Which response is better?", None),
    ("Neither is better.", None),
    ("Neither Response 1 nor Response 2 is better.", None),
    ("Both are equally good.", None),
    ("Responses 1 and 2 are equally accurate.", None),
    ("Response 1 and Response 2 are both better.", None),
    ("Both responses are equally good, so I cannot choose.", None),
    ("Response 1 is more detailed and Response 2 is more accurate.", None),
    ("Response 1 is better. Actually, it's a tie.", None),
    ("There is no clear winner between Response 1 and Response 2.", None),
]

PAIRS = [("1", "2"), ("first", "second"), ("former", "latter"), ("response one", "response two")]
SWAPS = dict(PAIRS) | {second: first for first, second in PAIRS}
SWAPPED = re.compile(rf"\b(?:{'|'.join(SWAPS)})\b")


@pytest.mark.parametrize(("reasoning", "better"), READINGS)
def test_the_conclusion_is_read(reasoning, better):
    assert conclusion(reasoning) == better
    expected = [Agreement(better == answer) for answer in (1, 2)]
    cases = [Case(reasoning, 1), Case(reasoning, 2)]
    assert asyncio.run(RuleCheck().check(cases)) == expected


@pytest.mark.parametrize(("reasoning", "better"), READINGS)
def test_swapping_the_responses_swaps_the_reading(reasoning, better):
    swapped = SWAPPED.sub(lambda match: SWAPS[match[0]], reasoning)
    assert conclusion(swapped) == (None if better is None else 3 - better)


@given(st.text(), st.sampled_from([1, 2]))
def test_whatever_comes_before_the_conclusion_does_not_change_it(text, better):
    assert conclusion(f"{text}\nResponse {better} is better.") == better
