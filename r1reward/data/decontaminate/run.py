"""Decontamination of a training set, unit by unit, on all cores.

A unit of the input is a shard of the output, which is written whole; ``.decontaminate`` in the
folder of the set has the index of the benchmarks and what became of each finished unit, so that a
kill costs no more than those at work.
"""

import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from r1reward.config.tree import flatten
from r1reward.core.errors import UserError
from r1reward.core.rows import RowError, Unit, cut, files_of
from r1reward.data.decontaminate.match import Rules, screen_of
from r1reward.data.decontaminate.references import Reference, index_references
from r1reward.data.decontaminate.unit import Job, Part, clean_unit, cleaned_unit
from r1reward.data.workers import in_order
from r1reward.store.files import holding, replacing, write_text
from r1reward.store.shards import read_manifest, write_manifest

DROPPED = "dropped.jsonl"
_WORK = ".decontaminate"
_UNIT_ROWS = 1024  # few: images are slow

References = Callable[[], Iterable[Reference]]
Tick = Callable[[str], None]  # told what is being done, and how much of it is


class DecontaminateError(UserError):
    """A training set that cannot be cleaned, with what to change."""


@dataclass(frozen=True, slots=True)
class Cleaned:
    """A clean set.

    Attributes:
        total: what became of all rows.
        items: of each benchmark.
        specific: those of them whose prompt suffices to drop a record.
        earlier: rows of units that an earlier run finished.
    """

    total: Part
    items: Mapping[str, int]
    specific: Mapping[str, int]
    earlier: int


@dataclass(frozen=True, slots=True)
class _Input:
    """A file of the training set; ``error`` says why it has no units."""

    path: Path
    bytes: int
    sha256: str
    units: list[Unit]
    error: str = ""


def decontaminate(
    source: Path,
    media_root: Path,
    references: References,
    rules: Rules,
    out: Path,
    *,
    workers: int,
    command: str,
    tick: Tick,
) -> Cleaned:
    """Write the records of a data set that no benchmark has, or what is missing of them.

    Args:
        source: data set, or file of records.
        media_root: folder of relative media paths.
        references: gives the items of the benchmarks; called twice.
        rules: what drops a record.
        out: new folder, or that of the same run.
        workers: processes.
        command: for the manifest.
        tick: called now and then.

    Raises:
        DecontaminateError: when the folder holds something else, or nothing is left.
        UnusableReferenceError: when a benchmark's image cannot be opened.
        RowError: when there is nothing to read.
        WorkerError: when a process was killed.
    """
    root = str(media_root.resolve())
    inputs = [_input(path) for path in files_of(source)]
    plan = _plan(inputs, references(), rules, root)
    items = {one["name"]: one["items"] for one in plan["benchmarks"]}
    if (manifest := _check_folder(out, plan)) is not None:
        total = Part.of(manifest)
        shutil.rmtree(out / _WORK, ignore_errors=True)  # of a run that was killed at its very end
        return Cleaned(total, items, manifest["specific"], total.rows)
    work, digest = out / _WORK, hashlib.sha256(json.dumps(plan).encode()).hexdigest()[:16]
    busy = DecontaminateError(f"out={out}: another decontamination is at work there")
    with holding(work / "lock", busy):
        write_text(work / "plan.json", json.dumps(plan))
        for torn in out.glob(".*.part"):
            torn.unlink()  # what a kill left
        job = Job(work / f"index-{digest}", rules, root, out, work)
        _index(job, references, workers, tick)
        specific = screen_of(job.index, rules).specific()
        units = [unit for one in inputs for unit in one.units]
        parts, earlier = _clean(job, units, workers, tick)
        total = _finish(job, plan, inputs, parts, command=command, specific=specific)
    return Cleaned(total, items, specific, earlier)


def _input(path: Path) -> _Input:
    try:
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        size = path.stat().st_size
    except OSError as error:
        raise RowError(f"{path}: cannot be read ({error.strerror})") from None
    try:
        return _Input(path, size, digest, cut(path, _UNIT_ROWS))
    except RowError as error:  # half a parquet file; the others go on
        return _Input(path, size, digest, [], str(error).removeprefix(f"{path}: "))


def _plan(
    inputs: list[_Input], references: Iterable[Reference], rules: Rules, media_root: str
) -> dict[str, Any]:
    """Return all that decides the output."""
    digests: dict[str, Any] = {}
    items: Counter[str] = Counter()
    for one in references:
        items[one.benchmark] += 1
        media = [_file_facts(item.uri, one.root) for item in one.media]
        asked = [one.index, one.id, one.question, media]
        digest = digests.setdefault(one.benchmark, hashlib.sha256())
        digest.update(json.dumps(asked).encode())
    if not items:
        raise DecontaminateError("benchmarks: none has an item; name one whose data are there")
    return {
        "settings": asdict(rules) | {"media_root": media_root},
        "inputs": [
            {"path": str(one.path), "bytes": one.bytes, "sha256": one.sha256} for one in inputs
        ],
        "benchmarks": [
            {"name": name, "items": items[name], "sha256": digest.hexdigest()}
            for name, digest in sorted(digests.items())
        ],
    }


def _file_facts(uri: str, root: str) -> list[str | int]:
    """Return what changes when a benchmark's image does, without opening it."""
    if uri.startswith("data:"):
        return [hashlib.sha256(uri.encode("utf-8", "replace")).hexdigest()]
    try:
        return [uri, os.stat(os.path.join(root, uri)).st_size]
    except OSError:
        return [uri]


def _check_folder(out: Path, plan: Mapping[str, object]) -> Mapping[str, Any] | None:
    """Return the manifest of a folder that is finished.

    Raises:
        DecontaminateError: when it holds anything else.
    """
    manifest, begun = read_manifest(out), out / _WORK / "plan.json"
    if manifest is None and not begun.is_file():
        names = {path.name for path in out.iterdir()} if out.is_dir() else set()
        if names - {_WORK, DROPPED}:
            raise DecontaminateError(f"out={out}: there are other files; give a new folder")
        return None
    known = manifest or json.loads(begun.read_text(encoding="utf-8"))
    old, new = (flatten({key: one.get(key) for key in plan}) for one in (known, plan))
    for key in sorted({*old, *new}):
        if old.get(key) != new.get(key):
            change = f"{key} is {new.get(key)}, there {old.get(key)}"
            if key in ("inputs", "benchmarks"):
                change = f"{key} are not what they were"
            raise DecontaminateError(
                f"out={out} holds another run: {change}; give a new folder, or remove this one"
            )
    if manifest is not None:
        for shard in Part.of(manifest).shards:
            path = out / shard.name
            if not path.is_file() or path.stat().st_size != shard.bytes:
                raise DecontaminateError(f"{path}: missing or damaged; remove {out} and begin anew")
    return manifest


def _index(job: Job, references: References, workers: int, tick: Tick) -> None:
    """Index the benchmarks, unless a run that was stopped has done it."""
    if job.index.is_dir():
        return
    part = job.index.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    index_references(references(), part, job.rules.images, workers, tick)
    part.replace(job.index)


def _clean(job: Job, units: list[Unit], workers: int, tick: Tick) -> tuple[list[Part], int]:
    """Return what became of each unit, and how many rows earlier runs have done."""
    parts = {number: part for number in range(len(units)) if (part := cleaned_unit(job, number))}
    rows = earlier = sum(part.rows for part in parts.values())
    dropped = sum(part.dropped.total() for part in parts.values())
    missing = [number for number in range(len(units)) if number not in parts]
    tasks = [(job, units[number], number) for number in missing]
    for number, part in zip(
        missing, in_order(clean_unit, tasks, min(workers, len(tasks))), strict=True
    ):
        parts[number] = part
        rows, dropped = rows + part.rows, dropped + part.dropped.total()
        tick(f"{len(parts)}/{len(units)} units, {rows:,} rows, {dropped:,} dropped")
    return [parts[number] for number in range(len(units))], earlier


def _finish(
    job: Job, plan: Mapping[str, Any], inputs: list[_Input], parts: list[Part], **facts: object
) -> Part:
    """Write what was dropped and the manifest, and forget the units."""
    total = Part()
    with replacing(job.out / DROPPED) as path, open(path, "wb") as dropped:
        for bad in (one for one in inputs if one.error):
            line = {"where": str(bad.path), "uid": "", "source": "", "reason": "unreadable"}
            dropped.write(json.dumps({**line, "detail": bad.error, "matches": []}).encode() + b"\n")
            total.dropped["", "unreadable"] += 1
        for number, part in enumerate(parts):
            total.add(part)
            with open(job.work / f"{number:05d}.jsonl", "rb") as lines:
                shutil.copyfileobj(lines, dropped)
    if not total.kept:
        shutil.rmtree(job.work)
        with open(job.out / DROPPED, encoding="utf-8") as file:
            first = file.readline().strip()
        lost = any(reason == "media" for _, reason in total.dropped)
        raise DecontaminateError(
            f"out={job.out}: none of {total.rows:,} rows is left"
            f"{' (is media_root right?)' if lost else ''}; the first: {first[:500]}"
        )
    counted = {name: fact for name, fact in total.facts().items() if name != "shards"}
    root = plan["settings"]["media_root"]
    write_manifest(job.out, total.shards, media_root=root, **plan, **facts, **counted)
    shutil.rmtree(job.work)
    return total
