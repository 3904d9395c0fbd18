"""Results of every item on disk, the source of comparisons and pages."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from r1reward.core.errors import UserError
from r1reward.eval.score.ballots import Count, Poll, Tally
from r1reward.eval.score.scoring import item_scores
from r1reward.store.files import write_text

AGAIN = "Run the evaluation again: its answers are in the journal, so nothing is asked twice."


class ItemsError(UserError):
    """A file of item results that cannot be used."""


@dataclass(frozen=True, slots=True)
class ItemResult:
    """One item of one evaluation.

    Attributes:
        index: number of the row in the benchmark's file, from 0.
        uid: hash of the row's texts: equal in two evaluations that judged the same.
        cluster: items of one cluster depend on each other.
        groups: grouping -> group.
        subgroup: the finest category of the benchmark.
        value: in [0, 1], the mean over the orders asked; None where ``parse=exclude`` left the
            item out.
        polls: the votes, one poll for each order asked; one in all where orders were drawn.
    """

    index: int
    uid: str
    cluster: str
    groups: Mapping[str, str]
    subgroup: str
    value: float | None
    polls: tuple[Poll, ...]


def item_results(counted: Count) -> list[ItemResult]:
    """Return the results of counted ballots, in the order of the benchmark."""
    values = item_scores(counted)
    return [_result(tally, values.get(tally.index)) for tally in counted.tallies]


def write_items(path: Path, counted: Count) -> None:
    """Write one JSON object an item, in the order of the benchmark; all of them or no file."""
    rows = (json.dumps(asdict(result)) for result in item_results(counted))
    write_text(path, "".join(f"{row}\n" for row in rows))


def read_items(path: Path) -> list[ItemResult]:
    """Return what :func:`write_items` wrote.

    Raises:
        ItemsError: naming file, row and what to do.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise ItemsError(f"{path}: cannot be read ({error.strerror}). {AGAIN}") from None
    found = []
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
            polls = tuple(Poll(**poll) for poll in row["polls"])
            found.append(ItemResult(**{**row, "polls": polls}))
        except (ValueError, TypeError, KeyError) as error:
            raise ItemsError(
                f"{path}:{number}: not an item of this version ({error!r}). {AGAIN}"
            ) from None
    return found


def _result(tally: Tally, value: float | None) -> ItemResult:
    return ItemResult(
        index=tally.index,
        uid=tally.uid,
        cluster=tally.cluster,
        groups=dict(tally.groups),
        subgroup=tally.subgroup,
        value=value,
        polls=tuple(tally.polls),
    )
