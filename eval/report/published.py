"""Figures that papers report for our benchmarks, with what is known of how they came about."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

_FILE = Path(__file__).with_suffix(".yaml")


@dataclass(frozen=True, slots=True)
class PublishedRow:
    """One judge's figures.

    Attributes:
        judge: as the paper calls it.
        values: column -> percent, in the order of the paper; empty for a run that collapsed.
        grouping: of the benchmark's groupings, the one that the columns follow; None: unknown.
        order: of :class:`r1reward.judge.protocol.Protocol`; None: unknown.
        note: what a reader must know beside the figures.
    """

    judge: str
    values: Mapping[str, float]
    grouping: str | None = None
    order: str | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True)
class PublishedTable:
    """One table of one paper.

    Attributes:
        paper: its arXiv number.
        table: which of its tables.
        aggregates: column -> what :class:`.scoring.Score` calls it; the others are groups.
        rows: in the order of the paper.
    """

    paper: str
    table: str
    aggregates: Mapping[str, Literal["micro", "macro", "acc_plus"]]
    rows: tuple[PublishedRow, ...]


def published(benchmark: str) -> tuple[PublishedTable, ...]:
    """Return what is published of a benchmark; nothing for one that no paper reports."""
    content = yaml.safe_load(_FILE.read_text(encoding="utf-8"))
    return tuple(_table(**table) for table in content.get(benchmark, ()))


def _table(
    columns: list[str],
    rows: list[dict[str, Any]],
    grouping: str | None = None,
    **table: Any,
) -> PublishedTable:
    return PublishedTable(
        **table, rows=tuple(_row(columns, **{"grouping": grouping, **row}) for row in rows)
    )


def _row(columns: list[str], values: list[float], **row: Any) -> PublishedRow:
    # A run that collapsed has a row without figures.
    return PublishedRow(values=dict(zip(columns, values, strict=True)) if values else {}, **row)
