"""Keys of the rows of a mix: 52 bytes for a row with one image.

A row's uid is here that of its preference with media named by their content, wherever they lie.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from r1reward.core.media import ImageError, frames, locate
from r1reward.core.pair import Media
from r1reward.core.rows import Unit, read_unit
from r1reward.data.minhash import normalise
from r1reward.data.shard_rows import read_row
from r1reward.store.shards import files_in

Table = NDArray[np.void]  # of ROW or LINK
Places = NDArray[np.int64]  # numbers of rows
Mask = NDArray[np.bool_]
Hashes = NDArray[np.uint64]
# What the first pass keeps of every row, bad ones included. `uid` is that of the preference with
# media named by content; `difficulty` is the attempt that was right, or one of those below.
ROW = np.dtype(
    [
        ("uid", "u8"), ("unit", "u4"), ("number", "u4"), ("bytes", "u4"), ("source", "u2"),
        ("label", "i1"), ("difficulty", "i1"), ("reasoning", "?"), ("fate", "i1"),
    ]
)  # fmt: skip
UNSOLVED, UNKNOWN = 0, -1
# Rows with a key in common belong together: a question, or the content of an image or a video.
LINK = np.dtype([("key", "u8"), ("row", "u4"), ("media", "?")])


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
class Keys:
    """The rows of one unit, or of all, as the first pass sees them.

    Attributes:
        rows: :data:`ROW`.
        links: :data:`LINK`.
        sources: names that ``rows["source"]`` counts.
        bad: rows that cannot be mixed: place among the rows, reason, detail.
    """

    rows: Table
    links: Table
    sources: list[str]
    bad: list[tuple[int, str, str]]


def scan_unit(unit: Unit, root: Path, embed: bool) -> Keys:
    """Return the keys of a unit's rows; media are read: rows share content, not paths."""
    rows: list[tuple[Any, ...]] = []
    links: list[tuple[int, int, bool]] = []
    sources: dict[str, int] = {}
    bad: list[tuple[int, str, str]] = []
    for place, (where, raw) in enumerate(read_unit(unit)):
        number, reason = int(where.rpartition(":")[2]), "record"
        try:
            preference, row = read_row(where, raw)
            reason = "media"
            media = [_content(item, root, embed) for item in files_in(row)]
        except (ValueError, OSError) as error:  # of the row, an image, a path
            bad.append((place, reason, str(error).removeprefix(f"{where}: ")))
            rows.append((0, 0, number, 0, 0, 0, UNKNOWN, False, Fate.BAD))
            continue
        named = zip(preference.all_media(), media, strict=True)
        uid = preference.with_media(Media(one.kind, digest) for one, (digest, _) in named).uid
        texts = (row["question"], *row["responses"], row["reasoning"] or "")
        size = sum(map(len, texts)) + sum(size for _, size in media)
        source = sources.setdefault(preference.source, len(sources))
        difficulty = UNKNOWN if row["solved"] is None else row["solved"] and row["attempts"]
        thought = bool(row["reasoning"])
        label = preference.label
        rows.append((int(uid, 16), 0, number, size, source, label, difficulty, thought, Fate.KEPT))
        question = normalise(row["question"].replace("<image>", " "))
        links.append((_key(question.encode()), place, False))
        links += [(int(digest[:16], 16), place, True) for digest, _ in media]
    return Keys(np.array(rows, ROW), np.array(links, LINK), list(sources), bad)


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


class Counts(TypedDict):
    """Rows of a part: all, and by source, label and difficulty."""

    rows: int
    sources: dict[str, int]
    labels: dict[str, int]
    difficulty: dict[str, int]


def counts(keys: Keys, part: Places) -> Counts:
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
