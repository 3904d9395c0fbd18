"""Scores of judges that are known, of a small run by hand, and of runs that are refused."""

import collections
import json
from dataclasses import replace

import pytest
from support.scoring import MMRB, MMRLHF, PHOTOS, PLAIN, VLRB, cast, grouping, item, values, verdict

from r1reward.core.intervals import wilson_interval
from r1reward.core.verdict import ParseFailure, Verdict
from r1reward.eval.score.ballots import Ballot, BallotError
from r1reward.eval.score.scoring import SCHEMA, score


def judged(benchmark, protocol, choose):
    """The score of a judge: ``choose`` takes the shown item and returns 1, 2 or None."""
    ballots = []
    for one in benchmark.load():
        for call in protocol.calls(one):
            choice = choose(call.item)
            vote = Verdict(choice, "", True) if choice else ParseFailure("empty", "")
            ballots.append(Ballot(call.item, (vote,) * call.votes))
    return score(ballots, protocol, benchmark)


def test_always_one_is_half_right_and_never_consistent():
    overall = judged(PHOTOS, PLAIN, lambda shown: 1).overall
    assert overall.accuracy.value == 0.5
    assert overall.consistent.value == 0.0
    assert overall.first_position.value == 1.0
    assert overall.flips.value == 1.0
    assert (overall.accuracy_first.value, overall.accuracy_second.value) == (1.0, 0.0)
    low, high = overall.consistent.interval.low, overall.consistent.interval.high
    assert low == 0.0
    assert high < 0.15


def test_chosen_first_flatters_always_one_and_says_so():
    result = judged(PHOTOS, replace(PLAIN, order="chosen_first"), lambda shown: 1)
    assert result.overall.accuracy.value == result.preferred_first == 1.0
    assert result.overall.consistent is result.overall.flips is None
    assert any("always says 1" in warning for warning in result.warnings)


def test_an_even_stored_order_needs_no_warning_a_one_sided_one_does():
    protocol = replace(PLAIN, order="stored")
    even = judged(PHOTOS, protocol, lambda shown: 1)
    assert (even.preferred_first, even.warnings) == (0.5, ())
    ballots = [Ballot(item(n, label=1 + (n == 0)), (Verdict(1, "", True),)) for n in range(250)]
    [warning] = score(ballots, protocol, VLRB).warnings
    assert "99.6%" in warning


def test_the_perfect_judge_is_perfect():
    result = judged(PHOTOS, PLAIN, lambda shown: shown.label)
    overall = result.overall
    assert overall.accuracy.value == overall.consistent.value == 1.0
    assert (overall.flips.value, overall.first_position.value) == (0.0, 0.5)
    assert (overall.items, overall.clusters) == (204, 41)
    assert overall.accuracy.interval.low == pytest.approx(wilson_interval(41, 41)[0])
    assert len(grouping(result, "official").groups) == 6


def test_a_mute_judge_is_wrong_and_counted():
    result = judged(PHOTOS, replace(PLAIN, votes=3), lambda shown: None)
    assert result.overall.accuracy.value == 0.0
    assert result.overall.parse_failures.value == 1.0
    assert result.failures == {"empty": 204 * 2 * 3}
    assert result.overall.first_position.value is result.overall.flips.value is None
    left_out = judged(PHOTOS, replace(PLAIN, parse="exclude"), lambda shown: None)
    assert left_out.overall.accuracy.value is None
    assert left_out.excluded == 204
    assert any("204 of 204" in warning for warning in left_out.warnings)


HAND = {  # index: cluster, group, vote with the better first, vote with the better second
    0: ("a", "x", "r", "r"),
    1: ("a", "x", "r", "w"),
    2: ("b", "x", "w", None),
    3: ("b", "y", "r", "r"),
    4: ("c", "y", None, "r"),
    5: ("d", "y", "w", "w"),
}


def hand(parse):
    protocol = replace(PLAIN, parse=parse)
    ballots = []
    for index, (cluster, group, first, second) in HAND.items():
        one = replace(item(index, cluster=cluster), groups={"official": group})
        ballots += cast(one, protocol, {1: [first], 2: [second]})
    return score(ballots, protocol, MMRLHF)


@pytest.mark.parametrize(
    ("parse", "accuracy", "first", "second", "consistent", "plus", "consistent_plus"),
    [
        # items 1, 1/2, 0, 1, 1/2, 0; clusters right: first a, second c
        ("wrong", 3 / 6, 3 / 6, 3 / 6, 2 / 6, (0.5 + 0 + 0.5 + 0) / 4, 0 / 4),
        # items 1, 1/2, 0, 1, 1, 0; b and c lose an order
        ("exclude", 3.5 / 6, 3 / 5, 3 / 5, 2 / 4, (0.5 + 0.5 + 1 + 0) / 4, 1 / 4),
        # items 1, 1/2, 1/4, 1, 3/4, 0; half right is not right
        ("half", 3.5 / 6, 3.5 / 6, 3.5 / 6, 2 / 6, (0.5 + 0 + 0.5 + 0) / 4, 0 / 4),
    ],
)
def test_rates_by_hand(parse, accuracy, first, second, consistent, plus, consistent_plus):
    overall = hand(parse).overall
    found = [
        overall.accuracy,
        overall.accuracy_first,
        overall.accuracy_second,
        overall.consistent,
        overall.acc_plus,
        overall.consistent_plus,
    ]
    assert [rate.value for rate in found] == pytest.approx(
        [accuracy, first, second, consistent, plus, consistent_plus]
    )
    # Of 10 readable votes, r first and w second choose position 1: items 0, 1, 3 and 1, 5.
    assert overall.first_position.value == 5 / 10
    assert overall.flips.value == 1 / 4  # of items 0, 1, 3 and 5, item 1
    assert overall.parse_failures.value == 2 / 12
    assert hand(parse).failures == {"no_answer": 2}


def test_micro_and_macro_by_hand():
    [official] = hand("wrong").groupings
    assert values(official.groups) == pytest.approx({"x": 1.5 / 3, "y": 1.5 / 3})
    [official] = hand("exclude").groupings
    assert values(official.groups) == pytest.approx({"x": 1.5 / 3, "y": 2 / 3})
    assert official.micro.value == pytest.approx(3.5 / 6)
    assert official.macro.value == pytest.approx((1.5 / 3 + 2 / 3) / 2)


def test_an_item_outside_of_a_grouping_is_in_the_overall_alone():
    place = MMRB.place({"ID": "memes_1", "Category": "safety"})
    other = MMRB.place({"ID": "pairs_1", "Category": "safety"})
    protocol = replace(PLAIN, order="stored")
    ballots = cast(item(0, place=place), protocol, {1: ["r"]})
    ballots += cast(item(1, place=other), protocol, {1: ["w"]})
    result = score(ballots, protocol, MMRB)
    assert (result.overall.accuracy.value, grouping(result, "official").micro.value) == (0.5, 0.5)
    compat = grouping(result, "r1_reward_compat")
    assert (compat.micro.value, compat.macro.value, len(compat.groups)) == (0.0, 0.0, 1)


def test_a_score_is_json_with_a_schema():
    result = hand("exclude")
    written = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert written["schema"] == SCHEMA == 1
    assert written["overall"]["accuracy"]["value"] == pytest.approx(3.5 / 6)
    assert written["protocol"]["parse"] == "exclude"
    assert {"name", "source", "groups", "micro", "macro"} == set(written["groupings"][0])
    assert list(written) == [
        *("schema", "benchmark", "protocol", "overall", "groupings", "subgroups", "vote_curve"),
        *("failures", "excluded", "preferred_first", "warnings"),
    ]


def test_the_same_run_has_the_same_intervals():
    assert hand("wrong") == hand("wrong")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda good: good[:-1], r"row 2: no ballot with the better response shown as 2"),
        (lambda good: [*good, good[0]], r"row 1, .* shown as 1: 2 votes came"),
        (lambda good: [], "no ballots"),
        (
            lambda good: [Ballot(good[0].item, good[0].votes * 2), *good[1:]],
            r"row 1, .*: 4 votes came, order=both asks once for 2",
        ),
        (
            lambda good: [*good[:3], Ballot(item(1, label=2).shown(2), good[3].votes)],
            r"row 2 came as",
        ),
    ],
)
def test_a_run_that_is_not_the_protocols_is_refused(change, message):
    protocol = replace(PLAIN, votes=2)
    good = [one for n in (0, 1) for one in cast(item(n), protocol, {1: "rr", 2: "rw"})]
    assert score(good, protocol, PHOTOS).overall.items == 2
    with pytest.raises(BallotError, match=message):
        score(change(good), protocol, PHOTOS)


def test_calls_that_failed_for_good_are_unreadable_and_counted():
    protocol = replace(PLAIN, votes=3)
    ballots = [
        Ballot(item().shown(1), (verdict("r", 1), verdict(None, 1))),
        Ballot(item().shown(2), ()),
    ]
    result = score(ballots, protocol, PHOTOS)
    assert result.failures == {"missing": 4, "no_answer": 1}
    assert result.overall.parse_failures.value == pytest.approx(5 / 6)
    assert result.overall.accuracy.value == 0.5


def test_failures_are_named():
    reasons = ["empty", "no_answer", "not_a_choice", "several_answers"]
    votes = tuple(ParseFailure(reason, "") for reason in reasons * 2)
    protocol = replace(PLAIN, order="stored", votes=8)
    result = score([Ballot(item(), votes)], protocol, PHOTOS)
    assert result.failures == collections.Counter(reasons * 2)
