"""What a person sees of a run, from a journal made by hand; every number is worked out by hand."""

import io
import json
import math
import sys

import pytest
from rich.console import Console

from r1reward.machine.console import Live, console_on
from r1reward.run.progress import Progress
from r1reward.run.summary import (
    accuracy_after,
    consistency_table,
    learning_table,
    startup_table,
    summary,
    training_table,
)
from r1reward.store.rundir import RunDir

START = 1_800_000_000.0


@pytest.fixture
def run(tmp_path):
    directory = tmp_path / ("a-long-name-" * 6) / "[bold]"
    directory.mkdir(parents=True)
    RunDir(directory).journal.touch()
    return RunDir(directory)


def append(run, *rows):
    """Append rows of (seconds after the start, kind, fields), as the processes of a run would."""
    with open(run.journal, "a") as file:
        for seconds, kind, fields in rows:
            file.write(json.dumps({"time": START + seconds, "kind": kind, **fields}) + "\n")


def started(seconds, resumed_from=0, command=0.0):
    fields = {"event": "started", "resumed_from": resumed_from, "started": START + command}
    return (seconds, "event", fields)


def event(seconds, name, **fields):
    return (seconds, "event", {"event": name, **fields})


def step(number, seconds=0.0, **metrics):
    return (seconds, "train", {"step": number, "metrics": metrics})


def reward(number, value, seconds=0.0):
    return step(number, seconds, **{"reward/final/mean": value})


def validation(number, correct, formatted=None, n=20, seconds=0.0):
    counts = {"n": n, "correct": correct, "formatted": n if formatted is None else formatted}
    return (seconds, "validation", {"step": number, "metrics": {}, **counts})


def cells(table):
    """The rows of a table, as plain text; a section's end is no row."""
    return list(zip(*(column.cells for column in table.columns), strict=True))


def narrow(**options):
    return Console(file=io.StringIO(), width=40, **options)


def printed(console):
    return console.file.getvalue()


def follow(run, *rows, console=None):
    """Print the progress of ``rows``, which arrive after the start; return the lines."""
    console = console or narrow()
    progress = Progress(console, run, since=START)
    append(run, *rows)
    progress.close()
    return printed(console).splitlines()


# --- progress


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


def test_a_line_torn_inside_a_character_is_skipped(run) -> None:
    run.journal.write_bytes('{"kind": "event", "event": "café'.encode()[:-1] + b"\n")
    append(run, started(0), validation(4, 13))
    assert accuracy_after(run) == 0.65


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


# --- tables


def test_validation_before_and_after_with_intervals(run) -> None:
    append(run, validation(0, 10, 18), validation(20, 13), validation(40, 17))
    # Wilson at z = 1.959964, n = 20, as centre and half width: 10 is .5000 and .2007, 18 is .8355
    # and .1366, 17 is .7936 and .1540; of 20 the lower bound is n / (n + z * z) = .8389.
    assert cells(learning_table(run)) == [
        ("before", "0", "20", "50.0%", "29.9% to 70.1%", "90.0%", "69.9% to 97.2%"),
        ("after", "40", "20", "85.0%", "64.0% to 94.8%", "100.0%", "83.9% to 100.0%"),
    ]
    assert accuracy_after(run) == 0.85


def test_one_validation_is_not_shown_as_two(run) -> None:
    append(run, started(0))
    assert cells(learning_table(run)) == []
    assert math.isnan(accuracy_after(run))
    append(run, validation(0, 10))
    assert [row[0] for row in cells(learning_table(run))] == ["before"]
    other = RunDir(run.root / "other")
    other.root.mkdir()
    append(other, started(0), validation(40, 10))
    assert [row[0] for row in cells(learning_table(other))] == ["after"]


def test_training_shows_the_first_and_the_last_five_steps(run) -> None:
    metrics = {"actor/grad_norm": 2.0, "timing_s/gen": 4.0, "timing_s/update_actor": 1.5}
    append(run, started(0), *(reward(n, n / 8) for n in range(1, 8)), step(8, **metrics))
    table = training_table(run)
    assert str(table.title) == "training (8 steps)"
    # (1 + ... + 5) / 5 / 8 = 0.375; of the last five, 4 to 8, the eighth has no reward:
    # (4 + ... + 7) / 4 / 8 = 0.6875
    assert cells(table) == [
        ("reward", "0.375", "0.688"),
        ("gradient norm", "-", "2"),
        ("gen, seconds a step", "-", "4"),
        ("update_actor, seconds a step", "-", "1.5"),
    ]


def checked(number, calls, failures, **metrics):
    """A step in which so many calls were made, and so many of ten agreements failed."""
    totals = {"calls": calls, "retries": 1.0, "tokens": 1000.0, "cache_hits": 2.0}
    rates = {"failures": failures, "failure_rate": failures / 10, "checked": 10.0}
    named = {f"consistency/{name}": value for name, value in {**totals, **rates, **metrics}.items()}
    return step(number, **named)


def test_the_judges_table_sums_what_is_counted_and_averages_what_is_not(run) -> None:
    append(run, started(0))
    waits = {"latency_p50": 0.5, "latency_p95": 2.0, "exposed_s": 0.25, "exposed_share": 0.125}
    append(run, checked(1, 8.0, 4.0, **waits, **{"failures/timeout": 3.0, "failures/server": 1.0}))
    append(run, *(checked(n, 6.0, 0.0, **waits) for n in range(2, 7)))
    table = consistency_table(run)
    assert str(table.title) == "check (6 steps)"
    assert cells(table) == [
        ("calls", "6.4", "6", "38"),  # (8 + 4 * 6) / 5; 8 + 5 * 6
        ("cache hits", "2", "2", "12"),
        ("retries", "1", "1", "6"),
        ("tokens", "1e+03", "1e+03", "6,000"),
        ("failures", "0.8", "0", "4"),
        ("failures/server", "0.2", "0", "1"),  # where a kind is not named, there was none
        ("failures/timeout", "0.6", "0", "3"),
        ("failure rate", "0.08", "0", "0.0667"),  # 0.4 / 5; 0.4 / 6
        ("latency p50, seconds", "0.5", "0.5", "0.5"),
        ("latency p95, seconds", "2", "2", "2"),
        ("waited for, seconds a step", "0.25", "0.25", "0.25"),
        ("waited for, share of the step", "0.125", "0.125", "0.125"),
    ]
    console = narrow()
    console.print(summary(run), soft_wrap=True)
    assert "check (6 steps)" in printed(console)


def test_a_judge_that_asks_nobody_has_no_table(run) -> None:
    append(
        run,
        started(0),
        step(1, **{"consistency/checked": 8.0, "consistency/consistent_right": 0.5}),
    )
    assert consistency_table(run) is None
    assert cells(training_table(run)) == [("consistent when right", "0.5", "0.5")]
    console = narrow()
    console.print(summary(run), soft_wrap=True)
    assert "check (" not in printed(console)


def test_steps_that_a_resume_repeats_count_once(run) -> None:
    """Killed at step 4, resumed from 2: the first steps 3 and 4 did not make the weights."""
    append(
        run,
        *(started(0), validation(0, 4), reward(1, 1.0), reward(2, 2.0), validation(2, 5)),
        *(reward(3, 90.0), reward(4, 90.0), validation(4, 20)),
        *(started(99, resumed_from=2), reward(3, 3.0), validation(3, 12)),
    )
    table = training_table(run)
    assert str(table.title) == "training (3 steps)"
    assert cells(table) == [("reward", "2", "2")]
    assert [row[:4] for row in cells(learning_table(run))] == [
        ("before", "0", "20", "20.0%"),
        ("after", "3", "20", "60.0%"),
    ]
    assert accuracy_after(run) == 0.6
    append(run, started(200, resumed_from=2))  # killed again, and nothing done since
    assert accuracy_after(run) == 0.25


def test_start_up_is_split_and_adds_up(run) -> None:
    append(
        run,
        *(started(2.5), event(12, "ray"), event(15.25, "task_runner"), event(40, "imported")),
        *(event(41, "data"), event(60, "engines"), event(61.5, "weights")),
        *(event(62, "training", step=0, steps=1), reward(1, 1.0, seconds=70)),
        *(event(80, "exporting"), event(85, "finished")),
    )
    rows = cells(startup_table(run))
    assert rows == [
        ("preflight", "2.5", "2.5"),
        ("Ray is up", "9.5", "12.0"),
        ("task runner is up", "3.2", "15.2"),
        ("verl is imported", "24.8", "40.0"),
        ("data is loaded", "1.0", "41.0"),
        ("actor, reference and rollout are up", "19.0", "60.0"),
        ("first weights are in the rollout", "1.5", "61.5"),
        ("training begins", "0.5", "62.0"),
    ]


def test_start_up_is_that_of_the_last_start(run) -> None:
    append(run, started(5), event(50, "ray"), event(99, "training", step=0, steps=9), reward(1, 1))
    append(run, started(1003, resumed_from=1, command=1000), event(1010, "ray"))
    assert cells(startup_table(run)) == [("preflight", "3.0", "3.0"), ("Ray is up", "7.0", "10.0")]


# --- lines and paths


def test_a_path_stays_on_one_line_with_its_brackets(run) -> None:
    append(run, started(0), validation(0, 10), reward(1, 1.0))
    run.log.touch()
    (run.checkpoints / "global_step_20").mkdir(parents=True)
    (run.checkpoints / "latest_checkpointed_iteration.txt").write_text("20")
    for console in (narrow(), console_on(io.StringIO())):
        console.print(summary(run), soft_wrap=True)
        assert printed(console).splitlines()[-3:] == [
            f"checkpoint  {run.root}/checkpoints/global_step_20",
            f"journal     {run.root}/journal.jsonl",
            f"log         {run.root}/train.log",
        ]


def test_a_checkpoint_or_model_that_is_not_there_is_not_named(run) -> None:
    append(run, started(0))
    console = console_on(io.StringIO())
    console.print(summary(run))
    assert "checkpoint " not in printed(console)
    assert "model " not in printed(console)
    run.model.mkdir()
    console.print(summary(run))
    assert f"model       {run.model}\n" in printed(console)


def test_a_table_in_a_file_breaks_no_cell(run, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    append(run, started(0), validation(0, 10), validation(4, 12))
    console = console_on(io.StringIO())
    console.print(learning_table(run))
    assert [line for line in printed(console).splitlines() if "29.9% to 70.1%" in line]
    assert "95% interval" in printed(console)
