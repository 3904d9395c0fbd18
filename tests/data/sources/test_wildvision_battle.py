"""Rows of WildVision-Battle."""

import pytest
from support.sources import JPEG, published, read, refused

from r1reward.core.pair import Media


def battle(winner, answers=("A says", "B says"), more=()):
    def said(answer):
        return [
            {"role": "user", "content": "Where?"},
            {"role": "assistant", "content": answer},
            *more,
        ]

    return {
        "question_id": "9f",
        "model_a": "m1",
        "model_b": "m2",
        "conversation_a": said(answers[0]),
        "conversation_b": said(answers[1]),
        "language": "English",
        "image": {"bytes": JPEG, "path": None},
        "turn": 1 + len(more) // 2,
        "anony": True,
        "winner": winner,
        "tstamp": 1,
        "judge": "arena_user",
    }


def test_wildvision_votes_say_which_model_is_better():
    image = (Media.embedded(JPEG),)
    expected = published("Where?", "A says", "B says", image, "wildvision_battle", "9f")
    assert read("wildvision_battle", battle("model_a")) == [expected]
    [other] = read("wildvision_battle", battle("model_b"))
    assert other.preference.responses == ("B says", "A says")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (battle("tie"), "tie"),
        (battle("tie (bothbad)"), "tie"),
        (battle("left"), "label"),
        (battle(None), "label"),
        (battle("model_a", ("A says", None)), "text"),
        (battle("model_a", more=({"role": "user", "content": "And?"},)), "turns"),
        (battle("model_a") | {"conversation_b": "text"}, "schema"),
    ],
)
def test_battles_that_say_nothing_are_dropped_by_reason(row, reason):
    assert refused("wildvision_battle", row)[0] == reason
