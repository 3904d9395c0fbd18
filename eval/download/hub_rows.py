"""Rows and images that a benchmark names by file, from the parquet shards of a hub data set."""

import json
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath

from PIL import Image
from rich.console import Console

from r1reward.core.media import ImageError, open_image
from r1reward.core.rows import Row
from r1reward.eval.benchmarks.rows import BenchmarkError, images, read_rows
from r1reward.eval.download.errors import FetchError
from r1reward.eval.download.hub import Hub, HubFile, Snapshot
from r1reward.eval.download.mmrb_sources import Source
from r1reward.eval.download.progress import Transfers
from r1reward.store.files import replacing, write_text

_PARQUET = "refs/convert/parquet"  # where the hub itself converts data sets of other forms


def key_of(uri: str) -> str:
    """Return what an image's file name says about its row: all, or what is before ``_``."""
    return PurePosixPath(uri).stem.partition("_")[0]


class HubRows:
    """One source, and what it gave so far: images in place, rows in ``collected/<folder>.json``."""

    def __init__(self, root: Path, folder: str, source: Source, hub: Hub, console: Console) -> None:
        self._root, self._folder, self._source = root, folder, source
        self._hub, self._console = hub, console
        self._store = root / "collected" / f"{folder}.json"
        self._rows: dict[str, Row] = {}
        if self._store.exists():
            self._rows = json.loads(self._store.read_bytes())["rows"]

    def collect(self, uris: Collection[str], staging: Path, *, questions: bool) -> dict[str, Row]:
        """Write the images that are not there, and return the rows that are known, by key.

        Args:
            uris: paths below the root.
            staging: where shards lie until the source is done.
            questions: whether the rows are needed too.

        Raises:
            FetchError: when the source cannot be had, or is not the one it was.
        """
        todo: dict[str, list[str]] = {}
        for uri in sorted(uris):
            key = key_of(uri)
            if not (self._root / uri).is_file() or (questions and key not in self._rows):
                todo.setdefault(key, []).append(uri)
        asked, commits = len(todo), set[str]()
        if not todo:
            return self._rows
        for snapshot, shards in self._shards():
            commits.add(snapshot.commit)
            number = 0
            for file in shards:
                if todo:
                    number = self._take(self._get(snapshot, file, staging), number, todo)
        content = {"repo": self._source.repo, "commits": sorted(commits), "rows": self._rows}
        write_text(self._store, json.dumps(content, ensure_ascii=False, indent=1))
        for commit in commits:
            shutil.rmtree(staging / commit, ignore_errors=True)
        self._console.print(
            f"{self._folder}: {asked - len(todo)} of {asked} from {self._source.repo}", markup=False
        )
        return self._rows

    def _shards(self) -> Iterator[tuple[Snapshot, tuple[HubFile, ...]]]:
        source = self._source
        for config in source.configs:
            own = f"{config or 'data'}/{source.split}-*.parquet"
            found = self._hub.snapshot(source.repo, "main", [own])
            if not found.files:
                made = f"{config or 'default'}/{source.split}/*.parquet"
                found = self._hub.snapshot(source.repo, _PARQUET, [made])
            if not found.files:
                raise FetchError(f"{source.repo} has no parquet files of split {source.split}")
            yield found, found.files

    def _get(self, snapshot: Snapshot, file: HubFile, staging: Path) -> Path:
        folder = staging / snapshot.commit
        with Transfers(self._console, 1, file.size) as transfers:
            self._hub.get(snapshot, file, folder, transfers.meter())
            transfers.whole()
        return folder / file.path

    def _take(self, shard: Path, number: int, todo: dict[str, list[str]]) -> int:
        """Take from one shard what is to do; return the number of the row after its last."""
        source = self._source
        same = source.all_rows or {}
        columns = [*source.columns, source.image, *same, *([source.key] if source.key else [])]
        for where, row in read_rows(shard, columns):
            if absent := [column for column in columns if column not in row]:
                raise FetchError(f"{source.repo} has no column {', '.join(absent)} any more")
            if not todo:
                break
            for column, value in same.items():
                if row[column] != value:
                    raise FetchError(
                        f"{where}: {column}={row[column]!r}, expected {value!r}; row numbers of "
                        f"{source.repo} no longer mean what they did"
                    )
            # Some ids of image2struct are in quotation marks.
            key = str(row[source.key]).replace('"', "") if source.key else str(number)
            number += 1
            if key in todo and self._keep(key, row, todo[key]):
                del todo[key]
        return number

    def _keep(self, key: str, row: Row, uris: list[str]) -> bool:
        """Keep a row and write its image; return whether the image could be used."""
        self._rows[key] = {column: row[column] for column in self._source.columns}
        try:
            [media] = images(row[self._source.image])
            for uri in uris:
                save(media.uri, self._root / uri)
        except (BenchmarkError, ImageError, ValueError) as error:
            self._console.print(f"{self._folder} {key}: {error}", markup=False)
            return False
        return True


def save(uri: str, path: Path) -> None:
    """Write an image in the format that the name of ``path`` promises, as the official script.

    Raises:
        ImageError: when it cannot be opened, or there is no such format.
    """
    image = open_image(uri, None)
    kind = Image.registered_extensions().get(path.suffix.lower())
    if kind is None:
        raise ImageError(f"{path}: no image format has this suffix")
    with replacing(path) as part:
        image.save(part, format=kind)
