"""Intervals against published values, by hand, and the equation that defines Wilson's."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from r1reward.core.intervals import t_interval, wilson_interval

# Two-sided quantiles of the normal distribution, from printed tables.
QUANTILES = {0.9: 1.6448536269514722, 0.95: 1.959963984540054, 0.99: 2.5758293035489004}
COUNTS = st.integers(1, 10**6).flatmap(lambda n: st.tuples(st.floats(0, n), st.just(n)))


@pytest.mark.parametrize(
    ("successes", "n", "lower", "upper"),
    [
        # Newcombe, Statistics in Medicine 17 (1998), table I, method 3
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
        # worked by hand: 0 of n has the upper bound z^2 / (n + z^2)
        (0, 10, 0.0, 0.2775),
        (10, 10, 0.7225, 1.0),
        (50, 100, 0.4038, 0.5962),
    ],
)
def test_published_values(successes, n, lower, upper):
    assert wilson_interval(successes, n) == pytest.approx((lower, upper), abs=5.1e-5)


@pytest.mark.parametrize("confidence", QUANTILES)
@pytest.mark.parametrize(
    ("successes", "n"), [(0, 1), (1, 1), (3, 7), (2.5, 9), (700, 1000), (1, 1e6)]
)
def test_the_bounds_solve_the_score_equation(successes, n, confidence):
    """Its bounds are the proportions p at which |s/n - p| = z sqrt(p (1 - p) / n)."""
    z, p = QUANTILES[confidence], successes / n
    expected = np.sort(np.roots([1 + z * z / n, -(2 * p + z * z / n), p * p]).real)
    assert wilson_interval(successes, n, confidence) == pytest.approx(expected, abs=1e-9)


@given(COUNTS, st.floats(0.01, 0.999))
def test_the_proportion_lies_in_its_interval(counts, confidence):
    successes, n = counts
    lower, upper = wilson_interval(successes, n, confidence)
    assert 0 <= lower <= successes / n <= upper <= 1


@given(COUNTS)
def test_successes_and_failures_mirror_each_other(counts):
    successes, n = counts
    lower, upper = wilson_interval(successes, n)
    assert wilson_interval(n - successes, n) == pytest.approx((1 - upper, 1 - lower), abs=1e-9)


@given(st.integers(1, 1000), st.integers(0, 1000), st.integers(2, 50))
def test_more_trials_narrow_and_more_confidence_widens(n, successes, times):
    successes = min(successes, n)

    def width(*arguments):
        lower, upper = wilson_interval(*arguments)
        return upper - lower

    assert width(successes * times, n * times) < width(successes, n)
    assert width(successes, n, 0.9) < width(successes, n, 0.95) < width(successes, n, 0.99)


@given(st.floats(0.001, 0.999))
def test_no_trials_tell_nothing(confidence):
    assert wilson_interval(0, 0, confidence) == (0.0, 1.0)


def test_half_points_lie_between_whole_ones():
    bounds = [wilson_interval(successes, 10) for successes in (5, 5.5, 6)]
    assert bounds == sorted(bounds)
    assert len(set(bounds)) == 3


@pytest.mark.parametrize(
    ("successes", "n"),
    [(-1, 10), (11, 10), (1, 0), (0, -1), (float("nan"), 10), (float("inf"), 10)],
)
def test_what_is_no_proportion_is_refused(successes, n):
    with pytest.raises(ValueError, match="is not a proportion"):
        wilson_interval(successes, n)


@pytest.mark.parametrize("confidence", [0, 1, -0.5, 95, float("nan")])
def test_impossible_confidence_is_refused(confidence):
    with pytest.raises(ValueError, match="confidence="):
        wilson_interval(5, 10, confidence)


def test_t_interval_by_hand():
    """1, 2, 3: deviation 1, error 1/sqrt(3), t of two degrees of freedom 4.303."""
    mean = t_interval([1.0, 2.0, 3.0])
    assert (mean.value, mean.n) == (2.0, 3)
    assert mean.low == pytest.approx(2 - 4.303 / 3**0.5)
    assert mean.high == pytest.approx(2 + 4.303 / 3**0.5)
    assert t_interval([0.7]).low is None
