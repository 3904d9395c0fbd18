"""Keys of the rows of a mix: 52 bytes for a row with one image.

A record's uid is here that of the record with its media named by their content, wherever they lie.
"""

import base64
import binascii
import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import IntEnum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from r1reward.core.media import ImageError, frames, locate
from r1reward.core.record import Media, Record, RecordError
from r1reward.core.rows import Row, RowError, Unit, read_unit
from r1reward.data.minhash import normalise

Array = NDArray[Any]
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

    rows: Array
    links: Array
    sources: list[str]
    bad: list[tuple[int, str, str]]


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
