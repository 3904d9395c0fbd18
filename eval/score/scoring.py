"""Ballots -> score: both orders, consistency, failures, and an interval beside every number."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from r1reward.eval.benchmarks.base import Benchmark
from r1reward.eval.score.ballots import (
    Ballot,
    Category,
    Count,
    Tallies,
    count,
    expected,
    item_value,
)
from r1reward.eval.score.intervals import Floats, Rate, macro_rate, rates
from r1reward.judge.protocol import Parse, Protocol

SCHEMA = 1
# A number is mostly position bias when nearly all its prompts show the better response alike.
_ONE_SIDED = 0.9


@dataclass(frozen=True, slots=True)
class Metrics:
    """What a judge did on some items.

    Attributes:
        name: group, or ``overall``.
        items: how many.
        clusters: how many sets of dependent items.
        accuracy: of items; where both orders were asked, an item is worth the mean of the two.
        accuracy_first: accuracy where the better response was shown first.
        accuracy_second: accuracy where it was shown second.
        consistent: items right in both orders; None unless both were asked, as for ``flips``.
        flips: items whose two orders chose different responses, of those where both chose.
        first_position: readable votes for the response shown first; half is unbiased.
        parse_failures: votes that could not be read, or never came.
        acc_plus: clusters whose items are all right, averaged over orders; None where the
            benchmark has no such metric.
        consistent_plus: clusters whose items are all right in both orders.
    """

    name: str
    items: int
    clusters: int
    accuracy: Rate
    accuracy_first: Rate
    accuracy_second: Rate
    consistent: Rate | None
    flips: Rate | None
    first_position: Rate
    parse_failures: Rate
    acc_plus: Rate | None
    consistent_plus: Rate | None


@dataclass(frozen=True, slots=True)
class Grouping:
    """One way of putting items into groups, with both means: over items and over groups."""

    name: str
    source: str
    groups: tuple[Metrics, ...]
    micro: Rate
    macro: Rate


@dataclass(frozen=True, slots=True)
class VotePoint:
    """The majority of ``votes`` of the pool's votes, expected over all choices of them.

    ``any_right``, the share of polls with at least one right vote, stands beside ``any_chance``,
    what a coin reaches: 1 - 2^-votes.
    """

    votes: int
    accuracy: Rate
    any_right: float
    any_chance: float


@dataclass(frozen=True, slots=True)
class Score:
    """The result of one judge on one benchmark; ``schema`` is that of :meth:`to_dict`."""

    schema: int
    benchmark: str
    protocol: Protocol
    overall: Metrics
    groupings: tuple[Grouping, ...]
    subgroups: tuple[Metrics, ...]
    vote_curve: tuple[VotePoint, ...]
    failures: Mapping[str, int]
    excluded: int
    preferred_first: float
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the score as JSON takes it."""
        return asdict(self)


def score(ballots: Iterable[Ballot], protocol: Protocol, benchmark: Benchmark) -> Score:
    """Return the score of one run; ballots may come in any order.

    Raises:
        BallotError: when they are not exactly those that the protocol asks for.
    """
    return summarise(count(ballots, protocol), protocol, benchmark)


def summarise(counted: Count, protocol: Protocol, benchmark: Benchmark) -> Score:
    """Return the score of counted ballots."""
    tallies, plus = counted.tallies, benchmark.acc_plus
    asked = tallies.column("votes")[:, :, :3].sum(dtype=np.int64)
    first = float(tallies.column("preferred_first").sum(dtype=np.int64) / asked)
    _, counts = _values(tallies)
    excluded = len(tallies) - int(counts.sum())
    return Score(
        schema=SCHEMA,
        benchmark=benchmark.name,
        protocol=protocol,
        overall=_metrics("overall", tallies, plus=plus),
        groupings=tuple(
            _grouping(name, source, tallies, plus) for name, source in benchmark.groupings.items()
        ),
        subgroups=_metrics_of_groups(tallies, lambda where: where.subgroup, plus),
        vote_curve=_vote_curve(tallies, protocol),
        failures=dict(sorted(counted.failures.items())),
        excluded=excluded,
        preferred_first=first,
        warnings=_warnings(protocol, len(tallies), excluded, first),
    )


def item_scores(counted: Count) -> dict[int, float]:
    """Return what each item that counts is worth, by index: for comparing two judges."""
    values, counts = _values(counted.tallies)
    inside = counts > 0
    indices = counted.tallies.order[inside]
    return dict(zip(indices.tolist(), values[inside].tolist(), strict=True))


def _grouping(name: str, source: str, tallies: Tallies, plus: bool) -> Grouping:
    def group(where: Category) -> str | None:
        return where.groups.get(name)

    names, columns = tallies.groups(group)
    members, columns = tallies.take(columns >= 0), columns[columns >= 0]
    rows, clusters = _clusters(members)
    values, counts = _values(members)
    tops, bottoms = np.zeros((2, clusters, len(names)))
    np.add.at(tops, (rows, columns), values)
    np.add.at(bottoms, (rows, columns), counts)
    [micro] = rates(tops.sum(axis=1, keepdims=True), bottoms.sum(axis=1, keepdims=True))
    groups = _metrics_of_groups(tallies, group, plus)
    return Grouping(name, source, groups, micro, macro_rate(tops, bottoms))


def _metrics_of_groups(
    tallies: Tallies, key: Callable[[Category], str | None], plus: bool
) -> tuple[Metrics, ...]:
    names, numbers = tallies.groups(key)
    return tuple(
        _metrics(name, tallies.take(numbers == number), plus=plus)
        for number, name in enumerate(names)
    )


def _metrics(name: str, tallies: Tallies, *, plus: bool) -> Metrics:
    rows, clusters = _clusters(tallies)
    both = bool(tallies.column("polls")[0] == 2)
    tops, bottoms = np.zeros((2, clusters, 9))
    for column, (top, bottom) in enumerate(_shares(tallies)):
        tops[:, column] = np.bincount(rows, top, clusters)
        bottoms[:, column] = np.bincount(rows, bottom, clusters)
    tops[:, 7:], bottoms[:, 7:] = _all_right(tallies, rows, clusters)
    found = rates(tops, bottoms)
    accuracy, first, second, consistent, flips, position, failed, acc_plus, consistent_plus = found
    return Metrics(
        name=name,
        items=len(tallies),
        clusters=clusters,
        accuracy=accuracy,
        accuracy_first=first,
        accuracy_second=second,
        consistent=consistent if both else None,
        flips=flips if both else None,
        first_position=position,
        parse_failures=failed,
        acc_plus=acc_plus if plus else None,
        consistent_plus=consistent_plus if plus and both else None,
    )


def _shares(tallies: Tallies) -> Iterator[tuple[Floats, Floats]]:
    """Yield numerator and denominator, by item, of the rates of items and votes, as in Metrics."""
    worth, counts = _credits(tallies)
    votes, labels = tallies.column("votes"), tallies.column("labels")
    right, wrong = votes[:, :, 0], votes[:, :, 1]
    asked, readable, first = (
        votes[:, :, kinds].sum(axis=(1, 2), dtype=float) for kinds in ([0, 1, 2], [0, 1], [3])
    )
    yield _values(tallies)
    for label in (1, 2):
        shown = labels == label
        yield (worth * shown).sum(axis=1), (counts * shown).sum(axis=1)
    yield (worth == 1).all(axis=1).astype(float), counts.all(axis=1).astype(float)
    both_chose, chose_right = (right != wrong).all(axis=1), right > wrong
    flipped = both_chose & (chose_right[:, 0] != chose_right[:, 1])
    yield flipped.astype(float), both_chose.astype(float)
    yield first, readable
    yield asked - readable, asked


def _all_right(tallies: Tallies, rows: NDArray[np.int64], clusters: int) -> tuple[Floats, Floats]:
    """Return numerators and denominators of Acc+ and consistent Acc+, by cluster."""
    worth, counts = _credits(tallies)
    counted, right = (
        np.column_stack([np.bincount(rows, poll, clusters) for poll in each.T])
        for each in (counts, worth == 1)
    )
    there = counted > 0
    orders, all_right = there.sum(axis=1), (there & (right == counted)).sum(axis=1)
    tops = [all_right / np.maximum(orders, 1), (orders > 0) & (all_right == orders)]
    return np.column_stack(tops), np.column_stack([orders > 0] * 2).astype(float)


def _vote_curve(tallies: Tallies, protocol: Protocol) -> tuple[VotePoint, ...]:
    """Exact for k votes, over all choices of k from each poll's pool.

    Under ``exclude`` it is the ratio of the expected right items to the expected counted ones.
    """
    (rows, clusters), sizes = _clusters(tallies), range(1, protocol.votes + 1)
    asked = tallies.column("votes")[:, : tallies.column("polls")[0], :3]
    pools, which = np.unique(asked, axis=0, return_inverse=True)
    tops, bottoms = np.zeros((2, clusters, len(sizes)))
    any_right = np.zeros(len(sizes))
    for column, votes in enumerate(sizes):
        worth = [_expected_item(polls, votes, protocol.parse) for polls in pools.tolist()]
        values, counts, chances = np.array(worth)[which].T
        tops[:, column] = np.bincount(rows, values, clusters)
        bottoms[:, column] = np.bincount(rows, counts, clusters)
        any_right[column] = np.add.accumulate(chances)[-1]  # in order: sum() pairs them up
    accuracies = rates(tops, bottoms)
    shares = any_right / len(tallies)
    return tuple(
        VotePoint(votes, accuracies[column], float(shares[column]), 1 - 0.5**votes)
        for column, votes in enumerate(sizes)
    )


def _expected_item(polls: list[list[int]], votes: int, parse: Parse) -> tuple[float, float, float]:
    """Return an item's value, whether it counts, and the share of its polls with a right vote."""
    found = [expected(*poll, votes, parse) for poll in polls]
    value, counts = item_value([(credit, counts) for credit, counts, _ in found])
    return value, counts, sum(chance for _, _, chance in found) / len(found)


def _warnings(protocol: Protocol, items: int, excluded: int, first: float) -> tuple[str, ...]:
    found = list(protocol.warnings())
    if protocol.order == "stored" and not 1 - _ONE_SIDED < first < _ONE_SIDED:
        found.append(
            f"order=stored showed the better response first in {first:.1%} of the prompts: a "
            f"judge that always says 1 scores that much. Use order=both."
        )
    if excluded:
        found.append(
            f"parse=exclude left {excluded} of {items} items out: whoever cannot answer a hard "
            "one gains by it. Compare with parse=wrong."
        )
    return tuple(found)


def _values(tallies: Tallies) -> tuple[Floats, Floats]:
    """Return what each item is worth, and whether it counts."""
    worth, counts = _credits(tallies)
    return item_value(list(zip(worth.T, counts.T, strict=True)))


def _credits(tallies: Tallies) -> tuple[Floats, Floats]:
    """Return what each poll is worth, and whether it counts; 0 for a poll that is not there."""
    credits = tallies.column("credits").astype(float)
    there = np.arange(2) < tallies.column("polls")[:, None]
    counts = (there & ~np.isnan(credits)).astype(float)
    return np.where(counts > 0, credits, 0.0), counts


def _clusters(tallies: Tallies) -> tuple[NDArray[np.int64], int]:
    """Return the number of each item's cluster, in the order of the benchmark, and how many."""
    _, firsts, clusters = np.unique(
        tallies.column("cluster"), return_index=True, return_inverse=True
    )
    return np.argsort(np.argsort(firsts))[clusters], len(firsts)
