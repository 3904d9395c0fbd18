"""Conversion of a public preference set, unit by unit, on all cores.

One unit of the input is one shard, which is written whole; ``.convert`` in the folder of the set
remembers what became of each finished unit, so that a kill costs no more than those at work.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from r1reward.config.tree import flatten
from r1reward.core.errors import UserError
from r1reward.core.rows import RowError, Unit, cut
from r1reward.data.convert.unit import WORK, Dropped, Job, Part, convert_unit
from r1reward.data.workers import WorkerError, in_order
from r1reward.store.files import holding, replacing, write_text
from r1reward.store.shards import read_manifest, write_manifest

QUARANTINE = "quarantine.jsonl"
_BLOCK = 1 << 20  # bytes


class ConvertError(UserError):
    """A conversion that cannot begin or go on, with what to change."""


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
    """

    total: Part = field(default_factory=Part)
    units: int = 0
    done: int = 0
    kept: int = 0


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
        where = f"below {job.source.root} ({job.source.published_at})"
        raise ConvertError(f"{job.source.name}: no file {patterns} {where}")
    progress = Progress()
    try:
        tasks = [(path, shard_rows) for path in paths]
        inputs = list(in_order(survey, tasks, min(workers, len(tasks))))
        plan = _plan(job, shard_rows, inputs)
        finished = _check_folder(out, plan)
        if finished is None:
            busy = ConvertError(f"out={out}: another conversion is at work there")
            with holding(out / WORK / "lock", busy):
                _check_folder(out, plan)  # again: another run may have been quicker
                write_text(out / WORK / "plan.json", json.dumps(plan))
                for torn in (*out.glob(".*.part"), *(out / WORK).glob(".*.part")):
                    torn.unlink()  # what a kill left
                units = [unit for one in inputs for unit in one.units]
                parts = _run(job, out, units, workers, progress, tick)
                progress.total = _finish(out, plan, command, inputs, parts)
        else:
            progress.total, progress.kept = finished, finished.rows
    except WorkerError as error:
        raise ConvertError(f"{error}: the same command goes on from here") from None
    except OSError as error:  # no room, no permission
        problem = f"{error.filename or out}: {error.strerror or error}"
        raise ConvertError(f"{problem}; the same command goes on from here") from None
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


def _run(
    job: Job,
    out: Path,
    units: list[Unit],
    workers: int,
    progress: Progress,
    tick: Callable[[Progress], None],
) -> list[Part]:
    """Return what became of each unit."""
    parts = {number: part for number in range(len(units)) if (part := _load(out, number))}
    for part in parts.values():
        progress.total.add(part)
    progress.units, progress.done, progress.kept = len(units), len(parts), progress.total.rows
    missing = [number for number in range(len(units)) if number not in parts]
    tasks = [(job, units[number], out, number) for number in missing]
    for number, part in zip(missing, in_order(convert_unit, tasks, workers), strict=True):
        parts[number] = part
        progress.total.add(part)
        progress.done += 1
        tick(progress)
    return [parts[number] for number in range(len(units))]


def _load(out: Path, number: int) -> Part | None:
    """Return what became of a unit that an earlier run finished."""
    try:
        content = (out / WORK / f"{number:05d}.json").read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    part = Part.of(json.loads(content))
    return part if _all_there(out, part) else None


def _all_there(out: Path, part: Part) -> bool:
    paths = {shard: out / shard.name for shard in part.shards}
    return all(path.is_file() and path.stat().st_size == one.bytes for one, path in paths.items())


def _plan(job: Job, shard_rows: int, inputs: list[Input]) -> dict[str, object]:
    """Return all that decides the output, as JSON has it."""
    settings = {"source": job.source.settings(), "media": job.media, "shard_rows": shard_rows}
    files = [{"path": str(one.path), "bytes": one.bytes, "sha256": one.sha256} for one in inputs]
    plan: dict[str, object] = json.loads(
        json.dumps({"seed": job.seed, "settings": settings, "inputs": files})
    )
    return plan


def _check_folder(out: Path, plan: Mapping[str, object]) -> Part | None:
    """Return what the folder holds when it is finished.

    Raises:
        ConvertError: when it is not of this conversion.
    """
    manifest, begun = read_manifest(out), out / WORK / "plan.json"
    if manifest is None and not begun.is_file():
        names = {path.name for path in out.iterdir()} if out.is_dir() else set()
        if names - {WORK, QUARANTINE}:
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
            with open(out / WORK / f"{number:05d}.jsonl", "rb") as lines:
                shutil.copyfileobj(lines, quarantine)
    if total.records:
        facts = {key: value for key, value in total.facts().items() if key != "shards"}
        root = os.path.abspath(plan["settings"]["source"]["media_root"])
        write_manifest(out, total.shards, command=command, media_root=root, **plan, **facts)
    shutil.rmtree(out / WORK)
    if not total.records:
        reasons = ", ".join(f"{reason} {number:,}" for reason, number in total.dropped.items())
        with open(out / QUARANTINE, encoding="utf-8") as file:
            first = file.readline().strip()
        raise ConvertError(
            f"out={out}: no record came of {total.rows:,} rows ({reasons or 'empty files'}); "
            f"the first: {first[:500]}"
        )
    return total
