"""The study's plots: small multiples, settings down and variants across."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from r1reward.core.intervals import t_interval
from r1reward.pages.html import INK, PALETTE, drawing
from r1reward.recipes.ablation.rows import FinishedRun
from r1reward.recipes.ablation.summary import Cell

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Runs = Sequence[FinishedRun]
Curve = NDArray[np.float64]
_DPI = 90
_CHANCE: Any = {"color": INK, "linestyle": ":", "linewidth": 0.8, "zorder": 0}


def learning_curves(runs: Runs, start: float, file: Path) -> None:
    """Draw accuracy on training samples (band) and on validation pairs (dots) of every variant.

    Args:
        runs: of :func:`r1reward.recipes.ablation.summary.read_runs`.
        start: accuracy of the start model on the validation pairs.
        file: PNG to write.
    """

    def draw(axes: "Axes", group: Runs, colour: str, front: bool) -> None:
        middle, low, high = _band(group, "accuracy")
        steps = np.arange(1, len(middle) + 1)
        axes.plot(steps, 100 * middle, color=colour, linewidth=1.2)
        if front:
            axes.fill_between(steps, 100 * low, 100 * high, color=colour, alpha=0.2, linewidth=0)
            points = {0: [start] * 2}
            for run in group:
                for row in run["validations"]:
                    points.setdefault(row["step"], []).append(row["accuracy"])
            means = [100 * float(np.mean(values)) for values in points.values()]
            axes.scatter(list(points), means, s=12, color=INK, zorder=3)

    def finish(axes: "Axes") -> None:
        axes.axhline(50, **_CHANCE)
        axes.set_ylim(0, 100)

    _multiples(runs, draw, finish, "accuracy, %", file)


def gradient_norms(runs: Runs, file: Path) -> None:
    """Draw the gradient norm before clipping: median over seeds, band from least to largest."""

    def draw(axes: "Axes", group: Runs, colour: str, front: bool) -> None:
        table = _table(group, "grad_norm")
        table[~np.isfinite(table)] = np.nan
        steps = np.arange(1, table.shape[1] + 1)
        axes.plot(steps, np.nanmedian(table, axis=0), color=colour, linewidth=1.2)
        if front:
            low, high = np.nanmin(table, axis=0), np.nanmax(table, axis=0)
            axes.fill_between(steps, low, high, color=colour, alpha=0.2, linewidth=0)

    _multiples(runs, draw, lambda axes: axes.set_yscale("log"), "gradient norm", file)


def final_accuracy(cells: Sequence[Cell], start: float, file: Path) -> None:
    """Draw every variant's final accuracy with its interval, a panel a setting."""
    settings = list(dict.fromkeys(cell.setting for cell in cells))
    variants = list(dict.fromkeys(cell.variant for cell in cells))
    with drawing(2.6 * len(settings) + 1.2, 0.32 * len(variants) + 1.1) as figure:
        panels = figure.subplots(1, len(settings), sharey=True, squeeze=False)[0]
        for axes, setting in zip(panels, settings, strict=True):
            for cell in (cell for cell in cells if cell.setting == setting):
                place, colour = variants.index(cell.variant), PALETTE[cell.variant != variants[0]]
                mean = cell.accuracy
                if mean.low is not None and mean.high is not None:
                    axes.plot([100 * mean.low, 100 * mean.high], [place, place], color=colour)
                axes.scatter([100 * mean.value], [place], s=26, color=colour, zorder=3)
            axes.axvline(50, **_CHANCE)
            axes.axvline(100 * start, color=INK, linewidth=0.8, alpha=0.4, zorder=0)
            axes.set(title=setting, xlabel="accuracy, %", xlim=(0, 100))
            axes.set_yticks(range(len(variants)), variants)
            axes.set_ylim(len(variants) - 0.5, -0.5)
        figure.savefig(file, format="png", dpi=_DPI, metadata={"Software": None})


def _multiples(
    runs: Runs,
    draw: Callable[["Axes", Runs, str, bool], None],
    finish: Callable[["Axes"], None],
    label: str,
    file: Path,
) -> None:
    """Draw each variant over the first one, which stands behind in grey."""
    settings = list(dict.fromkeys(run["setting"] for run in runs))
    variants = list(dict.fromkeys(run["variant"] for run in runs))
    with drawing(1.45 * len(variants) + 0.6, 1.5 * len(settings) + 0.5) as figure:
        grid = figure.subplots(len(settings), len(variants), squeeze=False, sharey="row")
        for across, variant in enumerate(variants):
            for down, setting in enumerate(settings):
                axes = grid[down][across]
                for name, colour, front in (
                    (variants[0], "#999999", False), (variant, PALETTE[across > 0], True)
                ):  # fmt: skip
                    group = [r for r in runs if r["setting"] == setting and r["variant"] == name]
                    if group:
                        draw(axes, group, colour, front)
                finish(axes)
                axes.tick_params(labelsize=7)
                if down == 0:
                    axes.set_title(variant, fontsize=8)
                if across == 0:
                    axes.set_ylabel(f"{setting}\n{label}", fontsize=8)
        for axes in grid[-1]:
            axes.set_xlabel("step", fontsize=8)
        figure.savefig(file, format="png", dpi=_DPI, metadata={"Software": None})


def _table(group: Runs, key: str) -> Curve:
    """Return seeds by steps, cut to the shortest run."""
    steps = min(len(run["steps"]) for run in group)
    rows = [[float(step[key]) for step in run["steps"][:steps]] for run in group]
    return np.array(rows)


def _band(group: Runs, key: str) -> tuple[Curve, Curve, Curve]:
    """Return mean, lower and upper end of the 95 % interval over seeds, by step."""
    means = [t_interval(column) for column in _table(group, key).T.tolist()]
    middle = np.array([mean.value for mean in means])
    low = np.array([mean.value if mean.low is None else mean.low for mean in means])
    high = np.array([mean.value if mean.high is None else mean.high for mean in means])
    return middle, low, high
