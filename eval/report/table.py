"""A score in the terminal: every number with its interval; and the line of a running evaluation."""

from collections.abc import Iterable, Mapping, Sequence

from rich.console import Console
from rich.table import Table

from r1reward.eval.score.intervals import Rate
from r1reward.eval.score.scoring import Grouping, Metrics, Score, VotePoint


def show(
    console: Console,
    score: Score,
    notes: Sequence[str],
    usage: Mapping[str, float],
    seconds: float,
) -> None:
    """Print the tables of one score, and what its readers must know."""
    console.print(_overall(score))
    for grouping in score.groupings:
        console.print(_grouping(grouping))
    if len(score.vote_curve) > 1:
        console.print(_votes(score.vote_curve))
    if score.failures:
        reasons = ", ".join(f"{reason} {n}" for reason, n in score.failures.items())
        console.print(f"unreadable votes: {reasons}", markup=False)
    read, written = usage.get("prompt_tokens", 0), usage.get("completion_tokens", 0)
    cost = f", ${usage['cost']:.2f}" if usage.get("cost") else ""
    console.print(f"{seconds:.1f} s; {read:,.0f} tokens read, {written:,.0f} written{cost}")
    for warning in (*score.warnings, *notes):
        console.print("[yellow]warning[/]", end=" ")
        console.print(warning, markup=False)


def rate_text(rate: Rate | None) -> str:
    """Return ``50.0% (46.1 to 53.9)``, or a dash where there is nothing to say."""
    if rate is None or rate.value is None:
        return "-"
    if rate.interval is None:
        return f"{rate.value:.1%}"
    return f"{rate.value:.1%} ({rate.interval.low * 100:.1f} to {rate.interval.high * 100:.1f})"


def _overall(score: Score) -> Table:
    protocol, found = score.protocol, score.overall
    votes = f", {protocol.votes} votes" if protocol.votes > 1 else ""
    title = f"{score.benchmark}, protocol {protocol.name} (order {protocol.order}{votes})"
    table = _table(title, ["", f"{found.items} items, {found.clusters} clusters (95% interval)"])
    rows = {
        "accuracy": found.accuracy,
        "better response first": None if protocol.mixes_orders else found.accuracy_first,
        "better response second": None if protocol.mixes_orders else found.accuracy_second,
        "right in both orders": found.consistent,
        "flips with the order": found.flips,
        "says 1": found.first_position,
        "unreadable": found.parse_failures,
        "all pairs of a cluster (Acc+)": found.acc_plus,
        "the same in both orders": found.consistent_plus,
    }
    for name, rate in rows.items():
        if rate is not None:
            table.add_row(name, rate_text(rate))
    return table


def _grouping(grouping: Grouping) -> Table:
    columns = ["group", "items", "accuracy", "both orders", "says 1", "unreadable"]
    plus = any(group.acc_plus is not None for group in grouping.groups)
    table = _table(
        f"grouping {grouping.name}: {grouping.source}", [*columns, *(["Acc+"] if plus else [])]
    )
    for group in grouping.groups:
        table.add_row(*_cells(group, plus))
    table.add_section()
    items = sum(group.items for group in grouping.groups)
    table.add_row("micro", str(items), rate_text(grouping.micro))
    table.add_row("macro", str(items), rate_text(grouping.macro))
    return table


def _cells(group: Metrics, plus: bool) -> Iterable[str]:
    yield from (group.name, str(group.items), rate_text(group.accuracy))
    yield from map(rate_text, (group.consistent, group.first_position, group.parse_failures))
    if plus:
        yield rate_text(group.acc_plus)


def _votes(curve: Sequence[VotePoint]) -> Table:
    columns = ["votes", "majority", "any of them right", "a coin would have"]
    table = _table("vote curve: the majority of k votes", columns)
    for point in curve:
        cells = (f"{point.any_right:.1%}", f"{point.any_chance:.1%}")
        table.add_row(str(point.votes), rate_text(point.accuracy), *cells)
    return table


def _table(title: str, columns: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold")
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left")
    return table
