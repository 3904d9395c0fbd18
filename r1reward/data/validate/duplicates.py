"""Duplicates: equal records, and records with the same media and similar texts.

Near duplicates are found by MinHash with banding (locality-sensitive hashing: Leskovec, Rajaraman,
Ullman, "Mining of Massive Datasets", 3.4), on sorted arrays: datasketch's own index takes six
kilobytes a row, this one ``PERMUTATIONS + 4 * bands`` bytes, 200 at a threshold of 0.8.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from r1reward.core.pair import Pair, text_of
from r1reward.data.media_facts import Picture
from r1reward.data.minhash import PERMUTATIONS, signature

_RECALL = 0.98  # of pairs that are exactly as alike as the threshold
_CHUNK = 8192  # pairs compared together


@dataclass(frozen=True, slots=True)
class Twin:
    """A row that is like an earlier one; rows are counted in the order they were added."""

    row: int
    like: int
    similarity: float


def pair_signature(pair: Pair, pictures: Sequence[Picture]) -> NDArray[np.uint32]:
    """Return the MinHash of a pair's texts; other media make it another signature.

    The order of the responses does not matter: a pair and the same pair turned round are alike.
    """
    shown = b"".join(picture.digest for picture in pictures)
    salt = int.from_bytes(hashlib.blake2b(shown, digest_size=4).digest())
    texts = map(text_of, (pair.question, *pair.responses))
    lowest: NDArray[np.uint32] = np.minimum.reduce([signature(text, salt) for text in texts])
    return lowest


def repeated(uids: NDArray[np.uint64]) -> Iterator[tuple[int, int]]:
    """Yield, in order, each row whose uid was there before, and the first row with it."""
    rows, first, _ = _again(uids)
    yield from sorted(zip(rows.tolist(), first.tolist(), strict=True))


class NearDuplicates:
    """Collects signatures, then says which rows are like an earlier one."""

    def __init__(self, threshold: float) -> None:
        """Find rows that share at least ``threshold`` of their shingles, between 0 and 1."""
        self.threshold = threshold
        self._width = band_width(threshold)
        self._bands: list[NDArray[np.uint32]] = []
        self._low: list[NDArray[np.uint8]] = []

    def add(self, signatures: NDArray[np.uint32]) -> None:
        """Add rows of signatures, shape (rows, PERMUTATIONS)."""
        bands = PERMUTATIONS // self._width
        parts = signatures[:, : bands * self._width].reshape(len(signatures), bands, self._width)
        mixed = np.zeros(parts.shape[:2], dtype=np.uint64)
        for place in range(self._width):
            mixed = (mixed ^ parts[:, :, place]) * np.uint64(0x9E3779B97F4A7C15)
            mixed ^= mixed >> np.uint64(29)
        self._bands.append((mixed >> np.uint64(32)).astype(np.uint32))
        self._low.append(signatures.astype(np.uint8))

    def twins(self) -> list[Twin]:
        """Return every row that is like an earlier one, with the most similar of those found."""
        if not self._bands:
            return []
        bands, low = np.concatenate(self._bands), np.concatenate(self._low)
        self._bands, self._low = [bands], [low]
        found = [_candidates(np.ascontiguousarray(band)) for band in bands.T]
        pairs = np.unique(np.concatenate(found), axis=0)
        best: dict[int, Twin] = {}
        for start in range(0, len(pairs), _CHUNK):
            rows, likes = pairs[start : start + _CHUNK].T
            matching = np.mean(low[rows] == low[likes], axis=1)
            similar = (matching - 1 / 256) * 256 / 255  # low bytes are equal by chance, too
            for index in np.flatnonzero(similar >= self.threshold).tolist():
                twin = Twin(int(rows[index]), int(likes[index]), float(similar[index]))
                if twin.row not in best or twin.similarity > best[twin.row].similarity:
                    best[twin.row] = twin
        return [best[row] for row in sorted(best)]


def band_width(threshold: float) -> int:
    """Return how many hash values a band may have so that pairs at the threshold are found.

    A pair of similarity s agrees in one of b bands of r values with probability
    ``1 - (1 - s ** r) ** b``; wider bands give fewer pairs to compare in vain.
    """
    widths = range(1, PERMUTATIONS // 2 + 1)
    return max(
        (r for r in widths if 1 - (1 - threshold**r) ** (PERMUTATIONS // r) >= _RECALL), default=1
    )


def _candidates(band: NDArray[np.uint32]) -> NDArray[np.int64]:
    """Return pairs (row, earlier row) that agree in a band: with the one before and the first.

    All pairs of a large group would be too many; these link it.
    """
    rows, first, before = _again(band)
    return np.stack([np.tile(rows, 2), np.concatenate([first, before])], axis=1)


def _again(values: NDArray[Any]) -> tuple[NDArray[np.int64], ...]:
    """Return the rows whose value was there before, the first row with it, and the one before."""
    order = np.argsort(values, kind="stable")
    same = np.zeros(len(order), dtype=bool)
    same[1:] = values[order[1:]] == values[order[:-1]]
    first = np.maximum.accumulate(np.where(same, 0, np.arange(len(order))))
    return order[same], order[first[same]], order[np.flatnonzero(same) - 1]
