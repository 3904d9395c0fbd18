"""A score beside published rows, each with the grouping and the order it was obtained under."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from r1reward.eval.report.published import PublishedRow, PublishedTable, published
from r1reward.eval.score.intervals import Rate
from r1reward.eval.score.scoring import Grouping, Score

_NONE = "–"


@dataclass(frozen=True, slots=True)
class Row:
    """One judge; ``here`` when this evaluation measured it, else a paper did."""

    judge: str
    cells: tuple[str, ...]
    grouping: str
    order: str
    source: str
    here: bool


@dataclass(frozen=True, slots=True)
class Board:
    """One published table with this score among its rows, the best micro average first."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]


def leaderboards(score: Score, judge: str) -> list[Board]:
    """Return a board for each published table; none for a benchmark that no paper reports."""
    return [_board(table, score, judge) for table in published(score.benchmark)]


def _board(table: PublishedTable, score: Score, judge: str) -> Board:
    columns = tuple(dict.fromkeys(name for row in table.rows for name in row.values))
    ranked = [(_rank(row.values, table), _published(row, columns)) for row in table.rows]
    for grouping in score.groupings:
        values = dict(_measured(grouping, score, columns, table.aggregates))
        ranked.append((_rank(values, table), _row(grouping, score, judge, columns, values)))
    ranked.sort(key=lambda pair: -pair[0])
    return Board(f"{table.paper}, {table.table}", columns, tuple(row for _, row in ranked))


def _rank(values: Mapping[str, float], table: PublishedTable) -> float:
    by = next(iter(table.aggregates), "")
    return values.get(by, float("-inf"))


def _measured(
    grouping: Grouping, score: Score, columns: tuple[str, ...], aggregates: Mapping[str, str]
) -> Iterator[tuple[str, float]]:
    rates: dict[str, Rate | None] = {group.name: group.accuracy for group in grouping.groups}
    known = {"micro": grouping.micro, "macro": grouping.macro, "acc_plus": score.overall.acc_plus}
    rates |= {column: known[kind] for column, kind in aggregates.items()}
    for column in columns:
        rate = rates.get(column)
        if rate is not None and rate.value is not None:
            yield column, 100 * rate.value


def _published(row: PublishedRow, columns: tuple[str, ...]) -> Row:
    return Row(
        judge=row.judge,
        cells=_cells(row.values, columns),
        grouping=row.grouping or "not stated",
        order=row.order or "not stated",
        source=f"published; {row.note}" if row.note else "published",
        here=False,
    )


def _row(
    grouping: Grouping,
    score: Score,
    judge: str,
    columns: tuple[str, ...],
    values: Mapping[str, float],
) -> Row:
    return Row(
        judge=judge,
        cells=_cells(values, columns),
        grouping=grouping.name,
        order=score.protocol.order,
        source=f"measured here, protocol {score.protocol.name}",
        here=True,
    )


def _cells(values: Mapping[str, float], columns: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"{values[name]:.2f}" if name in values else _NONE for name in columns)
