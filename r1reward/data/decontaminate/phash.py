"""Perceptual hashes of images and of what is left of them when sides are cut off.

The hash is pHash as in the ImageHash library: the image in grey, 32 x 32, its 8 x 8 lowest DCT
coefficients, each above their median or not. It survives scaling and compression, but not a crop,
so every benchmark image is hashed in 625 windows: of each side 0, 5, 10, 15 or 20% is off. Windows
differ in their rows and columns alone, so one matrix product on either side of the thumbnail gives
the coefficients of all of them.
"""

from itertools import combinations, product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Thumbnail = NDArray[np.uint8]
Coefficients = NDArray[np.float32]
Window = tuple[float, float, float, float]  # top, bottom, left, right, as shares of the sides

SIDE = 128  # of a thumbnail
RADIUS = 8  # bits of 64 in which hashes may differ: the largest that HammingIndex can promise
_CUTS = (0.0, 0.05, 0.1, 0.15, 0.2)
_SPANS = [(low, 1 - high) for low, high in product(_CUTS, _CUTS)]
WINDOWS: list[Window] = [(*rows, *columns) for rows, columns in product(_SPANS, _SPANS)]
_POINTS, _KEPT = 32, 8  # of the DCT
_FLAT = 1.0  # grey levels: a window whose coefficients together say less shows nothing
_BANDS = ((0, 22), (22, 21), (43, 21))  # first bit, bits
_FILES = ("hashes.npy", "band_order.npy", "band_starts.npy")


def thumbnail(image: Image.Image) -> Thumbnail:
    """Return the image in grey, squeezed to SIDE x SIDE."""
    size, kind = (SIDE, SIDE), Image.Resampling.BILINEAR
    grey = image.convert("L").resize(size, kind, reducing_gap=2.0)
    return np.asarray(grey, dtype=np.uint8)


def averaging(low: float, high: float, points: int) -> NDArray[np.float32]:
    """Return the matrix that averages a thumbnail's axis between two shares of it.

    Args:
        low: where it begins, 0 to 1.
        high: where it ends, above ``low``.
        points: of the result; the matrix has shape (points, SIDE), and its rows add up to 1.
    """
    edges = np.linspace(low, high, points + 1)[:, None] * SIDE
    pixels = np.arange(SIDE)
    covered = np.minimum(edges[1:], pixels + 1) - np.maximum(edges[:-1], pixels)
    weights = np.clip(covered, 0, None)
    means: NDArray[np.float32] = (weights / weights.sum(1, keepdims=True)).astype(np.float32)
    return means


def _cosines(low: float, high: float) -> NDArray[np.float32]:
    """Return the matrix from a thumbnail's axis to the lowest DCT coefficients of a part of it."""
    angles = np.arange(_KEPT)[:, None] * (2 * np.arange(_POINTS) + 1) * np.pi / (2 * _POINTS)
    return (2 * np.cos(angles)).astype(np.float32) @ averaging(low, high, _POINTS)


_TRANSFORMS = [_cosines(low, high) for low, high in _SPANS]  # the first is of the whole axis
_ALL_TRANSFORMS = np.concatenate(_TRANSFORMS)


def coefficients(thumb: Thumbnail, window: int = 0) -> Coefficients:
    """Return the 8 x 8 lowest DCT coefficients of a window; 0 is the whole image."""
    rows, columns = divmod(window, len(_SPANS))
    found: Coefficients = _TRANSFORMS[rows] @ thumb.astype(np.float32) @ _TRANSFORMS[columns].T
    return found


def hashes(found: Coefficients) -> NDArray[np.uint64]:
    """Return the pHash of coefficients (..., 8, 8); its highest bit is that of the mean."""
    flat = found.reshape(*found.shape[:-2], _KEPT * _KEPT)
    middle = np.sort(flat, axis=-1)[..., 31:33].mean(axis=-1, keepdims=True)
    return np.packbits(flat > middle, axis=-1).view(">u8")[..., 0].astype(np.uint64)


def shows_something(found: Coefficients) -> NDArray[np.bool_]:
    """Return whether coefficients (..., 8, 8) are those of more than an even surface."""
    energy = (found**2).sum(axis=(-1, -2)) - found[..., 0, 0] ** 2
    visible: NDArray[np.bool_] = np.sqrt(energy) > _FLAT * 2 * _POINTS**2
    return visible


def window_hashes(thumb: Thumbnail) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
    """Return the hash of each of WINDOWS, and whether the window shows something."""
    count = len(_SPANS)
    together = _ALL_TRANSFORMS @ thumb.astype(np.float32) @ _ALL_TRANSFORMS.T
    found = together.reshape(count, _KEPT, count, _KEPT).transpose(0, 2, 1, 3)
    return hashes(found).ravel(), shows_something(found).ravel()


class HammingIndex:
    """Finds all hashes within RADIUS bits of another (multi-index hashing: Norouzi et al., 2012).

    Hashes that differ in at most 8 bits differ in at most 2 within one of three bands of 21 or 22
    bits: so in each band those are looked up that have what is asked with 0, 1 or 2 bits turned.
    It keeps 20 bytes a hash and 32 MiB; :meth:`load` leaves them on the disk, where processes share
    them.
    """

    def __init__(
        self,
        values: NDArray[np.uint64],
        order: NDArray[np.uint32],
        starts: NDArray[np.uint32],
    ) -> None:
        """Take the hashes, their places sorted by each band (3, n), and where each value begins."""
        self.values, self._order, self._starts = values, order, starts

    @classmethod
    def build(cls, values: NDArray[np.uint64]) -> "HammingIndex":
        """Index hashes, shape (n,)."""
        order, starts = [], []
        for band in _BANDS:
            keys = _band(values, *band)
            order.append(np.argsort(keys, kind="stable").astype(np.uint32))
            counts = np.bincount(keys, minlength=1 << band[1])
            starts.append(np.concatenate([[0], np.cumsum(counts)]).astype(np.uint32))
        return cls(values, np.stack(order), np.concatenate(starts))

    def near(self, value: np.uint64) -> NDArray[np.int64]:
        """Return the places of all hashes within RADIUS bits of ``value``, in order."""
        found, offset = [np.empty(0, np.uint32)], 0
        for number, band in enumerate(_BANDS):
            probes = offset + (_band(value, *band) ^ _FLIPS[number]).astype(np.int64)
            first, last = (self._starts[at].astype(np.int64) for at in (probes, probes + 1))
            counts = last - first
            begins = np.repeat(first - np.cumsum(counts) + counts, counts)
            found.append(self._order[number, begins + np.arange(len(begins))])
            offset += (1 << band[1]) + 1
        places = np.concatenate(found).astype(np.int64)
        close = np.bitwise_count(self.values[places] ^ value) <= RADIUS
        return np.unique(places[close])

    def save(self, folder: Path) -> None:
        """Write what :meth:`load` reads."""
        contents: list[NDArray[Any]] = [self.values, self._order, self._starts]
        for name, content in zip(_FILES, contents, strict=True):
            np.save(folder / name, content)

    @classmethod
    def load(cls, folder: Path) -> "HammingIndex":
        """Return an index that reads from the disk what it is asked for."""
        values, order, starts = (np.load(folder / name, mmap_mode="r") for name in _FILES)
        return cls(values, order, starts)


def _band(values: NDArray[np.uint64] | np.uint64, first: int, bits: int) -> NDArray[np.uint32]:
    kept = values >> np.uint64(first) & np.uint64((1 << bits) - 1)
    return np.asarray(kept).astype(np.uint32)


def _flips(bits: int) -> NDArray[np.uint32]:
    chosen = [pair for count in (0, 1, 2) for pair in combinations(range(bits), count)]
    return np.array([sum(1 << bit for bit in pair) for pair in chosen], dtype=np.uint32)


_FLIPS = [_flips(bits) for _, bits in _BANDS]
