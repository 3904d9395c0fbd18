"""Rows of JSONL and parquet files, streamed, whole or in units that processes share out."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Row = Mapping[str, Any]
_UNIT_BYTES = 16 << 20  # of JSONL
_UNIT_ROWS = 4096  # of parquet, at least: whole row groups
_BATCH = 64  # rows read together: they may carry images


class RowError(ValueError):
    """A row, or a file, that cannot be read: ``<file>:<row>: what is wrong``."""


@dataclass(frozen=True, slots=True)
class Unit:
    """A part of one file.

    Attributes:
        path: the file.
        first: number of its first row in the file, from 1.
        start: where it begins: a byte of JSONL, a row group of parquet.
        stop: where it ends, not included.
    """

    path: Path
    first: int
    start: int
    stop: int


def files_of(path: Path | str) -> list[Path]:
    """Return the files of a data set: the file itself, or the shards of a folder in order.

    Raises:
        RowError: when there is nothing to read.
    """
    path = Path(path)
    if not path.is_dir():
        if path.suffix not in (".jsonl", ".parquet"):
            raise RowError(f"{path}: records are read from .jsonl and .parquet files")
        return [path]
    for pattern in ("*.parquet", "*.jsonl"):
        if found := sorted(path.glob(pattern)):
            return found
    raise RowError(f"{path}: no .parquet and no .jsonl file in this folder")


def scan_rows(path: Path | str) -> Iterator[tuple[str, Row | RowError]]:
    """Yield ``<file>:<row>`` and each row of a file or folder, or what is wrong with it.

    Raises:
        RowError: when a file cannot be read at all.
    """
    for file in files_of(path):
        yield from read_unit(Unit(file, 1, 0, -1))


def units(path: Path | str) -> list[Unit]:
    """Cut a file or folder into units of some thousand rows, to be read side by side.

    Raises:
        RowError: when a file cannot be read at all.
    """
    found: list[Unit] = []
    for file in files_of(path):
        found += _jsonl_units(file) if file.suffix == ".jsonl" else _parquet_units(file)
    return found


def read_unit(unit: Unit) -> Iterator[tuple[str, Row | RowError]]:
    """Yield ``<file>:<row>`` and each row of the unit; ``stop`` -1 is the end of the file.

    Raises:
        RowError: when the file cannot be read at all.
    """
    return _jsonl(unit) if unit.path.suffix == ".jsonl" else _parquet(unit)


def _jsonl(unit: Unit) -> Iterator[tuple[str, Row | RowError]]:
    try:
        file = open(unit.path, "rb")  # noqa: SIM115 - closed below
    except OSError as error:
        raise RowError(f"{unit.path}: cannot be read ({error.strerror})") from None
    with file:
        place = file.seek(unit.start)
        for number, line in enumerate(file, start=unit.first):
            if 0 <= unit.stop <= place:
                return
            place += len(line)
            if not line.strip():
                continue
            where = f"{unit.path}:{number}"
            try:
                yield where, json.loads(line)
            except (ValueError, RecursionError) as error:  # bad JSON, bad UTF-8, endless nesting
                yield where, RowError(f"{where}: not a JSON object ({error})")


def _parquet(unit: Unit) -> Iterator[tuple[str, Row | RowError]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = unit.first - 1
    try:
        with pq.ParquetFile(unit.path) as file:
            stop = file.num_row_groups if unit.stop < 0 else unit.stop
            groups = list(range(unit.start, stop))
            for batch in file.iter_batches(batch_size=_BATCH, row_groups=groups):
                for index in range(batch.num_rows):
                    number += 1
                    where = f"{unit.path}:{number}"
                    try:
                        yield where, batch.slice(index, 1).to_pylist()[0]
                    except UnicodeDecodeError as error:
                        yield where, RowError(f"{where}: a column is not text ({error})")
    except (pa.ArrowException, OSError) as error:
        raise RowError(f"{unit.path}: not a readable parquet file ({error})") from None


def _jsonl_units(path: Path) -> Iterator[Unit]:
    try:
        file = open(path, "rb")  # noqa: SIM115 - closed below
    except OSError as error:
        raise RowError(f"{path}: cannot be read ({error.strerror})") from None
    with file:
        start, place, number, first = 0, 0, 0, 1
        for number, line in enumerate(file, start=1):
            place += len(line)
            if place - start >= _UNIT_BYTES:
                yield Unit(path, first, start, place)
                start, first = place, number + 1
        if place > start:
            yield Unit(path, first, start, place)


def _parquet_units(path: Path) -> Iterator[Unit]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        metadata = pq.read_metadata(path)
    except (pa.ArrowException, OSError) as error:
        raise RowError(f"{path}: not a readable parquet file ({error})") from None
    start, rows, first = 0, 0, 1
    for group in range(metadata.num_row_groups):
        rows += metadata.row_group(group).num_rows
        if rows >= _UNIT_ROWS:
            yield Unit(path, first, start, group + 1)
            start, first, rows = group + 1, first + rows, 0
    if rows:
        yield Unit(path, first, start, metadata.num_row_groups)
