"""Loss, advantage and reward against NumPy float64 from the paper, over thousands of random cases.

The cases are what training meets at its edges: padding rows, gaps, constant rewards, log-ratios
that overflow, the dual clip, and KL penalties in the reward. Agreement is asked to 1e-6.
"""

import math
import re

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from support import oracles
from verl.trainer.ppo.core_algos import get_adv_estimator_fn, get_policy_loss_fn
from verl.utils.config import omega_conf_to_dataclass

from r1reward import algorithms
from r1reward.config.compose import compose_config
from r1reward.consistency.base import Agreement
from r1reward.core.verdict import parse_verdict
from r1reward.rewards.r1_reward import R1Reward

CASES = 1000
algorithms.discover()


def masks(rng, shape):
    """Right-padded responses, at times with gaps, at times with rows of padding alone."""
    lengths = rng.integers(0 if rng.random() < 0.3 else 1, shape[1] + 1, shape[0])
    mask = np.arange(shape[1]) < lengths[:, None]
    if rng.random() < 0.2:
        mask &= rng.random(shape) < 0.8
    return mask


def rewards_of(rng, mask):
    """Rewards of the formula on the last valid tokens; often all equal; at times with KL."""
    kind = rng.integers(4)
    levels = {0: [2.0], 1: [0.5, 2.0], 2: [0.0, 0.5, 1.0, 1.5, 2.0], 3: [0.5] + [2.0] * 20}[kind]
    rewards = np.zeros(mask.shape)
    for row in range(len(mask)):
        if mask[row].any():
            rewards[row, np.flatnonzero(mask[row])[-1]] = rng.choice(levels)
    if rng.random() < 0.5:
        log_ratio = rng.normal(0, rng.choice([1e-3, 1.0]), mask.shape)
        rewards -= rng.choice([1e-3, 0.1]) * log_ratio * mask
    rewards[~mask] = rng.choice([0.0, np.nan, 1e9])  # never to be read
    return rewards


@pytest.mark.parametrize("rule", ["paper", "released", "none"])
def test_advantages(rule):
    rng = np.random.default_rng([1, len(rule)])
    estimate = get_adv_estimator_fn("stable_reinforce")
    removed = 0
    for _ in range(CASES):
        mask = masks(rng, (int(rng.integers(1, 24)), int(rng.integers(1, 8))))
        rewards = rewards_of(rng, mask)
        gamma, threshold = float(rng.choice([1.0, 0.95])), float(rng.choice([3.0, 1.7]))
        settings = {"gamma": gamma, "stable_reinforce": {"filter": rule, "threshold": threshold}}
        found, returns = estimate(
            token_level_rewards=torch.from_numpy(rewards),
            response_mask=torch.from_numpy(mask),
            config=OmegaConf.create(settings),
        )
        values = oracles.returns(rewards, mask, gamma)
        expected, edge = expected_advantages(values, mask, rule, threshold)
        removed += int(((expected == 0) & (values != 0) & mask).any())
        np.testing.assert_allclose(returns.numpy(), values, rtol=0, atol=1e-6)
        # On the edge itself the last bit decides: both readings are right there.
        there = mask & ~edge
        np.testing.assert_allclose(found.numpy()[there], expected[there], rtol=1e-6, atol=1e-6)
        assert not found.numpy()[~mask].any()
    assert rule == "none" or removed > CASES / 50  # the filter had something to do


def expected_advantages(values, mask, rule, threshold):
    """The oracle's advantages, and which of them lie within 1e-9 of the filter's edge."""
    if rule == "released":
        found = oracles.released_advantages(values, mask, threshold)
        free = oracles.released_advantages(values, mask, math.inf)
        middle = values[mask].mean() if mask.any() else 0.0
    else:
        free = oracles.unfiltered_advantages(values, mask)
        found = free if rule == "none" else oracles.paper_advantages(values, mask, threshold)
        middle = 0.0
    edge = np.isclose(np.abs(free - middle), threshold, rtol=0, atol=1e-9)
    return found, edge


def actor_of(preclip, dual_clip, mode, low, high):
    """verl's own actor configuration, as training builds it."""
    config = compose_config(["cluster=cpu"])
    actor = config.actor_rollout_ref.actor
    actor.policy_loss.preclip, actor.policy_loss.dual_clip = preclip, dual_clip
    actor.loss_agg_mode, actor.clip_ratio_low, actor.clip_ratio_high = mode, low, high
    config.run.dir = config.run.name = "x"
    OmegaConf.resolve(config)
    return omega_conf_to_dataclass(actor)


@pytest.mark.parametrize("mode", ["seq-mean-token-mean", "token-mean"])
@pytest.mark.parametrize("dual_clip", [None, 3.0])
@pytest.mark.parametrize("preclip", [True, False])
def test_losses(preclip, dual_clip, mode):
    """Values and gradients; without Pre-CLIP the ratio may reach 1e30, and is compared as it is."""
    rng = np.random.default_rng([2, preclip, dual_clip is None, len(mode)])
    low, high = 0.2, 0.28
    config = actor_of(preclip, dual_clip, mode, low, high)
    reduce = {"token-mean": oracles.token_mean, "seq-mean-token-mean": oracles.sequence_mean}[mode]
    for case in range(CASES // 2):
        # float32 is what training computes in; its sums keep 1e-6 of their largest term.
        dtype, part = [(torch.float64, 1e-6), (torch.float32, 2e-6)][case % 2]
        mask = masks(rng, (int(rng.integers(1, 9)), int(rng.integers(1, 8))))
        mask[0, 0] = True
        # Multiples of 1/1024: float32 holds them and their differences exactly.
        old = -rng.integers(0, 20 * 1024, mask.shape) / 1024
        spread = rng.choice([0.1, 2.0, 30.0])
        moved = rng.normal(0, spread, mask.shape).clip(-69, 69)  # ratios up to 1e30
        new = old + np.round(moved * 1024) / 1024
        advantages = rng.normal(0, 1, mask.shape).astype(np.float32).astype(np.float64)
        leaf = torch.tensor(new, dtype=dtype, requires_grad=True)
        loss, _ = get_policy_loss_fn("stable_reinforce")(
            old_log_prob=torch.tensor(old, dtype=dtype),
            log_prob=leaf,
            advantages=torch.tensor(advantages, dtype=dtype),
            response_mask=torch.tensor(mask),
            loss_agg_mode=mode,
            config=config,
        )
        loss.backward()
        bounds = (1e-3, 1e3) if preclip else None
        given = {"low": low, "high": high, "preclip": bounds, "dual_clip": dual_clip}
        tokens = oracles.token_losses(old, new, advantages, **given)
        scale = 1.0 if dtype == torch.float64 else max(1.0, np.abs(tokens[mask]).max())
        assert loss.item() == pytest.approx(reduce(tokens, mask), rel=1e-6, abs=part * scale)
        slopes = gradient(old, new, advantages, mask, mode, given)
        np.testing.assert_allclose(leaf.grad.numpy(), slopes, rtol=part, atol=1e-6)


def gradient(old, new, advantages, mask, mode, given):
    """d loss / d log-prob of every token, from the formula's cases."""
    rows = mask.sum(1)
    weight = np.zeros(mask.shape)
    for at in zip(*np.nonzero(mask), strict=True):
        sequences = np.count_nonzero(rows)
        weight[at] = 1 / mask.sum() if mode == "token-mean" else 1 / rows[at[0]] / sequences
    slopes = np.zeros(mask.shape)
    for at in zip(*np.nonzero(mask), strict=True):
        d, a = new[at] - old[at], advantages[at]
        if given["preclip"] and not math.log(1e-3) <= d <= math.log(1e3):
            continue  # clamped: no gradient
        r = math.exp(d)
        if (a > 0 and r > 1 + given["high"]) or (a < 0 and r < 1 - given["low"]):
            continue  # PPO's clip holds it
        if given["dual_clip"] is not None and a < 0 and r > given["dual_clip"]:
            continue  # the dual clip holds it
        slopes[at] = -a * r * weight[at]
    return slopes


PIECES = ["<think>", "</think>", "<answer>", "</answer>", "1", "2", " ", "\n", "3", "why"]
AGREEMENTS = [
    Agreement(consistent=True),
    Agreement(consistent=False),
    Agreement(consistent=None),
    Agreement(consistent=None, failure="timed out"),
]


@pytest.mark.parametrize("consistency", ["paper", "released"])
def test_rewards(consistency):
    """Whole responses, damaged ones, and texts put together at random from their pieces."""
    rng = np.random.default_rng([3, len(consistency)])
    reward = R1Reward(consistency_weight=0.5, format_weight=0.5, consistency=consistency)
    seen = set()
    for _ in range(CASES):
        if rng.random() < 0.5:
            text = f"<think>why</think><answer>{rng.integers(1, 3)}</answer>"
            if rng.random() < 0.3:
                place = int(rng.integers(len(text)))
                text = text[:place] + text[place + int(rng.integers(1, 9)) :]
        else:
            text = "".join(rng.choice(PIECES, int(rng.integers(0, 9))))
        label, agreement = int(rng.integers(1, 3)), AGREEMENTS[rng.integers(4)]
        found = reward.score(parse_verdict(text), label, agreement).final
        expected = expected_reward(text, label, agreement.consistent, consistency)
        assert found == pytest.approx(expected, abs=1e-6), text
        seen.add(found)
    assert seen == {0.0, 0.5, 1.0, 1.5, 2.0}


def expected_reward(text, label, consistent, consistency):
    """Result * (1 + 0.5 C) + 0.5 Format, read off the text with the specification's expressions."""
    answers = re.findall(r"<answer>(.*?)</answer>", text, re.DOTALL)
    if len(answers) != 1 or answers[0].strip() not in ("1", "2"):
        return 0.0  # no answer, several, or something else than a choice
    tags = ("<think>", "</think>", "<answer>", "</answer>")
    whole = r"\s*<think>.*?</think>\s*<answer>\s*[12]\s*</answer>\s*"
    formatted = bool(re.fullmatch(whole, text, re.DOTALL)) and all(text.count(t) == 1 for t in tags)
    c = {True: 1, False: {"paper": 0, "released": -1}[consistency], None: 0}[consistent]
    return (int(answers[0]) == label) * (1 + 0.5 * c) + 0.5 * formatted
