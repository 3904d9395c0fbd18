"""The report of one evaluation: a single HTML file, readable without a network."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import yaml
from markupsafe import Markup

from r1reward.eval.report import plots
from r1reward.eval.report.browser import FILTERS, Judgements
from r1reward.eval.report.leaderboard import leaderboards
from r1reward.eval.score.intervals import Rate
from r1reward.eval.score.results import Results
from r1reward.eval.score.scoring import Grouping, Metrics, Score
from r1reward.pages.html import render

_COLUMNS = {
    "accuracy": "accuracy",
    "both orders": "consistent",
    "flips": "flips",
    "says 1": "first_position",
    "unreadable": "parse_failures",
    "Acc+": "acc_plus",
}
_CARDS = {
    "accuracy": "accuracy",
    "right in both orders": "consistent",
    "flips with the order": "flips",
    "says 1": "first_position",
    "unreadable": "parse_failures",
    "all pairs of a cluster (Acc+)": "acc_plus",
}


@dataclass(frozen=True, slots=True)
class Cell:
    """A rate and its interval, in words."""

    text: str
    interval: str = ""


def report(
    score: Score,
    results: Results,
    judgements: Judgements,
) -> str:
    """Return the page.

    Args:
        score: what to show.
        results: what ``results.json`` holds: judge, notes, faults, usage, timing, command,
            config, versions.
        judgements: of :func:`r1reward.eval.report.browser.judgements`; all of them or a sample.
    """
    boards = leaderboards(score, results["judge"])
    curve = score.vote_curve if len(score.vote_curve) > 1 else ()
    return render(
        "r1reward.eval",
        "report.html",
        title=f"{score.benchmark}: {results['judge']}",
        benchmark=score.benchmark,
        judge=results["judge"],
        protocol=score.protocol,
        when=datetime.now(UTC).strftime("%d %B %Y, %H:%M UTC"),
        sections=list(_sections(score, bool(boards))),
        cards=list(_cards(score, results)),
        warnings=[*score.warnings, *results["notes"]],
        groupings=[_grouping(grouping) for grouping in score.groupings],
        order_plot=Markup("")
        if score.protocol.mixes_orders
        else plots.order_dots([score.overall, *score.groupings[0].groups]),
        votes_plot=plots.vote_curve(curve) if curve else Markup(""),
        leaderboards=boards,
        browser_note=_browser_note(len(judgements["items"]), score.overall.items),
        filters=FILTERS.items(),
        data=judgements,
        command=results["command"],
        versions=", ".join(f"{name} {value}" for name, value in results["versions"].items()),
        faults=results["faults"],
        config=yaml.safe_dump(results["config"], sort_keys=False, allow_unicode=True),
    )


def _sections(score: Score, boards: bool) -> Iterator[tuple[str, str]]:
    yield "groups", "Groups"
    if not score.protocol.mixes_orders:
        yield "order", "Order"
    if len(score.vote_curve) > 1:
        yield "votes", "Votes"
    if boards:
        yield "leaderboard", "Published results"
    yield "judgements", "Judgements"
    yield "how", "How it was made"


def _cards(score: Score, results: Results) -> Iterator[dict[str, str]]:
    found = score.overall
    for name, field in _CARDS.items():
        rate = getattr(found, field)
        if rate is not None and rate.value is not None:
            cell = _cell(rate)
            yield {"name": name, "value": cell.text, "note": f"95%: {cell.interval}"}
    yield {"name": "items", "value": f"{found.items:,}", "note": f"{found.clusters:,} clusters"}
    usage, timing = results["usage"], results["timing"]
    tokens = f"{usage.get('completion_tokens', 0):,.0f}"
    read = f"{usage.get('prompt_tokens', 0):,.0f} read"
    yield {"name": "tokens written", "value": tokens, "note": read}
    reused = f"; {timing['reused']} answers were there" if timing["reused"] else ""
    yield {
        "name": "seconds",
        "value": f"{timing['seconds']:,.0f}",
        "note": f"{timing['asked']} answers asked{reused}",
    }
    if usage.get("cost"):
        yield {"name": "cost", "value": f"${usage['cost']:.2f}", "note": "at the prices configured"}


def _grouping(grouping: Grouping) -> dict[str, object]:
    columns = {
        name: field
        for name, field in _COLUMNS.items()
        if any(getattr(group, field) is not None for group in grouping.groups)
    }
    return {
        "name": grouping.name,
        "source": grouping.source,
        "plot": plots.group_bars(grouping.groups),
        "columns": list(columns),
        "rows": [_group(group, list(columns.values())) for group in grouping.groups],
        "micro": _cell(grouping.micro),
        "macro": _cell(grouping.macro),
    }


def _group(group: Metrics, fields: list[str]) -> dict[str, object]:
    cells = [_cell(getattr(group, field)) for field in fields]
    return {"name": group.name, "count": group.items, "cells": cells}


def _cell(rate: Rate | None) -> Cell:
    if rate is None or rate.value is None:
        return Cell("–")
    if rate.interval is None:
        return Cell(f"{rate.value:.1%}")
    low, high = 100 * rate.interval.low, 100 * rate.interval.high
    return Cell(f"{rate.value:.1%}", f"{low:.1f} to {high:.1f}")


def _browser_note(shown: int, items: int) -> str:
    if shown < items:
        return (
            f"{shown:,} of {items:,} items, drawn at random (report.judgements sets how many); "
            "journal.jsonl holds every answer."
        )
    return "Every item, with what the judge was shown and what it said."
