"""The StableReinforce advantage estimator against hand-worked numbers and the NumPy oracle."""

import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf
from omegaconf.errors import ConfigKeyError
from support import oracles
from verl.trainer.ppo.core_algos import get_adv_estimator_fn

from r1reward import algorithms
from r1reward.algorithms.stable_reinforce import (
    filter_advantages,
    filter_statistics,
    reinforce_returns,
    stable_reinforce_advantage,
    whiten,
)


def config(rule="paper", threshold=3.0, gamma=1.0):
    return OmegaConf.create(
        {"gamma": gamma, "stable_reinforce": {"filter": rule, "threshold": threshold}}
    )


def advantages_of(rewards, rule="paper", threshold=3.0):
    """Advantages of one-token sequences with these rewards."""
    rewards = torch.tensor(rewards, dtype=torch.float32)[:, None]
    mask = torch.ones_like(rewards, dtype=torch.int64)
    return stable_reinforce_advantage(rewards, mask, config(rule, threshold))[0][:, 0].tolist()


def two_point(right, total, low=0.5, high=2.0):
    return [high] * right + [low] * (total - right)


# --- returns


def test_terminal_reward_reaches_every_earlier_token():
    rewards = torch.tensor([[0.0, 0.0, 2.0, 9.0], [1.0, 0.0, 0.0, 0.0]])
    mask = torch.tensor([[1, 1, 1, 0], [1, 0, 0, 0]])
    assert reinforce_returns(rewards, mask, 1.0).tolist() == [[2, 2, 2, 0], [1, 0, 0, 0]]
    assert reinforce_returns(rewards, mask, 0.5).tolist() == [[0.5, 1, 2, 0], [1, 0, 0, 0]]


def test_kl_penalties_accumulate_from_the_end():
    rewards = torch.tensor([[-0.25, -0.5, 1.0]])
    assert reinforce_returns(rewards, torch.ones(1, 3), 1.0).tolist() == [[0.25, 0.5, 1.0]]


def test_gap_in_a_response_is_stepped_over():
    rewards = torch.tensor([[0.0, 7.0, 4.0]])
    mask = torch.tensor([[True, False, True]])
    assert reinforce_returns(rewards, mask, 0.5).tolist() == [[2.0, 0.0, 4.0]]


# --- whitening


def test_whitening_by_hand():
    # mean 2, population deviation sqrt(((1-2)^2 + 0 + (3-2)^2) / 3) = sqrt(2/3)
    values = torch.tensor([[1.0, 2.0], [3.0, 99.0]], dtype=torch.float64)
    mask = torch.tensor([[1, 1], [1, 0]])
    expected = math.sqrt(1.5)
    assert whiten(values, mask, "paper").flatten().tolist() == pytest.approx(
        [-expected, 0, expected, 0], abs=1e-7
    )


def test_paper_example_one_error_in_256():
    """Section 4.1: 255 rewards of 1 and one of 0 give -15.96 (-15.9687, truncated)."""
    rewards = torch.tensor([1.0] * 255 + [0.0], dtype=torch.float64)[:, None]
    z = whiten(rewards, torch.ones(256, 1), "paper")
    assert z[-1].item() == pytest.approx(-math.sqrt(255), abs=1e-5)
    assert math.trunc(z[-1].item() * 100) / 100 == -15.96
    assert z[0].item() == pytest.approx(1 / math.sqrt(255), abs=1e-6)

    filtered = advantages_of([1.0] * 255 + [0.0])
    assert filtered[-1] == 0.0
    assert filtered[0] == pytest.approx(0.0626224, abs=1e-6)
    assert advantages_of([1.0] * 255 + [0.0], "none")[-1] == pytest.approx(-15.9687, abs=1e-4)


def test_long_sequences_weigh_more():
    """Whitening counts tokens, not sequences: three tokens of 1, one of 0."""
    rewards = torch.tensor([[0.0, 0.0, 1.0], [0.0, 0.0, 0.0]])
    mask = torch.tensor([[1, 1, 1], [1, 0, 0]])
    advantages, returns = stable_reinforce_advantage(rewards, mask, config())
    assert returns.tolist() == [[1, 1, 1], [0, 0, 0]]
    # mean 3/4, deviation sqrt(3)/4
    third = 1 / math.sqrt(3)
    assert advantages[0].tolist() == pytest.approx([third] * 3, abs=1e-6)
    assert advantages[1].tolist() == pytest.approx([-math.sqrt(3), 0, 0], abs=1e-6)


@pytest.mark.parametrize("rule", ["paper", "none"])
@pytest.mark.parametrize("reward", [0.1, 2.0, -1e6, 0.5 + 1 / 3])
@pytest.mark.parametrize("count", [1, 2, 7, 256])
def test_equal_rewards_give_zeros(rule, reward, count):
    assert advantages_of([reward] * count, rule) == [0.0] * count


def test_equal_rewards_under_the_released_rule_keep_its_slip():
    assert advantages_of([2.0] * 4, "released") == pytest.approx([1e-8] * 4)


@pytest.mark.parametrize("rule", ["paper", "released", "none"])
def test_batch_of_padding_only_gives_zeros(rule):
    rewards, mask = torch.zeros(3, 4), torch.zeros(3, 4, dtype=torch.int64)
    advantages, returns = stable_reinforce_advantage(rewards, mask, config(rule))
    assert advantages.tolist() == returns.tolist() == [[0.0] * 4] * 3


# --- filter


def test_exactly_one_error_in_ten_is_kept():
    """|z| = sqrt(0.9 / 0.1) = 3 is inside the paper's band; one error in eleven is outside."""
    assert advantages_of(two_point(9, 10))[-1] == pytest.approx(-3.0, abs=1e-6)
    assert advantages_of(two_point(90, 100))[-1] == pytest.approx(-3.0, abs=1e-6)
    assert advantages_of(two_point(10, 11))[-1] == 0.0


@pytest.mark.parametrize(
    ("low", "high", "accuracy"),
    [(0.5, 2.0, 0.685), (0.5, 1.0, 0.815), (0.0, 1.0, 0.826)],
)
def test_released_rule_drops_all_errors_from_the_known_accuracy_on(low, high, accuracy):
    """Thresholds worked out from z = -sqrt(p / (1 - p)) against low + (high - low) p - 3."""
    below, above = round(accuracy * 1000) - 3, round(accuracy * 1000) + 3
    assert advantages_of(two_point(below, 1000, low, high), "released")[-1] < 0
    assert advantages_of(two_point(above, 1000, low, high), "released")[-1] == 0.0
    assert advantages_of(two_point(above, 1000, low, high), "paper")[-1] < 0


def test_released_rule_drops_all_successes_at_low_accuracy():
    assert advantages_of(two_point(68, 1000), "released")[0] == 0.0
    assert advantages_of(two_point(75, 1000), "released")[0] > 0


def test_released_band_is_shifted_by_the_raw_mean():
    z = torch.tensor([[-2.0, -1.0, 2.0, 4.5, 5.5]])
    kept = filter_advantages(z, torch.ones(1, 5), "released", 3.0, raw_mean=2.0)
    assert kept.tolist() == [[0.0, -1.0, 2.0, 4.5, 0.0]]


def test_released_gate_drops_what_its_band_would_keep():
    z = torch.tensor([[9.5, 10.5, float("nan"), float("inf")]])
    kept = filter_advantages(z, torch.ones(1, 4), "released", 3.0, raw_mean=9.0)
    assert kept.tolist() == [[9.5, 0.0, 0.0, 0.0]]


def test_threshold_is_the_configured_one():
    assert advantages_of(two_point(4, 5), threshold=1.9)[-1] == 0.0  # z = -2
    assert advantages_of(two_point(4, 5), threshold=2.1)[-1] == pytest.approx(-2.0)


# --- statistics


def test_filter_statistics_by_hand():
    before = torch.tensor([[4.0, 1.0, -4.0, -5.0], [-1.0, 0.0, 9.0, 9.0]])
    after = torch.tensor([[0.0, 1.0, 0.0, 0.0], [-1.0, 0.0, 0.0, 0.0]])
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])
    assert filter_statistics(before, after, mask) == {
        "advantage/filtered": 0.5,
        "advantage/filtered_positive": 0.5,
        "advantage/filtered_negative": pytest.approx(2 / 3),
    }


def test_filter_statistics_without_tokens_are_zero():
    nothing = torch.zeros(2, 3)
    assert set(filter_statistics(nothing, nothing, nothing).values()) == {0.0}


def test_estimator_reports_its_statistics_once():
    algorithms.take_metrics()
    advantages_of([1.0] * 255 + [0.0])
    assert algorithms.take_metrics() == {
        "advantage/filtered": 1 / 256,
        "advantage/filtered_positive": 0.0,
        "advantage/filtered_negative": 1.0,
        "advantage/raw_mean": pytest.approx(255 / 256),
        "advantage/raw_std": pytest.approx(math.sqrt(255) / 256),
    }
    assert algorithms.take_metrics() == {}


# --- bad input


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_rewards_that_are_not_finite_are_refused_by_count(bad):
    rewards = torch.tensor([[0.0, bad], [bad, 1.0], [bad, bad]])
    mask = torch.tensor([[1, 1], [1, 1], [0, 0]])
    with pytest.raises(ValueError, match="2 of 4 token rewards are NaN or infinite"):
        stable_reinforce_advantage(rewards, mask, config())


def test_what_lies_outside_the_mask_is_never_read():
    rewards = torch.tensor([[1.0, float("nan")], [0.0, float("inf")]])
    mask = torch.tensor([[1, 0], [1, 0]])
    advantages, returns = stable_reinforce_advantage(rewards, mask, config())
    assert advantages.tolist() == [[pytest.approx(1.0), 0.0], [pytest.approx(-1.0), 0.0]]
    assert returns.tolist() == [[1.0, 0.0], [0.0, 0.0]]


def test_missing_and_unknown_settings_are_named():
    rewards, mask = torch.zeros(1, 1), torch.ones(1, 1)
    with pytest.raises(ConfigKeyError, match="stable_reinforce"):
        stable_reinforce_advantage(rewards, mask, OmegaConf.create({"gamma": 1.0}))
    with pytest.raises(ValueError, match="filter='papr': choose one of paper, released, none"):
        stable_reinforce_advantage(rewards, mask, config("papr"))
    with pytest.raises(ValueError, match="threshold=0"):
        stable_reinforce_advantage(rewards, mask, config(threshold=0))


# --- oracle


@pytest.mark.parametrize("rule", ["paper", "released", "none"])
def test_agrees_with_the_numpy_oracle(rule):
    """1500 random batches a rule: lengths, gaps, padding rows, rewards and KL-like noise vary."""
    rng = np.random.default_rng(20250505)
    for _ in range(1500):
        shape = (int(rng.integers(1, 12)), int(rng.integers(1, 7)))
        mask = rng.random(shape) < rng.choice([0.3, 0.8, 1.0])
        rewards = rng.normal(0, rng.choice([0.01, 1.0]), shape)
        rewards += rng.choice([0.0, 0.5, 1.5, 2.0, 50.0], shape, p=[0.5, 0.15, 0.1, 0.2, 0.05])
        gamma, threshold = float(rng.choice([1.0, 0.9])), float(rng.choice([0.7, 1.5, 3.0]))
        values = oracles.returns(rewards, mask, gamma)
        expected = {
            "paper": lambda v, m, t: oracles.paper_advantages(v, m, t),
            "released": lambda v, m, t: oracles.released_advantages(v, m, t),
            "none": lambda v, m, t: oracles.unfiltered_advantages(v, m),
        }[rule](values, mask, threshold)

        advantages, returns = stable_reinforce_advantage(
            torch.from_numpy(rewards), torch.from_numpy(mask), config(rule, threshold, gamma)
        )
        np.testing.assert_allclose(returns.numpy(), values, atol=1e-9)
        np.testing.assert_allclose(advantages.numpy(), expected, atol=1e-6)


# --- properties

batches = st.integers(1, 6).flatmap(
    lambda width: st.lists(
        st.lists(
            st.tuples(st.sampled_from([0.0, 0.5, 1.5, 2.0]), st.booleans()),
            min_size=width,
            max_size=width,
        ),
        min_size=1,
        max_size=8,
    )
)


@settings(deadline=None)
@given(batch=batches, rule=st.sampled_from(["paper", "released", "none"]))
def test_padding_rows_change_nothing(batch, rule):
    rewards = torch.tensor([[cell[0] for cell in row] for row in batch])
    mask = torch.tensor([[int(cell[1]) for cell in row] for row in batch])
    alone, _ = stable_reinforce_advantage(rewards, mask, config(rule))
    padded, _ = stable_reinforce_advantage(
        torch.cat([rewards, torch.full_like(rewards[:1], 123.0)]),
        torch.cat([mask, torch.zeros_like(mask[:1])]),
        config(rule),
    )
    assert torch.equal(padded[:-1], alone)
    assert torch.equal(padded[-1], torch.zeros_like(padded[-1]))
    assert torch.equal(alone * (1 - mask), torch.zeros_like(alone))
    assert torch.isfinite(alone).all()


@settings(deadline=None)
@given(batch=batches, scale=st.floats(0.1, 10), shift=st.floats(-5, 5))
def test_paper_rule_ignores_scale_and_shift_of_terminal_rewards(batch, scale, shift):
    values = torch.tensor([[cell[0] for cell in row] for row in batch], dtype=torch.float64)
    mask = torch.tensor([[cell[1] for cell in row] for row in batch])
    before = whiten(values, mask, "paper")
    after = whiten(values * scale + shift, mask, "paper")
    torch.testing.assert_close(after, before, atol=1e-5, rtol=0)
    kept = filter_advantages(before, mask, "paper", 3.0, 0.0)
    assert kept.abs().max() <= 3.0


@settings(deadline=None)
@given(batch=batches)
def test_bfloat16_and_bool_masks_are_accepted(batch):
    rewards = torch.tensor([[cell[0] for cell in row] for row in batch])
    mask = torch.tensor([[cell[1] for cell in row] for row in batch])
    exact, _ = stable_reinforce_advantage(rewards, mask, config())
    rounded, returns = stable_reinforce_advantage(rewards.bfloat16(), mask.int(), config())
    assert rounded.dtype == returns.dtype == torch.bfloat16
    assert torch.equal(rounded, exact.bfloat16())  # the rewards are exact in bfloat16


# --- registration


def test_verl_finds_the_estimator_by_name():
    assert get_adv_estimator_fn("stable_reinforce") is stable_reinforce_advantage


def test_package_imports_neither_torch_nor_verl_until_discover():
    script = (
        "import sys, r1reward.algorithms as a\n"
        "assert not {'torch', 'verl'} & set(sys.modules), 'imported early'\n"
        "seen = []\n"
        "a.import_module = seen.append\n"
        "a.discover()\n"
        "assert 'r1reward.algorithms.stable_reinforce' in seen, seen\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
