"""The contract of a reward: every option of conf/reward."""

import asyncio
import itertools
import math

import pytest
from hydra.utils import instantiate
from support.contracts import option, options, without_option
from support.trajectories import GOOD, proto

from r1reward import rewards
from r1reward.consistency.base import Agreement
from r1reward.core.verdict import ParseFailure, Verdict, parse_verdict
from r1reward.plugin.reward_manager import R1RewardManager
from r1reward.plugin.trainer import mean_of_parts
from r1reward.rewards.base import RewardParts

NAMES = options("reward")
AGREEMENTS = [Agreement(True), Agreement(False), Agreement(None), Agreement(None, "timeout")]
ANSWERS = [
    Verdict(choice, reasoning, formatted)
    for choice in (1, 2)
    for reasoning in ("", f"Response {choice} is better.", "word " * 2000)
    for formatted in (True, False)
]
FAILURE = ParseFailure(reason="no answer", text="I cannot decide.")
ALL = list(itertools.product([*ANSWERS, FAILURE], (1, 2), AGREEMENTS))


def build(name):
    return instantiate(option("reward", name).function)


def numbers(parts: RewardParts) -> dict[str, float]:
    own = {name: getattr(parts, name) for name in ("result", "format", "consistency", "final")}
    return own | dict(parts.further)


def test_every_reward_has_an_option():
    assert "r1_reward" in NAMES
    assert without_option(rewards, lambda one: hasattr(one, "score"), "reward", "function") == []


@pytest.mark.parametrize("name", NAMES)
def test_every_part_of_every_answer_is_finite_and_has_a_name(name):
    reward = build(name)
    found = [numbers(reward.score(*case)) for case in ALL]
    assert len({frozenset(parts) for parts in found}) == 1, "the same names for every answer"
    assert all(type(value) is float for parts in found for value in parts.values())
    assert all(map(math.isfinite, itertools.chain.from_iterable(p.values() for p in found)))


@pytest.mark.parametrize("name", NAMES)
def test_the_same_answer_earns_the_same_whatever_came_before(name):
    one, other = build(name), build(name)
    first = [one.score(*case) for case in ALL]
    assert [other.score(*case) for case in reversed(ALL)] == first[::-1]
    assert [one.score(*case) for case in ALL] == first


@pytest.mark.parametrize("name", NAMES)
def test_a_parse_failure_earns_nothing(name):
    reward = build(name)
    for label, agreement in itertools.product((1, 2), AGREEMENTS):
        parts = reward.score(FAILURE, label, agreement)
        assert (parts.result, parts.format, parts.final) == (0, 0, 0)


@pytest.mark.parametrize("name", NAMES)
def test_the_better_response_earns_more(name):
    reward = build(name)
    for answer, agreement in itertools.product(ANSWERS, AGREEMENTS):
        right = reward.score(answer, answer.choice, agreement)
        wrong = reward.score(answer, 3 - answer.choice, agreement)
        assert (right.result, wrong.result) == (1, 0)
        assert right.final > wrong.final


@pytest.mark.parametrize("name", NAMES)
def test_the_parts_reach_the_metrics_under_their_names(name, config, tokenizer):
    manager = R1RewardManager(config=config, tokenizer=tokenizer)  # the check is `rule`
    manager.reward = build(name)
    found = asyncio.run(manager.run_single(proto(tokenizer, GOOD, 2)))
    parts = manager.reward.score(parse_verdict(GOOD), 2, Agreement(True))
    expected = numbers(parts)
    expected["acc"] = expected.pop("result")
    assert found["reward_score"] == parts.final
    kept = found["reward_extra_info"]
    assert kept.items() >= expected.items()
    means = {f"reward/{part}/mean": value for part, value in expected.items()}
    assert mean_of_parts([kept, kept]).items() >= means.items()
