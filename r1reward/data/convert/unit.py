"""Conversion of one unit: rows of a public preference set to preferences in one shard."""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from r1reward.core.fields import PreferenceError
from r1reward.core.media import ImageError, decode_uri, locate
from r1reward.core.pair import Media, Position, same, text_of
from r1reward.core.preferences import parse_preference
from r1reward.core.rows import RowError, Unit, read_unit
from r1reward.data.sources.base import Published, Source, SourceError
from r1reward.store.files import replacing, write_text
from r1reward.store.shards import Shard, columns_of, write_shard

WORK = ".convert"  # in the folder of the set, until it is finished
_DETAIL = 400  # characters: a path or a text in it may be long


def order(seed: int, question: str, chosen: str, rejected: str) -> Position:
    """Return where the better answer is shown: 1 or 2, each for half of all pairs.

    The first bit of the SHA-256 of the arguments, as a JSON list in UTF-8 without white space,
    decides: neither the place of a row nor the time of a run does.
    """
    arguments = [seed, question, chosen, rejected]
    content = json.dumps(arguments, ensure_ascii=False, separators=(",", ":"))
    return 1 if hashlib.sha256(content.encode()).digest()[0] < 128 else 2


@dataclass(frozen=True, slots=True)
class Job:
    """What decides how a row is converted.

    Attributes:
        source: reads the rows.
        media: whether files stay where they are (``path``) or are copied (``embed``).
        seed: of the order of answers.
    """

    source: Source
    media: Literal["path", "embed"]
    seed: int


@dataclass
class Part:
    """What became of some rows.

    Attributes:
        rows: read.
        records: written.
        labels: of the records, as text.
        sources: of the records.
        dropped: reason -> rows, or parts of rows, that are no record.
        shards: where the records are.
    """

    rows: int = 0
    records: int = 0
    labels: Counter[str] = field(default_factory=Counter)
    sources: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    shards: list[Shard] = field(default_factory=list)

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> "Part":
        """Return the part that a file tells of."""
        counters = {name: Counter(content[name]) for name in ("labels", "sources", "dropped")}
        shards = [Shard(**shard) for shard in content["shards"]]
        return cls(content["rows"], content["records"], **counters, shards=shards)

    def facts(self) -> dict[str, object]:
        """Return what :meth:`of` reads; ``asdict`` cannot copy counters."""
        counters = {name: dict(getattr(self, name)) for name in ("labels", "sources", "dropped")}
        shards = [asdict(shard) for shard in self.shards]
        return {"rows": self.rows, "records": self.records, **counters, "shards": shards}

    def add(self, other: "Part") -> None:
        """Count the rows of another part too."""
        self.rows += other.rows
        self.records += other.records
        self.labels += other.labels
        self.sources += other.sources
        self.dropped += other.dropped
        self.shards += other.shards


@dataclass(frozen=True, slots=True)
class Dropped:
    """A row, or a part of one, that is no record."""

    where: str
    reason: str
    detail: str

    def line(self) -> str:
        """Return its line of quarantine.jsonl; there is no record, so no uid."""
        detail = self.detail if len(self.detail) <= _DETAIL else f"{self.detail[:_DETAIL]}..."
        return json.dumps({**asdict(self), "detail": detail, "uid": None}) + "\n"


def convert_unit(job: Job, unit: Unit, out: Path, number: int) -> Part:
    """Write the shard of a unit, then what became of its rows; return that."""
    pa.set_cpu_count(1)  # one process a core
    part = Part()
    with (
        replacing(out / WORK / f"{number:05d}.jsonl") as lines,
        open(lines, "w", encoding="utf-8") as quarantine,
    ):
        rows = _kept(_outcomes(job, unit, part), part, quarantine.write)
        if first := next(rows, None):
            shard = write_shard(out / _shard_name(number), chain([first], rows))
            part.shards.append(shard)
    write_text(out / WORK / f"{number:05d}.json", json.dumps(part.facts()))
    return part


def _kept(
    outcomes: Iterator[dict[str, object] | Dropped], part: Part, write: Callable[[str], object]
) -> Iterator[dict[str, object]]:
    for outcome in outcomes:
        if isinstance(outcome, Dropped):
            part.dropped[outcome.reason] += 1
            write(outcome.line())
        else:
            part.records += 1
            part.labels[str(outcome["label"])] += 1
            part.sources[str(outcome["source"])] += 1
            yield outcome


def _outcomes(job: Job, unit: Unit, part: Part) -> Iterator[dict[str, object] | Dropped]:
    try:
        for where, row in read_unit(unit):
            part.rows += 1
            if isinstance(row, RowError):
                yield Dropped(where, "unreadable", str(row).removeprefix(f"{where}: "))
            else:
                yield from _records(job, where, row)
    except RowError as error:  # the rest of the unit
        yield Dropped(str(unit.path), "unreadable", str(error).removeprefix(f"{unit.path}: "))


def _records(job: Job, where: str, row: object) -> Iterator[dict[str, object] | Dropped]:
    try:
        for item in job.source.read(row):
            try:
                if isinstance(item, SourceError):
                    raise item
                yield _row(job, item, where)
            except SourceError as error:
                yield Dropped(where, error.reason, str(error))
    except SourceError as error:
        yield Dropped(where, error.reason, str(error))


def _row(job: Job, item: Published, where: str) -> dict[str, object]:
    """Return the row of :data:`r1reward.store.shards.SCHEMA`, in the order that is drawn."""
    given = item.preference
    chosen, rejected = given.responses
    if same(chosen, rejected):
        raise SourceError("equal", "the better and the worse answer are the same")
    try:
        parse_preference(replace(given, media=()).to_row(), where="")
    except PreferenceError as error:
        raise SourceError("text", str(error).removeprefix(": ")) from None
    label = order(job.seed, *map(text_of, (given.question, chosen, rejected)))
    shown = given if label == 1 else given.swapped()
    files = [_file(job, media) for media in shown.all_media()]
    return columns_of(shown, files) | {"origin": item.origin or Path(where).name}


def _file(job: Job, media: Media) -> dict[str, object]:
    """Return what the row holds of an image or video."""
    root, name, content = os.path.abspath(job.source.media_root), None, None
    try:
        if media.uri.startswith("data:"):
            content = decode_uri(media.uri)
        else:
            path = locate(media.uri, root)
            name, content = os.path.relpath(path, root), _file_content(job, media, path)
    except ImageError as error:
        raise SourceError("media", str(error)) from None
    if content == b"":
        raise SourceError("media", f"{name or 'an image in the row'}: the file is empty")
    return {"kind": media.kind, "uri": name, "bytes": content}


def _file_content(job: Job, media: Media, path: str) -> bytes | None:
    there = os.path.isdir if media.kind == "video" else os.path.isfile
    if not there(path):
        raise SourceError("media", f"{path}: no such {media.kind}")
    if job.media == "path":
        return None
    if media.kind == "video":
        raise SourceError("media", f"{path}: videos cannot be embedded; take media=path")
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise SourceError("media", f"{path}: cannot be read ({error.strerror})") from None


def _shard_name(number: int) -> str:
    return f"part-{number:05d}.parquet"
