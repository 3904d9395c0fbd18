"""MinHash of texts (Broder, 1997): how alike two texts are, from 512 bytes each.

Two texts are compared by their shingles: all runs of five characters of the normalised text, which
is the text in NFKC, case folded, with the marks of a sentence (``.,;:!?`` quotes and brackets) as
spaces and every run of white space as one space. Signs of a formula (``+ - * / % = < >``) stay:
"2 + 2" is not "2 - 2". A shorter text is one shingle, filled up with spaces.

The permutations are those of ``datasketch.MinHash`` (scheme ``affine32``, seed 1), so that
``MinHash(hashvalues=signature(text), scheme="affine32")`` is one of its own.
"""

import unicodedata
from functools import cache

import numpy as np
from numpy.typing import NDArray

PERMUTATIONS = 128
SHINGLE = 5  # characters
_MARKS = dict.fromkeys(map(ord, ".,;:!?'\"`()[]{}“”‘’„«»¿¡、。「」『』【】"), " ")
_BLOCK = 4096  # shingles permuted together: they stay in the processor's cache
_BASE = 0x9E3779B97F4A7C15  # odd; of the polynomial whose values are the hashes


def normalise(text: str) -> str:
    """Return what is compared of ``text``."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().translate(_MARKS).split())


def shingles(text: str) -> NDArray[np.uint32]:
    """Return a 32-bit hash of every shingle of ``text`` in order, repeated ones included."""
    characters = normalise(text).ljust(SHINGLE).encode("utf-32-le", "surrogatepass")
    codes = np.frombuffer(characters, dtype="<u4").astype(np.uint64)
    count = len(codes) - SHINGLE + 1
    values = np.zeros(count, dtype=np.uint64)
    for place in range(SHINGLE):
        values = (values + codes[place : place + count]) * np.uint64(_BASE)
    hashes: NDArray[np.uint32] = (values >> np.uint64(32)).astype(np.uint32)
    return hashes


def signature(text: str, salt: int = 0) -> NDArray[np.uint32]:
    """Return the MinHash of ``text``, shape (PERMUTATIONS,).

    Args:
        text: any text; one of nothing but marks equals the empty text.
        salt: 32 bits; texts with different salts have nothing in common.
    """
    hashes = _mix(shingles(text) ^ np.uint32(salt))
    slopes, offsets = _permutations()
    lowest = np.full(PERMUTATIONS, np.iinfo(np.uint32).max, dtype=np.uint32)
    for start in range(0, len(hashes), _BLOCK):
        block = slopes * hashes[start : start + _BLOCK] + offsets
        np.minimum(lowest, block.min(axis=1), out=lowest)
    return lowest


def similarity(first: NDArray[np.uint32], second: NDArray[np.uint32]) -> float:
    """Return the estimated share of common shingles (Jaccard), 0 to 1.

    Its standard deviation is at most 0.044, and 0.027 where the truth is 0.9.
    """
    return float(np.mean(first == second))


@cache
def _permutations() -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    from datasketch import MinHash

    slopes, offsets = MinHash(PERMUTATIONS, seed=1, scheme="affine32").permutations
    return slopes[:, None], offsets[:, None]


def _mix(hashes: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Spread hashes evenly: the finalizer of MurmurHash3, as datasketch does."""
    hashes = (hashes ^ (hashes >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    hashes = (hashes ^ (hashes >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    mixed: NDArray[np.uint32] = hashes ^ (hashes >> np.uint32(16))
    return mixed
