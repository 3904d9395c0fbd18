"""Reads what W&B keeps of an offline run: records in the log format of LevelDB, then protobuf."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from wandb.proto import wandb_internal_pb2 as pb

_BLOCK, _FILE_HEADER, _HEADER = 32768, 7, 7  # bytes; header: checksum 4, length 2, kind 1


def records(path: Path) -> Iterator[pb.Record]:
    """Yield the records of one ``run-<id>.wandb``."""
    content, place, whole = path.read_bytes(), _FILE_HEADER, b""
    assert content[:4] == b":W&B"
    while place + _HEADER <= len(content):
        left = _BLOCK - place % _BLOCK
        if left < _HEADER:  # a block's end that no header fits into is padding
            place += left
            continue
        length, kind = int.from_bytes(content[place + 4 : place + 6], "little"), content[place + 6]
        if kind == 0 or place + _HEADER + length > len(content):
            return  # torn by a kill
        whole += content[place + _HEADER : place + _HEADER + length]
        place += _HEADER + length
        if kind in (1, 4):  # a record in one piece, or its last piece
            record = pb.Record()
            record.ParseFromString(whole)
            yield record
            whole = b""


def offline_runs(folder: Path) -> list[Path]:
    """The files of the offline runs of a run directory, oldest first."""
    return sorted(folder.glob("wandb/offline-run-*/*.wandb"))


def the_run(found: Iterable[pb.Record]) -> pb.RunRecord:
    """What W&B knows a run by."""
    (run,) = _runs(found)
    return run


def written_runs(files: Iterable[Path]) -> list[pb.RunRecord]:
    """The runs of ``files``, oldest first, without those that a kill kept from the disk."""
    return [run for file in files for run in _runs(records(file))]


def _runs(found: Iterable[pb.Record]) -> list[pb.RunRecord]:
    return [record.run for record in found if record.WhichOneof("record_type") == "run"]


def config(found: Iterable[pb.Record]) -> dict[str, Any]:
    """The configuration that W&B has, the first and later updates together."""
    values: dict[str, Any] = {}
    for record in found:
        kind = record.WhichOneof("record_type")
        updates = {"run": record.run.config.update, "config": record.config.update}.get(kind, ())
        for item in updates:
            values[item.key or ".".join(item.nested_key)] = json.loads(item.value_json)
    return values


def history(found: Iterable[pb.Record]) -> list[dict[str, Any]]:
    """The rows that were logged."""
    return [
        {i.key or ".".join(i.nested_key): json.loads(i.value_json) for i in record.history.item}
        for record in found
        if record.WhichOneof("record_type") == "history"
    ]


def tables(file: Path, name: str) -> dict[int, Any]:
    """The tables of one name in an offline run, by step."""
    return {
        row["_step"]: json.loads((file.parent / "files" / row[f"{name}.path"]).read_text())
        for row in history(records(file))
        if f"{name}.path" in row
    }


def staged(found: Iterable[pb.Record]) -> list[dict[str, Path]]:
    """The files that tables consist of, as ``{name: where it waits}``, one mapping a table."""
    return [
        {entry.path: Path(entry.local_path) for entry in record.artifact.manifest.contents}
        for record in found
        if record.WhichOneof("record_type") == "artifact"
    ]
