"""Mixes data sets: which records stay, in which part, in which order; hashes decide, nothing else.

A choice is a hash of the seed and of what a record says and shows. Neither the order of the inputs
nor the number of workers matters, and records that are added leave the others where they were.

The first pass keeps 52 bytes of a row with one image (a :data:`ROW` and two of :data:`LINK`), and
some 100 more while it looks for groups. The second moves the rows that stay through a spool on the
disk, as large as they are: a shuffled order needs all of them at hand.
"""

import base64
import binascii
import fcntl
import hashlib
import json
import re
import shutil
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from enum import IntEnum
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from r1reward.data.minhash import normalise
from r1reward.data.shards import Shard, write_manifest, write_shard
from r1reward.data.workers import in_order
from r1reward.files import replacing, write_text
from r1reward.media import ImageError, frames, locate
from r1reward.record import Media, Record, RecordError
from r1reward.rows import Row, RowError, Unit, files_of, read_unit, units

Array = NDArray[Any]
Tick = Callable[[str], None]  # is told what is being done
_T = TypeVar("_T")

PLAN, DROPPED, _SPOOL, _LOCK = "mix.json", "dropped.jsonl", ".spool", ".lock"
_SCHEMA = 1  # of the plan: another number, another mix
_LARGE = 0.2  # of the smallest part: a group that spoils its size
_STOCK = (
    'Where questions such as "Describe the image." tie too much together, stock_questions=10 '
    "leaves it to images"
)
_SURROGATE = re.compile("[\ud800-\udfff]")

# What the first pass keeps of every row, bad ones included. `uid` is that of the record with its
# media named by their content; `difficulty` is the attempt that was right, or one of those below.
ROW = np.dtype(
    [
        ("uid", "u8"), ("unit", "u4"), ("number", "u4"), ("bytes", "u4"), ("source", "u2"),
        ("label", "i1"), ("difficulty", "i1"), ("reasoning", "?"), ("fate", "i1"),
    ]
)  # fmt: skip
UNSOLVED, UNKNOWN = 0, -1
# Rows with a key in common belong together: a question, or the content of an image or a video.
LINK = np.dtype([("key", "u8"), ("row", "u4"), ("media", "?")])


class MixError(ValueError):
    """A mix that cannot be made, with what to change."""


class Fate(IntEnum):
    """What became of a row."""

    KEPT = 0
    BAD = 1
    DUPLICATE = 2
    SOURCE = 3
    DIFFICULTY = 4
    REASONING = 5
    NOT_DRAWN = 6


REASONS = {
    Fate.DUPLICATE: "duplicate",
    Fate.SOURCE: "other source",
    Fate.DIFFICULTY: "other difficulty",
    Fate.REASONING: "no reasoning",
    Fate.NOT_DRAWN: "not drawn",
}


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
    """

    attempts: tuple[int, int] | None = (1, 127)
    unsolved: bool = True
    unannotated: bool = True
    reasoning: bool = False


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


@dataclass(frozen=True, slots=True)
class Keys:
    """The rows of one unit, or of all, as the first pass sees them.

    Attributes:
        rows: :data:`ROW`.
        links: :data:`LINK`.
        sources: names that ``rows["source"]`` counts.
        bad: rows that cannot be mixed: place among the rows, reason, detail.
    """

    rows: Array
    links: Array
    sources: list[str]
    bad: list[tuple[int, str, str]]


def _watched(
    tick: Tick,
    what: str,
    function: Callable[..., _T],
    tasks: Sequence[tuple[Any, ...]],
    workers: int,
) -> Iterator[_T]:
    """Yield the results of :func:`in_order`, and tell how many there are."""
    results = in_order(function, tasks, min(workers, len(tasks)))
    for number in range(len(tasks)):
        tick(f"{what} {number}/{len(tasks)}")
        yield next(results)


# The first pass: what every row is about.


def scan_unit(unit: Unit, root: Path, embed: bool) -> Keys:
    """Return the keys of a unit's rows; media are read, since content is what records share."""
    rows: list[tuple[Any, ...]] = []
    links: list[tuple[int, int, bool]] = []
    sources: dict[str, int] = {}
    bad: list[tuple[int, str, str]] = []
    for place, (where, raw) in enumerate(read_unit(unit)):
        number, reason = int(where.rpartition(":")[2]), "record"
        try:
            record, row = read_row(where, raw)
            reason = "media"
            media = [_content(item, root, embed) for item in row["media"]]
        except (ValueError, OSError) as error:  # of the record, an image, a path
            bad.append((place, reason, str(error).removeprefix(f"{where}: ")))
            rows.append((0, 0, number, 0, 0, 0, UNKNOWN, False, Fate.BAD))
            continue
        kinds = [item.kind for item in record.media]
        named = tuple(Media(kind, seen[0]) for kind, seen in zip(kinds, media, strict=True))
        uid = int(replace(record, media=named).uid, 16)
        texts = (record.question, *record.responses, row["reasoning"] or "")
        size = sum(map(len, texts)) + sum(size for _, size in media)
        source = sources.setdefault(record.source, len(sources))
        difficulty = UNKNOWN if row["solved"] is None else row["solved"] and row["attempts"]
        thought = bool(row["reasoning"])
        rows.append((uid, 0, number, size, source, record.label, difficulty, thought, Fate.KEPT))
        links.append(
            (_key(normalise(record.question.replace("<image>", " ")).encode()), place, False)
        )
        links += [(int(digest[:16], 16), place, True) for digest, _ in media]
    return Keys(np.array(rows, ROW), np.array(links, LINK), list(sources), bad)


def read_row(where: str, raw: Row | RowError) -> tuple[Record, dict[str, Any]]:
    """Return a record and its row of a shard, with the images that it holds itself.

    Raises:
        RecordError: when it is none, or its difficulty cannot be read.
    """
    if isinstance(raw, RowError):
        raise RecordError(str(raw))
    bare, files = _unpacked(raw)  # Record would hold each file as text
    record = Record.from_row(bare, where=where)
    media = []
    for item, file in zip(record.media, files or [None] * len(record.media), strict=True):
        inline = item.uri.startswith("data:")
        uri = None if inline else item.uri
        media.append(
            {"kind": item.kind, "uri": uri, "bytes": _decoded(item.uri) if inline else file}
        )
    return record, record.to_row() | {"media": media} | _annotation(raw)


def _unpacked(raw: Row) -> tuple[Row, list[bytes | None]]:
    items = raw.get("media") if isinstance(raw, Mapping) else None
    if not isinstance(items, list) or not all(isinstance(item, Mapping) for item in items):
        return raw, []
    found = [item.get("bytes") for item in items]
    files = [file if isinstance(file, bytes) and file else None for file in found]
    bare = [
        {**item, "uri": item.get("uri") or "embedded", "bytes": None} if file else item
        for item, file in zip(items, files, strict=True)
    ]
    return {**raw, "media": bare}, files


def _annotation(raw: Row) -> dict[str, Any]:
    attempts, solved = raw.get("attempts"), raw.get("solved")
    known = isinstance(attempts, int) and 1 <= attempts <= 127 and isinstance(solved, bool)
    if not known and not attempts is solved is None:
        raise RecordError(
            f"attempts={attempts!r:.40}, solved={solved!r:.40}; give 1 to 127 and true or false, "
            "or neither"
        )
    texts = {name: raw.get(name) for name in ("origin", "reasoning")}
    for name, text in texts.items():
        if text is not None and (not isinstance(text, str) or _SURROGATE.search(text)):
            raise RecordError(f"{name}={text!r:.40}; give a text that UTF-8 can hold")
    return {"attempts": attempts, "solved": solved, **texts}


def _content(item: Mapping[str, Any], root: Path, embed: bool) -> tuple[str, int]:
    """Return the SHA-256 of an image, or of a video's frames, and its bytes in a shard."""
    if item["kind"] == "video":
        if embed:
            raise ImageError(f"{item['uri']}: a video cannot be embedded; set embed=false")
        seen = (hashlib.sha256(path.read_bytes()).digest() for path in frames(item["uri"], root))
        return hashlib.sha256(b"".join(seen)).hexdigest(), 0
    content = item["bytes"] or media_file(item["uri"], root)
    return hashlib.sha256(content).hexdigest(), len(content) if embed or item["bytes"] else 0


def media_file(uri: str, root: Path | str) -> bytes:
    """Return the content of an image's file.

    Raises:
        ImageError: when it is empty, or outside ``root``.
        OSError: when it is not there.
    """
    content = Path(locate(uri, root)).read_bytes()
    if not content:
        raise ImageError(f"{uri}: an empty file")
    return content


def _decoded(uri: str) -> bytes:
    _, _, text = uri.partition("base64,")
    try:
        content = base64.b64decode("".join(text.split()), validate=True)
    except binascii.Error as error:
        raise RecordError(f"{uri[:40]}...: not base64 ({error})") from None
    if not content:
        raise RecordError(f"{uri[:40]}: a data URI without base64 content")
    return content


def _key(content: bytes) -> int:
    return int.from_bytes(hashlib.sha256(content).digest()[:8])


def gathered(parts: Iterable[Keys]) -> Keys:
    """Return the keys of all units, in their order; sources are counted by name."""
    rows, links, bad, names, count = [], [], [], [], 0
    for unit, part in enumerate(parts):
        part.rows["unit"] = unit
        part.links["row"] += count
        bad += [(place + count, reason, detail) for place, reason, detail in part.bad]
        count += len(part.rows)
        rows.append(part.rows)
        links.append(part.links)
        names.append(part.sources)
    sources = sorted({name for found in names for name in found})
    for found, part_rows in zip(names, rows, strict=True):
        if found:
            part_rows["source"] = np.array([sources.index(name) for name in found])[
                part_rows["source"]
            ]
    empty_rows, empty_links = np.empty(0, ROW), np.empty(0, LINK)
    return Keys(
        np.concatenate([empty_rows, *rows]), np.concatenate([empty_links, *links]), sources, bad
    )


# The choices.


def hashes(seed: int, purpose: str, values: Array) -> Array:
    """Return a hash of each value, 64 bits, unlike those of another purpose or seed."""
    begun = hashlib.blake2b(f"{seed}/{purpose}/".encode(), digest_size=8)

    def one(value: bytes) -> bytes:
        state = begun.copy()
        state.update(value)
        return state.digest()

    text = values.astype(">u8").tobytes()
    digests = b"".join(one(text[start : start + 8]) for start in range(0, len(text), 8))
    return np.frombuffer(digests, ">u8").astype("u8")


def drop_duplicates(rows: Array) -> dict[int, int]:
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


def draw(keys: Keys, inputs: Sequence[Input], owners: Array, settings: Settings) -> list[str]:
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


def _pool(keys: Keys, stay: Array, names: str, key: str, notes: list[str]) -> Array:
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
    inputs: Sequence[Input], pools: Sequence[Array], total: int | None
) -> dict[str, tuple[Array, int]]:
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


def _lowest(score: Array, strata: Array, number: int) -> Array:
    """Return the places of the ``number`` lowest scores, each stratum in its proportion."""
    _, place, sizes = np.unique(strata, return_inverse=True, return_counts=True)
    exact = sizes * (min(number, len(score)) / max(len(score), 1))
    quota = np.floor(exact + 1e-9).astype(int)  # then the largest remainders, the first of equals
    left = min(number, len(score)) - quota.sum()
    quota[np.argsort(quota - exact, kind="stable")[:left]] += 1
    order = np.lexsort((score, place))
    rank = np.arange(len(order)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    chosen: Array = order[rank < quota[place[order]]]
    return chosen


def groups(keys: Keys, stock: int | None) -> Array:
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


def _stock(keys: Keys, most: int) -> Array:
    """Say which links are questions about more different media than ``most``."""
    links = keys.links
    question = np.zeros(len(keys.rows), "u8")
    question[links["row"][~links["media"]]] = links["key"][~links["media"]]
    shown = links[links["media"]]
    pairs = np.unique(np.stack([question[shown["row"]], shown["key"]]), axis=1)
    asked, counts = np.unique(pairs[0], return_counts=True)
    with_media = np.isin(np.arange(len(keys.rows)), shown["row"])[links["row"]]
    stock: Array = ~links["media"] & with_media & np.isin(links["key"], asked[counts > most])
    return stock


def split(keys: Keys, settings: Settings, notes: list[str]) -> dict[str, Array]:
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


# The second pass: rows into shards.


def spool_unit(unit: Unit, root: Path, wanted: Array, path: Path) -> Array:
    """Write the rows at the places ``wanted`` (ascending) to ``path``; return where each begins."""
    begins = np.zeros(len(wanted), "u8")
    places = iter(enumerate(wanted.tolist()))
    number, place = next(places, (0, -1))
    with open(path, "wb") as file:
        for at, (where, raw) in enumerate(read_unit(unit)):
            if at != place:
                continue
            begins[number] = file.tell()
            row = read_row(where, raw)[1]
            for item in row["media"]:
                if item["bytes"] is None:
                    item["path"] = locate(item["uri"], root)
            content = msgspec.msgpack.encode(row)
            file.write(len(content).to_bytes(8) + content)
            number, place = next(places, (0, -1))
    return begins


def write_rows(path: Path, spool: Path, places: Array, embed: bool) -> Shard:
    """Write a shard from spooled rows, in the order of ``places`` (unit and where it begins)."""
    rows = (_spooled(spool / str(unit), begin, embed) for unit, begin in places.tolist())
    return write_shard(path, rows)


def _spooled(path: Path, begin: int, embed: bool) -> dict[str, Any]:
    with open(path, "rb") as file:
        file.seek(begin)
        content = file.read(int.from_bytes(file.read(8)))
    row: dict[str, Any] = msgspec.msgpack.decode(content)
    for item in row["media"]:
        if found := item.pop("path", None):
            item |= {"bytes": _again(found)} if embed else {"uri": found}
    return row


def _again(path: str) -> bytes:
    try:
        return media_file(path, "/")
    except (OSError, ImageError) as error:
        raise MixError(f"{path}: it was there a moment ago ({error})") from None


def shards_of(keys: Keys, part: Array, limit: int) -> list[Array]:
    """Cut the rows of a part into shards of so many bytes."""
    sizes = keys.rows["bytes"][part].astype(np.int64) + 200  # and the rest of a row
    number = (np.cumsum(sizes) - sizes) // limit
    return np.split(part, np.flatnonzero(np.diff(number)) + 1)


@dataclass(frozen=True, slots=True)
class Mix:
    """A finished mix.

    Attributes:
        keys: of all rows, with their fates.
        parts: rows of each part, in their order.
        shards: of each part.
        reused: shards that were there already.
        notes: what its readers must know.
    """

    keys: Keys
    parts: dict[str, Array]
    shards: dict[str, list[Shard]]
    reused: int
    notes: list[str]


def mix(
    inputs: Sequence[Input], settings: Settings, out: Path, workers: int, command: str, tick: Tick
) -> Mix:
    """Make a mix in the folder ``out``: a data set for each part, and what became of the rest.

    Args:
        inputs: data sets; their order means nothing.
        settings: what to make of them.
        out: an empty folder, or one where the same mix was begun.
        workers: processes.
        command: for the manifests.
        tick: is told how far it is.

    Raises:
        MixError: when it cannot be made.
        RowError: when an input cannot be read; without it the mix would be another.
    """
    inputs = sorted(inputs, key=lambda item: str(item.path))
    cut = [(unit, number) for number, item in enumerate(inputs) for unit in units(item.path)]
    with _locked(out) as there:
        plan = _plan(inputs, settings, workers, tick)
        if other := [key for key in plan if there and _json(plan[key]) != _json(there.get(key))]:
            raise MixError(
                f"out={out}: another mix is there, with other {' and '.join(other)}; take another "
                "folder, or remove this one"
            )
        tasks = [(unit, inputs[number].media_root, settings.embed) for unit, number in cut]
        keys = gathered(_watched(tick, "reading", scan_unit, tasks, workers))
        twins = drop_duplicates(keys.rows)
        select(keys, settings)
        notes = draw(keys, inputs, np.array([number for _, number in cut], int), settings)
        parts = split(keys, settings, notes)
        write_text(out / PLAN, _json({"plan": plan}))
        write_dropped(out / DROPPED, keys, [unit for unit, _ in cut], twins)
        shards, reused = _write(out, keys, parts, tasks, settings, workers, tick)
    for name, part in parts.items():
        write_manifest(out / name, shards[name], command=command, **plan, **counts(keys, part))
    found = {name: counts(keys, part) for name, part in parts.items()}
    result = {"parts": found, "dropped": dict(fates(keys)), "notes": notes}
    write_text(out / PLAN, _json({"plan": plan, "result": result}))
    return Mix(keys, parts, shards, reused, notes)


def counts(keys: Keys, part: Array) -> dict[str, Any]:
    """Return how many rows a part has, by source, label and difficulty."""
    rows = keys.rows[part]
    sources = np.bincount(rows["source"], minlength=len(keys.sources)).tolist()
    labels = np.bincount(rows["label"], minlength=3).tolist()
    values, numbers = np.unique(rows["difficulty"], return_counts=True)
    order = sorted(zip(values.tolist(), numbers.tolist(), strict=True), key=lambda x: x[0] % 1000)
    return {
        "rows": len(part),
        "sources": {name: n for name, n in zip(keys.sources, sources, strict=True) if n},
        "labels": {"1": labels[1], "2": labels[2]},
        "difficulty": {difficulty_name(value): n for value, n in order},
    }


def difficulty_name(value: int) -> str:
    """Return what people call a difficulty."""
    return {UNKNOWN: "unknown", UNSOLVED: "unsolved"}.get(value, str(value))


def fates(keys: Keys) -> list[tuple[str, int]]:
    """Return how many rows were dropped for each reason."""
    found = Counter(reason for _, reason, _ in keys.bad)
    for fate, name in REASONS.items():
        found[name] = int((keys.rows["fate"] == fate).sum())
    return [(name, number) for name, number in found.items() if number]


def write_dropped(path: Path, keys: Keys, units: Sequence[Unit], twins: Mapping[int, int]) -> None:
    """Write a line of JSON for each row that is in no part: where, reason, detail, uid."""
    bad = {place: (reason, detail) for place, reason, detail in keys.bad}

    def where(place: int) -> str:
        return f"{units[keys.rows[place]['unit']].path}:{keys.rows[place]['number']}"

    with replacing(path) as part, open(part, "w", encoding="utf-8") as file:
        for place in np.flatnonzero(keys.rows["fate"] != Fate.KEPT).tolist():
            row = keys.rows[place]
            reason, detail = bad.get(place) or (REASONS[Fate(row["fate"])], "")
            if place in twins:
                detail = f"the same record as {where(twins[place])}"
            uid = "" if place in bad else f"{row['uid']:016x}"
            line = {"where": where(place), "reason": reason, "detail": detail, "uid": uid}
            file.write(json.dumps(line, ensure_ascii=False) + "\n")


def _plan(
    inputs: Sequence[Input],
    settings: Settings,
    workers: int,
    tick: Tick,
) -> dict[str, Any]:
    """Return what makes this mix itself; paths are those of the command."""
    files = [(file,) for item in inputs for file in files_of(item.path)]
    digests = dict(
        zip(files, _watched(tick, "hashing the inputs", _digest, files, workers), strict=True)
    )
    found = [
        {
            "path": str(item.path),
            "media_root": str(item.media_root),
            "weight": item.weight,
            "files": [{"name": f.name, **digests[f,]} for f in files_of(item.path)],
        }
        for item in inputs
    ]
    content = {"mix": _SCHEMA, "seed": settings.seed, "settings": asdict(settings), "inputs": found}
    plan: dict[str, Any] = json.loads(json.dumps(content))
    return plan


def _digest(path: Path) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return {"bytes": path.stat().st_size, "sha256": digest}
    except OSError as error:
        raise RowError(f"{path}: cannot be read ({error.strerror})") from None


@contextmanager
def _locked(out: Path) -> Iterator[dict[str, Any] | None]:
    """Keep others out of ``out``; yield the plan of the mix that is there, or None.

    Raises:
        MixError: when something else is there, or someone else at work.
    """
    there = _begun(out)
    out.mkdir(parents=True, exist_ok=True)
    with open(out / _LOCK, "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise MixError(f"out={out}: another mix is being made there") from None
        yield there


def _begun(out: Path) -> dict[str, Any] | None:
    if not out.exists() or (out.is_dir() and {item.name for item in out.iterdir()} <= {_LOCK}):
        return None
    try:
        there: dict[str, Any] = json.loads((out / PLAN).read_text(encoding="utf-8"))["plan"]
    except (OSError, ValueError, KeyError):
        raise MixError(f"out={out}: something else is there; take another folder") from None
    return there


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False)


def _write(
    out: Path,
    keys: Keys,
    parts: Mapping[str, Array],
    tasks: Sequence[tuple[Unit, Path, bool]],
    settings: Settings,
    workers: int,
    tick: Tick,
) -> tuple[dict[str, list[Shard]], int]:
    """Write what is missing of the shards; return all of them, and how many were there."""
    wanted: dict[Path, Array] = {}
    for name, part in parts.items():
        for number, rows in enumerate(shards_of(keys, part, settings.shard_bytes)):
            wanted[out / name / f"part-{number:05d}.parquet"] = rows
    found = {path: shard for path, rows in wanted.items() if (shard := _there(path, len(rows)))}
    missing = {path: rows for path, rows in wanted.items() if path not in found}
    spool = out / _SPOOL
    shutil.rmtree(spool, ignore_errors=True)
    spool.mkdir()
    moved = np.sort(np.concatenate([*missing.values(), np.empty(0, int)])).astype(int)
    first = np.searchsorted(keys.rows["unit"], np.arange(len(tasks) + 1))
    chosen = [moved[slice(*np.searchsorted(moved, first[n : n + 2]))] for n in range(len(tasks))]
    jobs = [
        (unit, root, rows - first[number], spool / str(number))
        for number, ((unit, root, _), rows) in enumerate(zip(tasks, chosen, strict=True))
        if len(rows)
    ]
    begins = list(_watched(tick, "moving rows", spool_unit, jobs, workers))
    begin = np.concatenate([*begins, np.empty(0, "u8")]).astype(int)
    shards = []
    for path, rows in missing.items():
        places = np.stack([keys.rows["unit"][rows], begin[np.searchsorted(moved, rows)]], axis=1)
        shards.append((path, spool, places, settings.embed))
    done = _watched(tick, "writing shards", write_rows, shards, workers)
    found |= dict(zip(missing, done, strict=True))
    shutil.rmtree(spool)
    ordered = {name: [found[p] for p in wanted if p.parent.name == name] for name in parts}
    return ordered, len(wanted) - len(missing)


def _there(path: Path, rows: int) -> Shard | None:
    """Return a shard that an earlier run wrote: it is whole, or it would not be there."""
    if not path.exists() or pq.read_metadata(path).num_rows != rows:
        return None
    return Shard(path.name, rows, **_digest(path))
