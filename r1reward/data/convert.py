"""Turns a public preference set into ours, unit by unit, on all cores.

One unit of the input is one shard, which is written whole; ``.convert`` in the folder of the set
remembers what became of each finished unit, so that a kill costs no more than those at work.
"""

import fcntl
import hashlib
import json
import multiprocessing
import os
import resource
import shutil
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from itertools import chain, islice, repeat
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from r1reward.config import flatten
from r1reward.data.shards import Shard, read_manifest, write_manifest, write_shard
from r1reward.data.sources.base import Attachment, Preference, Source, SourceError
from r1reward.files import replacing, write_text
from r1reward.media import ImageError, locate
from r1reward.record import Record, RecordError
from r1reward.rows import RowError, Unit, cut, read_unit

QUARANTINE = "quarantine.jsonl"
_WORK = ".convert"
_BLOCK = 1 << 20  # bytes
_DETAIL = 400  # characters: a path or a text in it may be long


class ConvertError(ValueError):
    """A conversion that cannot begin or go on, with what to change."""


def order(seed: int, question: str, chosen: str, rejected: str) -> Literal[1, 2]:
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

    def facts(self) -> dict[str, Any]:
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


@dataclass(frozen=True, slots=True)
class Input:
    """A file of the source; ``error`` says why it has no units."""

    path: Path
    bytes: int
    sha256: str
    units: list[Unit]
    error: str = ""


@dataclass
class Progress:
    """How far a conversion is.

    Attributes:
        total: what became of the rows, those of earlier runs included.
        units: of the input.
        done: units that are finished.
        kept: rows of units that an earlier run finished.
        peaks: process id -> most memory it used, in bytes.
    """

    total: Part = field(default_factory=Part)
    units: int = 0
    done: int = 0
    kept: int = 0
    peaks: dict[int, int] = field(default_factory=dict)


def convert(
    job: Job,
    out: Path,
    *,
    shard_rows: int,
    workers: int,
    command: str,
    tick: Callable[[Progress], None],
) -> Progress:
    """Convert the source into the folder ``out``, or what is missing there.

    Args:
        job: what decides how a row is converted.
        out: new folder, or that of the same conversion.
        shard_rows: rows of a unit, about.
        workers: processes.
        command: for the manifest.
        tick: called now and then.

    Raises:
        ConvertError: when the folder holds something else, or nothing can be converted.
    """
    paths = job.source.paths()
    if not paths:
        patterns = ", ".join(job.source.patterns())
        raise ConvertError(f"{job.source.name}: no file {patterns} below {job.source.root}")
    progress = Progress()
    try:
        with _pool(workers) as pool:
            inputs = list(pool.map(survey, paths, repeat(shard_rows)))
            plan = _plan(job, shard_rows, inputs)
            finished = _check_folder(out, plan)
            if finished is None:
                with _locked(out / _WORK):
                    _check_folder(out, plan)  # again: another run may have been quicker
                    write_text(out / _WORK / "plan.json", json.dumps(plan))
                    for torn in (*out.glob(".*.part"), *(out / _WORK).glob(".*.part")):
                        torn.unlink()  # what a kill left
                    units = [unit for one in inputs for unit in one.units]
                    parts = _run(job, out, units, pool, workers, progress, tick)
                    progress.total = _finish(out, plan, command, inputs, parts)
            else:
                progress.total, progress.kept = finished, finished.rows
    except BrokenProcessPool:
        raise ConvertError(
            "a process was killed, out of memory perhaps: with fewer workers, the same command "
            "goes on from here"
        ) from None
    except OSError as error:  # no room, no permission
        problem = f"{error.filename or out}: {error.strerror or error}"
        raise ConvertError(f"{problem}; the same command goes on from here") from None
    progress.peaks[os.getpid()] = peak_bytes()
    return progress


def survey(path: Path, shard_rows: int) -> Input:
    """Return what a file is, and its units."""
    digest, size = hashlib.sha256(), 0
    try:
        with open(path, "rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
                size += len(block)
        units, error = cut(path, shard_rows), ""
    except (RowError, OSError) as problem:
        units, error = [], str(problem)
    return Input(path, size, digest.hexdigest(), units, error)


def convert_unit(job: Job, unit: Unit, out: Path, number: int) -> tuple[Part, int, int]:
    """Write the shard of a unit, then what became of its rows.

    Returns:
        What became of them, the id of this process and the most memory that it used.
    """
    part = Part()
    with (
        replacing(out / _WORK / f"{number:05d}.jsonl") as lines,
        open(lines, "w", encoding="utf-8") as quarantine,
    ):
        rows = _kept(_outcomes(job, unit, part), part, quarantine.write)
        if first := next(rows, None):
            shard = write_shard(out / _shard_name(number), chain([first], rows))
            part.shards.append(shard)
    write_text(out / _WORK / f"{number:05d}.json", json.dumps(part.facts()))
    return part, os.getpid(), peak_bytes()


def peak_bytes() -> int:
    """Return the most memory that this process used."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _kept(
    outcomes: Iterator[dict[str, Any] | Dropped], part: Part, write: Callable[[str], Any]
) -> Iterator[dict[str, Any]]:
    for outcome in outcomes:
        if isinstance(outcome, Dropped):
            part.dropped[outcome.reason] += 1
            write(outcome.line())
        else:
            part.records += 1
            part.labels[str(outcome["label"])] += 1
            part.sources[outcome["source"]] += 1
            yield outcome


def _outcomes(job: Job, unit: Unit, part: Part) -> Iterator[dict[str, Any] | Dropped]:
    try:
        for where, row in read_unit(unit):
            part.rows += 1
            if isinstance(row, RowError):
                yield Dropped(where, "unreadable", str(row).removeprefix(f"{where}: "))
            else:
                yield from _records(job, where, row)
    except RowError as error:  # the rest of the unit
        yield Dropped(str(unit.path), "unreadable", str(error).removeprefix(f"{unit.path}: "))


def _records(job: Job, where: str, row: Any) -> Iterator[dict[str, Any] | Dropped]:
    try:
        for item in job.source.read(row):
            try:
                if isinstance(item, SourceError):
                    raise item
                yield _record(job, item, where)
            except SourceError as error:
                yield Dropped(where, error.reason, str(error))
    except SourceError as error:
        yield Dropped(where, error.reason, str(error))


def _record(job: Job, item: Preference, where: str) -> dict[str, Any]:
    """Return the row of :data:`r1reward.data.shards.SCHEMA`."""
    if item.chosen.strip() == item.rejected.strip():
        raise SourceError("equal", "the better and the worse answer are the same")
    row = {"question": item.question, "source": item.source}
    try:
        Record.from_row({**row, "responses": [item.chosen, item.rejected], "label": 1}, where="")
    except RecordError as error:
        raise SourceError("text", str(error).removeprefix(": ")) from None
    label = order(job.seed, item.question, item.chosen, item.rejected)
    first, second = (item.chosen, item.rejected)[:: 1 if label == 1 else -1]
    media = [_media(job, one) for one in item.media]
    origin = item.origin or Path(where).name
    return {**row, "responses": [first, second], "label": label, "media": media, "origin": origin}


def _media(job: Job, item: Attachment) -> dict[str, Any]:
    if item.content is not None:
        if not item.content:
            raise SourceError("media", "an image of no bytes")
        return {"kind": item.kind, "uri": item.path, "bytes": item.content}
    root = os.path.abspath(job.source.media_root)
    try:
        path = locate(str(item.path), root)
        there = os.path.isdir if item.kind == "video" else os.path.isfile
        if not there(path):
            raise SourceError("media", f"{path}: no such {item.kind}")
        if item.kind == "video" and job.media == "embed":
            raise SourceError("media", f"{path}: videos cannot be embedded; take media=path")
        content = Path(path).read_bytes() if job.media == "embed" else None
    except ImageError as error:
        raise SourceError("media", str(error)) from None
    except OSError as error:
        raise SourceError("media", f"{path}: cannot be read ({error.strerror})") from None
    if content == b"":
        raise SourceError("media", f"{path}: the file is empty")
    return {"kind": item.kind, "uri": os.path.relpath(path, root), "bytes": content}


def _run(
    job: Job,
    out: Path,
    units: list[Unit],
    pool: ProcessPoolExecutor,
    workers: int,
    progress: Progress,
    tick: Callable[[Progress], None],
) -> list[Part]:
    """Return what became of each unit; few of them wait in the pool at a time."""
    parts = {number: part for number in range(len(units)) if (part := _load(out, number))}
    for part in parts.values():
        progress.total.add(part)
    progress.units, progress.done, progress.kept = len(units), len(parts), progress.total.rows
    missing = iter([number for number in range(len(units)) if number not in parts])
    running: dict[Future[tuple[Part, int, int]], int] = {}
    while True:
        for number in islice(missing, 2 * workers - len(running)):
            running[pool.submit(convert_unit, job, units[number], out, number)] = number
        if not running:
            return [parts[number] for number in range(len(units))]
        for future in wait(running, timeout=1.0, return_when=FIRST_COMPLETED).done:
            part, process, peak = future.result()
            parts[running.pop(future)] = part
            progress.total.add(part)
            progress.done += 1
            progress.peaks[process] = peak
        tick(progress)


def _load(out: Path, number: int) -> Part | None:
    """Return what became of a unit that an earlier run finished."""
    try:
        content = (out / _WORK / f"{number:05d}.json").read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    part = Part.of(json.loads(content))
    return part if _all_there(out, part) else None


def _all_there(out: Path, part: Part) -> bool:
    paths = {shard: out / shard.name for shard in part.shards}
    return all(path.is_file() and path.stat().st_size == one.bytes for one, path in paths.items())


def _shard_name(number: int) -> str:
    return f"part-{number:05d}.parquet"


def _plan(job: Job, shard_rows: int, inputs: list[Input]) -> dict[str, Any]:
    """Return all that decides the output, as JSON has it."""
    settings = {"source": job.source.settings(), "media": job.media, "shard_rows": shard_rows}
    files = [{"path": str(one.path), "bytes": one.bytes, "sha256": one.sha256} for one in inputs]
    plan: dict[str, Any] = json.loads(
        json.dumps({"seed": job.seed, "settings": settings, "inputs": files})
    )
    return plan


def _check_folder(out: Path, plan: Mapping[str, Any]) -> Part | None:
    """Return what the folder holds when it is finished.

    Raises:
        ConvertError: when it is not of this conversion.
    """
    manifest, begun = read_manifest(out), out / _WORK / "plan.json"
    if manifest is None and not begun.is_file():
        names = {path.name for path in out.iterdir()} if out.is_dir() else set()
        if names - {_WORK, QUARANTINE}:
            raise ConvertError(f"out={out}: there are other files; give a new folder")
        return None
    known = manifest or json.loads(begun.read_text(encoding="utf-8"))
    there, here = ({key: one.get(key) for key in plan} for one in (known, plan))
    old, new = flatten(there), flatten(here)
    for key in sorted({*old, *new}):
        if old.get(key) != new.get(key):
            change = "not what they were" if key == "inputs" else f"{new.get(key)}"
            was = "" if key == "inputs" else f", there {old.get(key)}"
            raise ConvertError(
                f"out={out} holds another conversion: {key} is {change}{was}; give a new folder, "
                "or remove this one"
            )
    if manifest is None:
        return None
    part = Part.of(manifest)
    if not _all_there(out, part):
        raise ConvertError(f"out={out}: shards are missing or damaged; remove it and begin anew")
    return part


def _finish(
    out: Path,
    plan: Mapping[str, Any],
    command: str,
    inputs: list[Input],
    parts: list[Part],
) -> Part:
    """Write quarantine and manifest, and forget the units."""
    total = Part()
    with replacing(out / QUARANTINE) as path, open(path, "wb") as quarantine:
        for bad in (one for one in inputs if one.error):
            detail = bad.error.removeprefix(f"{bad.path}: ")
            quarantine.write(Dropped(str(bad.path), "unreadable", detail).line().encode())
            total.dropped["unreadable"] += 1
        for number, part in enumerate(parts):
            total.add(part)
            with open(out / _WORK / f"{number:05d}.jsonl", "rb") as lines:
                shutil.copyfileobj(lines, quarantine)
    if total.records:
        facts = {key: value for key, value in total.facts().items() if key != "shards"}
        write_manifest(out, total.shards, command=command, **plan, **facts)
    shutil.rmtree(out / _WORK)
    if not total.records:
        reasons = ", ".join(f"{reason} {number:,}" for reason, number in total.dropped.items())
        with open(out / QUARANTINE, encoding="utf-8") as file:
            first = file.readline().strip()
        raise ConvertError(
            f"out={out}: no record came of {total.rows:,} rows ({reasons or 'empty files'}); "
            f"the first: {first[:500]}"
        )
    return total


@contextmanager
def _locked(work: Path) -> Iterator[None]:
    work.mkdir(parents=True, exist_ok=True)
    with open(work / "lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ConvertError(f"out={work.parent}: another conversion is at work there") from None
        yield


@contextmanager
def _pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, context, initializer=_start_worker)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _start_worker() -> None:
    """Leave interrupts to the parent, and end with it, however it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_follow_parent, daemon=True).start()
    pa.set_cpu_count(1)  # one process a core


def _follow_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
