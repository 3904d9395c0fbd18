"""StableReinforce (arXiv 2505.02835, section 4.1): advantage estimator and policy loss.

REINFORCE++ with two stabilisers: whitened advantages beyond three standard deviations are set to
zero (advantage filter), and the log-ratio is clamped before it is exponentiated (Pre-CLIP).
Both are registered with verl as ``stable_reinforce`` when this module is imported.

Shapes: B sequences by T response tokens, padded. Masks, bool or 0/1, mark the valid tokens;
a row without any is padding and counts nowhere.
"""

from dataclasses import dataclass
from math import isfinite, log
from typing import Any, Literal, get_args

import torch
from verl.trainer.ppo.core_algos import agg_loss, register_adv_est, register_policy_loss
from verl.workers.config import PolicyLossConfig

from r1reward.algorithms import report_metrics

NAME = "stable_reinforce"
EPS = 1e-8  # what the paper adds to sigma, and the released code's floor of the variance
RELEASED_GATE = 10.0  # the released code drops larger z-scores, undocumented in the paper

FilterRule = Literal["paper", "released", "none"]


@dataclass(kw_only=True)
class StableReinforceLossConfig(PolicyLossConfig):  # type: ignore[misc]
    """``actor_rollout_ref.actor.policy_loss``: verl's keys, plus Pre-CLIP and the dual clip.

    Attributes:
        preclip: whether the log-ratio is clamped before ``exp``.
        preclip_min: lower bound of the probability ratio (paper: 1e-3).
        preclip_max: upper bound of the probability ratio (paper: 1e3).
        dual_clip: for A < 0, bounds the loss of a token at ``dual_clip * |A|``; None is off.

    Raises:
        ValueError: for bounds that do not enclose 1, or a dual clip that is not above 1.
    """

    preclip: bool
    preclip_min: float
    preclip_max: float
    dual_clip: float | None

    def __post_init__(self) -> None:
        if not 0 < self.preclip_min < 1 < self.preclip_max < float("inf"):
            raise ValueError(
                f"policy_loss.preclip_min={self.preclip_min} and "
                f"preclip_max={self.preclip_max}: need 0 < preclip_min < 1 < preclip_max"
            )
        if self.dual_clip is not None and not self.dual_clip > 1:
            raise ValueError(
                f"policy_loss.dual_clip={self.dual_clip}: give a number above 1, or null for off"
            )


def reinforce_returns(
    token_level_rewards: torch.Tensor, response_mask: torch.Tensor, gamma: float
) -> torch.Tensor:
    """Return G_t = r_t + gamma * G_{t+1} over the valid tokens of each row, 0 elsewhere.

    Args:
        token_level_rewards: (B, T) floats; values outside the mask are never read.
        response_mask: (B, T). A masked-out gap inside a response is stepped over undiscounted.
        gamma: discount of one token.

    Returns:
        (B, T), dtype of the rewards (paper section 3.2; verl's REINFORCE++ agrees).
    """
    mask = response_mask.bool()
    rewards = token_level_rewards.masked_fill(~mask, 0)
    returns = torch.zeros_like(rewards)
    running = torch.zeros_like(rewards[:, 0])
    for t in reversed(range(rewards.shape[1])):
        running = torch.where(mask[:, t], rewards[:, t] + gamma * running, running)
        returns[:, t] = running
    return returns.masked_fill(~mask, 0)


def moments(values: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return mean and population variance over the valid tokens; zeros when there are none.

    Sums run over deviations from the first valid value: the variance of a constant is exactly 0.
    """
    valid = values[mask.bool()]
    if valid.numel() == 0:
        return values.new_zeros(()), values.new_zeros(())
    mean = valid[0] + (valid - valid[0]).mean()
    return mean, (valid - mean).square().mean()


def whiten(values: torch.Tensor, mask: torch.Tensor, rule: FilterRule) -> torch.Tensor:
    """Return z-scores over all valid tokens of the batch, 0 outside the mask.

    ``paper`` and ``none``: (A - mu) / (sigma + 1e-8), with sigma of the population. That
    convention gives the paper's example, 255 rewards of 1 and a single 0, as -sqrt(255) = -15.969
    (printed -15.96, truncated; the sample deviation would give -15.938). Equal values give zeros.

    ``released``: (A - mu) / sqrt(max(sigma^2, 1e-8)) + 1e-8. The last term is a slip of
    precedence in the published code, kept because this rule exists to reproduce it.
    """
    mean, variance = moments(values, mask)
    if rule == "released":
        scores = (values - mean) * variance.clamp(min=EPS).rsqrt() + EPS
    else:
        scores = (values - mean) / (variance.sqrt() + EPS)
    return scores.masked_fill(~mask.bool(), 0)


def filter_advantages(
    advantages: torch.Tensor,
    mask: torch.Tensor,
    rule: FilterRule,
    threshold: float,
    raw_mean: torch.Tensor | float,
) -> torch.Tensor:
    """Return whitened advantages with the outliers set to 0; never NaN under a filter.

    Args:
        advantages: (B, T) z-scores.
        mask: (B, T).
        rule: ``paper`` keeps |z| <= threshold. ``released`` compares z with the mean of the
            advantages *before* whitening, raw_mean +- threshold, and drops |z| > 10. With
            rewards 0.5 and 2.0 it removes every error from 69 % accuracy on (``paper``: 90 %).
            ``none`` keeps all.
        threshold: half the width of the band, in standard deviations (paper: 3).
        raw_mean: mean before whitening; ``released`` alone reads it.
    """
    if rule == "none":
        return advantages
    if rule == "paper":
        keep = advantages.abs() <= threshold
    else:
        keep = (advantages >= raw_mean - threshold) & (advantages <= raw_mean + threshold)
        keep &= advantages.abs() <= RELEASED_GATE
    return torch.where(keep & mask.bool(), advantages, 0)


def filter_statistics(
    advantages_before: torch.Tensor, advantages_after: torch.Tensor, mask: torch.Tensor
) -> dict[str, float]:
    """Return the filtered shares of all, of the positive and of the negative valid tokens.

    A share of nothing is 0. Whether errors still teach anything is read from
    ``advantage/filtered_negative``.
    """
    before, after = advantages_before[mask.bool()], advantages_after[mask.bool()]
    removed = (before != 0) & (after == 0)

    def share(kind: torch.Tensor) -> float:
        return float(removed[kind].double().mean()) if kind.any() else 0.0

    return {
        "advantage/filtered": share(torch.ones_like(removed)),
        "advantage/filtered_positive": share(before > 0),
        "advantage/filtered_negative": share(before < 0),
    }


@register_adv_est(NAME)  # type: ignore[untyped-decorator]
def stable_reinforce_advantage(
    token_level_rewards: torch.Tensor,
    response_mask: torch.Tensor,
    config: Any,
    index: Any = None,
    **_unused: object,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return ``(advantages, returns)`` of the whole batch, for verl.

    Args:
        token_level_rewards: (B, T) floats; any KL penalty is already in them.
        response_mask: (B, T).
        config: verl's ``algorithm`` node: ``gamma`` and ``stable_reinforce.{filter, threshold}``.
        index: prompt of each row; unused, REINFORCE++ has no per-prompt baseline.

    Returns:
        Two (B, T) tensors, dtype of the rewards, 0 outside the mask. The arithmetic is in float64:
        a batch with exactly one error in ten sits on the filter's edge, |z| = 3 - 1e-7, which
        float32 would place on either side.

    Raises:
        ValueError: for a reward that is not finite, or a setting that is not known.
        KeyError: for a missing setting.
    """
    rule, threshold = _filter_settings(config["stable_reinforce"])
    mask = response_mask.bool()
    _require_finite(token_level_rewards[mask])

    returns = reinforce_returns(token_level_rewards.double(), mask, config["gamma"])
    raw_mean, raw_variance = moments(returns, mask)
    whitened = whiten(returns, mask, rule)
    advantages = filter_advantages(whitened, mask, rule, threshold, raw_mean)

    report_metrics(
        filter_statistics(whitened, advantages, mask)
        | {
            "advantage/raw_mean": float(raw_mean),
            "advantage/raw_std": float(raw_variance.sqrt()),
        }
    )
    dtype = token_level_rewards.dtype
    return advantages.to(dtype), returns.to(dtype)


def _filter_settings(options: Any) -> tuple[FilterRule, float]:
    rule, threshold = options["filter"], float(options["threshold"])
    if rule not in get_args(FilterRule):
        raise ValueError(
            f"algorithm.stable_reinforce.filter={rule!r}: "
            f"choose one of {', '.join(get_args(FilterRule))}"
        )
    if not (isfinite(threshold) and threshold > 0):
        raise ValueError(
            f"algorithm.stable_reinforce.threshold={threshold}: give a positive number"
        )
    return rule, threshold


def _require_finite(rewards: torch.Tensor) -> None:
    bad = int((~torch.isfinite(rewards)).sum())
    if bad:
        raise ValueError(
            f"{bad} of {rewards.numel()} token rewards are NaN or infinite; check the reward "
            "and, when algorithm.use_kl_in_reward is on, the log-probabilities of the KL penalty"
        )


def preclip_ratio(log_ratio: torch.Tensor, low: float, high: float) -> torch.Tensor:
    """Return exp(clip(log_ratio, log low, log high)), Pre-CLIP.

    It cannot overflow, and a token outside the bounds gets no gradient.
    """
    return log_ratio.clamp(log(low), log(high)).exp()


@register_policy_loss(NAME)  # type: ignore[untyped-decorator]
def stable_reinforce_loss(
    old_log_prob: torch.Tensor,
    log_prob: torch.Tensor,
    advantages: torch.Tensor,
    response_mask: torch.Tensor,
    loss_agg_mode: str,
    config: Any,
    rollout_is_weights: torch.Tensor | None = None,
) -> tuple[torch.Tensor, dict[str, float]]:
    """Return the clipped PPO loss with Pre-CLIP and its metrics, for verl.

    Per token: -min(r A, clip(r, 1 - low, 1 + high) A), r from :func:`preclip_ratio`. With
    ``preclip`` off r is the plain exponential, which may overflow: that is the ablation.

    Args:
        old_log_prob: (B, T) of the policy that generated the tokens.
        log_prob: (B, T) of the policy being trained; float32 arithmetic whatever the dtype.
        advantages: (B, T).
        response_mask: (B, T). What lies outside is never read.
        loss_agg_mode: one of verl's reductions.
        config: verl's actor configuration; ``policy_loss`` is a StableReinforceLossConfig.
        rollout_is_weights: (B, T) importance weights of the rollout correction, or None.

    Returns:
        The scalar float32 loss, exactly 0 without valid tokens, and the metrics, all finite for
        finite input. verl averages them over micro-batches, the maximum too.
    """
    options = config.policy_loss
    mask = response_mask.bool()
    log_ratio = torch.where(mask, log_prob.float() - old_log_prob.float(), 0)
    advantages = torch.where(mask, advantages.float(), 0)
    ratio = (
        preclip_ratio(log_ratio, options.preclip_min, options.preclip_max)
        if options.preclip
        else log_ratio.exp()
    )
    low, high = _clip_range(config)
    losses = torch.maximum(-advantages * ratio, -advantages * ratio.clamp(low, high))
    bounded = torch.zeros_like(mask)
    if options.dual_clip is not None:
        bound = -advantages * options.dual_clip
        bounded = (advantages < 0) & (losses > bound)
        losses = torch.where(bounded, bound, losses)
    if rollout_is_weights is not None:
        losses = losses * torch.where(mask, rollout_is_weights.float(), 0)

    metrics = _clip_metrics(log_ratio.detach()[mask], options) | _shares(
        {
            "actor/pg_clipfrac_low": (ratio < low) & (advantages < 0),
            "actor/pg_clipfrac_high": (ratio > high) & (advantages > 0),
            "actor/dual_clipfrac": bounded,
        },
        mask,
    )
    metrics["actor/pg_clipfrac"] = (
        metrics["actor/pg_clipfrac_low"] + metrics["actor/pg_clipfrac_high"]
    )
    if not mask.any():
        return losses.sum(), metrics  # 0 with a gradient; a mean over no token is NaN
    return agg_loss(losses, mask, loss_agg_mode, **config.global_batch_info), metrics


def _clip_range(config: Any) -> tuple[float, float]:
    low, high = (
        config.clip_ratio if side is None else side
        for side in (config.clip_ratio_low, config.clip_ratio_high)
    )
    return 1 - low, 1 + high


def _shares(flags: dict[str, torch.Tensor], mask: torch.Tensor) -> dict[str, float]:
    total = max(int(mask.sum()), 1)
    return {name: int((flag & mask).sum()) / total for name, flag in flags.items()}


def _clip_metrics(log_ratio: torch.Tensor, options: StableReinforceLossConfig) -> dict[str, float]:
    """Describe the (N,) log-ratios of the valid tokens before any clamp.

    ``preclip_frac*`` are the shares of tokens that Pre-CLIP clamps, or would if it were on.
    ``ppo_kl`` is the k1 estimate, mean(log pi_old - log pi), under verl's name for it.
    """
    valid = torch.ones_like(log_ratio, dtype=torch.bool)
    shares = _shares(
        {
            "actor/preclip_frac_low": log_ratio < log(options.preclip_min),
            "actor/preclip_frac_high": log_ratio > log(options.preclip_max),
        },
        valid,
    )
    some = log_ratio.numel() > 0
    return shares | {
        "actor/preclip_frac": sum(shares.values()),
        "actor/log_ratio_max": float(log_ratio.abs().max()) if some else 0.0,
        "actor/ppo_kl": float(-log_ratio.mean()) if some else 0.0,
    }
