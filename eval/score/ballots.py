"""Votes of a judge -> what each item is worth under a protocol."""

import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from math import comb, isnan, nan
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from r1reward.core.errors import UserError
from r1reward.core.pair import Position
from r1reward.core.verdict import ParseFailure, Verdict
from r1reward.judge.item import Item
from r1reward.judge.protocol import Parse, Protocol

Number = TypeVar("Number", float, NDArray[np.float64])


class BallotError(UserError):
    """Ballots that are not those of the protocol: a score of them would mean something else."""


@dataclass(frozen=True, slots=True)
class Ballot:
    """The answers to one prompt: ``item`` as it was shown, and what each answer decided.

    A call that failed for good has fewer votes than were asked for, or none; what is missing
    counts as unreadable.
    """

    item: Item
    votes: tuple[Verdict | ParseFailure, ...]


@dataclass(slots=True)
class Poll:
    """Votes that one majority decides; ``label`` is None when they saw both orders."""

    label: Position | None
    right: int = 0
    wrong: int = 0
    failed: int = 0
    first: int = 0  # readable votes for the response shown first

    @property
    def readable(self) -> int:
        """Number of votes that chose."""
        return self.right + self.wrong


@dataclass(slots=True)
class Tally:
    """All that scoring keeps of an item: counts, and ``credits``, what each poll is worth."""

    index: int
    uid: str
    cluster: str
    groups: Mapping[str, str]
    subgroup: str
    preferred_first: int = 0
    polls: list[Poll] = field(default_factory=list)
    credits: list[float | None] = field(default_factory=list)  # None: left out


# A tally. Of a second poll that is not there, everything is 0.
_PACKED = np.dtype(
    [
        ("uid", "u8"),
        ("cluster", "u4"),  # number of its name
        ("category", "u4"),  # number of its category
        ("preferred_first", "u2"),
        ("polls", "u1"),  # how many; 0: no such item
        ("labels", "u1", 2),  # 0 is None
        ("votes", "u2", (2, 4)),  # right, wrong, failed, first
        ("credits", "f2", 2),  # NaN is None
    ]
)


class Category(NamedTuple):
    """Where items belong: grouping -> group, and the finest category."""

    groups: Mapping[str, str]
    subgroup: str


@dataclass(frozen=True, slots=True)
class Tallies:
    """Tallies in the order of the benchmark: 41 bytes each, 8 for the order, and a cluster's name.

    Counting 100,000 items takes 150 bytes an item at its peak, where two items share a cluster
    (tools/bench/memory.py). A :class:`Tally` is made when one is looked at; what is computed from
    all of them takes columns: arrays whose first axis is items, and whose second is the two polls.
    """

    packed: NDArray[np.void]  # by index
    order: NDArray[np.int64]  # the indices that are there
    cluster_names: Sequence[str]
    categories: Sequence[Category]

    def __len__(self) -> int:
        return len(self.order)

    def __iter__(self) -> Iterator[Tally]:
        for index in self.order.tolist():
            yield self._unpacked(index)

    def _unpacked(self, index: int) -> Tally:
        uid, cluster, category, preferred_first, count, *polls = self.packed[index].tolist()
        labels, votes, credits = (column.tolist()[:count] for column in polls)
        groups, subgroup = self.categories[category]
        return Tally(
            index,
            f"{uid:016x}",
            self.cluster_names[cluster],
            groups,
            subgroup,
            preferred_first,
            [Poll(label or None, *each) for label, each in zip(labels, votes, strict=True)],
            [None if isnan(credit) else credit for credit in credits],
        )

    def column(self, name: str) -> NDArray[Any]:
        """Return a field of all."""
        column: NDArray[Any] = self.packed[name][self.order]
        return column

    def groups(self, key: Callable[[Category], str | None]) -> tuple[list[str], NDArray[np.int64]]:
        """Return the groups that ``key`` names, sorted, and the number of each tally's, or -1."""
        keys = [key(category) for category in self.categories]
        names = sorted({one for one in keys if one is not None})
        numbers = np.array([-1 if one is None else names.index(one) for one in keys])
        return names, numbers[self.column("category")]

    def take(self, inside: NDArray[np.bool_]) -> "Tallies":
        """Return some of the tallies."""
        return replace(self, order=self.order[inside])


class _Packing:
    """Packs tallies as they are complete, in any order."""

    def __init__(self) -> None:
        self._packed: NDArray[np.void] = np.zeros(0, _PACKED)
        self._clusters: dict[str, int] = {}
        self._categories: dict[tuple[tuple[tuple[str, str], ...], str], int] = {}

    def add(self, tally: Tally) -> None:
        index, polls = tally.index, tally.polls
        if index >= len(self._packed):
            self._packed.resize(max(index + 1, len(self._packed) * 9 // 8), refcheck=False)
        row = self._packed[index]
        row["uid"] = int(tally.uid, 16)
        row["cluster"] = self._clusters.setdefault(tally.cluster, len(self._clusters))
        category = (tuple(tally.groups.items()), tally.subgroup)
        row["category"] = self._categories.setdefault(category, len(self._categories))
        row["preferred_first"] = tally.preferred_first
        row["polls"] = len(polls)
        for number, poll in enumerate(polls):
            row["labels"][number] = poll.label or 0
            row["votes"][number] = (poll.right, poll.wrong, poll.failed, poll.first)

    def uid(self, index: int) -> str | None:
        """Return the uid of the tally of that index, None when there is none."""
        if index >= len(self._packed) or not self._packed[index]["polls"]:
            return None
        return f"{self._packed[index]['uid']:016x}"

    def tallies(self) -> Tallies:
        return Tallies(
            self._packed,
            np.flatnonzero(self._packed["polls"]),
            list(self._clusters),
            [Category(dict(groups), subgroup) for groups, subgroup in self._categories],
        )


@dataclass(slots=True)
class Count:
    """The tallies of a run, and why votes could not be read."""

    tallies: Tallies
    failures: Counter[str]


def count(ballots: Iterable[Ballot], protocol: Protocol) -> Count:
    """Return the counted and settled ballots; only counts are kept, no texts and no images.

    Raises:
        BallotError: for a ballot that the protocol does not ask for, one that is missing, or none.
    """
    packing, failures = _Packing(), Counter[str]()
    waiting: dict[int, tuple[Tally, set[Position]]] = {}  # items with ballots that did not come
    for ballot in ballots:
        item, label = ballot.item, ballot.item.label
        plan, done = protocol.plan(item), packing.uid(item.index)
        if item.index not in waiting:
            waiting[item.index] = _tally(item, plan, protocol), set() if done else set(plan)
        tally, missing = waiting[item.index]
        if item.uid != (done or tally.uid):
            raise BallotError(f"row {item.index + 1} came as {done or tally.uid} and as {item.uid}")
        if label not in missing or len(ballot.votes) > plan[label]:
            raise BallotError(
                f"row {item.index + 1}, better response shown as {label}: {len(ballot.votes)} "
                f"votes came, order={protocol.order} asks once for {plan.get(label, 0)}"
            )
        missing.remove(label)
        _add(tally, ballot, plan[label], failures)
        if not missing:
            packing.add(tally)
            del waiting[item.index]
    if waiting:
        index, (_, missing) = next(iter(waiting.items()))
        raise BallotError(
            f"row {index + 1}: no ballot with the better response shown as {min(missing)}; "
            "a call that failed for good has a ballot without votes"
        )
    tallies = packing.tallies()
    if not tallies:
        raise BallotError("no ballots: nothing was judged")
    settle(tallies, protocol)
    return Count(tallies, failures)


def _tally(item: Item, plan: Mapping[Position, int], protocol: Protocol) -> Tally:
    tally = Tally(item.index, item.uid, item.cluster, item.groups, item.subgroup)
    if protocol.order == "both":
        tally.polls = [Poll(1), Poll(2)]
    else:  # one majority, in whatever order its votes were asked
        tally.polls = [Poll(None if len(plan) > 1 else next(iter(plan)))]
    return tally


def _add(tally: Tally, ballot: Ballot, asked: int, failures: Counter[str]) -> None:
    label = ballot.item.label
    poll = tally.polls[label - 1] if len(tally.polls) > 1 else tally.polls[0]
    for vote in ballot.votes:
        if isinstance(vote, ParseFailure):
            failures[vote.reason] += 1
            continue
        poll.right += vote.choice == label
        poll.wrong += vote.choice != label
        poll.first += vote.choice == 1
    if missing := asked - len(ballot.votes):
        failures["missing"] += missing
    poll.failed += asked - sum(isinstance(vote, Verdict) for vote in ballot.votes)
    tally.preferred_first += asked if label == 1 else 0


def settle(tallies: Tallies, protocol: Protocol) -> None:
    """Write what every poll is worth; coins are tossed in the order of the benchmark.

    The coin is Multimodal RewardBench's: ``random.Random(seed)``, tossed for each undecided poll
    in turn, and below one half it says 1.
    """
    coin = random.Random(protocol.seed)  # noqa: S311 - not a secret
    for tally in tallies:
        for number, poll in enumerate(tally.polls):
            credit = _credit(poll, protocol.parse, coin)
            tallies.packed["credits"][tally.index, number] = nan if credit is None else credit


def _credit(poll: Poll, parse: Parse, coin: random.Random) -> float | None:
    if parse == "exclude" and poll.failed:
        return None
    if poll.right != poll.wrong:
        return float(poll.right > poll.wrong)
    if parse == "exclude":
        return None
    if parse == "coin":
        says_first = coin.random() < 0.5
        return float(says_first == (poll.label != 2))
    return 0.5 if parse == "half" else 0.0


@cache
def expected(
    right: int, wrong: int, failed: int, votes: int, parse: Parse
) -> tuple[float, float, float]:
    """Return what a poll is worth if only ``votes`` of its votes had been drawn.

    Exact, over all subsets of that size: the expected credit, the probability that the poll
    counts, and the probability that any of the votes is right. A coin is worth half.
    """
    tie = {"wrong": 0, "half": 1, "coin": 1, "exclude": 0}[parse]
    twice_credit = counted = 0
    for rights in range(min(right, votes) + 1):
        for wrongs in range(min(wrong, votes - rights) + 1):
            failures = votes - rights - wrongs
            ways = comb(right, rights) * comb(wrong, wrongs) * comb(failed, failures)
            if parse == "exclude" and (failures or rights == wrongs):
                continue
            counted += ways
            twice_credit += ways * (2 * (rights > wrongs) + tie * (rights == wrongs))
    subsets = comb(right + wrong + failed, votes)
    none_right = comb(wrong + failed, votes)
    return twice_credit / (2 * subsets), counted / subsets, 1 - none_right / subsets


def item_value(polls: Sequence[tuple[Number, Number]]) -> tuple[Number, Number]:
    """Return an item's expected value and the probability that it counts.

    An item is worth the mean of its polls that count, and counts when one of them does; each poll
    is given by its expected credit and the probability that it counts, independent of the other.
    A second poll of zeros is none.
    """
    if len(polls) == 1:
        return polls[0]
    (credit1, counts1), (credit2, counts2) = polls
    value = credit1 * (1 - counts2 / 2) + credit2 * (1 - counts1 / 2)
    return value, 1 - (1 - counts1) * (1 - counts2)
