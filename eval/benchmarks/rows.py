"""Rows of a benchmark's files, with errors that name file, row and key."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from r1reward.core.errors import UserError
from r1reward.core.pair import Media
from r1reward.core.rows import Row, RowError, Unit, read_unit


class BenchmarkError(UserError):
    """A benchmark that is not there, or not the one that its name promises."""


def read_rows(path: Path, columns: Sequence[str] | None = None) -> Iterator[tuple[str, Row]]:
    """Yield ``<file>:<row>`` and the row, streaming.

    Args:
        path: ``.parquet``, ``.jsonl``, or ``.json`` that holds one list.
        columns: what to read of a parquet file, where it has them; images are large.

    Raises:
        BenchmarkError: for a file or row that cannot be read.
    """
    try:
        for where, row in read_unit(Unit(path, 1, 0, -1), columns):
            if isinstance(row, RowError):
                raise row
            if not isinstance(row, Mapping):
                raise BenchmarkError(f"{where}: expected an object, found {row!r:.80}")
            yield where, row
    except RowError as error:
        raise BenchmarkError(str(error)) from None


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
