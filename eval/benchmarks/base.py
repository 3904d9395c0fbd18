"""Interface of benchmarks: readers of official files that verify what they read."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar

from r1reward.core.fields import PreferenceError
from r1reward.core.pair import Preference
from r1reward.core.preferences import parse_preference
from r1reward.core.rows import Row
from r1reward.eval.benchmarks.media import MediaFolder, MediaReport, MissingMedia
from r1reward.eval.benchmarks.rows import BenchmarkError, read_rows
from r1reward.judge.item import Item


@dataclass(frozen=True, slots=True)
class Place:
    """Where an item's result belongs, known without its image."""

    id: str
    groups: Mapping[str, str]
    subgroup: str


class Benchmark(ABC):
    """A benchmark's reader; subclasses say what a row means.

    Class attributes of a subclass:
        name: that of its module and of its file in conf/benchmark.
        files: patterns of its official files below ``root``, the best first.
        columns: what :meth:`place` reads of a row.
        fetch: where to get it and where it must lie, with ``{root}``.
        groupings: grouping -> where it comes from; ``official`` comes first.
        counts: key of :meth:`verify` -> the counts that are right.
        example: a row of the first of ``files``; None where the files come with the repository.
        acc_plus: whether "all pairs of a cluster right" is one of its metrics.
    """

    name: ClassVar[str]
    files: ClassVar[tuple[str, ...]]
    columns: ClassVar[tuple[str, ...]]
    fetch: ClassVar[str]
    groupings: ClassVar[Mapping[str, str]]
    counts: ClassVar[Mapping[str, Collection[int]]]
    example: ClassVar[Row | None] = None
    acc_plus: ClassVar[bool] = False

    def __init__(
        self,
        root: Path | str,
        media_root: Path | str | None = None,
        search: Sequence[str] = (".",),
    ) -> None:
        """Read below ``root``; media lie below ``media_root`` (None: ``root``), in ``search``."""
        self.root = Path(root)
        self.media = MediaFolder(media_root or root, search)

    @abstractmethod
    def place(self, row: Row) -> Place:
        """Return where the row belongs; raise BenchmarkError for an id that matches nothing."""

    @abstractmethod
    def preference(self, row: Row) -> Preference:
        """Return what the row asks, in the order of the file, with its publisher's media paths.

        Its fields may be anything that the row holds: they are checked afterwards.
        """

    def cluster(self, row: Row, place: Place) -> str:
        """Return what dependent rows share: the benchmark's id."""
        return place.id

    def load(self) -> Iterator[Item]:
        """Verify the files, then yield their items one by one; media that exist are resolved.

        Raises:
            BenchmarkError: saying what to fetch and where it must lie.
        """
        self.verify()
        return self._items()

    def verify(self) -> dict[str, int]:
        """Return how many rows and ids there are, and rows in each ``<grouping>/<group>``.

        Raises:
            BenchmarkError: when the files are missing, or hold other counts than they should.
        """
        found: Counter[str] = Counter()
        ids = set()
        for where, row in self._rows(self.columns):
            with _naming(where):
                place = self.place(row)
            ids.add(place.id)
            found.update(f"{grouping}/{group}" for grouping, group in place.groups.items())
            found.update(["rows", f"subgroup/{place.subgroup}"])
        found["ids"] = len(ids)
        wrong = [
            f"{key} {found[key]} (expected {_either(right)})"
            for key, right in self.counts.items()
            if found[key] not in right
        ]
        if wrong:
            raise BenchmarkError(
                f"{self.name}: {self.root} is not this benchmark: {', '.join(wrong)}. "
                + self._fetch()
            )
        return dict(found)

    def check_media(self) -> MediaReport:
        """Return which media are there, naming every missing one.

        Raises:
            BenchmarkError: when one file stands for two different paths of the benchmark.
        """
        present, missing, owners = 0, [], dict[str, str]()
        for item in self._items(resolve=False):
            for media in item.all_media():
                resolved = self.media.resolve(media)
                if resolved is None:
                    missing.append(MissingMedia(item.index, item.id, media.uri))
                    continue
                present += 1
                if media.uri.startswith("data:"):
                    continue
                owner = owners.setdefault(resolved.uri, media.uri)
                if owner != media.uri:
                    raise BenchmarkError(
                        f"{self.name}: {self.media.root / resolved.uri} would be both {owner} and "
                        f"{media.uri}; keep the benchmark's folders"
                    )
        return MediaReport(present, tuple(missing))

    def _items(self, *, resolve: bool = True) -> Iterator[Item]:
        for index, (where, row) in enumerate(self._rows()):
            with _naming(where):
                item = self._item(index, row)
            yield self._resolved(item) if resolve else item

    def _item(self, index: int, row: Row) -> Item:
        place = self.place(row)
        preference = parse_preference(self.preference(row).to_row(), where=self.name)
        cluster = self.cluster(row, place)
        return Item.of(preference, index=index, cluster=cluster, **asdict(place))

    def _resolved(self, item: Item) -> Item:
        return item.with_media(self.media.resolve(one) or one for one in item.all_media())

    def _rows(self, columns: Sequence[str] | None = None) -> Iterator[tuple[str, Row]]:
        for path in self._files():
            yield from read_rows(path, columns)

    def _files(self) -> list[Path]:
        """Return the shards of the best form that is there."""
        for pattern in self.files:
            if found := sorted(self.root.glob(pattern)):
                return found
        raise BenchmarkError(
            f"{self.name}: no data in {self.root} ({' or '.join(self.files)}). {self._fetch()}"
        )

    def _fetch(self) -> str:
        return self.fetch.format(root=self.root)


@contextmanager
def _naming(where: str) -> Iterator[None]:
    try:
        yield
    except (BenchmarkError, PreferenceError) as error:
        raise BenchmarkError(f"{where}: {error}") from None


def _either(right: Collection[int]) -> str:
    if isinstance(right, range):
        return f"{right[0]} to {right[-1]}"
    return " or ".join(map(str, sorted(right)))
