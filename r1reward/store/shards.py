"""A data set on disk: a folder of parquet shards and ``manifest.json``."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from r1reward.store.files import replacing, write_text

MANIFEST = "manifest.json"
# A row group is written, and read, whole: rows, and bytes of the images that they may carry.
_GROUP = 256
_GROUP_BYTES = 16 << 20
SCHEMA = pa.schema(
    [
        # The record (r1reward.core.record.Record).
        ("question", pa.string()),
        ("responses", pa.list_(pa.string())),
        ("label", pa.int8()),
        # `bytes` is the file itself where media are embedded, else null; then `uri` is a path.
        (
            "media",
            pa.list_(
                pa.struct([("kind", pa.string()), ("uri", pa.string()), ("bytes", pa.binary())])
            ),
        ),
        ("source", pa.string()),
        # Where it came from: the id or row of its publisher.
        ("origin", pa.string()),
        # Difficulty, null until annotated: attempts made, whether the last one was right, and the
        # whole response of the right one.
        ("attempts", pa.int8()),
        ("solved", pa.bool_()),
        ("reasoning", pa.string()),
    ]
)


@dataclass(frozen=True, slots=True)
class Shard:
    """One file of a data set."""

    name: str
    rows: int
    bytes: int
    sha256: str


def write_shard(path: Path, rows: Iterable[Mapping[str, Any]]) -> Shard:
    """Write rows of :data:`SCHEMA` to one shard, whole or not at all; missing columns are null."""
    count = 0
    with replacing(path) as part:
        with pq.ParquetWriter(part, SCHEMA, compression="zstd") as writer:
            group: list[Mapping[str, Any]] = []
            size = 0
            for row in rows:
                group.append(row)
                size += sum(len(item.get("bytes") or b"") for item in row.get("media") or ())
                if len(group) == _GROUP or size >= _GROUP_BYTES:
                    writer.write_table(_table(group))
                    count, group, size = count + len(group), [], 0
            if group:
                writer.write_table(_table(group))
                count += len(group)
        digest = hashlib.sha256()
        with open(part, "rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
        size = part.stat().st_size
    return Shard(path.name, count, size, digest.hexdigest())


def write_manifest(folder: Path, shards: Iterable[Shard], **facts: object) -> None:
    """Write what the folder holds and how it was made."""
    content = {"schema": 1, **facts, "shards": [asdict(shard) for shard in shards]}
    write_text(folder / MANIFEST, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """Return the manifest of a finished data set, or None."""
    try:
        content: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return content


def media_folder(path: Path, media_root: Path | str | None) -> Path:
    """Return the folder that relative media paths of a data set start from.

    Args:
        path: a folder of shards, or a file.
        media_root: the folder that was asked for; None is what a folder's manifest says, else the
            data set's own folder.
    """
    if media_root:
        return Path(media_root)
    if not path.is_dir():
        return path.parent
    return Path((read_manifest(path) or {}).get("media_root") or path)


def _table(rows: list[Mapping[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist([dict(row) for row in rows], schema=SCHEMA)
