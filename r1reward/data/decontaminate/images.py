"""Search for benchmark images in an image: equal pixels, or scaled or cropped copies.

Equal pixels are found by their hash. Copies are found in three stages, each stricter and slower
than the one before: perceptual hashes of the image and of a benchmark image's windows within 8
bits; their coefficients alike; details alike, once the image is laid over the window.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from r1reward.data.decontaminate.alignment import align, likeness
from r1reward.data.decontaminate.phash import (
    WINDOWS,
    HammingIndex,
    Thumbnail,
    coefficients,
    hashes,
    shows_something,
    thumbnail,
    window_hashes,
)

_ROUGH = 0.8  # cosine of the coefficients; that of copies is 0.93 at least, nearly always
_IMAGES = 8  # that one is laid over, at most: drawings of one kind can have many likenesses
_TRIES = 4  # windows of each, until one fits
_THUMBNAILS, _PIXELS, _PLACES = "thumbnails.npy", "pixels.npy", "window_places.npy"


@dataclass(frozen=True, slots=True)
class ImageMatch:
    """A benchmark image that is shown.

    Attributes:
        image: its number.
        similarity: of the details where one is laid over the other, 1 for equal pixels.
        exact: whether the pixels are equal.
    """

    image: int
    similarity: float
    exact: bool


def pixels_digest(image: Image.Image) -> bytes:
    """Return 16 bytes that are equal for equal pixels in RGB."""
    content = image.convert("RGB")
    digest = hashlib.blake2b(repr(content.size).encode(), digest_size=16)
    digest.update(content.tobytes())
    return digest.digest()


class ImageIndex:
    """The images of benchmarks: about 39 kilobytes each, on the disk once saved."""

    def __init__(
        self,
        thumbnails: NDArray[np.uint8],
        pixels: NDArray[np.uint8],
        places: NDArray[np.uint32],
        hashed: HammingIndex,
    ) -> None:
        """Take what :meth:`build` makes.

        Args:
            thumbnails: (n, SIDE, SIDE).
            pixels: digest of each image's pixels, (n, 16).
            places: image and window of each hash: ``image * len(WINDOWS) + window``.
            hashed: hashes of the windows that show something.
        """
        self._thumbnails, self._pixels = thumbnails, pixels
        self._places, self._hashed = places, hashed
        self._equal: dict[bytes, list[int]] = {}
        for number, thumb in enumerate(thumbnails):
            self._equal.setdefault(_digest(thumb), []).append(number)

    def __len__(self) -> int:
        return len(self._thumbnails)

    @classmethod
    def build(cls, thumbnails: Sequence[Thumbnail], digests: Sequence[bytes]) -> "ImageIndex":
        """Index images by their thumbnails and the digests of their pixels."""
        values, places = [np.empty(0, np.uint64)], [np.empty(0, np.uint32)]
        for number, thumb in enumerate(thumbnails):
            found, visible = window_hashes(thumb)
            values.append(found[visible])
            windows = np.flatnonzero(visible) + number * len(WINDOWS)
            places.append(windows.astype(np.uint32))
        pixels = np.frombuffer(b"".join(digests), np.uint8).reshape(-1, 16)
        index = HammingIndex.build(np.concatenate(values))
        stacked = np.stack([*thumbnails]) if thumbnails else np.empty((0, 0, 0), np.uint8)
        return cls(stacked, pixels, np.concatenate(places), index)

    def find(self, image: Image.Image, least: float) -> list[ImageMatch]:
        """Return the benchmark images that ``image`` shows, the most similar first.

        Args:
            image: any image.
            least: similarity of a copy, at least.
        """
        thumb = thumbnail(image)
        equal = self._equal.get(_digest(thumb), [])
        if equal:
            digest = pixels_digest(image)
            if same := [n for n in equal if self._pixels[n].tobytes() == digest]:
                return [ImageMatch(number, 1.0, True) for number in same]
        own = coefficients(thumb)
        if not shows_something(own):
            return []
        found = []
        for number, windows in self._candidates(own):
            whole = self._thumbnails[number]
            aligned = (align(thumb, whole, WINDOWS[window]) for window in windows)
            alike = (likeness(thumb, whole, window) for window in aligned)
            if enough := next((value for value in alike if value >= least), None):
                found.append(ImageMatch(number, min(enough, 1.0), False))
        return sorted(found, key=lambda match: (-match.similarity, match.image))

    def _candidates(self, own: NDArray[np.float32]) -> list[tuple[int, list[int]]]:
        """Return the images that may be shown, the likeliest first, and where of each."""
        wanted = _direction(own)
        likely: dict[int, list[tuple[float, int]]] = {}
        for place in self._places[self._hashed.near(np.uint64(hashes(own)))].tolist():
            number, window = divmod(place, len(WINDOWS))
            cosine = float(wanted @ _direction(coefficients(self._thumbnails[number], window)))
            if cosine >= _ROUGH:
                likely.setdefault(number, []).append((-cosine, window))
        order = sorted(likely, key=lambda number: (min(likely[number]), number))
        return [(n, [w for _, w in sorted(likely[n])[:_TRIES]]) for n in order[:_IMAGES]]

    def save(self, folder: Path) -> None:
        """Write what :meth:`load` reads."""
        folder.mkdir(parents=True, exist_ok=True)
        np.save(folder / _THUMBNAILS, self._thumbnails)
        np.save(folder / _PIXELS, self._pixels)
        np.save(folder / _PLACES, self._places)
        self._hashed.save(folder)

    @classmethod
    def load(cls, folder: Path) -> "ImageIndex":
        """Return an index that processes share: it stays on the disk."""
        names = (_THUMBNAILS, _PIXELS, _PLACES)
        thumbnails, pixels, places = (np.load(folder / name, mmap_mode="r") for name in names)
        return cls(thumbnails, pixels, places, HammingIndex.load(folder))


def _digest(thumb: Thumbnail) -> bytes:
    return hashlib.blake2b(thumb.tobytes(), digest_size=16).digest()


def _direction(found: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return all coefficients but the mean, as a vector of length 1."""
    waves = found.ravel()[1:]
    length = float(np.linalg.norm(waves))
    direction: NDArray[np.float32] = waves / length if length else waves
    return direction
