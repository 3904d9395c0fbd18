"""Intervals of the rates and means that training, evaluation and studies report."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist, fmean, stdev

# 97.5 % quantiles of Student's t by degrees of freedom, as tables print them; 1.96 beyond.
_T = dict(enumerate(
    (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160,
     2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086), start=1,
))  # fmt: skip


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean over ``n`` seeds with its 95 % interval (t); a single seed has none."""

    value: float
    low: float | None
    high: float | None
    n: int


def t_interval(values: Sequence[float]) -> Mean:
    """Return the mean and the 95 % interval of Student's t over independent ``values``."""
    n, mean = len(values), fmean(values)
    if n < 2:
        return Mean(mean, None, None, n)
    half = _T.get(n - 1, 1.96) * stdev(values) / sqrt(n)
    return Mean(mean, mean - half, mean + half, n)


def wilson_interval(successes: float, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the Wilson score interval of a proportion (Wilson, 1927), within [0, 1].

    Args:
        successes: how many of ``n`` succeeded; half points, as ties give, are allowed.
        n: number of independent trials; with 0 nothing is known, and the interval is (0, 1).
        confidence: coverage, strictly between 0 and 1.

    Raises:
        ValueError: for counts that are not those of a proportion, or an impossible confidence.
    """
    if not 0 <= successes <= n:
        raise ValueError(f"{successes} successes out of {n} is not a proportion")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence={confidence}: give a number between 0 and 1")
    if n == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    p = successes / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    # Rounding must not leave the proportion itself outside: 0 of n has the lower bound 0.
    return max(0.0, min(p, centre - half)), min(1.0, max(p, centre + half))
