"""The curves of a run report, over its steps."""

from dataclasses import dataclass
from math import inf, nan
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from r1reward.core.intervals import wilson_interval
from r1reward.pages.html import INK, PALETTE, drawing, svg
from r1reward.report.history import Floats, Story

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDE, _NARROW, _HEIGHT = 11.2, 5.4, 2.6  # inches
_DOTS = 40  # points, at most, that are marked one by one
_SMOOTH = 200  # steps: beyond, a line is a running mean over a fortieth of them
_BINS = 400  # of a band, or a faint line, at most: each shows its smallest and largest value
_BARS = 60  # at most: beyond, one stands for the mean of several steps


@dataclass(frozen=True, slots=True)
class Panel:
    """One small plot: its lines are metrics of a step.

    Attributes:
        name: heading.
        lines: label -> metric.
        unit: of the axis; ``%`` shows shares times 100.
        note: what a reader should know.
        band: metrics of the lower and upper edge around the first line.
    """

    name: str
    lines: dict[str, str]
    unit: str = ""
    note: str = ""
    band: tuple[str, str] | None = None

    @property
    def metrics(self) -> tuple[str, ...]:
        """What it needs to know."""
        return (*self.lines.values(), *(self.band or ()))


def accuracy(told: Story, metric: str) -> Markup:
    """Return accuracy of training batches and of validation, with its 95% interval."""
    with drawing(_WIDE, 3.1) as figure:
        axes = _axes(figure, told, "%")
        shown: list[float] = []
        if metric in told.series:
            values = 100 * told.series[metric]
            _line(axes, told.steps, values, PALETTE[1], "training batches, sampled", alpha=0.8)
            shown += values[~np.isnan(values)].tolist()
        if told.validations:
            steps = np.array([row["step"] for row in told.validations])
            counts = [(row["correct"], row["n"]) for row in told.validations]
            ends = 100 * np.array([wilson_interval(*count) for count in counts])
            share = np.array([100 * right / n if n else nan for right, n in counts])
            axes.fill_between(
                steps, ends[:, 0], ends[:, 1], color=PALETTE[0], alpha=0.16, linewidth=0,
                label="95% interval",
            )  # fmt: skip
            if len(steps) == 1:
                axes.plot(steps.repeat(2), ends[0], color=PALETTE[0], linewidth=1.3, marker="_")
            _line(axes, steps, share, PALETTE[0], "validation, unseen", width=2.2, smooth=False)
            shown += ends.ravel().tolist()
        axes.axhline(50, color=INK, linestyle=":", linewidth=1, zorder=0)
        axes.set_ylim(max(0, min([45, *shown]) - 4), min(101, max([60, *shown]) + 4))
        _legend(axes)
        said = f"accuracy; validation {_ends(share)}" if told.validations else "accuracy"
        return svg(figure, said)


def curves(told: Story, panel: Panel) -> Markup:
    """Return the lines of a panel that the run has."""
    scale = 100 if panel.unit == "%" else 1
    found = {name: key for name, key in panel.lines.items() if key in told.series}
    with drawing(_NARROW, _HEIGHT) as figure:
        axes = _axes(figure, told, panel.unit)
        if panel.band and all(key in told.series for key in panel.band):
            starts = _bins(len(told.steps))
            low, high = (scale * told.series[key] for key in panel.band)
            axes.fill_between(
                told.steps[starts], np.fmin.reduceat(low, starts), np.fmax.reduceat(high, starts),
                color=PALETTE[0], alpha=0.14, linewidth=0,
                label="smallest to largest",
            )  # fmt: skip
        for (name, key), colour in zip(found.items(), PALETTE, strict=False):
            _line(axes, told.steps, scale * told.series[key], colour, name)
        axes.margins(y=0.08)
        low, high = axes.dataLim.intervaly
        if 0 <= low <= high < inf and high and panel.unit in ("%", "s", "tokens"):
            axes.set_ylim(0, 1.08 * high)
        if len(axes.get_legend_handles_labels()[0]) > 1:
            _legend(axes)
        values = (f"{name} {_ends(scale * told.series[key])}" for name, key in found.items())
        return svg(figure, f"{panel.name}: {', '.join(values)}")


def phases(told: Story, metrics: dict[str, str], whole: str) -> Markup:
    """Return where the seconds of each step went, as stacked bars; gaps of a step count as 0.

    Args:
        told: the run.
        metrics: phase -> metric, from the bottom up.
        whole: metric of the entire step; what no phase explains is the rest.
    """
    found = {name: told.series[key] for name, key in metrics.items() if key in told.series}
    parts = {name: np.nan_to_num(values) for name, values in found.items()}
    rest = np.nan_to_num(told.series[whole]) - sum(parts.values(), np.zeros(len(told.steps)))
    parts["all else"] = np.maximum(rest, 0)
    groups = np.array_split(np.arange(len(told.steps)), min(_BARS, len(told.steps)))
    places = [told.steps[group].mean() for group in groups]
    width = 0.8 * len(told.steps) / len(groups)
    with drawing(_WIDE, 3.1) as figure:
        axes = _axes(figure, told, "seconds a step")
        bottom = np.zeros(len(groups))
        colours = dict(zip(parts, (*PALETTE, INK), strict=False))
        for name, values in parts.items():
            means = np.array([values[group].mean() for group in groups])
            axes.bar(
                places, means, width, bottom, color=colours.get(name, INK), linewidth=0,
                label=name, alpha=0.3 if name == "all else" else 0.9,
            )  # fmt: skip
            bottom += means
        _legend(axes)
        said = ", ".join(f"{name} {values.mean():.3g} s" for name, values in parts.items())
        return svg(figure, f"mean time of a step: {said}")


def _axes(figure: "Figure", told: Story, unit: str) -> "Axes":
    """Return axes whose steps are those of every other plot of the run."""
    from matplotlib.ticker import MaxNLocator

    last = max([4, *told.steps, *(row["step"] for row in told.validations)])
    axes = figure.add_subplot()
    axes.set(xlabel="step", ylabel=unit, xlim=(-0.5, last + 0.5))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.grid(axis="y", color=INK, alpha=0.1, linewidth=0.8)
    axes.set_axisbelow(True)
    return axes


def _line(
    axes: "Axes",
    steps: NDArray[np.int64],
    values: Floats,
    colour: str,
    label: str,
    width: float = 1.6,
    alpha: float = 1.0,
    smooth: bool = True,
) -> None:
    """Draw a line with gaps where there is no value; a value between two gaps is a dot."""
    dots = len(steps) <= _DOTS
    if smooth and (wide := window(steps)) > 1:
        starts = _bins(len(steps))
        ends = [np.fmin.reduceat(values, starts), np.fmax.reduceat(values, starts)]
        axes.plot(
            np.repeat(steps[starts], 2), np.stack(ends, 1).ravel(), color=colour, linewidth=0.7,
            alpha=0.3,
        )  # fmt: skip
        every = slice(None, None, max(1, wide // 8))
        steps, values = steps[every], _running(values, wide)[every]
    axes.plot(
        steps, values, color=colour, linewidth=width, alpha=alpha, label=label,
        marker="o" if dots else None, ms=3.5,
    )  # fmt: skip
    if not dots:
        there = np.pad(~np.isnan(values), 1)
        alone = there[1:-1] & ~there[:-2] & ~there[2:]
        axes.plot(steps[alone], values[alone], "o", color=colour, ms=2.5, alpha=alpha)


def window(steps: NDArray[np.int64]) -> int:
    """Return how many steps a point of a line is the mean of."""
    return 1 if len(steps) <= _SMOOTH else len(steps) // _DOTS


def _bins(number: int) -> NDArray[np.int64]:
    """Return where each of the bins begins that so many points fall into."""
    return np.linspace(0, number, min(_BINS, number), endpoint=False).astype(np.int64)


def _running(values: Floats, wide: int) -> Floats:
    """Return centred means of ``wide`` values, of those there are; a gap stays one."""
    there = ~np.isnan(values)
    box = np.ones(wide)
    sums = np.convolve(np.where(there, values, 0), box, "same")
    return np.where(there, sums / np.maximum(np.convolve(there, box, "same"), 1), nan)


def _legend(axes: "Axes") -> None:
    axes.legend(
        loc="lower left", bbox_to_anchor=(0, 1), ncols=9, columnspacing=1.1, handlelength=1,
        borderaxespad=0.2, fontsize=9,
    )  # fmt: skip


def _ends(values: Floats) -> str:
    """Return the first and the last value there is, in words."""
    there = values[~np.isnan(values)]
    return f"{there[0]:.4g} to {there[-1]:.4g}" if len(there) else "never a number"
