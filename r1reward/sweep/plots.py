"""The plots of a sweep: parallel coordinates, and curves over steps with a band over seeds."""

from collections.abc import Sequence
from math import isfinite, log10
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup

from r1reward.config.objective import Objective
from r1reward.core.intervals import t_interval
from r1reward.pages.html import INK, PALETTE, drawing, svg
from r1reward.sweep.analysis import Configuration, as_numbers
from r1reward.sweep.job import names

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_AXES = 10  # parallel ones, at most
_CURVES = len(PALETTE)
_DECADES = 1  # numbers that span that many are drawn on a logarithmic axis


def parallel(found: Sequence[Configuration], objectives: Sequence[Objective]) -> Markup:
    """Return a line for each configuration through the values of its parameters and its results.

    Args:
        found: the best first; those without a result are left out.
        objectives: an axis each, after those of the parameters; the first one colours.
    """
    from matplotlib import colormaps

    shown = [one for one in found if all(map(isfinite, one.values))]
    keys = list(shown[0].settings)[: _AXES - len(objectives)] if shown else []
    if not keys:
        return Markup("")
    columns = [_places([one.settings[key] for one in shown]) for key in keys]
    columns += [_numeric(list(values)) for values in zip(*(c.values for c in shown), strict=True)]
    labels = [*names(keys).values(), *(objective.metric for objective in objectives)]
    with drawing(11.2, 3.6) as figure:
        axes = figure.add_subplot()
        heights = np.array([places for places, _ in columns])
        colour = colormaps["viridis"]
        first = heights[len(keys)]
        for place in range(len(shown) - 1, -1, -1):
            line = heights[:, place]
            best = place == 0
            axes.plot(
                range(len(columns)), line, color=PALETTE[5] if best else colour(first[place]),
                linewidth=2.4 if best else 1.1, alpha=1 if best else 0.75, marker="o",
                markersize=3, zorder=3 if best else 2, label="best" if best else None,
            )  # fmt: skip
        for place, (_, ticks) in enumerate(columns):
            axes.axvline(place, color=INK, linewidth=0.8, zorder=1)
            for height, text in ticks:
                axes.annotate(
                    text, (place, height), xytext=(4, 2), textcoords="offset points", fontsize=8
                )
        axes.set_xticks(range(len(labels)), labels)
        axes.set_xlim(-0.1, len(labels) - 0.6)
        axes.set_ylim(-0.06, 1.1)
        axes.set_yticks([])
        axes.spines[["left", "bottom"]].set_visible(False)
        axes.legend(loc="upper left", bbox_to_anchor=(0, 1.12))
        return svg(figure, f"parallel coordinates of {len(shown)} configurations")


_Column = tuple[list[float], list[tuple[float, str]]]


def _places(texts: Sequence[str]) -> _Column:
    """Return a height in [0, 1] for each value, and the ticks of its axis."""
    numbers = as_numbers(texts)
    if numbers is not None:
        return _numeric(numbers)
    kinds = sorted(set(texts))
    heights = {text: place / max(1, len(kinds) - 1) for place, text in enumerate(kinds)}
    return [heights[text] for text in texts], [(heights[text], text) for text in kinds]


def _numeric(numbers: Sequence[float]) -> _Column:
    low, high = min(numbers), max(numbers)
    if low == high:
        return [0.5] * len(numbers), [(0.5, f"{low:.3g}")]
    if low > 0 and log10(high / low) >= _DECADES:
        scaled = [log10(number / low) / log10(high / low) for number in numbers]
    else:
        scaled = [(number - low) / (high - low) for number in numbers]
    different = sorted(set(zip(scaled, numbers, strict=True)))
    ticks = different if len(different) <= 5 else [different[0], different[-1]]
    return scaled, [(height, f"{number:.3g}") for height, number in ticks]


def curves(found: Sequence[Configuration]) -> Markup:
    """Return validation accuracy over the steps, mean and 95% interval over seeds, of the best."""
    drawn = [(one, _validations(one)) for one in found]
    drawn = [(one, points) for one, points in drawn if points][:_CURVES]
    if not drawn:
        return Markup("")
    with drawing(11.2, 3.6) as figure:
        axes = figure.add_subplot()
        for (one, points), colour in zip(drawn, PALETTE, strict=False):
            steps = sorted(points)
            means = [t_interval(points[step]) for step in steps]
            axes.plot(
                steps, [100 * mean.value for mean in means], color=colour, marker="o",
                markersize=3, label=f"{one.label} (n {max(mean.n for mean in means)})",
            )  # fmt: skip
            band = [
                (step, 100 * mean.low, 100 * mean.high)
                for step, mean in zip(steps, means, strict=True)
                if mean.low is not None and mean.high is not None
            ]
            if band:
                place, low, high = zip(*band, strict=True)
                axes.fill_between(place, low, high, color=colour, alpha=0.15, linewidth=0)
        axes.set_xlabel("step")
        axes.set_ylabel("%")
        _within(
            axes, [100 * value for _, points in drawn for row in points.values() for value in row]
        )
        axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1))
        return svg(figure, f"validation accuracy over steps of {len(drawn)} configurations")


def _within(axes: "Axes", values: Sequence[float]) -> None:
    """An interval of two seeds can be wider than any accuracy: the axis follows the runs."""
    low, high = min(values), max(values)
    room = max(5.0, 0.5 * (high - low))
    axes.set_ylim(max(0.0, low - room), min(101.0, high + room))


def _validations(one: Configuration) -> dict[int, list[float]]:
    points: dict[int, list[float]] = {}
    for result in one.results:
        for row in result.job.run.history("validation"):
            if row.get("n"):
                points.setdefault(row["step"], []).append(row["correct"] / row["n"])
    return points
