"""Intervals and paired tests, against simulations and by hand."""

import random
from dataclasses import replace

import numpy as np
import pytest
from support.scoring import PLAIN, VLRB, cast, item

from r1reward.core.intervals import wilson_interval
from r1reward.eval.score.intervals import macro_rate, paired, rates
from r1reward.eval.score.scoring import score


def test_independent_items_have_wilsons_interval():
    ballots = [
        ballot
        for n in range(50)
        for ballot in cast(item(n), replace(PLAIN, order="stored"), {1: ["r" if n < 20 else "w"]})
    ]
    rate = score(ballots, replace(PLAIN, order="stored"), VLRB).overall.accuracy
    assert (rate.value, rate.n, rate.interval.method) == (0.4, 50, "wilson")
    assert (rate.interval.low, rate.interval.high) == pytest.approx(wilson_interval(20, 50))


def test_dependent_items_have_a_wider_interval():
    """100 clusters of 4 equal items: the standard error is that of 100 items, not of 400."""
    top = np.repeat([[4.0], [0.0]], 50, axis=0)
    [rate] = rates(top, np.full((100, 1), 4.0))
    assert (rate.value, rate.n, rate.interval.method) == (0.5, 400, "cluster_bootstrap")
    assert rate.interval.high - rate.interval.low == pytest.approx(2 * 1.96 * 0.05, rel=0.08)


def test_the_bootstrap_matches_one_written_by_hand():
    rng = np.random.default_rng(5)
    size = rng.integers(2, 7, 46)
    right = rng.binomial(size, rng.beta(4, 1, 46))
    [rate] = rates(right[:, None].astype(float), size[:, None].astype(float))
    drawn = []
    for _ in range(4000):
        pick = rng.integers(0, 46, 46)
        drawn.append(right[pick].sum() / size[pick].sum())
    low, high = np.percentile(drawn, [2.5, 97.5])
    assert (rate.interval.low, rate.interval.high) == pytest.approx((low, high), abs=0.012)


def test_clustered_intervals_cover_what_wilsons_would_not(monkeypatch):
    monkeypatch.setattr("r1reward.eval.score.intervals._REPLICATES", 400)
    rng, covered, naive = np.random.default_rng(1), 0, 0
    for _ in range(200):
        skill = rng.beta(1.4, 0.6, 46)  # 0.7 on average, alike within a cluster
        right = rng.binomial(10, skill).astype(float)
        [rate] = rates(right[:, None], np.full((46, 1), 10.0))
        covered += rate.interval.low <= 0.7 <= rate.interval.high
        low, high = wilson_interval(float(right.sum()), 460)
        naive += low <= 0.7 <= high
    assert covered >= 180
    assert naive < 160


def test_the_macro_interval_covers(monkeypatch):
    monkeypatch.setattr("r1reward.eval.score.intervals._REPLICATES", 400)
    rng, skill, covered = np.random.default_rng(2), np.array([0.5, 0.7, 0.9]), 0
    bottoms = np.repeat(np.eye(3), [60, 100, 40], axis=0)
    for _ in range(200):
        tops = bottoms * rng.binomial(1, bottoms @ skill)[:, None]
        rate = macro_rate(tops.astype(float), bottoms)
        covered += rate.interval.low <= 0.7 <= rate.interval.high
    assert 180 <= covered <= 199


def test_a_sample_without_a_group_is_the_mean_of_the_others():
    right = np.repeat(np.eye(2), [10, 1], axis=0)  # the one of the small group is often not drawn
    rate = macro_rate(right, right)
    assert (rate.value, rate.interval.method) == (1.0, "wilson"), "no sample is below 1"
    assert macro_rate(right * 0, right * 0).value is None


def test_paired_p_values_by_hand():
    clusters = {n: str(n) for n in range(9)}
    better = dict.fromkeys(range(9), 1.0)
    worse = {n: float(n >= 5) for n in range(9)}  # five items differ, all one way: 2 / 2^5
    result = paired(better, worse, clusters)
    assert (result.n, result.difference, result.p_value) == (9, pytest.approx(5 / 9), 2 / 32)
    back = paired(worse, better, clusters)
    assert (back.difference, back.p_value) == (-result.difference, result.p_value)
    assert result.interval.low > 0 > back.interval.high
    assert paired(better, better, clusters).p_value == 1.0
    one = paired(better, worse, dict.fromkeys(range(9), "all"))
    assert one.p_value == 1.0, "one cluster is one coin"


def test_paired_takes_the_items_that_both_have():
    clusters = {n: str(n) for n in range(4)}
    result = paired({0: 1.0, 1: 0.5, 2: 0.0}, {1: 0.0, 2: 0.0, 3: 1.0}, clusters)
    assert (result.n, result.difference) == (2, 0.25)
    with pytest.raises(ValueError, match="no item in common"):
        paired({0: 1.0}, {1: 1.0}, clusters)


def test_equal_judges_differ_at_the_nominal_rate():
    rng, clusters = random.Random(3), {n: str(n // 2) for n in range(40)}
    small = 0
    for _ in range(60):
        first, second = ({n: float(rng.random() < 0.6) for n in range(40)} for _ in range(2))
        small += paired(first, second, clusters).p_value < 0.2
    assert 4 <= small <= 22  # 12 expected
