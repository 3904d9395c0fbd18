"""Progress of a run as lines and as a live line."""

import io
import json
import sys

import pytest
from rich.console import Console
from support.journal import (
    START,
    append,
    cells,
    event,
    narrow,
    printed,
    reward,
    started,
    step,
    validation,
)

from r1reward.machine.console import Live
from r1reward.run.progress import Progress
from r1reward.run.summary import training_table


def follow(run, *rows, console=None):
    """Print the progress of ``rows``, which arrive after the start; return the lines."""
    console = console or narrow()
    progress = Progress(console, run, since=START)
    append(run, *rows)
    progress.close()
    return printed(console).splitlines()


def test_progress_is_one_line_for_each_milestone_validation_and_step(run) -> None:
    append(run, started(0.5))
    lines = follow(
        run,
        event(9, "ray"),
        event(70, "training", step=0, steps=60),
        validation(0, 11, 19, seconds=75),
        step(
            1,
            83.9,
            **{
                "reward/final/mean": 1.23456,
                "reward/acc/mean": 0.5,
                "response_length/mean": 41.25,
                "actor/grad_norm": 0.000123456,
                "timing_s/step": 8.2,
                "something/else": 1.0,
            },
        ),
        event(90, "finished", step=60),
    )
    assert lines == [
        "00:00:09 Ray is up",
        "00:01:10 training begins",
        "00:01:15 validation at step 0: accuracy 55.0% format 95.0% (n=20)",
        "00:01:23 step 1/60 reward 1.23 accuracy 0.5 tokens 41.2 grad 0.000123 s 8.2",
    ]


def test_the_line_says_how_the_judge_does_when_it_is_asked(run) -> None:
    asked = {
        "consistency/calls": 8.0,
        "consistency/failure_rate": 0.125,
        "consistency/latency_p95": 1.5,
    }
    by_rule = {"consistency/checked": 8.0, "consistency/consistent_right": 1.0}
    outage = {
        "consistency/calls": 0.0,
        "consistency/failure_rate": 1.0,
    }  # nobody to ask: no latency
    lines = follow(run, *(step(n, n, **row) for n, row in enumerate([asked, by_rule, outage])))
    assert lines == [
        "00:00:00 step 0/0 check failures 0.125 check p95 1.5",
        "00:00:01 step 1/0",
        "00:00:02 step 2/0 check failures 1",
    ]


def test_a_run_of_days_counts_on(run) -> None:
    (line,) = follow(run, event(30 * 3600 + 62, "exporting"))
    assert line == "30:01:02 exporting the model"


def test_what_was_there_before_is_not_shown_again(run) -> None:
    append(run, event(1, "ray"), reward(1, 0.5))
    assert follow(run, event(70, "engines")) == ["00:01:10 actor, reference and rollout are up"]


def test_rows_arrive_in_pieces_torn_or_of_a_kind_of_their_own(run) -> None:
    console = narrow()
    progress = Progress(console, run, since=START)
    append(run, (1, "probe", {"lengths": [1]}))
    row = json.dumps({"time": START + 2, "kind": "event", "event": "ray"})
    with open(run.journal, "a") as file:
        file.write('{"kind": "train", "st\n' + row[:20])
    progress.poll()
    assert printed(console) == ""
    with open(run.journal, "a") as file:
        file.write(row[20:] + "\n")
    progress.poll()
    progress.poll()
    progress.close()
    assert printed(console) == "00:00:02 Ray is up\n"


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_a_metric_that_is_no_number_any_more_is_seen(run, value) -> None:
    run.write("train", step=1, metrics={"actor/grad_norm": float(value)})
    (row,) = run.rows("train")
    lines = follow(run, step(1, 5, **row["metrics"]))
    assert lines == [f"00:00:05 step 1/0 grad {value}"]
    assert ("gradient norm", value, value) in cells(training_table(run))


BEGIN = event(0, "training", step=20, steps=60)


def test_lines_say_how_long_it_still_takes_once_the_pace_is_known(run) -> None:
    """Resumed at 20 of 60: 12 seconds a step, 38 steps to go after step 22, so 7.6 minutes."""
    lines = follow(run, BEGIN, reward(21, 1.0, seconds=50), reward(22, 1.0, seconds=62))
    assert lines[1:] == [
        "00:00:50 step 21/60 reward 1",
        "00:01:02 step 22/60 reward 1 left 00:07:36",
    ]


def test_the_pace_is_that_of_the_last_steps(run) -> None:
    """Steps of 100 seconds, then of 2; ten steps before step 40 is 900, before step 41 is 1000."""
    times = [*range(0, 1000, 100), *range(1000, 1022, 2)]
    steps = [reward(21 + n, 1.0, seconds=seconds) for n, seconds in enumerate(times)]
    *_, last = follow(run, BEGIN, *steps[:20])
    assert last.endswith("step 40/60 reward 1 left 00:03:56")  # 20 * 11.8 s
    *_, last = follow(run, BEGIN, *steps)
    assert last.endswith("left 00:00:38")  # 19 * 2 s


def test_the_last_step_leaves_nothing(run) -> None:
    *_, last = follow(run, BEGIN, reward(59, 1.0, seconds=50), reward(60, 1.0, seconds=62))
    assert last == "00:01:02 step 60/60 reward 1"


def live(run, monkeypatch, now, *rows):
    """The last state of a terminal's live line, ``now`` seconds after the start."""
    monkeypatch.setattr("r1reward.run.progress.time.time", lambda: START + now)
    console = Console(file=io.StringIO(), width=200, force_terminal=True, color_system=None)
    follow(run, *rows, console=console)
    return printed(console).replace("\x1b[2K", "").replace("\r", "\n")


def test_the_live_line_says_where_the_run_is_and_how_it_does(run, monkeypatch) -> None:
    asked = {"consistency/failure_rate": 0.125, "consistency/latency_p95": 1.5}
    rows = [BEGIN, validation(20, 13, seconds=1), reward(21, 1.0, seconds=50)]
    rows += [step(22, 62, **asked)]
    text = live(run, monkeypatch, 63, *rows)
    assert (
        "00:01:03 step 22/60 left 00:07:36 | validation 65.0% | check fails 12.5%, p95 1.5 s"
        in text
    )
    assert "nothing new" not in text


def test_what_libraries_print_does_not_reach_the_terminal(run, capsys) -> None:
    """The launcher sends it to the log; a live line that catches it would show it all the same."""
    console = Console(file=io.StringIO(), width=200, force_terminal=True, color_system=None)
    progress = Progress(console, run, since=START)
    with Live(console) as line:
        line("working")
        print("noise")
        print("warning", file=sys.stderr)
    progress.close()
    assert capsys.readouterr() == ("noise\n", "warning\n")
    assert "noise" not in printed(console)


def test_the_live_line_says_when_nothing_is_heard(run, monkeypatch) -> None:
    text = live(run, monkeypatch, 400, event(10, "imported"))
    assert "00:06:40 verl is imported | nothing new for 00:06:30" in text


def test_without_a_model_judge_the_live_line_is_silent_about_it(run, monkeypatch) -> None:
    text = live(run, monkeypatch, 60, BEGIN, step(21, 50, **{"consistency/checked": 8.0}))
    assert "00:01:00 step 21/60" in text
    assert "check" not in text
