"""Votes, their majority and the vote curve, against brute force and by hand."""

import itertools
import random
import tracemalloc
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import eval_oracles as oracles
from support.scoring import PARSE, PHOTOS, PLAIN, cast, item, pooled

from r1reward.core.verdict import Verdict
from r1reward.eval.score.ballots import Ballot, count, expected
from r1reward.eval.score.scoring import item_scores, score


@pytest.mark.parametrize(
    ("votes", "wrong", "exclude", "half"),
    [
        ("rrw", 1.0, 1.0, 1.0),
        ("rww", 0.0, 0.0, 0.0),
        ("rw", 0.0, None, 0.5),
        ("rrw?", 1.0, None, 1.0),
        ("rw?", 0.0, None, 0.5),
        ("r??", 1.0, None, 1.0),
        ("w??", 0.0, None, 0.0),
        ("???", 0.0, None, 0.5),
    ],
)
def test_the_majority_of_readable_votes_decides(votes, wrong, exclude, half):
    for parse, worth in (("wrong", wrong), ("exclude", exclude), ("half", half)):
        protocol = replace(PLAIN, order="stored", parse=parse, votes=len(votes))
        ballots = cast(item(), protocol, {1: [None if v == "?" else v for v in votes]})
        assert item_scores(count(ballots, protocol)) == ({} if worth is None else {0: worth})


def test_coins_are_fair_seeded_and_tossed_for_the_undecided_alone():
    protocol = replace(PLAIN, order="stored", parse="coin", votes=2)
    ballots = [ballot for n in range(2000) for ballot in cast(item(n), protocol, {1: ["r", "w"]})]
    tossed = item_scores(count(ballots, protocol))
    assert abs(sum(tossed.values()) - 1000) < 3 * 500**0.5
    assert tossed == item_scores(count(reversed(ballots), protocol))
    assert tossed != item_scores(count(ballots, replace(protocol, seed=1)))
    ballots[5:6] = cast(item(5), protocol, {1: ["r", "r"]})
    decided = item_scores(count(ballots, protocol))
    assert decided[5] == 1.0
    assert [decided[n] for n in range(5)] == [tossed[n] for n in range(5)]


POOLS = st.integers(1, 4).flatmap(
    lambda k: st.lists(
        st.tuples(*[st.lists(st.sampled_from(["r", "w", None]), min_size=k, max_size=k)] * 2),
        min_size=1,
        max_size=4,
    )
)


@given(POOLS, st.sampled_from(PARSE), st.booleans())
def test_the_vote_curve_is_the_mean_over_all_choices_of_votes(pools, parse, both):
    k = len(pools[0][0])
    protocol = replace(PLAIN, parse=parse, votes=k, order="both" if both else "stored")
    ballots, items = [], []
    for n, (first, second) in enumerate(pools):
        ballots += cast(item(n), protocol, {1: first, 2: second})
        items.append([first, second] if both else [first])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("r1reward.eval.score.intervals._REPLICATES", 3)
        result = score(ballots, protocol, PHOTOS)
    assert [point.votes for point in result.vote_curve] == list(range(1, k + 1))
    for point in result.vote_curve:
        assert point.accuracy.value == pytest.approx(
            oracles.vote_curve(items, point.votes, parse), abs=1e-12
        )
        assert point.any_chance == 1 - 2**-point.votes
        polls = [poll for polls in items for poll in polls]
        anywhere = [
            any(vote == "r" for vote in some)
            for poll in polls
            for some in itertools.combinations(poll, point.votes)
        ]
        assert point.any_right == pytest.approx(sum(anywhere) / len(anywhere))
    if parse != "coin":
        assert result.vote_curve[-1].accuracy == result.overall.accuracy


def test_votes_drawn_in_both_orders_are_one_poll():
    protocol = replace(PLAIN, order="random", votes=9)
    one = next(one for n in range(99) if len(protocol.plan(one := item(n))) == 2)
    ballots = pooled(one, protocol, ["r"] * 4 + ["w"] * 3 + [None] * 2)
    assert len(ballots) == 2
    result = score(ballots, protocol, PHOTOS)
    assert result.overall.accuracy.value == 1.0
    assert result.vote_curve[0].accuracy.value == pytest.approx(4 / 9)
    assert result.overall.parse_failures.value == pytest.approx(2 / 9)


def test_a_coin_flippers_any_right_is_the_chance_line():
    rng, protocol = random.Random(0), replace(PLAIN, order="stored", votes=8)
    ballots = [
        ballot
        for n in range(3000)
        for ballot in cast(item(n), protocol, {1: rng.choices("rw", k=8)})
    ]
    for point in score(ballots, protocol, PHOTOS).vote_curve:
        assert point.any_right == pytest.approx(point.any_chance, abs=0.02)
        assert point.accuracy.interval.low < point.accuracy.interval.high


@given(*[st.integers(0, 8)] * 3, st.sampled_from(PARSE))
def test_more_right_votes_never_hurt(right, wrong, failed, parse):
    pool = right + wrong + failed
    for votes in range(1, pool + 1):
        credit, counted, any_right = expected(right, wrong, failed, votes, parse)
        assert 0 <= credit <= counted <= 1
        assert credit <= any_right + (parse in ("half", "coin")) + 1e-12
        if wrong:
            better = expected(right + 1, wrong - 1, failed, votes, parse)
            assert better[0] >= credit - 1e-12
            assert better[2] >= any_right


def test_scoring_keeps_counts_not_texts():
    def ballots():
        for n in range(1500):
            one = item(n)
            for label in (1, 2):
                yield Ballot(one.shown(label), (Verdict(1, "x" * 20_000 + str(n), True),))

    tracemalloc.start()
    counted = count(ballots(), PLAIN)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(counted.tallies) == 1500
    assert peak < 4e6, "30 MB of reasoning passed"
