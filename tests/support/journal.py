"""Journals made by hand, and what is printed from them."""

import io
import json

from rich.console import Console

START = 1_800_000_000.0


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
