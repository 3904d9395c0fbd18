"""History of a run, read once from its journal, in memory of some numbers a step."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import isfinite, nan

import numpy as np
from numpy.typing import NDArray

from r1reward.store.lines import number
from r1reward.store.rundir import JournalRow, RunDir

Floats = NDArray[np.float64]


@dataclass(slots=True)
class Story:
    """One run, over all of its starts.

    Attributes:
        state: ``finished``, ``failed``, ``interrupted``, or ``open`` when no end is written.
        reason: words of the failure.
        start: the fields of the last start: command, revision, versions, machine.
        starts: how often it was started.
        begun: of the first command, seconds since 1970.
        ended: of the last row.
        seconds: worked, in all; pauses between an end and a resume are none.
        planned: steps that the run is to have; 0 before training began.
        validations: rows of the journal that led to the weights, without their metrics.
        steps: (n) their numbers.
        series: metric -> (n) values; NaN where there is none, or none that is finite.
        broken: metric -> steps at which it was NaN or infinite.
    """

    state: str = "open"
    reason: str = ""
    start: JournalRow = field(default_factory=JournalRow)
    starts: int = 0
    begun: float = 0.0
    ended: float = 0.0
    seconds: float = 0.0
    planned: int = 0
    validations: list[JournalRow] = field(default_factory=list)
    steps: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    series: dict[str, Floats] = field(default_factory=dict)
    broken: dict[str, list[int]] = field(default_factory=dict)


def story(run_dir: RunDir, metrics: Iterable[str]) -> Story:
    """Read the journal.

    Args:
        run_dir: the run.
        metrics: names to keep; one that no row has gets no series.
    """
    told = Story()
    _events(told, run_dir)
    for row in run_dir.history("validation"):
        if "correct" in row:  # a fine-tuning run has losses only
            row.pop("metrics", None)
            told.validations.append(row)
    names = tuple(metrics)
    steps, values = [], []
    for row in run_dir.history("train"):
        steps.append(row["step"])
        values.append([_value(told, row, name) for name in names])
    told.steps = np.array(steps, np.int64)
    table = np.array(values, np.float64).reshape(len(steps), len(names))
    for place, name in enumerate(names):
        if name in told.broken or not np.isnan(table[:, place]).all():
            told.series[name] = table[:, place]
    return told


def _events(told: Story, run_dir: RunDir) -> None:
    since = 0.0
    for row in run_dir.rows():
        if row.get("event") == "started":
            told.seconds += told.ended - since
            told.state, told.reason, told.start = "open", "", row
            told.starts += 1
            since = row.get("started", row["time"])
            told.begun = told.begun or since
        elif row.get("event") == "training":
            told.planned = row["steps"]
        elif row.get("event") == "finished":
            told.state = "finished"
        elif row.get("event") == "failed":
            told.state = "interrupted" if row["error"] == "KeyboardInterrupt" else "failed"
            told.reason = row.get("reason", row["error"])
        told.ended = row["time"]
    told.seconds += told.ended - since


def _value(told: Story, row: JournalRow, name: str) -> float:
    value = number(row["metrics"].get(name))
    if value is None:
        return nan
    if not isfinite(value):
        told.broken.setdefault(name, []).append(row["step"])
        return nan
    return value
