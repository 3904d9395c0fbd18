"""A run directory: where one training run keeps everything, and its append-only journal."""

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import TypedDict

from r1reward.store.lines import jsonable, parse


class JournalRow(TypedDict, total=False):
    """A row of the journal: every one has ``time`` and ``kind``, the rest is its kind's.

    Attributes:
        time: seconds since 1970.
        kind: ``event``, ``validation`` or ``train``.
        event: which milestone; ``started``, ``training``, ``failed``, ``finished`` are some.
        step: the training step that it belongs to.
        steps: how many the run is to have.
        metrics: by name, as trackers get them; NaN and infinity are text.
        n: pairs of a validation.
        correct: those that were judged right.
        formatted: those whose answer could be read.
        consistent: those whose reasoning and answer agree.
        started: when the command began, seconds since 1970.
        command: the words of the command line.
        resumed_from: the step of the checkpoint that a start went on from.
        revision: of the code.
        versions: of packages.
        machine: in words.
        data: hashes of the data sets by key.
        error: type, or words, of an exception.
        reason: why a run failed, in words.
    """

    time: float
    kind: str
    event: str
    step: int
    steps: int
    metrics: dict[str, float | str]
    n: int
    correct: int
    formatted: int
    consistent: int
    started: float
    command: list[str]
    resumed_from: int
    revision: str | None
    versions: dict[str, str]
    machine: str
    data: dict[str, str]
    error: str
    reason: str


@dataclass(frozen=True, slots=True)
class RunDir:
    """Names the files of one run; several processes use it, so it holds no state.

    ``journal.jsonl`` holds one object a line: ``{"time", "kind", ...}`` with kind ``event``
    (start-up phases, end), ``validation`` or ``train`` (both with ``step`` and ``metrics``). It is
    only ever appended to, so that a resumed run continues it; a line torn by a kill is skipped.
    """

    root: Path

    @property
    def journal(self) -> Path:
        """The append-only record of the run."""
        return self.root / "journal.jsonl"

    @property
    def log(self) -> Path:
        """Everything verl, Ray and vLLM print."""
        return self.root / "train.log"

    @property
    def checkpoints(self) -> Path:
        """Checkpoints of verl: ``global_step_N`` directories."""
        return self.root / "checkpoints"

    @property
    def report(self) -> Path:
        """The page about the run, for people."""
        return self.root / "report.html"

    @property
    def model(self) -> Path:
        """The exported Hugging Face directory."""
        return self.root / "model"

    def latest_step(self) -> int:
        """Return the step of the newest complete checkpoint, 0 when there is none."""
        tracker = self.checkpoints / "latest_checkpointed_iteration.txt"
        try:
            return int(tracker.read_text())
        except (FileNotFoundError, ValueError):
            return 0

    def finished(self) -> bool:
        """Return whether training reached its last step."""
        return any(row.get("event") == "finished" for row in self.rows("event"))

    def write(self, kind: str, **fields: object) -> None:
        """Append one row; floats that JSON lacks (NaN, infinity) are written as strings."""
        row = jsonable({"time": time.time(), "kind": kind, **fields})
        line = json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n"
        with open(self.journal, "ab+") as file:
            if file.tell() and not self._ends_a_line():
                line = "\n" + line  # a kill tore the last line: it must not take this one along
            file.write(line.encode())
            file.flush()
            os.fsync(file.fileno())

    def _ends_a_line(self) -> bool:
        with open(self.journal, "rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read() == b"\n"

    def event(self, name: str, **fields: object) -> None:
        """Append a milestone of the run."""
        self.write("event", event=name, **fields)

    def rows(self, kind: str | None = None) -> Iterator[JournalRow]:
        """Yield the journal's rows, oldest first."""
        if not self.journal.exists():
            return
        with open(self.journal, "rb") as file:  # bytes: a kill can tear a character as well
            for line in file:
                row: JournalRow | None = parse(line)
                if row is not None and kind in (None, row["kind"]):
                    yield row

    def history(self, kind: str) -> Iterator[JournalRow]:
        """Yield the rows that led to the weights: a resume undoes what followed its checkpoint."""
        starts = (row for row in self.rows("event") if row["event"] == "started")
        resumes = [row["resumed_from"] for row in starts]
        # What was done before a start counts up to the step of every later resume.
        limits = [min(resumes[place:], default=inf) for place in range(len(resumes) + 1)]
        begun = 0
        for row in self.rows():
            if row.get("event") == "started":
                begun = min(begun + 1, len(resumes))
            elif row["kind"] == kind and row["step"] <= limits[begun]:
                yield row
