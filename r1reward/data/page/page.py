"""Page of a data set, for people."""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from r1reward.core.intervals import wilson_interval
from r1reward.data.mix.keys import UNKNOWN, UNSOLVED
from r1reward.data.page.survey import Survey
from r1reward.data.validate.rows import UNDETERMINED
from r1reward.pages.html import PALETTE, drawing, render, svg
from r1reward.store.shards import read_manifest

Table = NDArray[np.void]  # rows or sizes of a survey
Numbers = NDArray[np.int64]
Mask = NDArray[np.bool_]
_CERTAIN = 0.999  # of an imbalance that is worth a warning: there may be many sources
_TAGS = {"": "all", "longer": "longer is better", "shorter": "shorter is better"}


def page(found: Survey, path: Path, settings: Mapping[str, object], command: str) -> str:
    """Return the page of a data set.

    Args:
        found: what was measured.
        path: the data set.
        settings: of the command.
        command: how the page was made.
    """
    rows = found.rows
    groups = _groups(found)
    annotated = bool((rows["difficulty"] != UNKNOWN).any())
    facets = [("source", "all sources"), ("label", "either answer is better")]
    facets += [("difficulty", "every difficulty")] if annotated else []
    return render(
        "r1reward",
        "data.html",
        title=path.resolve().name,
        cards=list(_cards(found, annotated)),
        warnings=list(_warnings(found)),
        faults=[detail for _, first in found.faults.values() for detail in first],
        counts=_counts(groups, len(rows)),
        labels=[_share(name, part["label"] == 1) for name, part in groups],
        longer=[
            _share(name, (part["better"] > part["worse"])[part["better"] != part["worse"]])
            for name, part in groups
        ],
        ratios=[_ratio(name, part) for name, part in groups if len(part)],
        lengths_plot=_lengths(rows) if len(rows) else Markup(""),
        sizes_plot=_sizes(found.sizes) if len(found.sizes) else Markup(""),
        media=_bars(_per_record(rows["media"]), str),
        languages=_bars(dict(found.languages.most_common(12)), _language_name),
        difficulties=_difficulties(groups) if annotated else None,
        told=found.languages.total(),
        total=len(rows),
        tags=_TAGS.items(),
        facets=facets,
        data={"items": [card for _, card in found.cards], "images": found.images},
        command=command,
        manifest=_manifest(path),
        settings=json.dumps(settings, indent=1, ensure_ascii=False),
    )


def _groups(found: Survey) -> list[tuple[str, Table]]:
    """Return all rows, where there is more than one source, and those of each, most first."""
    parts = [
        (name, found.rows[found.rows["source"] == code]) for code, name in enumerate(found.sources)
    ]
    parts.sort(key=lambda part: -len(part[1]))
    return [("all", found.rows), *parts] if len(parts) != 1 else parts


def _counts(groups: list[tuple[str, Table]], total: int) -> list[dict[str, object]]:
    """Return the table of sources."""
    return [
        {
            "name": name,
            "rows": f"{len(part):,}",
            "share": f"{len(part) / max(total, 1):.1%}",
            "width": 100 * len(part) / max(total, 1),
            **{key: _median(part[key]) for key in ("question", "better", "worse")},
            "media": f"{part['media'].mean():.2f}" if len(part) else "–",
        }
        for name, part in groups
    ]


def _median(values: Numbers) -> str:
    return f"{np.median(values):,.0f}" if len(values) else "–"


def _share(name: str, hits: Mask) -> dict[str, object]:
    """Return a share with its 95% interval (Wilson's), in percent."""
    if not len(hits):
        return {"name": name, "n": 0, "text": "–", "interval": ""}
    value = 100 * float(hits.mean())
    low, high = (100 * end for end in wilson_interval(int(hits.sum()), len(hits)))
    interval = f"{low:.1f} to {high:.1f}"
    ends = {"low": low, "high": high, "value": value}
    return {"name": name, "n": len(hits), "text": f"{value:.1f}%", "interval": interval, **ends}


def _ratio(name: str, part: Table) -> dict[str, object]:
    """Return the spread of the better answer's length, in lengths of the worse one.

    Places are those of a scale from an eighth to eight times, in percent.
    """
    quantiles = np.quantile(np.log2(part["better"] / part["worse"]), (0.05, 0.25, 0.5, 0.75, 0.95))
    ends = np.clip((quantiles + 3) / 6, 0, 1) * 100
    names = ("low", "first", "value", "third", "high")
    median, low, high = (f"{2 ** quantiles[place]:.2f}" for place in (2, 1, 3))
    text = {"name": name, "text": f"{median}×", "interval": f"{low} to {high}"}
    return text | dict(zip(names, ends.tolist(), strict=True))


def _bars(counts: Mapping[Any, int], name: Callable[[Any], str]) -> list[dict[str, object]]:
    """Return a bar for each value, in their order."""
    total, most = sum(counts.values()), max(counts.values(), default=1)
    return [
        {
            "name": name(value),
            "width": 100 * number / most,
            "text": f"{number:,}",
            "share": f"{number / total:.1%}",
        }
        for value, number in counts.items()
    ]


def _per_record(media: Numbers) -> dict[str, int]:
    """Return how many records have how many images and videos."""
    numbers = np.bincount(np.minimum(media, 5), minlength=6).tolist()
    names = ("none", "1", "2", "3", "4", "5 or more")
    return {name: number for name, number in zip(names, numbers, strict=True) if number}


def _language_name(code: str) -> str:
    return "not clear" if code == UNDETERMINED else code


def _difficulties(groups: list[tuple[str, Table]]) -> dict[str, object]:
    """Return how many attempts the records of each group took, as parts of a bar."""
    values = np.unique(groups[0][1]["difficulty"]).tolist()
    values.sort(key=lambda value: (value == UNKNOWN, value == UNSOLVED, value))
    bars = []
    for name, part in groups:
        numbers = [int((part["difficulty"] == value).sum()) for value in values]
        shares = [100 * number / max(len(part), 1) for number in numbers]
        bars.append({"name": name, "numbers": numbers, "shares": shares})
    return {"kinds": [_kind(value) for value in values], "bars": bars}


def _kind(value: int) -> dict[str, str]:
    if value == UNKNOWN:
        return {"name": "not annotated", "short": "none", "colour": "var(--line)"}
    if value == UNSOLVED:
        return {"name": "unsolved", "short": "unsolved", "colour": PALETTE[-1]}
    colour = PALETTE[(value - 1) % (len(PALETTE) - 1)]
    return {"name": f"attempt {value}", "short": str(value), "colour": colour}


def _cards(found: Survey, annotated: bool) -> Iterator[dict[str, str]]:
    rows = found.rows
    sources = f"{len(found.sources)} source{'s' * (len(found.sources) != 1)}"
    yield {"name": "records", "value": f"{len(rows):,}", "note": sources}
    if not len(rows):
        return
    unequal = rows[rows["better"] != rows["worse"]]
    for name, hits in (
        ("answer 1 is the better one", rows["label"] == 1),
        ("the longer answer is the better one", unequal["better"] > unequal["worse"]),
    ):
        share = _share(name, hits)
        yield {"name": name, "value": str(share["text"]), "note": f"95%: {share['interval']}"}
    images, without = int(rows["media"].sum()), int((rows["media"] == 0).sum())
    bare = f"{without:,} records have none" if without else "every record has one or more"
    yield {"name": "images and videos", "value": f"{images:,}", "note": bare}
    answers = np.concatenate([rows["better"], rows["worse"]])
    note = f"characters; questions {_median(rows['question'])}"
    yield {"name": "median answer", "value": _median(answers), "note": note}
    if annotated:
        known = rows["difficulty"][rows["difficulty"] != UNKNOWN]
        share = _share("", known == 1)
        hard = f"{int((known != 1).sum()):,} took more, or are unsolved"
        yield {"name": "solved at the first attempt", "value": str(share["text"]), "note": hard}


def _warnings(found: Survey) -> Iterator[str]:
    kinds = {
        "record": "rows that are no records are not counted here",
        "image": "images that cannot be opened are in no count of sizes",
    }
    for kind, (number, _) in found.faults.items():
        yield f"{number:,} {kinds[kind]}; validate the data set to see every one."
    biased = []
    for name, part in _groups(found):
        low, high = wilson_interval(int((part["label"] == 1).sum()), len(part), _CERTAIN)
        if not low <= 0.5 <= high:
            biased.append(f"{name} ({(part['label'] == 1).mean():.1%})")
    if biased:
        yield (
            f"Answer 1 is not the better one for half of the records: {', '.join(biased)}. A judge "
            "that prefers a place learns that it is right to."
        )


def _lengths(rows: Table) -> Markup:
    """Draw how long questions and answers are."""
    edges = 2.0 ** np.arange(0, 21, 0.25)
    with drawing(4.7, 2.9) as figure:
        axes = figure.add_subplot()
        texts = (
            ("question", "question"),
            ("better", "better answer"),
            ("worse", "worse answer"),
        )
        for (key, name), colour in zip(texts, PALETTE, strict=False):
            counts, _ = np.histogram(rows[key], edges)
            axes.stairs(counts, edges, color=colour, linewidth=1.6, label=name)
        used = np.concatenate([rows[key] for key, _ in texts])
        axes.set(xscale="log", xlabel="characters", ylabel="records")
        axes.set_xlim(max(1, used.min() / 1.4), used.max() * 1.4)
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.yaxis.set_major_formatter("{x:,.0f}")
        axes.legend(
            loc="lower right", bbox_to_anchor=(1, 1), ncols=3, columnspacing=1, handlelength=1
        )
        said = ", ".join(f"{name} {_median(rows[key])}" for key, name in texts)
        return svg(figure, f"lengths in characters; medians: {said}")


def _sizes(sizes: Table) -> Markup:
    """Draw how large the images are: a dot for those of about one size."""
    from matplotlib.ticker import LogLocator, NullLocator

    shape = np.stack([sizes["width"], sizes["height"]])
    rounded = 2.0 ** (np.round(np.log2(shape) * 4) / 4)
    places, counts = np.unique(rounded, axis=1, return_counts=True)
    with drawing(4.7, 3.6) as figure:
        axes = figure.add_subplot()
        area = 12 + 500 * counts / counts.max()
        axes.scatter(places[0], places[1], s=area, color=PALETTE[0], alpha=0.55, linewidth=0)
        low, high = shape.min() / 1.5, shape.max() * 1.5
        axes.set(xscale="log", yscale="log", xlim=(low, high), ylim=(low, high))
        axes.set(xlabel="width, pixels", ylabel="height, pixels")
        axes.set_aspect("equal")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(LogLocator(4, numticks=6))
            axis.set_minor_locator(NullLocator())
            axis.set_major_formatter("{x:,.0f}")
        width, height = np.median(shape, axis=1)
        return svg(
            figure, f"sizes of {len(sizes)} images; median {width:.0f} by {height:.0f} pixels"
        )


def _manifest(path: Path) -> str:
    content = read_manifest(path) if path.is_dir() else None
    if content is None:
        return ""
    shards = content.pop("shards", [])
    content["shards"] = len(shards)
    return json.dumps(content, indent=1, ensure_ascii=False)
