"""Mixing of data sets into parts, in two passes, independent of the order of sets and rows.

The first keeps some bytes of each row (:mod:`.keys`), from which all is chosen (:mod:`.select`).
The second moves the rows that stay through a spool on the disk, as large as they are: a shuffled
order needs all of them at hand.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np
import pyarrow.parquet as pq

from r1reward.core.media import ImageError, locate
from r1reward.core.rows import RowError, Unit, files_of, read_unit, units
from r1reward.data.mix.keys import (
    REASONS,
    Fate,
    Hashes,
    Keys,
    Mask,
    Places,
    counts,
    fates,
    gathered,
    media_file,
    scan_unit,
)
from r1reward.data.mix.select import (
    Input,
    MixError,
    Settings,
    draw,
    drop_duplicates,
    reorder,
    select,
    split,
)
from r1reward.data.shard_rows import read_row
from r1reward.data.workers import in_order
from r1reward.store.files import holding, replacing, write_text
from r1reward.store.shards import Shard, files_in, write_manifest, write_shard

Tick = Callable[[str], None]  # is told what is being done
_T = TypeVar("_T")
PLAN, DROPPED, _SPOOL, _LOCK = "mix.json", "dropped.jsonl", ".spool", ".lock"
_SCHEMA = 1  # of the plan: another number, another mix


def _watched(
    tick: Tick,
    what: str,
    function: Callable[..., _T],
    tasks: Sequence[tuple[object, ...]],
    workers: int,
) -> Iterator[_T]:
    """Yield the results of :func:`in_order`, and tell how many there are."""
    results = in_order(function, tasks, min(workers, len(tasks)))
    for number in range(len(tasks)):
        tick(f"{what} {number}/{len(tasks)}")
        yield next(results)


def spool_unit(unit: Unit, root: Path, wanted: Places, turned: Mask, path: Path) -> Hashes:
    """Write some rows of a unit to ``path``; return where each begins.

    Args:
        unit: to read.
        root: folder of relative media paths.
        wanted: places of the rows, ascending.
        turned: for each of them, whether its responses change places.
        path: file to write.
    """
    begins = np.zeros(len(wanted), "u8")
    places = iter(enumerate(wanted.tolist()))
    number, place = next(places, (0, -1))
    with open(path, "wb") as file:
        for at, (where, raw) in enumerate(read_unit(unit)):
            if at != place:
                continue
            begins[number] = file.tell()
            row = read_row(where, raw)[1]
            if turned[number]:
                row |= _turned(row) | {"reasoning": None}
            for item in files_in(row):
                if item["bytes"] is None:
                    item["path"] = locate(item["uri"], root)
            content = msgspec.msgpack.encode(row)
            file.write(len(content).to_bytes(8) + content)
            number, place = next(places, (0, -1))
    return begins


def _turned(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of a row that change when its responses change places."""
    columns = {"responses": row["responses"][::-1], "label": 3 - row["label"]}
    if row["parts"] is not None:
        question, first, second = row["parts"]
        columns["parts"] = [question, second, first]
    return columns


def write_rows(path: Path, spool: Path, places: Places, embed: bool) -> Shard:
    """Write a shard from spooled rows, in the order of ``places`` (unit and where it begins)."""
    rows = (_spooled(spool / str(unit), begin, embed) for unit, begin in places.tolist())
    return write_shard(path, rows)


def _spooled(path: Path, begin: int, embed: bool) -> dict[str, object]:
    with open(path, "rb") as file:
        file.seek(begin)
        content = file.read(int.from_bytes(file.read(8)))
    row: dict[str, Any] = msgspec.msgpack.decode(content)
    for item in files_in(row):
        if found := item.pop("path", None):
            item |= {"bytes": _again(found)} if embed else {"uri": found}
    return row


def _again(path: str) -> bytes:
    try:
        return media_file(path, "/")
    except (OSError, ImageError) as error:
        raise MixError(f"{path}: it was there a moment ago ({error})") from None


def shards_of(keys: Keys, part: Places, limit: int) -> list[Places]:
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
    parts: dict[str, Places]
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
        turned = reorder(keys.rows, settings)
        select(keys, settings)
        notes = draw(keys, inputs, np.array([number for _, number in cut], int), settings)
        parts = split(keys, settings, notes)
        write_text(out / PLAN, _json({"plan": plan}))
        write_dropped(out / DROPPED, keys, [unit for unit, _ in cut], twins)
        shards, reused = _write(out, keys, turned, parts, tasks, settings, workers, tick)
    for name, part in parts.items():
        write_manifest(out / name, shards[name], command=command, **plan, **counts(keys, part))
    found = {name: counts(keys, part) for name, part in parts.items()}
    result = {"parts": found, "dropped": dict(fates(keys)), "notes": notes}
    write_text(out / PLAN, _json({"plan": plan, "result": result}))
    return Mix(keys, parts, shards, reused, notes)


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
) -> dict[str, object]:
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
    plan: dict[str, object] = json.loads(json.dumps(content))
    return plan


def _digest(path: Path) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return {"bytes": path.stat().st_size, "sha256": digest}
    except OSError as error:
        raise RowError(f"{path}: cannot be read ({error.strerror})") from None


@contextmanager
def _locked(out: Path) -> Iterator[dict[str, object] | None]:
    """Keep others out of ``out``; yield the plan of the mix that is there, or None.

    Raises:
        MixError: when something else is there, or someone else at work.
    """
    there = _begun(out)
    with holding(out / _LOCK, MixError(f"out={out}: another mix is being made there")):
        yield there


def _begun(out: Path) -> dict[str, object] | None:
    if not out.exists() or (out.is_dir() and {item.name for item in out.iterdir()} <= {_LOCK}):
        return None
    try:
        there: dict[str, object] = json.loads((out / PLAN).read_text(encoding="utf-8"))["plan"]
    except (OSError, ValueError, KeyError):
        raise MixError(f"out={out}: something else is there; take another folder") from None
    return there


def _json(value: object) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False)


def _write(
    out: Path,
    keys: Keys,
    turned: Mask,
    parts: Mapping[str, Places],
    tasks: Sequence[tuple[Unit, Path, bool]],
    settings: Settings,
    workers: int,
    tick: Tick,
) -> tuple[dict[str, list[Shard]], int]:
    """Write what is missing of the shards; return all of them, and how many were there."""
    wanted: dict[Path, Places] = {}
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
        (unit, root, rows - first[number], turned[rows], spool / str(number))
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
