"""Tables about a run, from a journal made by hand; every number is worked out by hand."""

import io
import math

from support.journal import append, cells, event, narrow, printed, reward, started, step, validation

from r1reward.machine.console import console_on
from r1reward.run.summary import (
    accuracy_after,
    consistency_table,
    learning_table,
    startup_table,
    summary,
    training_table,
)
from r1reward.store.rundir import RunDir


def test_a_line_torn_inside_a_character_is_skipped(run) -> None:
    run.journal.write_bytes('{"kind": "event", "event": "café'.encode()[:-1] + b"\n")
    append(run, started(0), validation(4, 13))
    assert accuracy_after(run) == 0.65


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
