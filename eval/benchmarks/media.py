"""Location of a benchmark's images and videos: one folder, and where to search below it."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from r1reward.core.pair import Media


@dataclass(frozen=True, slots=True)
class MissingMedia:
    """An image, or folder of video frames, that an item names and nobody has."""

    index: int
    id: str
    uri: str


@dataclass(frozen=True, slots=True)
class MediaReport:
    """Which media of a benchmark are there."""

    present: int
    missing: tuple[MissingMedia, ...]

    def __str__(self) -> str:
        head = f"{self.present} images and videos found, {len(self.missing)} missing"
        names = [f"  {miss.uri} (row {miss.index + 1}, {miss.id})" for miss in self.missing]
        return "\n".join([head, *names])


class MediaFolder:
    """Finds media below ``root``, in the subfolders ``search`` in turn.

    A benchmark's paths are its publisher's. Where ``video/x`` is not below a searched folder,
    ``x`` alone is looked for: on the hub the frames of ``video/x`` are in ``images/x``.
    """

    def __init__(self, root: Path | str, search: Sequence[str] = (".",)) -> None:
        self.root = Path(os.path.abspath(root))
        self.search = tuple(search)

    def resolve(self, media: Media) -> Media | None:
        """Return ``media`` with a path relative to ``root``, or None when it is not there."""
        if media.uri.startswith("data:"):
            return media
        there = os.path.isdir if media.kind == "video" else os.path.isfile
        for tail in _tails(media.uri, self.root):
            for folder in self.search:
                path = os.path.normpath(self.root / folder / tail)
                if Path(path).is_relative_to(self.root) and there(path):
                    return Media(media.kind, Path(path).relative_to(self.root).as_posix())
        return None


def _tails(uri: str, root: Path) -> Iterator[PurePosixPath]:
    """Yield the path, then the path without its first folder, and so on to the bare name."""
    path = PurePosixPath(uri)
    if path.is_relative_to(root.as_posix()):
        path = path.relative_to(root.as_posix())
    parts = [part for part in path.parts if part != path.anchor]
    for start in range(len(parts)):
        yield PurePosixPath(*parts[start:])
