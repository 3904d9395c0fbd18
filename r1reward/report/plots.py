"""The curves of a run report, over its steps."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan
from typing import Any

import numpy as np
from markupsafe import Markup

from r1reward.page import INK, PALETTE, drawing, svg
from r1reward.report.story import Floats, Story
from r1reward.stats import wilson_interval

_WIDE, _NARROW, _HEIGHT = 11.2, 5.4, 2.6  # inches
_DOTS = 40  # points, at most, that are marked one by one
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
        axes = _axes(figure, "%")
        shown: list[float] = []
        if metric in told.series:
            values = 100 * told.series[metric]
            _line(axes, told.steps, values, PALETTE[1], "training batches, sampled", alpha=0.8)
            shown += values[~np.isnan(values)].tolist()
        if told.validations:
            steps = [row["step"] for row in told.validations]
            counts = [(row["correct"], row["n"]) for row in told.validations]
            ends = 100 * np.array([wilson_interval(*count) for count in counts])
            share = np.array([100 * right / n if n else nan for right, n in counts])
            axes.fill_between(
                steps, ends[:, 0], ends[:, 1], color=PALETTE[0], alpha=0.16, linewidth=0,
                label="95% interval",
            )  # fmt: skip
            if len(steps) == 1:
                axes.plot(2 * steps, ends[0], color=PALETTE[0], linewidth=1.3, marker="_")
            _line(axes, steps, share, PALETTE[0], "validation, unseen", width=2.2)
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
        axes = _axes(figure, panel.unit)
        if panel.band and all(key in told.series for key in panel.band):
            low, high = (scale * told.series[key] for key in panel.band)
            axes.fill_between(
                told.steps, low, high, color=PALETTE[0], alpha=0.14, linewidth=0,
                label="smallest to largest",
            )  # fmt: skip
        for (name, key), colour in zip(found.items(), PALETTE, strict=False):
            _line(axes, told.steps, scale * told.series[key], colour, name)
        axes.margins(y=0.08)
        if axes.get_ylim()[0] > 0 and panel.unit in ("%", "s", "tokens"):
            axes.set_ylim(0, 1.08 * axes.get_ylim()[1])
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
        axes = _axes(figure, "seconds a step")
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


def _axes(figure: Any, unit: str) -> Any:
    from matplotlib.ticker import MaxNLocator

    axes = figure.add_subplot()
    axes.set(xlabel="step", ylabel=unit)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.grid(axis="y", color=INK, alpha=0.1, linewidth=0.8)
    axes.set_axisbelow(True)
    return axes


def _line(
    axes: Any,
    steps: Sequence[int] | Any,
    values: Floats,
    colour: str,
    label: str,
    width: float = 1.6,
    alpha: float = 1.0,
) -> None:
    """Draw a line with gaps where there is no value; a value between two gaps is a dot."""
    dots = len(steps) <= _DOTS
    axes.plot(
        steps, values, color=colour, linewidth=width, alpha=alpha, label=label,
        marker="o" if dots else None, ms=3.5,
    )  # fmt: skip
    if not dots:
        there = np.pad(~np.isnan(values), 1)
        alone = there[1:-1] & ~there[:-2] & ~there[2:]
        axes.plot(np.asarray(steps)[alone], values[alone], "o", color=colour, ms=2.5, alpha=alpha)


def _legend(axes: Any) -> None:
    axes.legend(
        loc="lower left", bbox_to_anchor=(0, 1), ncols=9, columnspacing=1.1, handlelength=1,
        borderaxespad=0.2, fontsize=9,
    )  # fmt: skip


def _ends(values: Floats) -> str:
    """Return the first and the last value there is, in words."""
    there = values[~np.isnan(values)]
    return f"{there[0]:.4g} to {there[-1]:.4g}" if len(there) else "never a number"
