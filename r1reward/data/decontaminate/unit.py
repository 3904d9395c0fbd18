"""Decontamination of one unit: its clean shard, and a line for each dropped row."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from r1reward.core.fields import PreferenceError
from r1reward.core.media import ImageError
from r1reward.core.pair import Preference
from r1reward.core.preferences import preference_or_error
from r1reward.core.rows import Row, RowError, Unit, read_unit
from r1reward.data.decontaminate.match import Match, Rules, screen_of
from r1reward.data.shard_rows import read_row
from r1reward.store.files import replacing, write_text
from r1reward.store.shards import Shard, write_shard

Counts = Counter[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Job:
    """What a process needs to clean a unit.

    Attributes:
        index: folder of the benchmarks' index.
        rules: what drops a record.
        media_root: folder of relative media paths.
        out: folder of the clean set.
        work: folder in it, of what became of each unit.
    """

    index: Path
    rules: Rules
    media_root: str
    out: Path
    work: Path


@dataclass
class Part:
    """What became of some rows.

    Attributes:
        rows: read.
        kept: records by source.
        dropped: rows by source and strongest reason; the source of what is no record is "".
        matched: dropped records by benchmark and reason; one can have several.
        shards: where the kept ones are.
    """

    rows: int = 0
    kept: Counter[str] = field(default_factory=Counter)
    dropped: Counts = field(default_factory=Counter)
    matched: Counts = field(default_factory=Counter)
    shards: list[Shard] = field(default_factory=list)

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> "Part":
        """Return the part that a file tells of."""
        dropped, matched = (
            Counter({(first, second): n for first, second, n in content[name]})
            for name in ("dropped", "matched")
        )
        shards = [Shard(**shard) for shard in content["shards"]]
        return cls(content["rows"], Counter(content["sources"]), dropped, matched, shards)

    def facts(self) -> dict[str, object]:
        """Return what :meth:`of` reads."""
        return {
            "rows": self.rows,
            "sources": dict(sorted(self.kept.items())),
            "dropped": [[*key, n] for key, n in sorted(self.dropped.items())],
            "matched": [[*key, n] for key, n in sorted(self.matched.items())],
            "shards": [asdict(shard) for shard in self.shards],
        }

    def add(self, other: "Part") -> None:
        """Count the rows of another part too."""
        self.rows += other.rows
        self.kept += other.kept
        self.dropped += other.dropped
        self.matched += other.matched
        self.shards += other.shards


def clean_unit(job: Job, unit: Unit, number: int) -> Part:
    """Write the shard of a unit, then what became of its rows."""
    part = Part()
    with (
        replacing(job.work / f"{number:05d}.jsonl") as path,
        open(path, "w", encoding="utf-8") as dropped,
    ):
        rows = _kept(job, unit, part, dropped.write)
        if (first := next(rows, None)) is not None:  # a shard without rows is none
            name = f"part-{number:05d}.parquet"
            part.shards.append(write_shard(job.out / name, chain([first], rows)))
    write_text(job.work / f"{number:05d}.json", json.dumps(part.facts()))
    return part


def cleaned_unit(job: Job, number: int) -> Part | None:
    """Return what became of a unit that an earlier run finished."""
    try:
        content = (job.work / f"{number:05d}.json").read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    part = Part.of(json.loads(content))
    there = all((job.out / shard.name).is_file() for shard in part.shards)
    return part if there else None


def _kept(
    job: Job, unit: Unit, part: Part, write: Callable[[str], object]
) -> Iterator[dict[str, object]]:
    """Yield the rows to keep; each of the others is written as a line."""
    screen = screen_of(job.index, job.rules)

    def drop(
        where: str, preference: Preference | None, reason: str, detail: str, *found: Match
    ) -> None:
        uid, source = (preference.uid, preference.source) if preference else ("", "")
        part.dropped[source, reason] += 1
        part.matched.update((match.benchmark, match.reason) for match in found)
        line = {"where": where, "uid": uid, "source": source, "reason": reason, "detail": detail}
        write(json.dumps(line | {"matches": [asdict(one) for one in found]}) + "\n")

    for where, row in _readable(unit):
        part.rows += 1
        preference = preference_or_error(where, row)
        try:
            if isinstance(preference, PreferenceError):
                raise preference
            kept = read_row(where, row)[1]
        except PreferenceError as error:
            drop(where, None, "record", str(error).removeprefix(f"{where}: "))
            continue
        try:
            found = screen.matches(preference, job.media_root)
        except ImageError as error:
            drop(where, preference, "media", f"{error}; it cannot be compared")
            continue
        if found:
            drop(where, preference, found[0].reason, _detail(found[0]), *found)
        else:
            part.kept[preference.source] += 1
            yield kept


def _readable(unit: Unit) -> Iterator[tuple[str, Row | RowError]]:
    try:
        yield from read_unit(unit)
    except RowError as error:  # the rest of the unit
        yield str(unit.path), error


def _detail(match: Match) -> str:
    what = "image" if match.reason.endswith("image") else "prompt"
    name = f" {match.uri}" if match.uri else ""
    alike = "the" if match.reason.startswith("exact") else f"{match.similarity:.1%} like the"
    return f"{alike} {what}{name} of {match.benchmark}, row {match.index + 1} ({match.id})"
