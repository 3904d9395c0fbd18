"""The reward against worked tables: the paper's formula (section 4.3) and the released code."""

import itertools
from dataclasses import replace

import pytest

from r1reward.consistency.base import Agreement
from r1reward.core.verdict import ParseFailure, Verdict
from r1reward.rewards.base import RewardParts
from r1reward.rewards.r1_reward import R1Reward

PAPER = R1Reward(consistency_weight=0.5, format_weight=0.5, consistency="paper")
RELEASED = replace(PAPER, consistency="released")
RIGHT = Verdict(choice=2, reasoning="Response 2 is better.", formatted=True)
WRONG = replace(RIGHT, choice=1)
CONSISTENT, INCONSISTENT = Agreement(True), Agreement(False)
FAILED, NOT_CHECKED = Agreement(None, failure="timed out"), Agreement(None)


# Verdict, agreement, and the reward of paper and released, each with and without the format.
# Right and inconsistent: 1 * (1 + 0.5 * 0) = 1 in the paper, 1 * (1 + 0.5 * -1) = 0.5 released.
TABLE = [
    (RIGHT, CONSISTENT, (2.0, 1.5), (2.0, 1.5)),
    (RIGHT, INCONSISTENT, (1.5, 1.0), (1.0, 0.5)),
    (RIGHT, FAILED, (1.5, 1.0), (1.5, 1.0)),
    (RIGHT, NOT_CHECKED, (1.5, 1.0), (1.5, 1.0)),
    (WRONG, CONSISTENT, (0.5, 0.0), (0.5, 0.0)),
    (WRONG, INCONSISTENT, (0.5, 0.0), (0.5, 0.0)),
    (WRONG, FAILED, (0.5, 0.0), (0.5, 0.0)),
    (WRONG, NOT_CHECKED, (0.5, 0.0), (0.5, 0.0)),
]


@pytest.mark.parametrize(("verdict", "agreement", "paper", "released"), TABLE)
def test_worked_table(verdict, agreement, paper, released):
    plain = replace(verdict, formatted=False)
    for reward, expected in ((PAPER, paper), (RELEASED, released)):
        found = reward.score(verdict, 2, agreement), reward.score(plain, 2, agreement)
        assert tuple(parts.final for parts in found) == expected


def test_parts_are_reported_one_by_one():
    assert PAPER.score(RIGHT, 2, CONSISTENT) == RewardParts(1.0, 1.0, 1.0, 2.0)
    assert PAPER.score(RIGHT, 2, INCONSISTENT) == RewardParts(1.0, 1.0, 0.0, 1.5)
    assert PAPER.score(WRONG, 2, CONSISTENT) == RewardParts(0.0, 1.0, 1.0, 0.5)
    assert PAPER.score(replace(RIGHT, formatted=False), 2, FAILED) == RewardParts(1.0, 0, 0, 1.0)
    assert RELEASED.score(RIGHT, 2, INCONSISTENT) == RewardParts(1.0, 1.0, -1.0, 1.0)
    assert RELEASED.score(WRONG, 2, INCONSISTENT) == RewardParts(0.0, 1.0, -1.0, 0.5)
    assert RELEASED.score(RIGHT, 2, FAILED) == RewardParts(1.0, 1.0, 0.0, 1.5)


@pytest.mark.parametrize("reward", [PAPER, RELEASED])
@pytest.mark.parametrize(("verdict", "agreement"), [row[:2] for row in TABLE])
def test_consistency_is_1_exactly_when_the_judge_said_so(reward, verdict, agreement):
    parts = reward.score(verdict, 2, agreement)
    assert (parts.consistency == 1) == (agreement == CONSISTENT)
    assert parts.final == parts.result * (1 + 0.5 * parts.consistency) + 0.5 * parts.format


@pytest.mark.parametrize("reward", [PAPER, RELEASED])
def test_a_failure_never_counts_as_the_judges_word(reward):
    guess = Agreement(True, failure="unparsed")
    assert reward.score(RIGHT, 2, guess) == RewardParts(1.0, 1.0, 0.0, 1.5)


@pytest.mark.parametrize("agreement", [CONSISTENT, INCONSISTENT, FAILED, NOT_CHECKED])
@pytest.mark.parametrize("label", [1, 2])
@pytest.mark.parametrize("reward", [PAPER, RELEASED])
def test_parse_failure_earns_nothing(reward, agreement, label):
    failure = ParseFailure(reason="no answer", text="<answer></answer>")
    assert reward.score(failure, label, agreement) == RewardParts(0.0, 0.0, 0.0, 0.0)


def test_labels_are_symmetric():
    for choice, label in itertools.product((1, 2), repeat=2):
        parts = PAPER.score(replace(RIGHT, choice=choice), label, CONSISTENT)
        assert parts.final == (2.0 if choice == label else 0.5)


@pytest.mark.parametrize("label", [0, 3, "2", None])
def test_bad_label_is_refused(label):
    with pytest.raises(ValueError, match="neither 1 nor 2"):
        PAPER.score(RIGHT, label, CONSISTENT)


def test_weights_are_the_configured_ones():
    reward = R1Reward(consistency_weight=0.75, format_weight=0.25, consistency="released")
    assert reward.score(RIGHT, 2, CONSISTENT).final == 2.0  # 1 * (1 + 0.75) + 0.25
    assert reward.score(RIGHT, 2, INCONSISTENT).final == 0.5  # 1 * (1 - 0.75) + 0.25


@pytest.mark.parametrize("weight", [-0.1, float("nan"), float("inf")])
def test_bad_weights_are_refused(weight):
    with pytest.raises(ValueError, match="consistency_weight"):
        replace(PAPER, consistency_weight=weight)
    with pytest.raises(ValueError, match="format_weight"):
        replace(PAPER, format_weight=weight)


def test_other_values_of_consistency_are_refused():
    with pytest.raises(ValueError, match="consistency=maybe: choose paper or released"):
        replace(PAPER, consistency="maybe")
