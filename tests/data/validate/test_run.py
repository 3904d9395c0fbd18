"""Checks of all rows together: labels, near duplicates, warnings."""

from collections import Counter
from fractions import Fraction
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.broken import encoded, photo, record
from support.validate import found

from r1reward.data.validate.run import balance, coin


@given(st.integers(0, 60), st.integers(0, 60))
def test_how_unequal_a_fair_coin_is(heads, tails):
    tosses = heads + tails
    ways = sum(
        comb(tosses, k) for k in range(tosses + 1) if abs(2 * k - tosses) >= abs(heads - tails)
    )
    assert coin(heads, tosses) == pytest.approx(float(Fraction(ways, 2**tosses)))


def test_many_tosses_are_as_many_fewer():
    assert coin(400, 1000) == pytest.approx(coin(400 + 1, 1002), rel=0.3)
    assert coin(450, 1001) == pytest.approx(coin(450, 1000) * 0.88, rel=0.1)  # both sides of exact
    assert coin(100_000, 200_000) == 1
    assert coin(99_000, 200_000) < 1e-4 < coin(99_500, 200_000)


def test_labels_that_no_fair_coin_gives_are_named_by_source():
    labels = Counter({("a", 1): 14, ("b", 1): 15, ("c", 1): 500, ("c", 2): 520, ("d", 2): 40})
    found = [*balance(labels)]  # 2 / 2^14 is more than 1e-4, 2 / 2^15 is less
    assert [finding.where for finding in found] == ["source b", "source d"]
    assert "label 1 in 0 rows, label 2 in 40" in found[1].detail


def test_a_near_duplicate_has_the_same_picture(run, data, tmp_path):
    path = data(record(1), record(2, media=[{"kind": "image", "uri": "other.png"}]), record(3))
    (path.parent / "other.png").write_bytes(encoded(photo()))
    long = "The tall house by the river has a red roof, nine windows and a door with number {}."
    answers = [long.format(7), "There is no house at all in this picture, only a boat."]
    again = [long.format(8), answers[1]]
    same = {"question": "What can you see?", "label": 1}
    other = [{"kind": "image", "uri": "other.png"}]
    path = data(
        record(1, responses=answers) | same,
        record(2, responses=again[::-1]) | same,
        record(3, responses=again, media=other) | same,
    )
    status, lines = run(path, "near_duplicates=0.8")
    assert status == 0
    assert [line.split(": ")[0] for line in lines] == [f"warning {path}:2"]
    assert f"like {path}:1, with the same media" in lines[0]
    assert run(path, "near_duplicates=null") == (0, [])


def test_only_the_first_warnings_of_a_kind_are_printed(run, data, tmp_path):
    path = data(*(record(n, media=[{"kind": "image", "uri": "a.jpg"}]) for n in range(9)))
    (path.parent / "a.jpg").write_bytes(encoded(photo()))
    status, lines = run(path, "shown=3", f"report={tmp_path}/all.jsonl")
    assert status == 0
    assert [line.split(": ")[0] for line in lines[:3]] == [f"warning {path}:{n}" for n in (1, 2, 3)]
    assert lines[3] == "warning 6 more of extension; report=FILE has all"
    assert sorted(found(tmp_path / "all.jsonl")[0]) == list(range(1, 10))
