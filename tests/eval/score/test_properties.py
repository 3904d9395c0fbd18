"""Properties that the score of every run has."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.scoring import MMRLHF, PARSE, PHOTOS, PLAIN, cast, item

from r1reward.eval.score.scoring import score

RUNS = st.lists(
    st.tuples(
        st.sampled_from(["r", "w", None]),
        st.sampled_from(["r", "w", None]),
        st.sampled_from(["a", "b", "c"]),
        st.sampled_from([1, 2]),
    ),
    min_size=1,
    max_size=12,
)


def run(rows, protocol, flip=None):
    flip = flip or {}
    ballots = []
    for n, (first, second, cluster, label) in enumerate(rows):
        votes = {1: [flip.get(first, first)], 2: [flip.get(second, second)]}
        ballots += cast(item(n, label=label, cluster=cluster), protocol, votes)
    return ballots


@given(RUNS, st.sampled_from(PARSE), st.randoms())
def test_the_order_in_which_ballots_arrive_does_not_matter(rows, parse, rng):
    protocol = replace(PLAIN, parse=parse)
    ballots = run(rows, protocol)
    shuffled = rng.sample(ballots, len(ballots))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("r1reward.eval.score.intervals._REPLICATES", 50)
        assert score(ballots, protocol, MMRLHF) == score(shuffled, protocol, MMRLHF)


@given(RUNS)
def test_a_judge_that_says_the_opposite_has_the_opposite_accuracy(rows):
    protocol = replace(PLAIN, parse="half")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("r1reward.eval.score.intervals._REPLICATES", 3)
        one = score(run(rows, protocol), protocol, PHOTOS).overall
        two = score(run(rows, protocol, {"r": "w", "w": "r"}), protocol, PHOTOS).overall
    assert one.accuracy.value + two.accuracy.value == pytest.approx(1)
    assert one.flips == two.flips
    assert one.parse_failures == two.parse_failures


@given(RUNS, st.sampled_from(PARSE))
def test_rates_lie_in_their_intervals_and_hang_together(rows, parse):
    protocol = replace(PLAIN, parse=parse)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("r1reward.eval.score.intervals._REPLICATES", 50)
        result = score(run(rows, protocol), protocol, MMRLHF)
    overall = result.overall
    for rate in (overall.accuracy, overall.consistent, overall.flips, overall.acc_plus):
        assert (rate.value is None) == (rate.interval is None) == (rate.n == 0)
        assert rate.n == 0 or 0 <= rate.interval.low <= rate.value <= rate.interval.high <= 1
    if parse == "wrong":
        assert overall.consistent.value <= overall.accuracy.value
        assert overall.accuracy.value == pytest.approx(
            (overall.accuracy_first.value + overall.accuracy_second.value) / 2
        )
        assert overall.consistent_plus.value <= overall.acc_plus.value
