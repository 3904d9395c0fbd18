"""The StableReinforce policy loss against hand-worked numbers and the NumPy oracle."""

import math

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from hypothesis import given, settings
from hypothesis import strategies as st
from support import oracles
from verl.trainer.ppo.core_algos import get_policy_loss_fn
from verl.workers.config import ActorConfig, PolicyLossConfig

from r1reward.algorithms.stable_reinforce import (
    StableReinforceLossConfig,
    preclip_ratio,
    stable_reinforce_loss,
)

EPS = 0.2


def actor(*, preclip=True, dual_clip=None, clip=(EPS, EPS), batch_info=None):
    return ActorConfig(
        strategy="fsdp2",
        rollout_n=1,
        use_dynamic_bsz=True,
        clip_ratio=EPS,
        clip_ratio_low=clip[0],
        clip_ratio_high=clip[1],
        policy_loss=StableReinforceLossConfig(
            loss_mode="stable_reinforce",
            preclip=preclip,
            preclip_min=1e-3,
            preclip_max=1e3,
            dual_clip=dual_clip,
        ),
        global_batch_info=batch_info or {},
    )


def loss_of(old, new, advantages, mask=None, *, mode="token-mean", weights=None, **options):
    old, new, advantages = (
        value if isinstance(value, torch.Tensor) else torch.tensor(value)
        for value in (old, new, advantages)
    )
    mask = torch.ones_like(old, dtype=torch.bool) if mask is None else torch.as_tensor(mask)
    return stable_reinforce_loss(
        old_log_prob=old,
        log_prob=new,
        advantages=advantages,
        response_mask=mask,
        loss_agg_mode=mode,
        config=actor(**options),
        rollout_is_weights=weights,
    )


# --- Pre-CLIP


def test_paper_example_minus_0_1_against_minus_10():
    """Section 4.1: exp(-0.1 + 10) = 19930.4 becomes 1000."""
    log_ratio = torch.tensor([-0.1 - -10.0, -10.0 - -0.1, 0.0])
    assert log_ratio[0].exp().item() == pytest.approx(19930.4, abs=0.1)
    ratio = preclip_ratio(log_ratio, 1e-3, 1e3)
    assert ratio.tolist() == pytest.approx([1000.0, 0.001, 1.0], rel=1e-6)

    clipped, _ = loss_of([[-10.0]], [[-0.1]], [[-1.0]])
    plain, _ = loss_of([[-10.0]], [[-0.1]], [[-1.0]], preclip=False)
    assert clipped.item() == pytest.approx(1000.0, rel=1e-6)
    assert plain.item() == pytest.approx(19930.37, rel=1e-5)


def test_tokens_beyond_the_bounds_get_no_gradient():
    new = torch.tensor([[-0.1, -1.0]], requires_grad=True)
    loss, _ = loss_of(torch.tensor([[-10.0, -2.0]]), new, [[-1.0, -1.0]])
    loss.backward()
    # second token: ratio e, inside the bounds and A < 0, so d(e^x)/dx / 2 tokens
    assert new.grad[0].tolist() == pytest.approx([0.0, math.e / 2])


def test_without_preclip_the_ratio_overflows_and_with_it_never():
    old, new = [[-200.0]], [[0.0]]
    plain, plain_metrics = loss_of(old, new, [[-1.0]], preclip=False)
    clipped, _ = loss_of(old, new, [[-1.0]])
    assert math.isinf(plain.item())
    assert clipped.item() == pytest.approx(1000.0, rel=1e-6)
    assert all(math.isfinite(value) for value in plain_metrics.values())


# --- the clipped objective, by hand


@pytest.mark.parametrize(
    ("ratio", "advantage", "expected"),
    [
        (1.0, 2.0, -2.0),
        (1.1, 2.0, -2.2),
        (1.5, 2.0, -2.4),  # clipped at 1.2
        (0.5, 2.0, -1.0),  # no clip: the smaller of 1.0 and 1.6
        (1.5, -2.0, 3.0),  # no clip: the larger loss
        (0.5, -2.0, 1.6),  # clipped at 0.8
        (5.0, 0.0, 0.0),
    ],
)
def test_one_token_by_hand(ratio, advantage, expected):
    loss, _ = loss_of([[0.0]], [[math.log(ratio)]], [[advantage]])
    assert loss.item() == pytest.approx(expected, rel=1e-6)


def test_asymmetric_clip_range_and_its_fallback():
    args = ([[0.0, 0.0]], [[math.log(3.0), math.log(0.1)]], [[1.0, -1.0]])
    asymmetric, _ = loss_of(*args, clip=(0.4, 0.3))
    assert asymmetric.item() == pytest.approx((-1.3 + 0.6) / 2)
    fallback, _ = loss_of(*args, clip=(None, None))
    assert fallback.item() == pytest.approx((-1.2 + 0.8) / 2)


def test_dual_clip_bounds_negative_advantages_only():
    args = ([[0.0, 0.0]], [[math.log(50.0)] * 2], [[-2.0, 2.0]])
    off, off_metrics = loss_of(*args)
    on, on_metrics = loss_of(*args, dual_clip=3.0)
    assert off.item() == pytest.approx((100.0 - 2.4) / 2)
    assert on.item() == pytest.approx((6.0 - 2.4) / 2)
    assert (off_metrics["actor/dual_clipfrac"], on_metrics["actor/dual_clipfrac"]) == (0.0, 0.5)


def test_rollout_weights_multiply():
    loss, _ = loss_of([[0.0, 0.0]], [[0.0, 0.0]], [[1.0, 3.0]], weights=torch.tensor([[0.5, 2.0]]))
    assert loss.item() == pytest.approx(-(0.5 + 6.0) / 2)


# --- reductions


def test_reductions_by_hand():
    old = new = torch.zeros(3, 3)
    advantages = [[-1.0, -2.0, -3.0], [-6.0, 9.0, 9.0], [9.0, 9.0, 9.0]]
    mask = [[1, 1, 1], [1, 0, 0], [0, 0, 0]]
    assert loss_of(old, new, advantages, mask)[0].item() == pytest.approx(3.0)
    per_sequence, _ = loss_of(old, new, advantages, mask, mode="seq-mean-token-mean")
    assert per_sequence.item() == pytest.approx((2.0 + 6.0) / 2)


def test_micro_batches_add_up_to_the_global_batch():
    """verl sums the losses of micro-batches: each must be divided by the global count."""
    rng = torch.Generator().manual_seed(0)
    old, new, advantages = (torch.randn(6, 4, generator=rng) for _ in range(3))
    mask = torch.rand(6, 4, generator=rng) < 0.7
    info = {
        "dp_size": 1,
        "batch_num_tokens": int(mask.sum()),
        "global_batch_size": 6,
        "loss_scale_factor": None,
    }
    for mode in ("token-mean", "seq-mean-token-mean"):
        whole, _ = loss_of(old, new, advantages, mask, mode=mode, batch_info=info)
        parts = [
            loss_of(old[i:j], new[i:j], advantages[i:j], mask[i:j], mode=mode, batch_info=info)[0]
            for i, j in [(0, 1), (1, 4), (4, 6)]
        ]
        assert sum(parts).item() == pytest.approx(whole.item(), rel=1e-5)


@pytest.mark.parametrize("mode", ["token-mean", "seq-mean-token-mean"])
def test_agrees_with_the_numpy_oracle(mode):
    rng = np.random.default_rng(7)
    reduce = {"token-mean": oracles.token_mean, "seq-mean-token-mean": oracles.sequence_mean}[mode]
    for _ in range(500):
        shape = (int(rng.integers(1, 7)), int(rng.integers(1, 7)))
        mask = rng.random(shape) < 0.7
        mask.flat[rng.integers(mask.size)] = True
        old = rng.uniform(-12, 0, shape).astype(np.float32)
        new = (old + rng.normal(0, rng.choice([0.1, 2.0]), shape)).astype(np.float32)
        advantages = rng.normal(0, 1, shape).astype(np.float32)
        low, high = (float(side) for side in rng.uniform(0.05, 0.4, 2))
        dual_clip = [None, 3.0][rng.integers(2)]
        preclip = bool(rng.integers(2))
        losses = oracles.token_losses(
            old,
            new,
            advantages,
            low=low,
            high=high,
            preclip=(1e-3, 1e3) if preclip else None,
            dual_clip=dual_clip,
        )
        loss, _ = loss_of(
            torch.from_numpy(old),
            torch.from_numpy(new),
            torch.from_numpy(advantages),
            torch.from_numpy(mask),
            mode=mode,
            preclip=preclip,
            dual_clip=dual_clip,
            clip=(low, high),
        )
        assert loss.item() == pytest.approx(reduce(losses, mask), rel=2e-5, abs=2e-5)


# --- metrics


def test_metrics_by_hand():
    ratios = torch.tensor([[2000.0, 5e-4, 1.5, 0.5, 1.0, 7.0]])
    advantages = [[-1.0, 1.0, 1.0, -1.0, 1.0, 1.0]]
    _, metrics = loss_of(torch.zeros(1, 6), ratios.log(), advantages, [[1, 1, 1, 1, 1, 0]])
    logs = [math.log(r) for r in (2000, 5e-4, 1.5, 0.5, 1)]
    assert metrics == {
        "actor/preclip_frac": pytest.approx(0.4),
        "actor/preclip_frac_low": pytest.approx(0.2),
        "actor/preclip_frac_high": pytest.approx(0.2),
        "actor/pg_clipfrac": pytest.approx(0.4),
        "actor/pg_clipfrac_low": pytest.approx(0.2),
        "actor/pg_clipfrac_high": pytest.approx(0.2),
        "actor/dual_clipfrac": 0.0,
        "actor/log_ratio_max": pytest.approx(math.log(2000)),
        "actor/ppo_kl": pytest.approx(-sum(logs) / 5),
    }
    assert all(type(value) is float for value in metrics.values())


@pytest.mark.parametrize("info", [None, {"dp_size": 1, "batch_num_tokens": 8}])
@pytest.mark.parametrize("mode", ["token-mean", "seq-mean-token-mean"])
def test_empty_mask_gives_zero_loss_zero_gradient_and_finite_metrics(mode, info):
    new = torch.full((2, 3), float("nan"), requires_grad=True)
    mask = torch.zeros(2, 3, dtype=torch.bool)
    loss, metrics = loss_of(
        torch.zeros(2, 3), new, torch.ones(2, 3), mask, mode=mode, batch_info=info
    )
    loss.backward()
    assert loss.item() == 0.0
    assert new.grad.tolist() == [[0.0] * 3] * 2
    assert set(metrics.values()) == {0.0}


@settings(deadline=None)
@given(
    tokens=st.lists(
        st.tuples(st.floats(-40, 0), st.floats(-40, 0), st.floats(-3, 3), st.booleans()),
        min_size=1,
        max_size=12,
    )
)
def test_what_lies_outside_the_mask_is_never_read(tokens):
    old, new, advantages, mask = (list(column) for column in zip(*tokens, strict=True))
    junk = [
        [value if valid else float("nan") for value, valid in zip(column, mask, strict=True)]
        for column in (old, new, advantages)
    ]
    for mode in ("token-mean", "seq-mean-token-mean"):
        clean, clean_metrics = loss_of([old], [new], [advantages], [mask], mode=mode)
        dirty_new = torch.tensor([junk[1]], requires_grad=True)
        dirty, dirty_metrics = loss_of([junk[0]], dirty_new, [junk[2]], [mask], mode=mode)
        dirty.backward()
        assert dirty.item() == clean.item()
        assert dirty_metrics == clean_metrics
        assert torch.isfinite(dirty_new.grad).all()
        # a token's loss is at most preclip_max * |A|
        assert abs(clean.item()) <= 1000 * 3 * (1 + 1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
@pytest.mark.parametrize("mask_dtype", [torch.bool, torch.int64])
def test_dtypes(dtype, mask_dtype):
    """-2, -1 and 1.5 are exact in every dtype: exp(-1 + 2) is clipped at 1.2."""
    old, new = torch.full((1, 2), -2.0, dtype=dtype), torch.full((1, 2), -1.0, dtype=dtype)
    mask = torch.ones(1, 2, dtype=mask_dtype)
    loss, _ = loss_of(old, new, torch.full((1, 2), 1.5, dtype=dtype), mask)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(-1.8)


# --- configuration and registration


def settings_of(**changes):
    return {
        "_target_": "r1reward.algorithms.stable_reinforce.StableReinforceLossConfig",
        "loss_mode": "stable_reinforce",
        "preclip": True,
        "preclip_min": 1e-3,
        "preclip_max": 1e3,
        "dual_clip": None,
    } | changes


def test_hydra_builds_the_loss_configuration():
    built = instantiate(settings_of(dual_clip=3.0), _convert_="partial")
    assert isinstance(built, PolicyLossConfig)
    assert (built.get("loss_mode"), built.preclip, built.dual_clip) == (
        "stable_reinforce",
        True,
        3.0,
    )


@pytest.mark.parametrize("missing", ["preclip", "preclip_min", "preclip_max", "dual_clip"])
def test_every_setting_is_required(missing):
    given = settings_of()
    del given[missing]
    with pytest.raises(Exception, match=missing):
        instantiate(given)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"preclip_min": 0.0}, "0 < preclip_min < 1 < preclip_max"),
        ({"preclip_max": 0.5}, "0 < preclip_min < 1 < preclip_max"),
        ({"preclip_max": float("inf")}, "0 < preclip_min < 1 < preclip_max"),
        ({"dual_clip": 1.0}, "dual_clip=1.0: give a number above 1, or null"),
    ],
)
def test_bounds_that_make_no_sense_are_refused(changes, message):
    with pytest.raises(Exception, match=message):
        instantiate(settings_of(**changes))


def test_verl_finds_the_loss_by_name():
    assert get_policy_loss_fn("stable_reinforce") is stable_reinforce_loss
