"""Prompts and images of benchmarks on disk, shared by all processes."""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from r1reward.core.errors import UserError
from r1reward.core.media import ImageError, frames, open_image
from r1reward.core.pair import Media
from r1reward.data.decontaminate.images import ImageIndex, pixels_digest
from r1reward.data.decontaminate.phash import Thumbnail, thumbnail
from r1reward.data.workers import in_order
from r1reward.store.files import write_text

ITEMS, PICTURES = "items.json", "pictures.json"


class UnusableReferenceError(UserError):
    """A benchmark whose images cannot be indexed, with what to change."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A benchmark item that must not be trained on.

    Attributes:
        benchmark: name.
        index: number of its row in the benchmark's file, from 0.
        id: the benchmark's own.
        question: its prompt.
        media: what the item shows.
        root: folder of relative media paths.
    """

    benchmark: str
    index: int
    id: str
    question: str
    media: tuple[Media, ...]
    root: str


@dataclass(frozen=True, slots=True)
class _Picture:
    """An image of an item, which ``owner`` names."""

    uri: str
    root: str
    owner: str


def index_references(
    references: Iterable[Reference],
    folder: Path,
    images: bool,
    workers: int,
    tick: Callable[[str], None],
) -> None:
    """Write the items, their different images, and the index of these.

    Args:
        references: items of benchmarks, read once.
        folder: where to write.
        images: whether images are indexed.
        workers: processes.
        tick: told how far it is.

    Raises:
        UnusableReferenceError: for a benchmark image that cannot be opened.
    """
    items: list[dict[str, object]] = []
    owners: dict[bytes, list[int]] = {}  # of each image, the items that show it
    pictures: dict[bytes, dict[str, Any]] = {}
    thumbnails: list[Thumbnail] = []

    def tasks() -> Iterator[tuple[_Picture]]:
        for number, reference in enumerate(references):
            items.append(_item(reference))
            for picture in _pictures(reference) if images else ():
                name = f"{picture.root}\n{picture.uri}".encode("utf-8", "replace")
                key = hashlib.blake2b(name, digest_size=16).digest()
                if key not in owners:
                    owners[key] = []
                    yield (picture,)
                owners[key].append(number)

    looked = []
    for found in in_order(_look, tasks(), workers):
        looked.append(found)
        tick(f"indexing the benchmarks: {len(items):,} items, {len(looked):,} images")
    for (name, digest, thumb), shown in zip(looked, owners.values(), strict=True):
        if digest not in pictures:
            pictures[digest] = {"uri": name, "items": []}
            thumbnails.append(thumb)
        pictures[digest]["items"] += shown
    ImageIndex.build(thumbnails, list(pictures)).save(folder)
    write_text(folder / PICTURES, json.dumps(list(pictures.values())))
    write_text(folder / ITEMS, json.dumps(items))


def _item(reference: Reference) -> dict[str, object]:
    names = ("benchmark", "index", "id", "question")
    return {name: getattr(reference, name) for name in names} | {"shown": _key(reference)}


def _key(reference: Reference) -> str:
    """Return the same for two items that show the same files."""
    content = repr((reference.root, [(one.kind, one.uri) for one in reference.media]))
    return hashlib.sha256(content.encode("utf-8", "replace")).hexdigest()[:16]


def _pictures(reference: Reference) -> Iterator[_Picture]:
    owner = f"{reference.benchmark}, row {reference.index + 1} ({reference.id})"
    for media in reference.media:
        uris = [media.uri]
        if media.kind == "video":
            with _naming(owner):
                uris = [str(path) for path in frames(media.uri, reference.root)]
        yield from (_Picture(uri, reference.root, owner) for uri in uris)


def _look(picture: _Picture) -> tuple[str | None, bytes, Thumbnail]:
    """Return an image's path, where it has one, and what is indexed of it."""
    with _naming(picture.owner):
        image = open_image(picture.uri, picture.root)
    name = None
    if not picture.uri.startswith("data:"):
        name = os.path.relpath(os.path.join(picture.root, picture.uri), picture.root)
    return name, pixels_digest(image), thumbnail(image)


@contextmanager
def _naming(owner: str) -> Iterator[None]:
    try:
        yield
    except ImageError as error:
        raise UnusableReferenceError(
            f"{owner}: {error}; fetch the benchmark's images again"
        ) from None
