"""What a step reports of the judge, and when training stops for it; all worked out by hand."""

import pickle

import pytest

from r1reward.judges.base import Judgement
from r1reward.plugin.reward_manager import judge_info
from r1reward.plugin.trainer import judged_pair, mean_of_parts
from r1reward.rewards.judge_health import JudgeGuard, JudgeUnreliable, judge_metrics

GOOD = "<think>Response 2 is better.</think><answer>2</answer>"

# --- one step: metrics


def info(arrived=0.0, wait=0.0, *, acc=1.0, consistency=0.0, failure="", judged=True, **call):
    """What the manager keeps of one sample; ``call`` holds seconds, retries, cached, tokens."""
    amounts = {"seconds": 0.0, "retries": 0.0, "cached": 0.0, "tokens": 0.0} | call
    return {
        "record_uid": "u",
        "acc": acc,
        "final": 1.0,
        "consistency": consistency,
        "arrived": 1_800_000_000.0 + arrived,
        "judge_wait": wait,
        "judged": float(judged),
        "judge_failure": float(failure != ""),
        "judge_failure_kind": failure,
        **{f"judge_{name}": amount for name, amount in amounts.items()},
    }


def test_a_step_of_a_judge_that_is_asked():
    step = [
        info(10.0, 2.0, consistency=1.0, seconds=2.0, tokens=300.0),
        info(11.0, 1.0, consistency=1.0, seconds=1.0, retries=1.0, tokens=310.0),
        info(12.0, 0.0, consistency=0.0, cached=1.0),
        info(13.0, 4.0, consistency=0.0, failure="timeout", seconds=4.0, retries=2.0),
        info(14.0, 0.5, acc=0.0, consistency=1.0, seconds=0.5, tokens=200.0),
        info(15.0, 0.0, acc=0.0, consistency=-1.0, cached=1.0),
        info(16.0, 0.0, acc=0.0, failure="down"),
        info(15.5, 0.0, acc=0.0, judged=False),  # no answer
    ]
    assert judge_metrics(step, step_seconds=20.0) == pytest.approx(
        {
            "judge/judged": 7,
            "judge/consistent_right": 2 / 3,  # the failure says neither yes nor no
            "judge/consistent_wrong": 1 / 2,
            "judge/failures": 2,
            "judge/failures/down": 1,
            "judge/failures/timeout": 1,
            "judge/failure_rate": 2 / 7,
            "judge/calls": 4,
            "judge/retries": 3,
            "judge/tokens": 810,
            # of 0.5, 1, 2, 4: the median is 1.5; rank 0.95 * 3 = 2.85 lies at 2 + 0.85 * 2
            "judge/latency_p50": 1.5,
            "judge/latency_p95": 3.7,
            "judge/cache_hits": 2,
            # the last response arrives at 16, the last judgement (13 + 4) ends at 17
            "judge/exposed_s": 1.0,
            "judge/exposed_share": 0.05,
        }
    )


def test_judging_behind_generation_costs_the_step_nothing():
    """Three judgements of 4 s overlap, and end before the last response, which has no answer."""
    step = [info(n, 4.0, seconds=4.0) for n in (1.0, 2.0, 3.0)] + [info(9.0, judged=False)]
    metrics = judge_metrics(step, step_seconds=10.0)
    assert (metrics["judge/exposed_s"], metrics["judge/exposed_share"]) == (0.0, 0.0)
    late = judge_metrics([*step, info(9.0, 2.5, seconds=2.5)], step_seconds=10.0)
    assert late["judge/exposed_s"] == 2.5
    assert late["judge/exposed_share"] == 0.25


def test_a_judge_that_asks_nobody_reports_its_verdicts_alone():
    step = [info(consistency=1.0), info(consistency=0.0), info(acc=0.0), info(judged=False)]
    assert judge_metrics(step, step_seconds=5.0) == {
        "judge/judged": 3.0,
        "judge/consistent_right": 0.5,
        "judge/consistent_wrong": 0.0,
    }


def test_a_judge_that_is_switched_off_reports_nothing():
    assert judge_metrics([info(judged=False)] * 4, step_seconds=5.0) == {}
    assert judge_metrics([], step_seconds=5.0) == {}


def test_an_outage_has_no_latency_and_no_rates():
    metrics = judge_metrics([info(1.0, failure="down")] * 3, step_seconds=5.0)
    assert metrics["judge/failure_rate"] == 1.0
    assert metrics["judge/calls"] == 0
    assert not [name for name in metrics if "latency" in name or "consistent" in name]


def test_means_of_parts_leave_the_judge_to_its_own_metrics():
    step = [info(5.0, 1.0, acc=1.0, seconds=1.0), info(6.0, acc=0.0)]
    assert mean_of_parts(step) == {
        "reward/acc/mean": 0.5,
        "reward/consistency/mean": 0.0,
        "reward/final/mean": 1.0,
    }


def test_a_judged_pair_says_what_the_judge_was_given_and_said():
    kept = info(consistency=1.0, seconds=0.5)
    row = ["u", "Response 2 is better.", 2, True, True, "", 0.5]
    assert judged_pair(GOOD, kept) == row
    assert judged_pair(GOOD, kept | {"consistency": -1.0})[4] is False
    failed = info(acc=0.0, failure="timeout", seconds=9.0)
    assert judged_pair(GOOD, failed)[3:] == [False, None, "timeout", 9.0]


# --- the guard


def failures(*kinds):
    """Judgements in the order they arrived; "" is the judge's word."""
    return [info(float(n), failure=kind) for n, kind in enumerate(kinds)]


def test_the_limit_is_a_number_of_failures():
    """A fifth of ten may fail: two, and no third."""
    guard = JudgeGuard(max_failure_rate=0.2, window=10)
    guard.add(failures("timeout", "", "server"))
    assert not guard.tripped
    guard.check()
    guard.add(failures("timeout"))
    assert guard.tripped  # before the window is full: six good ones could not undo it
    with pytest.raises(JudgeUnreliable) as caught:
        guard.check()
    message = str(caught.value)
    assert "3 of the last 4 judgements failed (75%): timeout 2, server 1" in message
    assert "At most 20% of 10 may" in message
    for advice in ("judge-check", "resume", "judge=rule", "run.judge_guard.max_failure_rate"):
        assert advice in message


def test_failures_leave_the_window_again():
    guard = JudgeGuard(max_failure_rate=0.5, window=4)
    guard.add(failures("a", "a", "", ""))
    assert not guard.tripped  # two of four is not more than half
    guard.add(failures("", "", "b", "b"))
    assert not guard.tripped
    guard.add(failures("", "b", "b"))  # the last four: b, "", b, b
    assert guard.tripped
    with pytest.raises(JudgeUnreliable, match=r"3 of the last 4 judgements failed \(75%\): b 3\."):
        guard.check()


def test_the_window_is_filled_in_the_order_of_arrival():
    guard = JudgeGuard(max_failure_rate=0.0, window=2)
    guard.add([info(9.0), info(1.0, failure="timeout"), info(8.0)])  # the failure came first
    assert not guard.tripped


def test_what_was_not_judged_does_not_count():
    guard = JudgeGuard(max_failure_rate=0.0, window=1)
    guard.add([info(judged=False)] * 50)
    guard.add([info(1.0, failure="timeout")])
    assert guard.tripped
    guard.add([info(judged=False)] * 50)  # nor does it push a failure out
    assert guard.tripped


@pytest.mark.parametrize("limit", [{"max_failure_rate": None}, {"max_failure_rate": 1.0}])
def test_a_guard_that_is_switched_off_never_stops(limit):
    guard = JudgeGuard(**limit, window=4)
    guard.add(failures(*["down"] * 100))
    assert not guard.tripped
    guard.check()


def test_judges_by_rule_never_stop_training():
    guard = JudgeGuard(max_failure_rate=0.0, window=1)
    guard.add([{**info(), **judge_info(Judgement(word))} for word in (True, False, None)] * 9)
    assert not guard.tripped


@pytest.mark.parametrize("rate", [-0.1, 1.1, float("nan")])
def test_an_impossible_rate_is_refused(rate):
    with pytest.raises(ValueError, match=r"run\.judge_guard\.max_failure_rate"):
        JudgeGuard(rate, window=4)


def test_an_impossible_window_is_refused():
    with pytest.raises(ValueError, match=r"run\.judge_guard\.window=0"):
        JudgeGuard(0.2, window=0)


def test_the_error_travels_between_processes():
    error = JudgeUnreliable("3 of the last 4")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
