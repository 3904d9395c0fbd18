"""Repair of a data set: good rows to a new set, bad rows with reasons to quarantine."""

import base64
import json
import shutil
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from r1reward.core.rows import Row, RowError, Unit, read_unit
from r1reward.data.shard_rows import read_row
from r1reward.data.validate.findings import Finding
from r1reward.data.validate.run import Part, ValidationError
from r1reward.data.workers import in_order
from r1reward.store.files import replacing
from r1reward.store.shards import Shard, read_manifest, write_manifest, write_shard

QUARANTINE = "quarantine.jsonl"
_UNITS = 8  # of a shard

Bad = Mapping[int, Sequence[Finding]]  # findings by the number of the row


@dataclass
class Written:
    """What became of some rows.

    Attributes:
        shard: where the good ones are; None when there is none.
        sources: good rows by source.
        reasons: other rows by reason; each counts under every reason it has.
        quarantine: a line for each of the others.
    """

    shard: Shard | None = None
    sources: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    quarantine: list[str] = field(default_factory=list)


def is_done(out: Path, facts: Mapping[str, object]) -> bool:
    """Return whether ``out`` is there already, made from the same files with the same settings.

    Raises:
        ValidationError: when it holds anything else.
    """
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return False
    manifest = (read_manifest(out) or {}) if out.is_dir() else {}
    if {name: manifest.get(name) for name in facts} == facts:
        return True
    raise ValidationError(f"out={out}: there is something else; give a folder that is not there")


def write_good(
    parts: Sequence[Part],
    bad: Mapping[Path, Bad],
    lost: Sequence[Finding],
    out: Path,
    workers: int,
    **facts: object,
) -> tuple[int, int]:
    """Write a data set of the rows that are not in ``bad``; ``out`` appears when it is whole.

    Args:
        parts: what to read.
        bad: rows to leave out, by file.
        lost: findings about files that cannot be read.
        out: folder of the shards, the manifest and the quarantine.
        workers: processes.
        facts: for the manifest.

    Returns:
        How many rows are in the set, and how many in the quarantine.

    Raises:
        ValidationError: when no row is left.
    """
    folder = out.with_name(f".{out.name}.part")
    shutil.rmtree(folder, ignore_errors=True)  # of a run that was killed
    pairs = list(zip((part.unit for part in parts), _bad_of(parts, bad), strict=True))
    tasks = [
        (pairs[start : start + _UNITS], folder / f"part-{start // _UNITS:05d}.parquet")
        for start in range(0, len(pairs), _UNITS)
    ]
    shards: list[Shard] = []
    total, dropped = Written(), 0
    with replacing(folder / QUARANTINE) as path, open(path, "w", encoding="utf-8") as file:
        file.writelines(_line(finding.where, [finding], None) for finding in lost)
        for written in in_order(write_units, tasks, min(workers, len(tasks))):
            shards += [written.shard] if written.shard else []
            total.sources.update(written.sources)
            total.reasons.update(written.reasons)
            dropped += len(written.quarantine)
            file.writelines(written.quarantine)
    rows = sum(shard.rows for shard in shards)
    if not rows:
        shutil.rmtree(folder)
        raise ValidationError("no good row is left: nothing is written")
    counts = {"sources": total.sources, "dropped": dropped, "reasons": total.reasons}
    write_manifest(folder, shards, **facts, rows=rows, **counts)
    out.parent.mkdir(parents=True, exist_ok=True)
    folder.replace(out)
    return rows, dropped


def write_units(units: Sequence[tuple[Unit, Bad]], path: Path) -> Written:
    """Write the rows of some units that are not bad to a shard."""
    written = Written()
    rows = (row for unit, bad in units for row in _good_rows(unit, bad, written))
    first = next(rows, None)
    if first is not None:  # a shard without rows is none

        def all_rows() -> Iterator[Mapping[str, object]]:
            yield first
            yield from rows

        written.shard = write_shard(path, all_rows())
    return written


def _bad_of(parts: Sequence[Part], bad: Mapping[Path, Bad]) -> Iterator[Bad]:
    """Yield the bad rows of each part: a process gets no more than it needs."""
    numbers = {file: sorted(rows) for file, rows in bad.items()}
    following = [*(part.unit for part in parts[1:]), None]
    for part, after in zip(parts, following, strict=True):
        unit, own = part.unit, numbers.get(part.unit.path, [])
        start = bisect_left(own, unit.first)
        same = after is not None and after.path == unit.path and after.first > unit.first
        stop = bisect_left(own, after.first) if after and same else len(own)
        yield {number: bad[unit.path][number] for number in own[start:stop]}


def _good_rows(unit: Unit, bad: Bad, written: Written) -> Iterator[Mapping[str, object]]:
    """Yield the rows to keep; the others go to the quarantine."""
    for where, row in _readable(unit):
        if findings := bad.get(int(where.rpartition(":")[2])):
            written.reasons.update({finding.kind for finding in findings})
            raw = _text(unit, where) if isinstance(row, RowError) else row
            written.quarantine.append(_line(where, findings, raw))
        elif isinstance(row, RowError):  # it was not there before
            raise ValidationError(f"{row}: the file changes meanwhile; check it again")
        else:
            preference, kept = read_row(where, row)
            written.sources[preference.source] += 1
            yield kept


def _readable(unit: Unit) -> Iterator[tuple[str, Row | RowError]]:
    """Yield the rows of a unit up to where its file cannot be read any further."""
    try:
        yield from read_unit(unit)
    except RowError:
        return  # the quarantine has it, as a file


def _text(unit: Unit, where: str) -> str | None:
    """Return the text of a row that cannot be read; of parquet there is none."""
    if unit.path.suffix != ".jsonl":
        return None
    number = int(where.rpartition(":")[2])
    with open(unit.path, "rb") as file:
        file.seek(unit.start)
        line = next(islice(file, number - unit.first, None))
    return line.rstrip(b"\n").decode("utf-8", "backslashreplace")


def _line(where: str, findings: Sequence[Finding], row: object) -> str:
    reasons = [{"kind": finding.kind, "detail": finding.detail} for finding in findings]
    content = {"where": where, "uid": findings[0].uid, "reasons": reasons, "row": row}
    return json.dumps(content, default=_plain) + "\n"


def _plain(value: object) -> str:
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)
