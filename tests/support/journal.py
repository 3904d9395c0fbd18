"""Journals made by hand, and what is printed from them."""

import io
import json
from typing import Any

from rich.console import Console
from rich.table import Table

from r1reward.store.rundir import RunDir

START = 1_800_000_000.0
Row = tuple[float, str, dict[str, object]]  # seconds after the start, kind, fields


def append(run: RunDir, *rows: Row) -> None:
    """Append rows of (seconds after the start, kind, fields), as the processes of a run would."""
    with open(run.journal, "a") as file:
        for seconds, kind, fields in rows:
            file.write(json.dumps({"time": START + seconds, "kind": kind, **fields}) + "\n")


def started(seconds: float, resumed_from: int = 0, command: float = 0.0) -> Row:
    fields: dict[str, object] = {
        "event": "started",
        "resumed_from": resumed_from,
        "started": START + command,
    }
    return (seconds, "event", fields)


def event(seconds: float, name: str, **fields: object) -> Row:
    return (seconds, "event", {"event": name, **fields})


def step(number: int, seconds: float = 0.0, **metrics: object) -> Row:
    return (seconds, "train", {"step": number, "metrics": metrics})


def reward(number: int, value: object, seconds: float = 0.0) -> Row:
    return step(number, seconds, **{"reward/final/mean": value})


def validation(
    number: int, correct: int, formatted: int | None = None, n: int = 20, seconds: float = 0.0
) -> Row:
    counts = {"n": n, "correct": correct, "formatted": n if formatted is None else formatted}
    return (seconds, "validation", {"step": number, "metrics": {}, **counts})


def cells(table: Table) -> list[tuple[object, ...]]:
    """The rows of a table, as plain text; a section's end is no row."""
    return list(zip(*(column.cells for column in table.columns), strict=True))


def narrow(**options: Any) -> Console:
    return Console(file=io.StringIO(), width=40, **options)


def printed(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()
