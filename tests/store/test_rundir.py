"""The run directory's journal: append-only, tolerant of a torn line, JSON without surprises."""

import json

from r1reward.store.rundir import RunDir


def test_journal_keeps_order_and_kinds(tmp_path) -> None:
    run = RunDir(tmp_path)
    run.event("started", resumed_from=0)
    run.write("train", step=1, metrics={"loss": 0.5})
    run.event("finished")
    assert [row["kind"] for row in run.rows()] == ["event", "train", "event"]
    assert [row["metrics"] for row in run.rows("train")] == [{"loss": 0.5}]
    assert run.finished()


def test_a_torn_last_line_is_skipped_and_appending_goes_on(tmp_path) -> None:
    run = RunDir(tmp_path)
    run.write("train", step=1, metrics={})
    with open(run.journal, "a") as file:
        file.write('{"kind": "train", "step": 2, "met')
    assert [row["step"] for row in run.rows("train")] == [1]
    run.write("train", step=2, metrics={})
    assert [row["step"] for row in run.rows("train")] == [1, 2]


def test_non_finite_and_numpy_values_become_valid_json(tmp_path) -> None:
    import numpy as np

    run = RunDir(tmp_path)
    run.write("train", step=np.int64(3), metrics={"nan": float("nan"), "x": np.float32(0.5)})
    row = json.loads(run.journal.read_text(), parse_constant=lambda name: 1 / 0)
    assert row["step"] == 3
    assert row["metrics"] == {"nan": "nan", "x": 0.5}


def test_latest_step_of_an_empty_run_is_zero(tmp_path) -> None:
    assert RunDir(tmp_path).latest_step() == 0
    assert not RunDir(tmp_path).finished()
