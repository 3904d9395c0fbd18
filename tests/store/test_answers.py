"""Judging and scoring a benchmark takes memory for counts alone, however large it is."""

import sys

import pytest

from r1reward.tools.bench.memory import PROTOCOL, Generated, measure

SMALL, LARGE = 2_000, 22_000
MORE = LARGE - SMALL
NOISE = 8 * 2**20  # bytes: allocators take memory in steps, BLAS by core and by matrix size

# Bytes an item, from r1reward/store/answers.py: two answers at 24 bytes a slot of a table that is
# half to three quarters full, and while it grows by a half there is the old one as well.
JOURNAL = 2 * 24 * (1 + 1.5) / 0.75
# From eval/score/ballots.py: an eighth of room to grow; two items share a cluster and its name,
# which a dict of at most twice the names holds (24 bytes a place, 8 of its index), as text and
# number.
TALLY = 41 * 9 / 8 + 8 + (2 * 32 + 70 + 32) / 2
# From eval/score/scoring.py: nine rates, each with two numbers, twice, by cluster; some
# columns by item.
SCORE = 9 * 2 * 8 * 2 / 2 + 16 * 8


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from /proc")
def test_twenty_thousand_items_more_cost_counts_not_texts() -> None:
    small, large = measure(SMALL), measure(LARGE)
    asked = MORE * JOURNAL + NOISE
    assert large.asked - small.asked < asked
    assert large.counted - small.counted < asked + MORE * TALLY
    assert large.scored - small.scored < asked + MORE * (TALLY + SCORE)
    [first] = [item for item in Generated(1).load()]
    texts = [first.question, *first.responses, first.media[0].uri]
    kept = sum(map(len, texts))
    assert kept * MORE > 10 * (asked + MORE * (TALLY + SCORE)), "one kept text would be seen"


def test_the_items_are_judged_in_both_orders() -> None:
    items = list(Generated(4).load())
    assert [len(PROTOCOL.calls(item)) for item in items] == [2] * 4
    assert len({item.uid for item in items}) == 4
    assert [item.cluster for item in items] == ["photo 0", "photo 0", "photo 1", "photo 1"]
