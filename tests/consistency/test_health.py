"""What a step reports of the check, and when training stops for it; all worked out by hand."""

import pickle

import pytest

from r1reward.consistency.base import Agreement
from r1reward.consistency.health import ConsistencyError, ConsistencyGuard, consistency_metrics
from r1reward.plugin.reward_manager import consistency_info
from r1reward.plugin.trainer import checked_pair, mean_of_parts

GOOD = "<think>Response 2 is better.</think><answer>2</answer>"

# --- one step: metrics


def info(arrived=0.0, wait=0.0, *, acc=1.0, consistency=0.0, failure="", checked=True, **call):
    """What the manager keeps of one sample; ``call`` is what asking took."""
    amounts = dict.fromkeys(("seconds", "retries", "cached", "tokens", "cost"), 0.0) | call
    return {
        "record_uid": "u",
        "acc": acc,
        "final": 1.0,
        "consistency": consistency,
        "arrived": 1_800_000_000.0 + arrived,
        "consistency_wait": wait,
        "checked": float(checked),
        "consistency_failure": float(failure != ""),
        "consistency_failure_kind": failure,
        **{f"consistency_{name}": amount for name, amount in amounts.items()},
    }


def test_a_step_of_a_judge_that_is_asked():
    step = [
        info(10.0, 2.0, consistency=1.0, seconds=2.0, tokens=300.0, cost=0.25),
        info(11.0, 1.0, consistency=1.0, seconds=1.0, retries=1.0, tokens=310.0),
        info(12.0, 0.0, consistency=0.0, cached=1.0),
        info(13.0, 4.0, consistency=0.0, failure="timeout", seconds=4.0, retries=2.0),
        info(14.0, 0.5, acc=0.0, consistency=1.0, seconds=0.5, tokens=200.0, cost=0.5),
        info(15.0, 0.0, acc=0.0, consistency=-1.0, cached=1.0),
        info(16.0, 0.0, acc=0.0, failure="down"),
        info(15.5, 0.0, acc=0.0, checked=False),  # no answer
    ]
    assert consistency_metrics(step, step_seconds=20.0) == pytest.approx(
        {
            "consistency/checked": 7,
            "consistency/consistent_right": 2 / 3,  # the failure says neither yes nor no
            "consistency/consistent_wrong": 1 / 2,
            "consistency/failures": 2,
            "consistency/failures/down": 1,
            "consistency/failures/timeout": 1,
            "consistency/failure_rate": 2 / 7,
            "consistency/calls": 4,
            "consistency/retries": 3,
            "consistency/tokens": 810,
            "consistency/cost": 0.75,
            # of 0.5, 1, 2, 4: the median is 1.5; rank 0.95 * 3 = 2.85 lies at 2 + 0.85 * 2
            "consistency/latency_p50": 1.5,
            "consistency/latency_p95": 3.7,
            "consistency/cache_hits": 2,
            # the last response arrives at 16, the last agreement (13 + 4) ends at 17
            "consistency/exposed_s": 1.0,
            "consistency/exposed_share": 0.05,
        }
    )


def test_judging_behind_generation_costs_the_step_nothing():
    """Three agreements of 4 s overlap, and end before the last response, which has no answer."""
    step = [info(n, 4.0, seconds=4.0) for n in (1.0, 2.0, 3.0)] + [info(9.0, checked=False)]
    metrics = consistency_metrics(step, step_seconds=10.0)
    assert (metrics["consistency/exposed_s"], metrics["consistency/exposed_share"]) == (0.0, 0.0)
    late = consistency_metrics([*step, info(9.0, 2.5, seconds=2.5)], step_seconds=10.0)
    assert late["consistency/exposed_s"] == 2.5
    assert late["consistency/exposed_share"] == 0.25


def test_a_judge_that_asks_nobody_reports_its_verdicts_alone():
    step = [info(consistency=1.0), info(consistency=0.0), info(acc=0.0), info(checked=False)]
    assert consistency_metrics(step, step_seconds=5.0) == {
        "consistency/checked": 3.0,
        "consistency/consistent_right": 0.5,
        "consistency/consistent_wrong": 0.0,
    }


def test_a_judge_that_is_switched_off_reports_nothing():
    assert consistency_metrics([info(checked=False)] * 4, step_seconds=5.0) == {}
    assert consistency_metrics([], step_seconds=5.0) == {}


def test_an_outage_has_no_latency_and_no_rates():
    metrics = consistency_metrics([info(1.0, failure="down")] * 3, step_seconds=5.0)
    assert metrics["consistency/failure_rate"] == 1.0
    assert metrics["consistency/calls"] == 0
    assert not [name for name in metrics if "latency" in name or "consistent" in name]


def test_means_of_parts_leave_the_judge_to_its_own_metrics():
    step = [info(5.0, 1.0, acc=1.0, seconds=1.0), info(6.0, acc=0.0)]
    assert mean_of_parts(step) == {
        "reward/acc/mean": 0.5,
        "reward/consistency/mean": 0.0,
        "reward/final/mean": 1.0,
    }


def test_a_checked_pair_says_what_the_judge_was_given_and_said():
    kept = info(consistency=1.0, seconds=0.5)
    row = ["u", "Response 2 is better.", 2, True, True, "", 0.5]
    assert checked_pair(GOOD, kept) == row
    assert checked_pair(GOOD, kept | {"consistency": -1.0})[4] is False
    failed = info(acc=0.0, failure="timeout", seconds=9.0)
    assert checked_pair(GOOD, failed)[3:] == [False, None, "timeout", 9.0]


# --- the guard


def failures(*kinds):
    """Agreements in the order they arrived; "" is the check's word."""
    return [info(float(n), failure=kind) for n, kind in enumerate(kinds)]


def test_the_limit_is_a_number_of_failures():
    """A fifth of ten may fail: two, and no third."""
    guard = ConsistencyGuard(max_failure_rate=0.2, window=10)
    guard.add(failures("timeout", "", "server"))
    assert not guard.tripped
    guard.check()
    guard.add(failures("timeout"))
    assert guard.tripped  # before the window is full: six good ones could not undo it
    with pytest.raises(ConsistencyError) as caught:
        guard.check()
    message = str(caught.value)
    assert "3 of the last 4 agreements failed (75%): timeout 2, server 1" in message
    assert "At most 20% of 10 may" in message
    for advice in (
        "consistency-check",
        "resume",
        "consistency=rule",
        "run.consistency_guard.max_failure_rate",
    ):
        assert advice in message


def test_failures_leave_the_window_again():
    guard = ConsistencyGuard(max_failure_rate=0.5, window=4)
    guard.add(failures("a", "a", "", ""))
    assert not guard.tripped  # two of four is not more than half
    guard.add(failures("", "", "b", "b"))
    assert not guard.tripped
    guard.add(failures("", "b", "b"))  # the last four: b, "", b, b
    assert guard.tripped
    with pytest.raises(ConsistencyError, match=r"3 of the last 4 agreements failed \(75%\): b 3\."):
        guard.check()


def test_the_window_is_filled_in_the_order_of_arrival():
    guard = ConsistencyGuard(max_failure_rate=0.0, window=2)
    guard.add([info(9.0), info(1.0, failure="timeout"), info(8.0)])  # the failure came first
    assert not guard.tripped


def test_what_was_not_judged_does_not_count():
    guard = ConsistencyGuard(max_failure_rate=0.0, window=1)
    guard.add([info(checked=False)] * 50)
    guard.add([info(1.0, failure="timeout")])
    assert guard.tripped
    guard.add([info(checked=False)] * 50)  # nor does it push a failure out
    assert guard.tripped


@pytest.mark.parametrize("limit", [{"max_failure_rate": None}, {"max_failure_rate": 1.0}])
def test_a_guard_that_is_switched_off_never_stops(limit):
    guard = ConsistencyGuard(**limit, window=4)
    guard.add(failures(*["down"] * 100))
    assert not guard.tripped
    guard.check()


def test_judges_by_rule_never_stop_training():
    guard = ConsistencyGuard(max_failure_rate=0.0, window=1)
    guard.add([{**info(), **consistency_info(Agreement(word))} for word in (True, False, None)] * 9)
    assert not guard.tripped


@pytest.mark.parametrize("rate", [-0.1, 1.1, float("nan")])
def test_an_impossible_rate_is_refused(rate):
    with pytest.raises(ValueError, match=r"run\.consistency_guard\.max_failure_rate"):
        ConsistencyGuard(rate, window=4)


def test_an_impossible_window_is_refused():
    with pytest.raises(ValueError, match=r"run\.consistency_guard\.window=0"):
        ConsistencyGuard(0.2, window=0)


def test_the_error_travels_between_processes():
    error = ConsistencyError("3 of the last 4")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
