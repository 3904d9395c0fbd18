"""Journal of a judge's answers, written as they arrive; a stored answer is never asked again."""

import json
import os
import time
from array import array
from pathlib import Path
from typing import Literal, TypedDict

from r1reward.core.errors import UserError
from r1reward.core.text import valid_text
from r1reward.store.files import hold
from r1reward.store.lines import parse

_ROWS, _SECONDS = 64, 2.0  # between two fsyncs


Usage = Literal["prompt_tokens", "completion_tokens", "cost"]
USAGE: tuple[Usage, ...] = ("prompt_tokens", "completion_tokens", "cost")


class AnswerRow(TypedDict):
    """An answer of the journal, what it took (:data:`USAGE`, in tokens and dollars), and when.

    Attributes:
        key: of the prompt, its sampling and its vote (:func:`r1reward.judge.key.answer_key`).
        text: the whole response.
        time: seconds since 1970.
        finish_reason: why the response ended, such as ``stop``, or ``length`` for one that the
            token limit cut; None where nobody says.
    """

    key: str
    text: str
    time: float
    prompt_tokens: int
    completion_tokens: int
    cost: float
    finish_reason: str | None


class JournalError(UserError):
    """A journal that cannot be written."""


class _Places:
    """Where the answer of each key lies in the file; the first one of a key stays.

    An open hash table, at most three quarters full, of 24 bytes a slot: the first 128 bits of the
    key, which is a hash already, and the place. A dict would take 180 bytes an answer.
    """

    def __init__(self) -> None:
        self._slots, self._count = _empty(64), 0

    def __len__(self) -> int:
        return self._count

    def get(self, key: str) -> int | None:
        place = self._slots[self._slot(*_halves(key)) + 2]
        return place - 1 if place else None

    def add(self, key: str, place: int) -> None:
        high, low = _halves(key)
        slot = self._slot(high, low)
        if self._slots[slot + 2]:
            return
        self._slots[slot : slot + 3] = array("Q", (high, low, place + 1))
        self._count += 1
        if 4 * self._count > len(self._slots):
            self._grow()

    def _slot(self, high: int, low: int) -> int:
        """Return where the key lies, or would."""
        slots, slot = self._slots, 3 * (low % (len(self._slots) // 3))
        while slots[slot + 2] and (slots[slot] != high or slots[slot + 1] != low):
            slot = (slot + 3) % len(slots)
        return slot

    def _grow(self) -> None:
        old, self._slots = self._slots, _empty(len(self._slots) // 2)
        for at in range(0, len(old), 3):
            if old[at + 2]:
                slot = self._slot(old[at], old[at + 1])
                self._slots[slot : slot + 3] = old[at : at + 3]


def _empty(slots: int) -> "array[int]":
    return array("Q", [0, 0, 0]) * slots


def _halves(key: str) -> tuple[int, int]:
    return int(key[:16], 16), int(key[16:32], 16)


class Journal:
    """An append-only JSONL file of answers and faults, one writer at a time.

    A row reaches the operating system at once, so that a killed run loses nothing, and the disk
    within 64 rows or 2 seconds of work. In memory there is only where each answer lies, in 32 to
    48 bytes (63 are measured at the peak, while the table grows). A line that a kill tore is
    skipped; a fault is evidence, and its prompt is asked again. The file is UTF-8: half a surrogate
    pair in a text is replaced.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = open(path, "ab+", buffering=0)  # noqa: SIM115 - closed by close()
        hold(self._file, JournalError(f"{path}: another evaluation is writing it; wait for it"))
        self._reader = open(path, "rb")  # noqa: SIM115 - closed by close()
        self._places = _Places()
        self._unsynced, self._synced = 0, time.monotonic()
        self._scan()

    def __contains__(self, key: str) -> bool:
        return self._places.get(key) is not None

    def __len__(self) -> int:
        return len(self._places)

    def get(self, key: str) -> AnswerRow | None:
        """Return the row of an answer, or None when it never came."""
        place = self._places.get(key)
        if place is None:
            return None
        self._reader.seek(place)
        row: AnswerRow | None = parse(self._reader.readline())
        return row

    def answer(self, key: str, text: str, **fields: object) -> None:
        """Append an answer; the first one of a key stays."""
        if key not in self:
            self._places.add(key, self._append(key=key, text=text, **fields))

    def fault(self, **fields: object) -> None:
        """Append a call that failed for good."""
        self._append(fault=True, **fields)

    def close(self) -> None:
        """Write everything to the disk and let others in."""
        os.fsync(self._file.fileno())
        self._file.close()
        self._reader.close()

    def _append(self, **row: object) -> int:
        line = valid_text(json.dumps({"time": time.time(), **row}, ensure_ascii=False)) + "\n"
        place = self._file.seek(0, os.SEEK_END)
        self._file.write(line.encode())
        self._unsynced += 1
        if self._unsynced >= _ROWS or time.monotonic() - self._synced > _SECONDS:
            os.fsync(self._file.fileno())
            self._unsynced, self._synced = 0, time.monotonic()
        return place

    def _scan(self) -> None:
        place, line = 0, b"\n"
        for line in self._reader:
            row = parse(line)
            if isinstance(row, dict) and "key" in row:
                self._places.add(row["key"], place)
            place += len(line)
        if not line.endswith(b"\n"):
            self._file.write(b"\n")  # what a kill tore must not take the next row along
