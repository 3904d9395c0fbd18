"""Rows of JSONL and parquet files, streamed, whole or in units that processes share out."""

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from r1reward.core.errors import UserError

Row = Mapping[str, object]
UNIT_ROWS = 4096  # of parquet at least, in whole row groups; of JSONL at most
_UNIT_BYTES = 16 << 20  # of JSONL, at most
_BATCH = 64  # rows read together: they may carry images
_BUFFER = 1 << 20  # bytes of a file read together
_ROW_CHARACTERS = 64 << 20  # of a list in a .json file, at most: one row is in memory at a time
_SIGN = re.compile(r"[^ \t\r\n]")


class RowError(UserError):
    """A row, or a file, that cannot be read: ``<file>:<row>: what is wrong``."""


@dataclass(frozen=True, slots=True)
class Unit:
    """A part of one file.

    Attributes:
        path: the file.
        first: number of its first row in the file, from 1.
        start: where it begins: a byte of JSONL, a row group of parquet.
        stop: where it ends, not included; -1 is the end of the file.
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


def count_rows(path: Path | str) -> int:
    """Return how many rows a data set has; blank lines are none.

    Raises:
        RowError: when a file cannot be read at all.
    """
    return sum(map(_count_file, files_of(path)))


def _count_file(path: Path) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        if path.suffix == ".parquet":
            return int(pq.read_metadata(path).num_rows)
        with open(path, "rb") as file:
            return sum(1 for line in file if line.strip())
    except (pa.ArrowException, OSError) as error:
        raise RowError(f"{path}: cannot be read ({error})") from None


def scan_rows(path: Path | str) -> Iterator[tuple[str, Row | RowError]]:
    """Yield ``<file>:<row>`` and each row of a file or folder, or what is wrong with it.

    Raises:
        RowError: when a file cannot be read at all.
    """
    for file in files_of(path):
        yield from read_unit(Unit(file, 1, 0, -1))


def units(path: Path | str, rows: int = UNIT_ROWS) -> list[Unit]:
    """Cut a file or folder into units of about ``rows`` rows, to be read side by side.

    Raises:
        RowError: when a file cannot be read at all.
    """
    return [unit for file in files_of(path) for unit in cut(file, rows)]


def cut(file: Path, rows: int = UNIT_ROWS) -> list[Unit]:
    """Cut one file: .jsonl, .parquet, or the .json of a publisher, a list, which stays whole.

    Raises:
        RowError: when it cannot be read at all.
    """
    if file.suffix == ".jsonl":
        return list(_jsonl_units(file, rows))
    if file.suffix == ".parquet":
        return list(_parquet_units(file, rows))
    if file.suffix == ".json":
        return [Unit(file, 1, 0, -1)]
    raise RowError(f"{file}: rows are read from .jsonl, .parquet and .json files")


def read_unit(
    unit: Unit, columns: Sequence[str] | None = None
) -> Iterator[tuple[str, Row | RowError]]:
    """Yield ``<file>:<row>`` and each row of the unit, or what is wrong with it.

    Args:
        unit: to read.
        columns: what to read of a parquet file, where it has them; None: all.

    Raises:
        RowError: when the file cannot be read at all, or not any further.
    """
    if unit.path.suffix == ".jsonl":
        return _jsonl(unit)
    return _json_list(unit) if unit.path.suffix == ".json" else _parquet(unit, columns)


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


def _parquet(unit: Unit, columns: Sequence[str] | None) -> Iterator[tuple[str, Row | RowError]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = unit.first - 1
    try:
        # A row group may be the whole file: without pre_buffer one page is in memory at a time.
        with pq.ParquetFile(unit.path, buffer_size=_BUFFER, pre_buffer=False) as file:
            stop = file.num_row_groups if unit.stop < 0 else unit.stop
            groups = list(range(unit.start, stop))
            there = set(file.schema_arrow.names)
            wanted = None if columns is None else [name for name in columns if name in there]
            for batch in file.iter_batches(_BATCH, groups, wanted):
                for row in _batch_rows(batch):
                    number += 1
                    where = f"{unit.path}:{number}"
                    if isinstance(row, UnicodeDecodeError):
                        yield where, RowError(f"{where}: a column is not text ({row})")
                    else:
                        yield where, row
    except (pa.ArrowException, OSError) as error:
        raise _refused(unit.path, error) from None


def _refused(path: Path, error: Exception) -> RowError:
    """Return why a parquet file cannot be read: Arrow's own errors have no number."""
    if isinstance(error, OSError) and error.errno:
        return RowError(f"{path}: cannot be read ({os.strerror(error.errno)})")
    return RowError(f"{path}: not a readable parquet file ({error})")


def _batch_rows(batch: Any) -> Iterator[Row | UnicodeDecodeError]:
    if batch.nbytes < _UNIT_BYTES:  # with many images, one row at a time
        try:
            rows = batch.to_pylist()
        except UnicodeDecodeError:
            rows = None  # one row at a time says which
        if rows is not None:
            yield from rows
            return
    for index in range(batch.num_rows):
        try:
            yield batch.slice(index, 1).to_pylist()[0]
        except UnicodeDecodeError as error:
            yield error


def _json_list(unit: Unit) -> Iterator[tuple[str, Row | RowError]]:
    path = unit.path
    try:
        # What is not UTF-8 becomes half a surrogate pair, which no record may hold.
        file = open(path, encoding="utf-8-sig", errors="surrogateescape")  # noqa: SIM115
    except OSError as error:
        raise RowError(f"{path}: cannot be read ({error.strerror})") from None
    with file:
        window = _Window(file)
        if window.sign() != "[":
            raise RowError(f"{path}: not a JSON list of rows")
        window.skip()
        sign, number = "," if window.sign() != "]" else "]", 0
        while sign == ",":
            number += 1
            where = f"{path}:{number}"
            try:
                yield where, window.item()
            except (ValueError, RecursionError):
                message = "not a JSON object; it and all that follows cannot be read"
                yield where, RowError(f"{where}: {message}")
                return
            sign = window.sign()
            window.skip()
        if sign != "]":
            where = f"{path}:{number + 1}"
            yield where, RowError(f"{where}: the list is torn here; download the file again")


class _Window:
    """The part of a text file that is in memory, and how far it is read."""

    def __init__(self, file: TextIO) -> None:
        self._file, self._text, self._place = file, "", 0
        self._decoder = json.JSONDecoder()

    def sign(self) -> str:
        """Return the next character that is no white space, nothing at the end of the file."""
        while True:
            found = _SIGN.search(self._text, self._place)
            if found:
                self._place = found.start()
                return found[0]
            self._place = len(self._text)
            if not self._more():
                return ""

    def skip(self) -> None:
        """Go on behind that character."""
        self._place += 1

    def item(self) -> Any:
        """Return the JSON object that comes next, and go on behind it."""
        if self.sign() != "{":
            raise ValueError
        while True:
            try:
                item, self._place = self._decoder.raw_decode(self._text, self._place)
            except ValueError:
                if len(self._text) - self._place > _ROW_CHARACTERS or not self._more():
                    raise
            else:
                return item

    def _more(self) -> bool:
        rest = self._text[self._place :]
        more = self._file.read(max(_BUFFER, len(rest)))
        self._text, self._place = rest + more, 0
        return bool(more)


def _jsonl_units(path: Path, rows: int) -> Iterator[Unit]:
    try:
        file = open(path, "rb")  # noqa: SIM115 - closed below
    except OSError as error:
        raise RowError(f"{path}: cannot be read ({error.strerror})") from None
    with file:
        start, place, number, first = 0, 0, 0, 1
        for number, line in enumerate(file, start=1):
            place += len(line)
            if place - start >= _UNIT_BYTES or number - first + 1 >= rows:
                yield Unit(path, first, start, place)
                start, first = place, number + 1
        if place > start:
            yield Unit(path, first, start, place)


def _parquet_units(path: Path, rows: int) -> Iterator[Unit]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        metadata = pq.read_metadata(path)
    except (pa.ArrowException, OSError) as error:
        raise _refused(path, error) from None
    start, count, first = 0, 0, 1
    for group in range(metadata.num_row_groups):
        count += metadata.row_group(group).num_rows
        if count >= rows:
            yield Unit(path, first, start, group + 1)
            start, first, count = group + 1, first + count, 0
    if count:
        yield Unit(path, first, start, metadata.num_row_groups)
