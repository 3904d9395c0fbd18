"""Two replies become one comparison, in the order of the caller."""

import json

import pytest

from r1reward.core.verdict import ParseFailure, Verdict
from r1reward.endpoint.fault import Fault
from r1reward.judge.base import Answer
from r1reward.judge.comparison import Usage, comparison_of

UNREADABLE, NOBODY = Answer("hm"), Fault("server", "down")


def says(choice, reasoning="", tokens=0):
    text = f"<think>{reasoning}</think><answer>{choice}</answer>"
    return Answer(text, 10 * tokens, tokens, tokens / 2)


def test_the_second_reply_is_told_in_the_order_of_the_first():
    found = comparison_of(
        (says(1, "Response 1 is right."), says(2, "Response 2 beats [Response 1]; 1 or 2?"))
    )
    assert found.orders == (
        Verdict(1, "Response 1 is right.", True),
        Verdict(1, "Response 1 beats [Response 2]; 1 or 2?", True),
    )
    assert (found.choice, found.agrees, found.failures) == (1, True, ())


@pytest.mark.parametrize(
    ("first", "second", "choice", "agrees", "failures"),
    [
        (says(2), says(1), 2, True, ()),
        (says(1), says(1), None, False, ()),
        (says(2), says(2), None, False, ()),
        (says(2), UNREADABLE, 2, False, (ParseFailure("no_answer", "hm"),)),
        (NOBODY, says(1), 2, False, (NOBODY,)),
        (NOBODY, UNREADABLE, None, False, (NOBODY, ParseFailure("no_answer", "hm"))),
    ],
)
def test_the_choice_is_what_the_readable_orders_agree_on(first, second, choice, agrees, failures):
    found = comparison_of((first, second))
    assert (found.choice, found.agrees, found.failures) == (choice, agrees, failures)


def test_one_order_may_do():
    found = comparison_of((says(2),))
    assert (found.choice, found.agrees, len(found.orders)) == (2, True, 1)


def test_usage_is_that_of_all_answers():
    assert comparison_of((says(1, tokens=2), says(1, tokens=3))).usage == Usage(50, 5, 2.5)
    assert comparison_of((says(1, tokens=2), NOBODY)).usage == Usage(20, 2, 1.0)


def test_a_comparison_as_json_has_it():
    found = comparison_of((says(2, "So.", tokens=1), NOBODY)).to_dict()
    assert json.loads(json.dumps(found)) == found
    assert found == {
        "choice": 2,
        "agrees": False,
        "orders": [
            {"type": "Verdict", "choice": 2, "reasoning": "So.", "formatted": True},
            {"type": "Fault", "kind": "server", "detail": "down"},
        ],
        "usage": {"prompt_tokens": 10, "completion_tokens": 1, "cost": 0.5},
    }
