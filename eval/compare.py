"""Evaluations side by side, and whether they differ: ``r1reward compare RUN RUN ...``.

Every run is compared with the first, item by item, on the items that all of them have. Nothing is
asked and nothing is written. Exit status: 0 with a comparison, 2 for runs that have none.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from r1reward.cli.command import user_errors
from r1reward.core.errors import UserError
from r1reward.eval.report.table import rate_text
from r1reward.eval.score.intervals import Interval, Paired, Rate, paired
from r1reward.eval.score.items import AGAIN, ItemResult, read_items
from r1reward.eval.score.results import SCHEMA, Results
from r1reward.eval.score.scoring import SCHEMA as SCORE_SCHEMA
from r1reward.machine.console import console_on

_FEW = 20  # clusters, below which bootstrap intervals are too narrow
_RATES = ("consistent", "first_position", "flips", "parse_failures")


class CompareError(UserError):
    """Runs that cannot be compared, with what to do."""


@dataclass(frozen=True, slots=True)
class Run:
    """One finished evaluation: its ``results.json``, and its items by index."""

    path: Path
    results: Results
    items: dict[int, ItemResult]

    @property
    def protocol(self) -> dict[str, Any]:
        """How it was asked."""
        protocol: dict[str, Any] = self.results["score"]["protocol"]
        return protocol


@dataclass(frozen=True, slots=True)
class Comparison:
    """A run against the first one; differences are the run's accuracy minus the first's.

    Attributes:
        overall: on all items.
        won: items worth more in this run; with one order asked, those that only it got right.
        lost: items worth more in the first run.
        groups: (grouping, group) -> the same on its items.
    """

    overall: Paired
    won: int
    lost: int
    groups: dict[tuple[str, str], Paired]


def read_run(path: Path) -> Run:
    """Return the evaluation in the directory ``path``.

    Raises:
        CompareError: when it is not there, or not whole.
        ItemsError: the same for its items.
    """
    if not path.is_dir():
        raise CompareError(f"{path}: no such directory; name those of evaluations")
    try:
        results = json.loads((path / "results.json").read_bytes())
    except (OSError, ValueError) as problem:
        reason = getattr(problem, "strerror", problem)
        raise CompareError(f"{path / 'results.json'}: cannot be read ({reason}). {AGAIN}") from None
    if (results["schema"], results["score"]["schema"]) != (SCHEMA, SCORE_SCHEMA):
        raise CompareError(f"{path / 'results.json'}: not of this version. {AGAIN}")
    items = read_items(path / "items.jsonl")
    counted = [item.value for item in items if item.value is not None]
    accuracy = results["score"]["overall"]["accuracy"]["value"] or 0.0
    if abs(sum(counted) / max(len(counted), 1) - accuracy) > 1e-9:
        raise CompareError(f"{path}: items.jsonl and results.json are of two evaluations. {AGAIN}")
    return Run(path, results, {item.index: item for item in items})


def shared_items(runs: Sequence[Run]) -> list[int]:
    """Return the indices of the items that every run has, and that count in every run.

    Raises:
        CompareError: for different benchmarks, different data, or nothing in common.
    """
    first, *others = runs
    for run in others:
        names = [one.results["benchmark"] for one in (first, run)]
        if names[0] != names[1]:
            raise CompareError(
                f"{first.path} is on {names[0]}, {run.path} on {names[1]}: compare runs of one "
                "benchmark"
            )
        for index in sorted(first.items.keys() & run.items.keys()):
            if first.items[index].uid != run.items[index].uid:
                raise CompareError(
                    f"{first.path} and {run.path}: row {index + 1} is not the same. They judged "
                    "two versions of the benchmark's data; judge both on one."
                )
    common = set.intersection(*(set(run.items) for run in runs))
    if not common:
        raise CompareError(f"no item that all of {', '.join(str(run.path) for run in runs)} have")
    counted = [i for i in sorted(common) if all(run.items[i].value is not None for run in runs)]
    if not counted:
        raise CompareError(
            "parse=exclude leaves out every item that these runs share; use another protocol.parse"
        )
    return counted


def compare(run: Run, first: Run, indices: Sequence[int]) -> Comparison:
    """Return the comparison of ``run`` with ``first`` on items that count in both."""
    ours, theirs = _values(run, indices), _values(first, indices)
    clusters = {index: first.items[index].cluster for index in indices}
    return Comparison(
        overall=paired(ours, theirs, clusters),
        won=sum(ours[index] > theirs[index] for index in indices),
        lost=sum(ours[index] < theirs[index] for index in indices),
        groups={
            place: paired(_values(run, inside), theirs, clusters)
            for place, inside in _groups(first, indices).items()
        },
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected for their number (Holm, 1979): the step-down method."""
    corrected, largest = [0.0] * len(p_values), 0.0
    for rank, number in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[number]))
        corrected[number] = largest
    return corrected


def warnings(runs: Sequence[Run], indices: Sequence[int]) -> list[str]:
    """Return what readers of the comparison must know."""
    first, *others = runs
    found = []
    if any(len(run.items) != len(indices) for run in runs):
        counts = ", ".join(f"#{n} has {len(run.items)}" for n, run in enumerate(runs, start=1))
        found.append(f"compared on the {len(indices)} items that count in every run; {counts}")
    for number, run in enumerate(others, start=2):
        changed = [
            f"{key} {value} (#1: {first.protocol[key]})"
            for key, value in run.protocol.items()
            if key != "name" and value != first.protocol[key]
        ]
        if changed:
            found.append(
                f"#{number} has another protocol than #1, which may be the whole difference: "
                + ", ".join(changed)
            )
    for number, run in enumerate(runs, start=1):
        own = (*run.results["score"]["warnings"], *run.results["notes"])
        found += [f"#{number}: {warning}" for warning in own]
    return found


def show(
    console: Console, runs: Sequence[Run], indices: Sequence[int], found: Sequence[Comparison]
) -> None:
    """Print the runs, their differences, and what readers must know."""
    for number, run in enumerate(runs, start=1):
        console.print(f"#{number} {run.path}", markup=False)
    console.print(_runs(runs), markup=False)
    console.print(_differences(runs[0], indices, found), markup=False)
    members = _groups(runs[0], indices)
    for grouping in sorted({grouping for grouping, _ in members}):
        console.print(_by_group(grouping, members, runs[0], found), markup=False)
    for line in _legend(runs, found):
        console.print(line, markup=False)
    for warning in warnings(runs, indices):
        console.print("[yellow]warning[/]", end=" ")
        console.print(warning, markup=False)


def _runs(runs: Sequence[Run]) -> Table:
    columns = [
        *("", "judge", "protocol", "items", "accuracy (95% interval)", "both orders"),
        *("says 1", "flips", "unreadable", "seconds", "cost"),
    ]
    table = _table(runs[0].results["benchmark"], columns)
    for number, run in enumerate(runs, start=1):
        overall, timing = run.results["score"]["overall"], run.results["timing"]
        cost = run.results["usage"].get("cost")
        table.add_row(
            *(f"#{number}", run.results["judge"], run.protocol["name"], str(overall["items"])),
            rate_text(read_rate(overall["accuracy"])),
            *(_percent(overall[key]) for key in _RATES),
            f"{timing['seconds']:.1f}{'*' if timing['reused'] else ''}",
            f"${cost:.2f}" if cost else "-",
        )
    return table


def _differences(first: Run, indices: Sequence[int], found: Sequence[Comparison]) -> Table:
    corrected = holm([one.overall.p_value for one in found])
    holms = ["p (Holm)"] if len(found) > 1 else []
    sizes = ["items", "clusters"]
    columns = ["", *sizes, "difference (95% interval)", "p", *holms, "won", "lost"]
    table = _table("difference to #1, in points", columns)
    for number, (one, p_holm) in enumerate(zip(found, corrected, strict=True), start=2):
        p_values = [one.overall.p_value, p_holm][: 1 + len(holms)]
        table.add_row(
            *(f"#{number}", *_sizes(first, indices), _points(one.overall)),
            *("<0.0001" if p < 1e-4 else f"{p:.4f}" for p in p_values),
            *(str(one.won), str(one.lost)),
        )
    return table


def _by_group(
    grouping: str,
    members: dict[tuple[str, str], list[int]],
    first: Run,
    found: Sequence[Comparison],
) -> Table:
    others = [f"#{number} (95% interval)" for number in range(2, len(found) + 2)]
    title = f"the same by group, grouping {grouping}: exploratory, not corrected for many looks"
    table = _table(title, ["group", "items", "clusters", *others])
    for key, inside in members.items():
        if key[0] == grouping:
            points = (_points(one.groups[key]) for one in found)
            table.add_row(key[1], *_sizes(first, inside), *points)
    return table


def _legend(runs: Sequence[Run], found: Sequence[Comparison]) -> list[str]:
    intervals = [pair.interval for one in found for pair in (one.overall, *one.groups.values())]
    lines = [
        "p: sign flips of clusters, two-sided; won, lost: items worth more, or less, than in #1",
        f"!: fewer than {_FEW} clusters, so that intervals are too narrow",
    ]
    if any(interval.low == interval.high for interval in intervals):
        lines.append("(-): all clusters differ alike, which says nothing about the spread")
    if any(run.results["timing"]["reused"] for run in runs):
        lines.append("*: of the last session, which found answers of earlier ones")
    return lines


def _sizes(run: Run, indices: Sequence[int]) -> tuple[str, str]:
    clusters = len({run.items[index].cluster for index in indices})
    return str(len(indices)), f"{clusters}{'!' if clusters < _FEW else ''}"


def _points(pair: Paired) -> str:
    low, high = pair.interval.low * 100, pair.interval.high * 100
    spread = "-" if low == high else f"{low:+.1f} to {high:+.1f}"
    return f"{pair.difference * 100:+.1f} ({spread})"


def _percent(found: dict[str, Any] | None) -> str:
    return "-" if found is None or found["value"] is None else f"{found['value']:.1%}"


def read_rate(found: dict[str, Any] | None) -> Rate:
    """Return a rate of results.json; null is one that was not measured."""
    if found is None:
        return Rate(None, 0, None)
    interval = found["interval"]
    return Rate(found["value"], found["n"], Interval(**interval) if interval else None)


def _values(run: Run, indices: Sequence[int]) -> dict[int, float]:
    found = {index: run.items[index].value for index in indices}
    return {index: value for index, value in found.items() if value is not None}


def _groups(run: Run, indices: Sequence[int]) -> dict[tuple[str, str], list[int]]:
    members: dict[tuple[str, str], list[int]] = {}
    for index in indices:
        for place in run.items[index].groups.items():
            members.setdefault(place, []).append(index)
    return dict(sorted(members.items()))


def _table(title: str, columns: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold")
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left")
    return table


def main() -> None:
    """Run the command line.

    Raises:
        SystemExit: with status 2 for runs that cannot be compared.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path, help="directories of evaluations")
    paths = parser.parse_args().runs
    with user_errors():
        if len(paths) < 2:
            raise CompareError(
                "name two evaluations or more; the others are compared with the first"
            )
        runs = [read_run(path) for path in paths]
        indices = shared_items(runs)
        found = [compare(run, runs[0], indices) for run in runs[1:]]
        show(console_on(sys.stdout), runs, indices, found)


if __name__ == "__main__":
    main()
