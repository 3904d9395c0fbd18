"""A data set on disk: a folder of parquet shards and ``manifest.json``."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from r1reward.core.pair import Content, Preference, parts_of, text_of
from r1reward.store.files import replacing, write_text

MANIFEST = "manifest.json"
# A row group is written, and read, whole: rows, and bytes of the images that they may carry.
_GROUP = 256
_GROUP_BYTES = 16 << 20
# `bytes` is the file itself where media are embedded, else null; then `uri` is a path.
_MEDIUM = [("kind", pa.string()), ("uri", pa.string()), ("bytes", pa.binary())]
SCHEMA = pa.schema(
    [
        # The preference (r1reward.core.pair.Preference); its texts have <image> or <video> where
        # one stands within a question or a response.
        ("question", pa.string()),
        ("responses", pa.list_(pa.string())),
        ("label", pa.int8()),
        ("media", pa.list_(pa.struct(_MEDIUM))),
        ("source", pa.string()),
        # Null for a pair of plain texts; else the parts of the question and of both responses, in
        # order. Readers then take these in place of `question` and `responses`.
        ("parts", pa.list_(pa.list_(pa.struct([*_MEDIUM, ("text", pa.string())])))),
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


def columns_of(preference: Preference, files: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the columns of :data:`SCHEMA` that a preference fills.

    Args:
        preference: with media of which only the number in each place counts.
        files: ``kind``, ``uri`` and ``bytes`` of each of ``preference.all_media()``.
    """
    contents = (preference.question, *preference.responses)
    own, within = files[: len(preference.media)], iter(files[len(preference.media) :])
    return {
        "question": text_of(preference.question),
        "responses": [text_of(response) for response in preference.responses],
        "label": preference.label,
        "media": [dict(file) for file in own],
        "source": preference.source,
        "parts": None
        if preference.is_plain
        else [_parts_column(content, within) for content in contents],
    }


def files_in(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what a row of :data:`SCHEMA` holds of each image and video, in the prompt's order."""
    parts = [part for content in row.get("parts") or () for part in content]
    return [*(row.get("media") or ()), *(part for part in parts if part["kind"] != "text")]


def write_shard(path: Path, rows: Iterable[Mapping[str, Any]]) -> Shard:
    """Write rows of :data:`SCHEMA` to one shard, whole or not at all; missing columns are null."""
    count = 0
    with replacing(path) as part:
        with pq.ParquetWriter(part, SCHEMA, compression="zstd") as writer:
            group: list[Mapping[str, Any]] = []
            size = 0
            for row in rows:
                group.append(row)
                size += sum(len(file.get("bytes") or b"") for file in files_in(row))
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


def _parts_column(content: Content, files: Iterator[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [
        {"kind": "text", "text": part} if isinstance(part, str) else dict(next(files))
        for part in parts_of(content)
    ]
