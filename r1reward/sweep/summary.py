"""The summary of a sweep: a table for the console, CSV files, and one page.

They are written after every run, and again by ``r1reward sweep-summary FOLDER``.
"""

import csv
import io
import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from r1reward.cli.catalog import spoken
from r1reward.config.objective import ACCURACY, Objective
from r1reward.core.intervals import Mean
from r1reward.store.files import write_text
from r1reward.sweep.analysis import Configuration, configurations, front, importance, parameters
from r1reward.sweep.job import State, names, short
from r1reward.sweep.manifest import Manifest, Result

PAGE = "summary.html"


@dataclass(frozen=True, slots=True)
class Findings:
    """What a sweep has shown so far.

    Attributes:
        found: configurations, the best first.
        pareto: those that none beats in every objective; empty where there is one objective.
        shares: parameter -> the share of variance that it explains, for each objective.
        winner: the best run of the best configuration, if any run has the first objective.
    """

    results: list[Result]
    found: list[Configuration]
    pareto: list[Configuration]
    shares: dict[str, list[float | None]]
    winner: Result | None


def findings(manifest: Manifest) -> Findings:
    """Return what the runs of a sweep say."""
    results, found = manifest.results(), configurations(manifest)
    aims = manifest.objectives
    best = found[0] if found and found[0].means[0] is not None else None
    return Findings(
        results=results,
        found=found,
        pareto=front(found, aims) if len(aims) > 1 else [],
        shares={
            key: [importance(results, key, place) for place in range(len(aims))]
            for key in parameters(manifest)
        },
        winner=best.best_run(aims[0]) if best else None,
    )


def write_summary(folder: Path, manifest: Manifest) -> None:
    """Write ``sweep.json``, ``runs.csv``, ``summary.csv`` and ``summary.html``."""
    manifest.write(folder)
    told = findings(manifest)
    write_text(folder / "runs.csv", _csv(_run_rows(manifest, told)))
    write_text(folder / "summary.csv", _csv(_configuration_rows(manifest, told)))
    write_text(folder / PAGE, page(folder, manifest, told))


def table(manifest: Manifest) -> Group:
    """Return the tables for the console: configurations, parameters, and the winner's command."""
    told, aims = findings(manifest), manifest.objectives
    shown = Table(title=f"sweep ({_states(told.results)})", title_justify="left")
    known = names(told.shares)
    for name in ("", *known.values(), "runs"):
        shown.add_column(name, overflow="fold")
    for objective in aims:
        shown.add_column(str(objective))
        shown.add_column("95% interval")
    for one in told.found:
        cells = [_mark(one, told), *map(short, one.settings.values()), _count(one)]
        for objective, mean in zip(aims, one.means, strict=True):
            cells += [objective.text(mean.value if mean else None), _interval(objective, mean)]
        shown.add_row(*cells)
    parts: list[RenderableType] = [shown]
    if any(share is not None for row in told.shares.values() for share in row):
        matters = Table(title="share of variance explained", title_justify="left")
        for name in ("parameter", *map(str, aims)):
            matters.add_column(name)
        for key, row in told.shares.items():
            matters.add_row(
                known[key], *("–" if share is None else f"{share:.0%}" for share in row)
            )
        parts.append(matters)
    if told.winner is not None:
        parts.append(Text(f"best     {told.winner.job.folder}\n{_winning(manifest, told.winner)}"))
    return Group(*parts)


def _winning(manifest: Manifest, winner: Result) -> str:
    return winner.job.command(manifest.module)


def _mark(one: Configuration, told: Findings) -> str:
    if told.winner is not None and one is told.found[0]:
        return "best"
    return "front" if one in told.pareto else ""


def _count(one: Configuration) -> str:
    done = sum(result.state is State.FINISHED for result in one.results)
    return f"{done}/{len(one.results)}"


def _interval(objective: Objective, mean: Mean | None) -> str:
    if mean is None or mean.low is None or mean.high is None:
        return ""
    low, high = mean.low, mean.high
    if objective.metric == ACCURACY:  # of few seeds it can leave the range
        low, high = max(0.0, low), min(1.0, high)
    return f"{objective.text(low)} to {objective.text(high)}"


def _states(results: Iterable[Result]) -> str:
    counts = Counter(result.state for result in results)
    return ", ".join(f"{counts[state]} {state}" for state in reversed(State) if counts[state])


def _run_rows(manifest: Manifest, told: Findings) -> Iterable[Sequence[object]]:
    keys = manifest.varied()
    names = [objective.metric for objective in manifest.objectives]
    yield ["folder", "state", *keys, *names, "seconds", "reason", "command"]
    for result in told.results:
        settings = result.job.settings
        yield [
            result.job.folder.name,
            result.state,
            *(settings.get(key, "") for key in keys),
            *("" if value != value else value for value in result.values),
            "" if result.seconds is None else result.seconds,
            result.reason,
            result.job.command(manifest.module),
        ]


def _configuration_rows(manifest: Manifest, told: Findings) -> Iterable[Sequence[object]]:
    head: list[str] = [*told.shares, "runs", "finished"]
    for objective in manifest.objectives:
        head += [objective.metric + part for part in ("", " low", " high", " n")]
    yield [*head, "mark"]
    for one in told.found:
        done = sum(result.state is State.FINISHED for result in one.results)
        row: list[object] = [*one.settings.values(), len(one.results), done]
        for mean in one.means:
            row += [mean.value, mean.low, mean.high, mean.n] if mean else ["", "", "", 0]
        yield ["" if cell is None else cell for cell in [*row, _mark(one, told)]]


def _csv(rows: Iterable[Sequence[object]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def page(folder: Path, manifest: Manifest, told: Findings) -> str:
    """Return the page."""
    from r1reward.pages.html import render
    from r1reward.sweep import plots

    aims = manifest.objectives
    return render(
        "r1reward",
        "sweep.html",
        title=f"sweep {folder.name}",
        states=_states(told.results),
        command=shlex.join([*spoken(manifest.module), *manifest.arguments]),
        winning=_winning(manifest, told.winner) if told.winner else "",
        winner=told.winner.job.folder.name if told.winner else "",
        cards=list(_cards(told, aims)),
        objectives=[str(objective) for objective in aims],
        keys=list(told.shares),
        rows=[
            {
                "mark": _mark(one, told),
                "settings": [short(value) for value in one.settings.values()],
                "count": _count(one),
                "means": [
                    (objective.text(mean.value if mean else None), _interval(objective, mean))
                    for objective, mean in zip(aims, one.means, strict=True)
                ],
            }
            for one in told.found
        ],
        shares=told.shares,
        parallel=plots.parallel(told.found, aims),
        curves=plots.curves(told.found),
        runs=[
            {
                "label": manifest.label(result.job),
                "folder": result.job.folder.name,
                "report": result.job.run.report.exists(),
                "state": result.state,
                "values": [o.text(v) for o, v in zip(aims, result.values, strict=True)],
                "seconds": "–" if result.seconds is None else f"{result.seconds:.0f}",
                "reason": result.reason,
            }
            for result in told.results
        ],
    )


def _cards(told: Findings, aims: Sequence[Objective]) -> Iterable[dict[str, str]]:
    done = sum(result.state is State.FINISHED for result in told.results)
    yield {
        "name": "runs finished",
        "value": f"{done} of {len(told.results)}",
        "note": _states(told.results),
    }
    if told.winner is not None:
        best = told.found[0]
        for objective, mean in zip(aims, best.means, strict=True):
            if mean is not None:
                seeds = f"n {mean.n}"
                interval = _interval(objective, mean)
                yield {
                    "name": f"best configuration: {objective.metric}",
                    "value": objective.text(mean.value),
                    "note": f"95%: {interval} · {seeds}" if interval else seeds,
                }
