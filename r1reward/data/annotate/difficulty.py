"""Counts of attempts by source, and their table."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from rich.console import Console
from rich.table import Table

from r1reward.core.verdict import ParseFailure, Verdict
from r1reward.machine.ticker import Ticker, Watched
from r1reward.store.answers import USAGE, AnswerRow, Usage


@dataclass
class Tally:
    """The records of one source.

    Attributes:
        solved: number of the right attempt -> records.
        unsolved: records without a right answer.
        failed: records whose difficulty is not known, since a call failed for good.
        formatted: solved records whose answer has the asked format.
        unreadable: why an answer could not be read -> answers.
    """

    solved: Counter[int] = field(default_factory=Counter)
    unsolved: int = 0
    failed: int = 0
    formatted: int = 0
    unreadable: Counter[str] = field(default_factory=Counter)

    @property
    def records(self) -> int:
        """Number of records."""
        return self.sft + self.unsolved + self.failed

    @property
    def sft(self) -> int:
        """Number of records with an answer to imitate: the solved ones."""
        return self.solved.total()

    @property
    def rl(self) -> int:
        """Number of records worth training on: two attempts or more, or unsolved."""
        return self.sft - self.solved[1] + self.unsolved

    def to_dict(self) -> dict[str, object]:
        """Return the counts as JSON has them."""
        solved = {str(attempt): self.solved[attempt] for attempt in sorted(self.solved)}
        counts = {"records": self.records, "solved": solved, "unsolved": self.unsolved}
        counts |= {"failed": self.failed, "sft": self.sft, "sft_formatted": self.formatted}
        return counts | {"rl": self.rl, "unreadable": dict(sorted(self.unreadable.items()))}


@dataclass
class Difficulty:
    """All counts of a data set.

    Attributes:
        sources: the records of each source.
        usage: tokens and dollars of all answers, those of earlier sessions included.
        retries: answers after the first to a record.
        repeated: retries that said word for word what the attempt before had said.
        rejected: rows that are no records.
    """

    sources: dict[str, Tally] = field(default_factory=dict)
    usage: dict[Usage, float] = field(default_factory=lambda: dict.fromkeys(USAGE, 0.0))
    retries: int = 0
    repeated: int = 0
    rejected: int = 0

    def of(self, source: str) -> Tally:
        """Return the counts of one source."""
        return self.sources.setdefault(source, Tally())

    def answer(
        self,
        tally: Tally,
        row: AnswerRow,
        verdict: Verdict | ParseFailure,
        before: str | None,
    ) -> None:
        """Count one answer of the journal; ``before`` is the text that it retries."""
        for key in USAGE:
            self.usage[key] += row[key]
        self.retries += before is not None
        self.repeated += before == row["text"]
        if isinstance(verdict, ParseFailure):
            tally.unreadable[verdict.reason] += 1

    def total(self) -> Tally:
        """Return the counts of all sources together."""
        total = Tally()
        for tally in self.sources.values():
            total.solved += tally.solved
            total.unreadable += tally.unreadable
            total.unsolved += tally.unsolved
            total.failed += tally.failed
            total.formatted += tally.formatted
        return total

    def to_dict(self) -> dict[str, Any]:
        """Return the counts as JSON has them; the same whatever the order of the answers."""
        usage = {key: round(value, 6) for key, value in self.usage.items()}
        counts = {"retries": self.retries, "repeated": self.repeated, "rejected": self.rejected}
        sources = {name: self.sources[name].to_dict() for name in sorted(self.sources)}
        return {**self.total().to_dict(), **counts, "usage": usage, "by_source": sources}


class Annotated(Watched, Protocol):
    """A running annotation, whose answers are counted."""

    @property
    def difficulty(self) -> Difficulty:
        """The counts."""
        ...


class Meter(Ticker):
    """The line of a running annotation, with what all of its answers took."""

    def __init__(self, console: Console, watched: Annotated, rows: int) -> None:
        super().__init__(console, watched, rows)
        self._usage = watched.difficulty.usage

    def _text(self) -> str:
        return f"{super()._text()}; {_usage(self._usage)}"


def show(console: Console, found: Difficulty, attempts: int, seconds: float) -> None:
    """Print the table, and what its readers must know."""
    console.print(_table(found, attempts))
    total = found.total()
    console.print(
        f"RL (two attempts or more, or unsolved): {total.rl} records; SFT (solved): {total.sft}, "
        f"{total.formatted} of them in the asked format",
        markup=False,
    )
    if total.unreadable:
        reasons = ", ".join(f"{reason} {n}" for reason, n in total.unreadable.most_common())
        console.print(f"unreadable answers: {reasons}", markup=False)
    if found.repeated:
        console.print(
            f"{found.repeated} of {found.retries} retries said word for word what was said before",
            markup=False,
        )
    console.print(f"{seconds:.1f} s; {_usage(found.usage)}", markup=False)
    for warning in _warnings(found, total):
        console.print("[yellow]warning[/]", end=" ")
        console.print(warning, markup=False)


def _warnings(found: Difficulty, total: Tally) -> Iterator[str]:
    if total.failed:
        yield (
            f"{total.failed} records failed and have no difficulty; report.jsonl lists them. The "
            "same command asks them again."
        )
    if found.rejected:
        yield f"{found.rejected} rows are no records and were left out; report.jsonl lists them"


def _table(found: Difficulty, attempts: int) -> Table:
    table = Table(title="attempts until right", title_justify="left", title_style="bold")
    solved = [f"solved at {attempt}" for attempt in range(1, attempts + 1)]
    columns = ["source", "records", *solved, "unsolved", "failed", "unreadable answers"]
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left")
    for name in sorted(found.sources):
        table.add_row(*_cells(name, found.sources[name], attempts))
    table.add_section()
    table.add_row(*_cells("all", found.total(), attempts))
    coin = [f"{0.5**attempt:.1%}" for attempt in range(1, attempts + 1)]
    table.add_row("a coin would have", "", *coin, coin[-1], "", "")
    return table


def _cells(name: str, tally: Tally, attempts: int) -> Iterable[str]:
    def share(count: int) -> str:
        known = tally.records - tally.failed
        return f"{count} ({count / known:.1%})" if known else "-"

    yield from (name, str(tally.records))
    yield from (share(tally.solved[attempt]) for attempt in range(1, attempts + 1))
    yield from (share(tally.unsolved), str(tally.failed), str(tally.unreadable.total()))


def _usage(usage: Mapping[Usage, float]) -> str:
    read, written, cost = (usage[key] for key in USAGE)
    dollars = f", ${cost:.2f}" if cost else ""
    return f"{read:,.0f} tokens read, {written:,.0f} written{dollars}"
