"""Rows of a benchmark's files, with errors that name file, row and key."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from r1reward.core.errors import UserError
from r1reward.core.pair import Media

Row = Mapping[str, object]


class BenchmarkError(UserError):
    """A benchmark that is not there, or not the one that its name promises."""


def read_rows(path: Path, columns: Sequence[str] | None = None) -> Iterator[tuple[str, Row]]:
    """Yield ``<file>:<row>`` and the row, streaming all but ``.json``.

    Args:
        path: ``.parquet``, ``.jsonl``, or ``.json`` that holds one list.
        columns: what to read of a parquet file, where it has them; images are large.

    Raises:
        BenchmarkError: for a file or row that cannot be read.
    """
    rows = {".parquet": _parquet, ".jsonl": _jsonl, ".json": _json}[path.suffix](path, columns)
    try:
        for number, row in enumerate(rows, start=1):
            if not isinstance(row, Mapping):
                raise BenchmarkError(f"{path}:{number}: expected an object, found {row!r:.80}")
            yield f"{path}:{number}", row
    except OSError as error:
        raise BenchmarkError(f"{path}: cannot be read ({error.strerror or error})") from None


def _jsonl(path: Path, _: Sequence[str] | None) -> Iterator[Any]:
    with open(path, "rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                row = json.loads(line)
            except ValueError as error:
                raise BenchmarkError(f"{path}:{number}: not JSON ({error})") from None
            yield row


def _json(path: Path, _: Sequence[str] | None) -> Iterator[Any]:
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:
        raise BenchmarkError(f"{path}: not JSON ({error}); download it again") from None
    if not isinstance(content, list):
        raise BenchmarkError(f"{path}: expected one list of objects")
    yield from content


def _parquet(path: Path, columns: Sequence[str] | None) -> Iterator[Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            there = set(file.schema_arrow.names)
            wanted = None if columns is None else [name for name in columns if name in there]
            for batch in file.iter_batches(batch_size=32, columns=wanted):  # rows carry images
                yield from batch.to_pylist()
    except pa.ArrowException as error:
        raise BenchmarkError(f"{path}: not a readable parquet file ({error})") from None


def field(row: Row, name: str) -> Any:
    """Return a value that must be there.

    Raises:
        BenchmarkError: naming the key and those that the row has.
    """
    if row.get(name) is None:
        raise BenchmarkError(f"no {name}; found {', '.join(map(str, row)) or 'nothing'}")
    return row[name]


def images(cell: Any) -> tuple[Media, ...]:
    """Return the media of an image column: a path, Hugging Face's bytes, or a list of these.

    Raises:
        BenchmarkError: for anything else.
    """
    if isinstance(cell, list | tuple):
        return tuple(media for one in cell for media in images(one))
    if isinstance(cell, Mapping):
        if content := cell.get("bytes"):
            return (Media.embedded(content),)
        cell = cell.get("path")
    if not isinstance(cell, str) or not cell:
        raise BenchmarkError(f"image={cell!r}; expected a path or {{bytes, path}}")
    return (Media("image", cell),)
