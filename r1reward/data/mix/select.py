"""Selection and splitting of records by content hash.

A choice is a hash of the seed and of what a record says and shows: records that are added leave the
others where they were.
"""

import hashlib
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from r1reward.core.errors import UserError
from r1reward.data.mix.keys import UNKNOWN, UNSOLVED, Fate, Hashes, Keys, Mask, Places, Table, fates

_LARGE = 0.2  # of the smallest part: a group that spoils its size
_STOCK = (
    'Where questions such as "Describe the image." tie too much together, stock_questions=10 '
    "leaves it to images"
)


class MixError(UserError):
    """A mix that cannot be made, with what to change."""


@dataclass(frozen=True, slots=True)
class Input:
    """A data set to mix.

    Attributes:
        path: folder, or file of records.
        media_root: folder of relative media paths.
        weight: its share of the mix, relative to the others'; None where no input has one.
    """

    path: Path
    media_root: Path
    weight: float | None = None


@dataclass(frozen=True, slots=True)
class Selection:
    """Which records may stay.

    Attributes:
        attempts: fewest and most attempts of the solved ones; None: no solved one stays.
        unsolved: whether unsolved ones stay.
        unannotated: whether those of unknown difficulty stay.
        reasoning: whether it takes a reasoning to stay.
        reorder: whether which response comes first is drawn anew.
    """

    attempts: tuple[int, int] | None = (1, 127)
    unsolved: bool = True
    unannotated: bool = True
    reasoning: bool = False
    reorder: bool = False


@dataclass(frozen=True, slots=True)
class Settings:
    """What to make of the inputs; `conf/mix.yaml` says more.

    Attributes:
        select: which records may stay.
        sources: whose records may stay; None is all.
        take: rows to draw of a source, or of several together: ``a+b``.
        fraction: share to draw of a source, or of several: over 0, at most 1.
        rows: rows of the whole mix; None is as many as there are.
        stratify: what keeps its proportions where a number of rows is drawn.
        split: share of each part; they add up to 1.
        stock: a question about more different media than this ties no records together.
        seed: of every choice.
        embed: whether the shards hold the images.
        shard_bytes: size of a shard, before compression.
    """

    select: Selection = field(default_factory=Selection)
    sources: tuple[str, ...] | None = None
    take: Mapping[str, int] = field(default_factory=dict)
    fraction: Mapping[str, float] = field(default_factory=dict)
    rows: int | None = None
    stratify: tuple[str, ...] = ()
    split: Mapping[str, float] = field(default_factory=lambda: {"train": 1.0})
    stock: int | None = None
    seed: int = 0
    embed: bool = True
    shard_bytes: int = 256 << 20


def hashes(seed: int, purpose: str, values: Hashes) -> Hashes:
    """Return a hash of each value, 64 bits, unlike those of another purpose or seed."""
    begun = hashlib.blake2b(f"{seed}/{purpose}/".encode(), digest_size=8)

    def one(value: bytes) -> bytes:
        state = begun.copy()
        state.update(value)
        return state.digest()

    text = values.astype(">u8").tobytes()
    digests = b"".join(one(text[start : start + 8]) for start in range(0, len(text), 8))
    return np.frombuffer(digests, ">u8").astype("u8")


def drop_duplicates(rows: Table) -> dict[int, int]:
    """Give all but one of the rows with the same uid their fate; return that one for each.

    The one that stays is the annotated one, else the first.
    """
    plain, unknown = ~rows["reasoning"], rows["difficulty"] == UNKNOWN
    order = np.lexsort((np.arange(len(rows)), plain, unknown, rows["uid"]))
    order = order[rows["fate"][order] == Fate.KEPT]
    new = np.ones(len(order), bool)
    new[1:] = rows["uid"][order][1:] != rows["uid"][order][:-1]
    stays = order[new][np.cumsum(new) - 1]
    rows["fate"][order[~new]] = Fate.DUPLICATE
    return dict(zip(order[~new].tolist(), stays[~new].tolist(), strict=True))


def reorder(rows: Table, settings: Settings) -> Mask:
    """Draw which rows have their responses change places, if any; return for each whether.

    What an annotator finds hard depends on its habits: one that likes the first response finds
    those pairs hard in which the second is better. Drawn anew, the labels come out 1:1. A reasoning
    speaks of the order it was written for, so a row that is turned has none any more.
    """
    if not settings.select.reorder:
        return np.zeros(len(rows), bool)
    drawn = hashes(settings.seed, "order", rows["uid"]) % np.uint64(2) == 1
    turned: Mask = drawn & (rows["fate"] == Fate.KEPT)
    rows["label"][turned] = 3 - rows["label"][turned]
    rows["reasoning"][turned] = False
    return turned


def select(keys: Keys, settings: Settings) -> None:
    """Give the rows that the settings do not let stay their fate."""
    chosen, rows = settings.select, keys.rows
    difficulty = rows["difficulty"]
    low, high = chosen.attempts or (1, 0)
    allowed = (difficulty >= low) & (difficulty <= high) & (difficulty > 0)
    allowed |= (difficulty == UNSOLVED) & chosen.unsolved
    allowed |= (difficulty == UNKNOWN) & chosen.unannotated
    known = np.ones(len(keys.sources), bool)
    if settings.sources is not None:
        known = np.isin(keys.sources, settings.sources)
    for fate, stays in (
        (Fate.SOURCE, known[rows["source"]] if len(known) else np.ones(0, bool)),
        (Fate.DIFFICULTY, allowed),
        (Fate.REASONING, rows["reasoning"] | (not chosen.reasoning)),
    ):
        rows["fate"][(rows["fate"] == Fate.KEPT) & ~stays] = fate


def draw(keys: Keys, inputs: Sequence[Input], owners: Places, settings: Settings) -> list[str]:
    """Draw as much as the settings say; return where there was less.

    Args:
        keys: of all rows.
        inputs: the data sets.
        owners: number of the input of each unit.
        settings: amounts.
    """
    rows = keys.rows
    notes: list[str] = []
    score = hashes(settings.seed, "draw", rows["uid"])
    stay = rows["fate"] == Fate.KEPT
    for names, share in settings.fraction.items():
        pool = _pool(keys, stay, names, "fraction", notes)
        rows["fate"][pool[score[pool] >= share * 2.0**64]] = Fate.NOT_DRAWN
    wanted = {
        f"take.{names}": (_pool(keys, stay, names, "take", notes), number)
        for names, number in settings.take.items()
    }
    if any(item.weight is not None for item in inputs):
        owner = owners[rows["unit"]]
        pools = [np.flatnonzero(stay & (owner == number)) for number in range(len(inputs))]
        wanted = _weighted(inputs, pools, settings.rows)
    elif settings.rows is not None:
        wanted = {"rows": (np.flatnonzero(stay), settings.rows)}
    for name, (pool, number) in wanted.items():
        if len(pool) < number:
            notes.append(f"{name}: {number:,} asked for, {len(pool):,} there")
        strata = np.zeros(len(pool), np.int64)
        if "source" in settings.stratify:
            strata += rows["source"][pool].astype(np.int64) * 1000
        if "difficulty" in settings.stratify:
            strata += rows["difficulty"][pool]
        rows["fate"][pool] = Fate.NOT_DRAWN
        rows["fate"][pool[_lowest(score[pool], strata, number)]] = Fate.KEPT
    return notes


def _pool(keys: Keys, stay: Mask, names: str, key: str, notes: list[str]) -> Places:
    asked = names.split("+")
    there = [name for name in asked if name in keys.sources]
    if not there:
        known = ", ".join(keys.sources) or "none"
        raise MixError(f"{key}.{names}: no such source in the inputs; there are: {known}")
    if missing := [name for name in asked if name not in there]:
        notes.append(f"{key}.{names}: no {', '.join(missing)} in the inputs")
    codes = [keys.sources.index(name) for name in there]
    return np.flatnonzero(stay & np.isin(keys.rows["source"], codes))


def _weighted(
    inputs: Sequence[Input], pools: Sequence[Places], total: int | None
) -> dict[str, tuple[Places, int]]:
    weights = [item.weight or 0.0 for item in inputs]
    scale = min(len(pool) / weight for pool, weight in zip(pools, weights, strict=True))
    if scale == 0:
        empty = next(item for item, pool in zip(inputs, pools, strict=True) if not len(pool))
        raise MixError(f"{empty.path}: none of its rows may stay, so no mix has these weights")
    if total is not None and total > scale * sum(weights):
        most = int(scale * sum(weights))
        raise MixError(f"rows={total}: with these weights there are {most:,}; ask for fewer")
    scale = total / sum(weights) if total is not None else scale
    return {
        str(item.path): (pool, int(weight * scale + 1e-6))
        for item, pool, weight in zip(inputs, pools, weights, strict=True)
    }


def _lowest(score: Hashes, strata: Places, number: int) -> Places:
    """Return the places of the ``number`` lowest scores, each stratum in its proportion."""
    _, place, sizes = np.unique(strata, return_inverse=True, return_counts=True)
    exact = sizes * (min(number, len(score)) / max(len(score), 1))
    quota = np.floor(exact + 1e-9).astype(int)  # then the largest remainders, the first of equals
    left = min(number, len(score)) - quota.sum()
    quota[np.argsort(quota - exact, kind="stable")[:left]] += 1
    order = np.lexsort((score, place))
    rank = np.arange(len(order)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    chosen: Places = order[rank < quota[place[order]]]
    return chosen


def groups(keys: Keys, stock: int | None) -> Hashes:
    """Return the group of each row: rows with a key in common, and whoever is tied to them.

    A group's number is its lowest key, of media where it has any: it seldom changes as it grows.
    """
    links = keys.links if stock is None else keys.links[~_stock(keys, stock)]
    links = links[np.argsort(links["key"], kind="stable")]
    same = np.flatnonzero(links["key"][1:] == links["key"][:-1])
    above = array("l", range(len(keys.rows)))

    def top(row: int) -> int:
        while above[row] != row:
            above[row] = row = above[above[row]]
        return row

    ends = (array("I", links["row"][same + step].tobytes()) for step in (0, 1))
    for one, other in zip(*ends, strict=True):
        above[top(one)] = top(other)
    root = np.fromiter(map(top, range(len(above))), np.int64, len(above))
    names = np.full((2, len(above)), np.iinfo("u8").max, "u8")
    for kind in (0, 1):
        chosen = keys.links[keys.links["media"] == bool(kind)]
        np.minimum.at(names[kind], root[chosen["row"]], chosen["key"])
    shown = names[1][root] < np.iinfo("u8").max
    return np.where(shown, names[1][root], names[0][root])


def _stock(keys: Keys, most: int) -> Mask:
    """Say which links are questions about more different media than ``most``."""
    links = keys.links
    question = np.zeros(len(keys.rows), "u8")
    question[links["row"][~links["media"]]] = links["key"][~links["media"]]
    shown = links[links["media"]]
    pairs = np.unique(np.stack([question[shown["row"]], shown["key"]]), axis=1)
    asked, counts = np.unique(pairs[0], return_counts=True)
    with_media = np.isin(np.arange(len(keys.rows)), shown["row"])[links["row"]]
    stock: Mask = ~links["media"] & with_media & np.isin(links["key"], asked[counts > most])
    return stock


def split(keys: Keys, settings: Settings, notes: list[str]) -> dict[str, Places]:
    """Return the rows of each part, in their order; add to the notes where groups are in the way.

    Raises:
        MixError: when a part has none.
    """
    rows, shares = keys.rows, settings.split
    stay = np.flatnonzero(rows["fate"] == Fate.KEPT)
    if not len(stay):
        reasons = ", ".join(f"{name} {number:,}" for name, number in fates(keys))
        raise MixError(f"no row stays ({reasons or 'the inputs have none'})")
    group = groups(keys, settings.stock)[stay]
    names, place, sizes = np.unique(group, return_inverse=True, return_counts=True)
    edges = np.cumsum(list(shares.values())) * 2.0**64
    drawn = np.searchsorted(edges[:-1], hashes(settings.seed, "part", names), side="right")
    order = hashes(settings.seed, "order", rows["uid"][stay])
    parts = {}
    for number, name in enumerate(shares):
        there = np.flatnonzero(drawn[place] == number)
        parts[name] = stay[there[np.lexsort((rows["uid"][stay][there], order[there]))]]
        if not len(there):
            raise MixError(
                f"split.{name}: no row; the {len(stay):,} rows are in {len(names):,} groups, tied "
                f"by an image or a question, and the largest holds {sizes.max():,}. {_STOCK}"
            )
    if len(shares) > 1 and sizes.max() > _LARGE * min(shares.values()) * len(stay):
        notes.append(
            f"split: {sizes.max():,} of {len(stay):,} rows are one group, tied by images or "
            f"questions, so the parts are not of the sizes asked for. {_STOCK}"
        )
    return parts
