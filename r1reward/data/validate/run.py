"""Validation of a whole data set: its rows in parallel, then all of them together."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from r1reward.core.errors import UserError
from r1reward.core.rows import RowError, Unit, cut, files_of
from r1reward.data.validate.duplicates import NearDuplicates, repeated
from r1reward.data.validate.findings import Finding
from r1reward.data.validate.rows import Rules, UnitReport, check_unit
from r1reward.data.workers import in_order
from r1reward.store.shards import media_folder

# A fair coin gives labels as unequal as those that are reported in one data set of ten thousand.
CHANCE = 1e-4
_EXACT = 1000  # rows up to which the binomial sum is computed; above, its normal approximation

_UNIT_ROWS = 512  # few: images are slow, and messages come when a unit is done
_T = TypeVar("_T")


class ValidationError(UserError):
    """Data that cannot be checked at all, with what to change."""


@dataclass(frozen=True, slots=True)
class Part:
    """A unit of a file, and the folder that its relative media paths start from."""

    unit: Unit
    root: str


def parts_of(
    files: Sequence[Path], media_root: Path | None
) -> tuple[list[Part], list[Finding], list[Path]]:
    """Return the parts of files and folders, what cannot be read of them, and all their files.

    Raises:
        RowError: for a path that is no data set.
    """
    parts: list[Part] = []
    findings: list[Finding] = []
    found: list[Path] = []
    for path in files:
        if not path.exists():
            raise RowError(f"{path}: no such file or folder")
        root = media_folder(path, media_root)
        for file in files_of(path):
            found.append(file)
            try:
                parts += [Part(unit, str(root)) for unit in cut(file, _UNIT_ROWS)]
            except RowError as error:
                detail = str(error).removeprefix(f"{file}: ")
                findings.append(Finding(str(file), "unreadable", f"{detail}; get it again"))
    return parts, findings, found


class Validation:
    """What the units of a data set hold, one after the other.

    It keeps 16 bytes of a row, 8 more where tokens are counted, 200 for near duplicates, and the
    findings that are errors.

    Attributes:
        counts: findings by kind.
        bad: numbers of the rows with errors, by file, each with its findings.
        lost: errors of whole files.
        labels: rows by source and label.
        languages: rows by language of the question.
        media: images and videos that can be used.
    """

    def __init__(self, threshold: float | None) -> None:
        """Look for near duplicates above ``threshold``, if there is one."""
        self.media = 0
        self.counts: Counter[str] = Counter()
        self.bad: dict[Path, dict[int, list[Finding]]] = {}
        self.lost: list[Finding] = []
        self.labels: Counter[tuple[str, int]] = Counter()
        self.languages: Counter[str] = Counter()
        self._near = NearDuplicates(threshold) if threshold is not None else None
        self._rows: Counter[Path] = Counter()
        self._files: list[Path] = []
        self._ends: list[int] = []  # of the units, in records
        self._numbers: list[NDArray[np.int64]] = []
        self._uids: list[NDArray[np.uint64]] = []
        self._tokens: list[NDArray[np.int64]] = []
        self._alike: list[NDArray[np.int64]] = []

    def add(self, report: UnitReport) -> list[Finding]:
        """Add the next unit; return its findings."""
        start = self._ends[-1] if self._ends else 0
        if report.rows:
            self._rows[report.unit.path] += report.rows
        self.media += report.media
        self.labels.update(report.labels)
        self.languages.update(report.languages)
        self._files.append(report.unit.path)
        self._ends.append(start + len(report.numbers))
        self._numbers.append(report.numbers)
        self._uids.append(report.uids)
        self._tokens.append(report.tokens)
        self._alike.append(report.alike + start)
        if self._near is not None:
            self._near.add(report.signatures)
        return self.note(report.findings)

    def note(self, findings: list[Finding]) -> list[Finding]:
        """Count findings; errors are kept."""
        for finding in findings:
            self.counts[finding.kind] += 1
            file, _, number = finding.where.rpartition(":")
            if finding.is_error and number.isdigit():
                self.bad.setdefault(Path(file), {}).setdefault(int(number), []).append(finding)
            elif finding.is_error:
                self.lost.append(finding)
        return findings

    def finish(self, files: Sequence[Path]) -> list[Finding]:
        """Return what all rows of ``files`` together show: duplicates, none at all, and others."""
        known = {str(file) for file in self._rows} | {finding.where for finding in self.lost}
        empty = [
            Finding(str(file), "empty", "no rows; leave it out")
            for file in files
            if str(file) not in known
        ]
        rest = (*self._duplicates(), *self._near_duplicates(), *balance(self.labels))
        return self.note([*empty, *rest])

    @property
    def rows(self) -> int:
        """Number of rows."""
        return self._rows.total()

    @property
    def errors(self) -> int:
        """Number of findings that are errors."""
        return sum(n for kind, n in self.counts.items() if Finding("", kind, "").is_error)

    @property
    def tokens(self) -> NDArray[np.int64]:
        """Tokens of the prompts that were counted."""
        return np.concatenate(self._tokens) if self._tokens else np.zeros(0, np.int64)

    def _duplicates(self) -> Iterator[Finding]:
        if not self._uids:
            return
        uids = np.concatenate(self._uids)
        for row, first in repeated(uids):
            detail = f"the same record as {self._where(first)}; keep one of them"
            yield Finding(self._where(row), "duplicate", detail, f"{int(uids[row]):016x}")

    def _near_duplicates(self) -> Iterator[Finding]:
        if self._near is None or not self._alike:
            return
        alike, uids = np.concatenate(self._alike), np.concatenate(self._uids)
        for twin in self._near.twins():
            row, like = int(alike[twin.row]), int(alike[twin.like])
            if uids[row] == uids[like]:
                continue  # a duplicate
            detail = (
                f"{twin.similarity:.0%} like {self._where(like)}, with the same media; keep one?"
            )
            yield Finding(self._where(row), "near_duplicate", detail, f"{int(uids[row]):016x}")

    def _where(self, record: int) -> str:
        unit = int(np.searchsorted(self._ends, record, side="right"))
        start = self._ends[unit - 1] if unit else 0
        return f"{self._files[unit]}:{self._numbers[unit][record - start]}"


def balance(labels: Counter[tuple[str, int]]) -> Iterator[Finding]:
    """Check that either response is better about equally often, in each source."""
    for source in sorted({source for source, _ in labels}):
        first, second = labels[source, 1], labels[source, 2]
        if coin(first, first + second) < CHANCE:
            yield Finding(
                f"source {source}",
                "balance",
                f"label 1 in {first:,} rows, label 2 in {second:,}: no fair coin; swap the "
                "responses of some rows, or a model learns the place and not the answer",
            )


def coin(heads: int, tosses: int) -> float:
    """Return how likely a fair coin is to be at least as unequal as this (two-sided)."""
    fewer = min(heads, tosses - heads)
    if 2 * fewer == tosses:
        return 1.0
    if tosses <= _EXACT:
        tail = sum(math.comb(tosses, k) for k in range(fewer + 1)) / (1 << tosses)
    else:
        tail = NormalDist(tosses / 2, math.sqrt(tosses) / 2).cdf(fewer + 0.5)
    return min(1.0, 2 * tail)


def check(parts: Sequence[Part], rules: Rules, workers: int) -> Iterator[UnitReport]:
    """Check parts in so many processes; yield their reports in order.

    Raises:
        WorkerError: when a process died.
        LengthError: when the model has no processor.
    """
    tasks = [(part.unit, part.root, rules) for part in parts]
    return in_order(check_unit, tasks, min(workers, len(tasks)))
