"""The plots of an evaluation report; every point has its 95% interval."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from r1reward.eval.score.intervals import Rate
from r1reward.eval.score.scoring import Metrics, VotePoint
from r1reward.pages.html import INK, PALETTE, drawing, svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDTH, _ROW = 8.2, 0.36  # inches
_CHANCE: Any = {"color": INK, "linestyle": ":", "linewidth": 1, "zorder": 0}


def group_bars(groups: Sequence[Metrics]) -> Markup:
    """Return the accuracy of each group as a bar."""
    known = [(group.name, group.accuracy) for group in groups if group.accuracy.value is not None]
    with drawing(_WIDTH, _height(len(known))) as figure:
        axes = _axes(figure, [f"{name} ({rate.n:g})" for name, rate in known])
        values = [100 * (rate.value or 0) for _, rate in known]
        axes.barh(range(len(known)), values, height=0.62, color=PALETTE[0], alpha=0.85)
        for place, (_, rate) in enumerate(known):
            _whisker(axes, place, rate, INK)
        return svg(figure, "accuracy of each group: " + _words(known))


def rate_dots(rates: Mapping[str, Rate]) -> Markup:
    """Return a dot for each rate, by name."""
    known = [(name, rate) for name, rate in rates.items() if rate.value is not None]
    with drawing(_WIDTH, _height(len(known))) as figure:
        axes = _axes(figure, [name for name, _ in known])
        for place, (_, rate) in enumerate(known):
            _whisker(axes, place, rate, PALETTE[0])
        values = [100 * (rate.value or 0) for _, rate in known]
        axes.scatter(values, range(len(known)), s=46, color=PALETTE[0], zorder=3, clip_on=False)
        return svg(figure, "accuracy: " + _words(known))


def order_dots(rows: Sequence[Metrics]) -> Markup:
    """Return accuracy with the better response first and second, a pair of dots a row."""
    with drawing(_WIDTH, _height(len(rows)) + 0.35) as figure:
        axes = _axes(figure, [row.name for row in rows])
        for place, row in enumerate(rows):
            first, second = row.accuracy_first.value, row.accuracy_second.value
            if first is not None and second is not None:
                ends = [100 * first, 100 * second]
                axes.plot(ends, [place, place], color=INK, alpha=0.45, linewidth=2, zorder=1)
        for label, colour, offset, rates in (
            ("better answer first", PALETTE[0], -0.11, [row.accuracy_first for row in rows]),
            ("better answer second", PALETTE[1], 0.11, [row.accuracy_second for row in rows]),
        ):
            there = [(place, rate) for place, rate in enumerate(rates) if rate.value is not None]
            for place, rate in there:
                _whisker(axes, place + offset, rate, colour)
            values = [100 * (rate.value or 0) for _, rate in there]
            places = [place for place, _ in there]
            axes.scatter(values, places, s=46, color=colour, label=label, zorder=3, clip_on=False)
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
        said = [(row.name, rate) for row in rows for rate in (row.accuracy_first,)]
        return svg(figure, "accuracy with the better answer first: " + _words(said))


def vote_curve(curve: Sequence[VotePoint]) -> Markup:
    """Return the majority of k votes against k, with its band, and any-right beside its chance."""
    from matplotlib.ticker import MaxNLocator

    with drawing(_WIDTH, 3.4) as figure:
        axes = figure.add_subplot()
        votes = [point.votes for point in curve]
        axes.plot(
            votes, _percent([p.accuracy.value for p in curve]), color=PALETTE[0], marker="o", ms=4,
            label="majority",
        )  # fmt: skip
        bands = [point.accuracy.interval for point in curve]
        axes.fill_between(
            votes,
            _percent([band.low if band else None for band in bands]),
            _percent([band.high if band else None for band in bands]),
            color=PALETTE[0], alpha=0.2, linewidth=0,
        )  # fmt: skip
        axes.plot(
            votes, _percent([p.any_right for p in curve]), color=PALETTE[1], label="any of k right"
        )
        axes.plot(
            votes, _percent([p.any_chance for p in curve]), color=PALETTE[1], linestyle=":",
            label="any of k, a coin",
        )  # fmt: skip
        axes.axhline(50, **_CHANCE)
        axes.set(xlabel="votes", ylabel="%", ylim=(0, 102))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend(loc="lower right")
        last = curve[-1]
        return svg(
            figure, f"{last.votes} votes: majority {_percent([last.accuracy.value])[0]:.1f}%"
        )


def _axes(figure: "Figure", names: Sequence[str]) -> "Axes":
    axes = figure.add_subplot()
    axes.set(xlim=(-0.5, 100.5), xlabel="accuracy, %", ylim=(len(names) - 0.45, -0.55))
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(axis="y", length=0)
    axes.axvline(50, **_CHANCE)
    return axes


def _whisker(axes: "Axes", place: float, rate: Rate, colour: str) -> None:
    if rate.interval is not None:
        ends = [100 * rate.interval.low, 100 * rate.interval.high]
        axes.plot(ends, [place, place], color=colour, linewidth=1.3, marker="|", ms=7, zorder=2)


def _height(rows: int) -> float:
    return 0.75 + _ROW * max(rows, 1)


def _percent(values: Sequence[float | None]) -> list[float]:
    return [float("nan") if value is None else 100 * value for value in values]


def _words(rates: Sequence[tuple[str, Rate]]) -> str:
    return ", ".join(f"{name} {rate.value:.1%}" for name, rate in rates if rate.value is not None)
