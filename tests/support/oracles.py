"""Independent expectations: NumPy float64, loops, written from the paper's formulas.

Deliberately slow and plain; nothing here may import the code that it checks.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = Any  # rows of numbers: lists, arrays, tensors
Found = NDArray[np.float64]


def returns(rewards: Floats, mask: Floats, gamma: float) -> Found:
    """G_t = sum over the later valid tokens k of gamma^(number of valid tokens between) r_k."""
    out: Found = np.zeros(np.asarray(rewards).shape)
    for row in range(out.shape[0]):
        valid = [t for t in range(out.shape[1]) if mask[row][t]]
        for i, t in enumerate(valid):
            out[row, t] = sum(
                gamma ** (j - i) * float(rewards[row][valid[j]]) for j in range(i, len(valid))
            )
    return out


def paper_advantages(values: Floats, mask: Floats, threshold: float) -> Found:
    """A_std = (A - mu) / (sigma + eps), kept where |A_std| <= threshold (section 4.1)."""
    return _masked(mask, [z if abs(z) <= threshold else 0.0 for z in _z_scores(values, mask)])


def unfiltered_advantages(values: Floats, mask: Floats) -> Found:
    """A_std alone."""
    return _masked(mask, _z_scores(values, mask))


def released_advantages(values: Floats, mask: Floats, threshold: float) -> Found:
    """What the released replay buffer computes, precedence slip and raw-mean bounds included."""
    valid = np.asarray(values, dtype=np.float64)[np.asarray(mask, dtype=bool)]
    if not len(valid):
        return np.zeros(np.shape(values))
    mean = math.fsum(valid) / len(valid)
    variance = max(math.fsum((v - mean) ** 2 for v in valid) / len(valid), 1e-8)
    kept = []
    for v in valid:
        result = (v - mean) / math.sqrt(variance) + 1e-8
        if result < mean - threshold or result > mean + threshold:
            result = 0.0
        if math.isnan(result) or math.isinf(result) or abs(result) > 10:
            result = 0.0
        kept.append(result)
    return _masked(mask, kept)


def token_losses(
    old: Floats,
    new: Floats,
    advantages: Floats,
    *,
    low: float,
    high: float,
    preclip: tuple[float, float] | None,
    dual_clip: float | None = None,
) -> Found:
    """-min(r A, clip(r) A) of every token; `preclip` is (min, max) or None."""
    out = np.zeros(np.shape(old), dtype=np.float64)
    for at in np.ndindex(out.shape):
        log_ratio, a = float(new[at]) - float(old[at]), float(advantages[at])
        if preclip:
            log_ratio = min(max(log_ratio, math.log(preclip[0])), math.log(preclip[1]))
        r = math.exp(log_ratio)
        objective = min(r * a, min(max(r, 1 - low), 1 + high) * a)
        if dual_clip is not None and a < 0:
            objective = max(objective, dual_clip * a)
        out[at] = -objective
    return out


def token_mean(losses: Found, mask: Floats) -> float:
    """Mean over all valid tokens (the paper's 1/|t| sum)."""
    return float(math.fsum(losses[np.asarray(mask, dtype=bool)]) / np.sum(mask))


def sequence_mean(losses: Found, mask: Floats) -> float:
    """Mean over sequences of per-sequence means (the released code); empty rows do not count."""
    means = [
        math.fsum(row[np.asarray(m, dtype=bool)]) / np.sum(m)
        for row, m in zip(losses, mask, strict=True)
        if np.any(m)
    ]
    return float(sum(means) / len(means))


def _z_scores(values: Floats, mask: Floats) -> list[float]:
    valid = np.asarray(values, dtype=np.float64)[np.asarray(mask, dtype=bool)]
    if not len(valid):
        return []
    mean = math.fsum(valid) / len(valid)
    sigma = math.sqrt(math.fsum((v - mean) ** 2 for v in valid) / len(valid))
    return [(v - mean) / (sigma + 1e-8) for v in valid]


def _masked(mask: Floats, valid: list[float]) -> Found:
    out = np.zeros(np.shape(mask), dtype=np.float64)
    out[np.asarray(mask, dtype=bool)] = valid
    return out
