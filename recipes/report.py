"""Write one page about a recipe: ``r1reward recipe-report +evaluations.NAME=DIR out=DIR``.

Evaluations side by side on every benchmark, with paired differences to the first of each, and the
training runs between them. Everything is read from their folders.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from markupsafe import Markup
from omegaconf import DictConfig
from rich.table import Table

from r1reward.cli.command import run_command
from r1reward.core.errors import ConfigError
from r1reward.eval.compare import (
    Run,
    compare,
    read_rate,
    read_run,
    shared_items,
    warnings,
)
from r1reward.eval.report.plots import rate_dots
from r1reward.eval.report.table import rate_text
from r1reward.machine.console import console_on
from r1reward.pages.html import render
from r1reward.store.files import write_text
from r1reward.store.rundir import RunDir

PAGE = "report.html"
_RATES = {
    "accuracy": "accuracy",
    "right in both orders": "consistent",
    "flips": "flips",
    "says 1": "first_position",
    "unreadable": "parse_failures",
}


@dataclass(frozen=True, slots=True)
class Row:
    """One evaluation in words."""

    title: str
    page: str
    rates: Sequence[str]
    difference: str


@dataclass(frozen=True, slots=True)
class Board:
    """The evaluations on one benchmark."""

    benchmark: str
    items: int
    plot: Markup
    rows: Sequence[Row]
    warnings: Sequence[str]


@dataclass(frozen=True, slots=True)
class Training:
    """One training run in words."""

    title: str
    page: str
    steps: int
    facts: Mapping[str, str]


def board(runs: Mapping[str, Run], out: Path) -> Board:
    """Return the evaluations of one benchmark; the others are compared with the first.

    Raises:
        CompareError: when they are not of the same items.
    """
    first, *_ = runs.values()
    indices = shared_items(list(runs.values()))
    rows, accuracies = [], {}
    for title, run in runs.items():
        overall, difference = run.results["score"]["overall"], ""
        if run is not first:
            pair = compare(run, first, indices).overall
            low, high = (100 * end for end in (pair.interval.low, pair.interval.high))
            difference = f"{100 * pair.difference:+.1f} ({low:+.1f} to {high:+.1f})"
        found = [read_rate(overall[key]) for key in _RATES.values()]
        accuracies[title] = found[0]
        words = ["-" if rate.value is None else rate_text(rate) for rate in found]
        rows.append(Row(title, _link(run.path / PAGE, out), words, difference))
    name = first.results["benchmark"]
    notes = warnings(list(runs.values()), indices)
    return Board(name, len(indices), rate_dots(accuracies), rows, notes)


def boards(runs: Mapping[str, Run], out: Path) -> list[Board]:
    """Return a board for each benchmark, in the order of their first evaluations."""
    names = list(dict.fromkeys(run.results["benchmark"] for run in runs.values()))
    return [
        board({title: r for title, r in runs.items() if r.results["benchmark"] == name}, out)
        for name in names
    ]


def training(title: str, folder: Path, out: Path) -> Training:
    """Return what the journal says about a training run.

    Raises:
        ConfigError: when there is none.
    """
    run = RunDir(folder)
    steps = list(run.history("train"))
    if not steps:
        raise ConfigError(f"trainings: {folder} holds no journal of a training run")
    validations = list(run.history("validation"))
    facts = {}
    if validations and "n" in validations[0]:
        ends = [f"{row['correct'] / row['n']:.1%}" for row in (validations[0], validations[-1])]
        facts["validation accuracy"] = f"{' to '.join(ends)} of {validations[0]['n']} pairs"
    for name, rows, key in (
        ("loss", steps, "train/loss"),  # of a cold start; RL's is no measure of success
        ("validation loss", validations, "val/loss"),
        ("reward", steps, "reward/final/mean"),
    ):
        values = [row["metrics"][key] for row in rows if key in row["metrics"]]
        if values:
            facts[name] = f"{values[0]:.3g} to {values[-1]:.3g}"
    return Training(title, _link(folder / PAGE, out), steps[-1]["step"], facts)


def show(cfg: DictConfig) -> None:
    """Write the page and print its table."""
    out = Path(cfg.out).resolve()
    if not cfg.evaluations:
        raise ConfigError("give one or more: +evaluations.<title>=<folder>")
    runs = {_title(name): read_run(Path(path)) for name, path in cfg.evaluations.items()}
    found = boards(runs, out)
    trainings = [training(_title(name), Path(path), out) for name, path in cfg.trainings.items()]
    page = render(
        "r1reward.recipes",
        "report.html",
        title="R1-Reward: " + ", ".join(one.benchmark for one in found),
        when=datetime.now(UTC).strftime("%d %B %Y, %H:%M UTC"),
        columns=list(_RATES),
        boards=found,
        trainings=trainings,
    )
    write_text(out / PAGE, page)
    console = console_on(sys.stdout)
    for one in found:
        console.print(_table(one))


def _table(one: Board) -> Table:
    title = f"{one.benchmark}, {one.items} items, both orders where asked"
    table = Table(title=title, title_justify="left", title_style="bold")
    for column in ("", *_RATES, "points to the first"):
        table.add_column(column, justify="right" if column else "left")
    for row in one.rows:
        table.add_row(row.title, *row.rates, row.difference)
    return table


def _title(name: object) -> str:
    return str(name).replace("_", " ")


def _link(page: Path, out: Path) -> str:
    """Return the page's address relative to ``out``; empty when it is not there."""
    return os.path.relpath(page, out) if page.exists() else ""


def main() -> None:
    """Run the command."""
    run_command("recipe_report", show)


if __name__ == "__main__":
    main()
