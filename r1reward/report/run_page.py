"""The report of a training run: one HTML file in its directory, readable without a network."""

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import numpy as np
from markupsafe import Markup
from omegaconf import DictConfig, OmegaConf

from r1reward.core.errors import UserError
from r1reward.core.intervals import wilson_interval
from r1reward.pages.html import render
from r1reward.report import plots
from r1reward.report.flips import GAINED, LOST, Changes, changes
from r1reward.report.history import Floats, Story, story
from r1reward.report.panels import ACCURACY, CONSISTENCY, LEARNING, PHASES, STABILITY, STEP, metrics
from r1reward.report.plots import Panel
from r1reward.report.settings import Changed, Settings, settings
from r1reward.store.files import write_text
from r1reward.store.rundir import JournalRow, RunDir

_ENDS = 5  # steps averaged at either end of the run
_STATES = {
    "finished": "finished",
    "failed": "failed",
    "interrupted": "interrupted",
    "open": "no end is written",
}
_Count = Literal["correct", "formatted", "consistent"]
_COUNTS: dict[str, _Count] = {"in format": "formatted", "consistent": "consistent"}


class ReportError(UserError):
    """A directory that is no run, with what to do."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A plot and its words."""

    name: str
    note: str
    plot: Markup


def write_report(run_dir: RunDir) -> None:
    """Write ``report.html`` from what the run directory holds, however far the run came.

    Raises:
        ReportError: when the directory has no configuration or no journal of a run.
    """
    path = run_dir.root / "config.yaml"
    if not path.is_file() or not run_dir.journal.is_file():
        raise ReportError(
            f"{run_dir.root}: no config.yaml and journal.jsonl of a run there; "
            "name a run directory, such as runs/stablereinforce/<time>"
        )
    config = OmegaConf.load(path)
    assert isinstance(config, DictConfig)
    told = story(run_dir, metrics())
    steps = [row["step"] for row in told.validations]
    changed = changes(run_dir.root / "validations", steps, config.data)
    made = settings(config, told.start.get("command", ["r1reward", "train"]))
    write_text(run_dir.report, page(run_dir, config, told, changed, made))


def page(
    run_dir: RunDir, config: DictConfig, told: Story, changed: Changes | None, made: Settings
) -> str:
    """Return the page; a part of which nothing is known is left out."""
    checked = "consistency/checked" in told.series
    panels = {
        "learning": ("Learning", _figures(told, LEARNING)),
        "stability": ("Stability", _figures(told, STABILITY)),
        "consistency": ("Consistency", _figures(told, CONSISTENCY)),
    }
    rows = list(_numbers(told, (*LEARNING, *STABILITY, *CONSISTENCY)))
    return render(
        "r1reward",
        "run.html",
        title=f"{config.run.name}: {run_dir.root.resolve().name}",
        state=told.state,
        state_name=_STATES[told.state],
        facts=list(_facts(told)),
        reason=told.reason if told.state == "failed" else "",
        cards=list(_cards(told, checked)),
        warnings=list(_warnings(told)),
        accuracy_plot=plots.accuracy(told, ACCURACY)
        if told.validations or ACCURACY in told.series
        else Markup(""),
        panels={key: pair for key, pair in panels.items() if pair[1]},
        phases_plot=plots.phases(told, PHASES, STEP) if STEP in told.series else Markup(""),
        numbers=rows,
        ends=min(_ENDS, len(told.steps)),
        smooth=plots.window(told.steps),
        changed=changed,
        changed_words=_turned(changed) if changed else "",
        filters={"": "all", GAINED: "wrong to right", LOST: "right to wrong"}.items(),
        data={
            "items": changed.items if changed else [],
            "images": changed.images if changed else {},
            "steps": [changed.first, changed.last] if changed else [],
        },
        differences=[
            (f"What the experiment {config.run.name} changes", "default", _rows(made.experiment)),
            ("What the command line changes", "without it", _rows(made.given)),
        ],
        problem=made.problem,
        command=shlex.join(made.command),
        versions=", ".join(f"{k} {v}" for k, v in told.start.get("versions", {}).items()),
        config=made.text,
        directory=str(run_dir.root),
    )


def _facts(told: Story) -> Iterator[str]:
    begun, ended = (datetime.fromtimestamp(when, UTC) for when in (told.begun, told.ended))
    day = "" if begun.date() == ended.date() else f"{ended:%d %B %Y}, "
    yield f"{begun:%d %B %Y, %H:%M} to {day}{ended:%H:%M} UTC"
    if told.starts > 1:
        yield f"started {told.starts} times"
    if told.start.get("revision"):
        yield f"revision {told.start['revision']}"
    if told.start.get("machine"):
        yield told.start["machine"]


def _cards(told: Story, checked: bool) -> Iterator[dict[str, object]]:
    ends = told.validations[:1] + told.validations[1:][-1:]
    if ends:
        places = " → ".join(str(row["step"]) for row in ends)
        values, intervals = zip(*(_share(row, "correct") for row in ends), strict=True)
        note = f"95%: {' → '.join(intervals)} · n {ends[-1]['n']:,}"
        yield {
            "name": f"validation accuracy, step {places}",
            "value": " → ".join(values),
            "note": note,
            "wide": True,
        }
    for name, key in _COUNTS.items():
        if ends and (checked or key != "consistent"):
            value, interval = _share(ends[-1], key)
            before = f"; step {ends[0]['step']}: {_share(ends[0], key)[0]}" if ends[1:] else ""
            yield {"name": name, "value": value, "note": f"95%: {interval}{before}"}
    last = int(told.steps[-1]) if len(told.steps) else 0
    planned = f"of {told.planned}" if told.planned else ""
    yield {"name": "steps", "value": f"{last:,}", "note": planned}
    mean = _mean(told.series.get(STEP, np.empty(0)))
    note = f"{mean:.3g} s a step" if mean is not None else ""
    yield {"name": "time", "value": _duration(told.seconds), "note": note}


def _share(row: JournalRow, key: _Count) -> tuple[str, str]:
    """Return a share of the pairs of a validation, and its 95% interval."""
    low, high = (100 * end for end in wilson_interval(row[key], row["n"]))
    value = f"{row[key] / row['n']:.1%}" if row["n"] else "–"
    return value, f"{low:.1f} to {high:.1f}"


def _warnings(told: Story) -> Iterator[str]:
    if told.state == "open":
        yield "The journal has no end: the run goes on, or was killed. This is what there is."
    panels = (*LEARNING, *STABILITY, *CONSISTENCY)
    named = {key: _label(p, name) for p in panels for name, key in p.lines.items()}
    for key, steps in sorted(told.broken.items()):
        yield (
            f"{named.get(key, key)} ({key}): {len(steps):,} of {len(told.steps):,} values are NaN "
            f"or infinite, first at step {steps[0]}; the curve has gaps there."
        )


def _label(panel: Panel, line: str) -> str:
    only = len(panel.lines) == 1 or line == panel.name.lower()
    return panel.name if only else f"{panel.name}: {line}"


def _figures(told: Story, panels: Sequence[Panel]) -> list[Figure]:
    return [
        Figure(panel.name, panel.note, plots.curves(told, panel))
        for panel in panels
        if any(key in told.series for key in panel.lines.values())
    ]


def _numbers(told: Story, panels: Sequence[Panel]) -> Iterator[dict[str, object]]:
    """Yield the mean of the first and of the last steps for every line that is drawn."""
    for panel in panels:
        for name, key in panel.lines.items():
            if key in told.series:
                scale = 100 if panel.unit == "%" else 1
                ends = (told.series[key][:_ENDS], told.series[key][-_ENDS:])
                means = [_mean(scale * values) for values in ends]
                cells = ["–" if mean is None else f"{mean:.4g}" for mean in means]
                yield {"name": _label(panel, name), "unit": panel.unit, "cells": cells}


def _turned(changed: Changes) -> str:
    counts = changed.counts
    words = (
        f"Of {counts.total():,} pairs, {counts[False, True]:,} turned from wrong to right between "
        f"step {changed.first} and step {changed.last}, and {counts[True, False]:,} from right to "
        f"wrong; {counts[True, True]:,} stayed right, {counts[False, False]:,} stayed wrong."
    )
    all_of_them = counts[False, True] + counts[True, False]
    if 0 < len(changed.items) < all_of_them:
        words += f" Here are {len(changed.items)} of the {all_of_them:,}, drawn by hash."
    return words


def _rows(changed: Changed) -> list[tuple[str, str, str]]:
    return [(key, str(base), str(value)) for key, (base, value) in sorted(changed.items())]


def _mean(values: Floats) -> float | None:
    there = values[~np.isnan(values)]
    return float(there.mean()) if len(there) else None


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
