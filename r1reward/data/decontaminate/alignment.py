"""Alignment of one image with a part of another, and their similarity there.

The place is refined by Gauss-Newton steps on the four edges of the window (Lucas and Kanade, 1981),
coarse to fine; brightness and contrast do not count. What is compared in the end are details: each
pixel less the mean around it, so that a white ground or a blue sky makes nothing alike.
"""

import numpy as np
from numpy.typing import NDArray

from r1reward.data.decontaminate.phash import SIDE, Thumbnail, Window

Pixels = NDArray[np.float64]

WHOLE: Window = (0.0, 1.0, 0.0, 1.0)
_LEVELS = (16, 32, 64)  # pixels of a side
_STEPS = 3  # of each level
_LONGEST = 1.5  # pixels an edge moves in a step
_PROBE = 0.25  # pixels an edge is moved to see what changes
_AROUND = 2  # pixels to each side of one, of the mean around it


def align(shown: Thumbnail, whole: Thumbnail, window: Window) -> Window:
    """Return the window of ``whole`` that ``shown`` fits best.

    Args:
        shown: thumbnail of an image that may be a part of another.
        whole: thumbnail of the other.
        window: about where it may be; each step moves an edge by 1.5 of 16 pixels at most.
    """
    sums, edges = _sums(whole), np.array(window)
    for points in _LEVELS:
        wanted = _normal(_cut(_sums(shown), np.array(WHOLE), points))
        for _ in range(_STEPS):
            edges += _step(wanted, sums, edges, points)
    top, bottom, left, right = edges.tolist()
    return top, bottom, left, right


def likeness(shown: Thumbnail, whole: Thumbnail, window: Window) -> float:
    """Return how alike ``shown`` and a window of ``whole`` are in their details, -1 to 1."""
    points = _LEVELS[-1]
    first = _details(_cut(_sums(shown), np.array(WHOLE), points))
    second = _details(_cut(_sums(whole), np.array(window), points))
    return float((first * second).sum())


def _step(wanted: Pixels, sums: Pixels, edges: Pixels, points: int) -> Pixels:
    """Return how to move the edges, by least squares."""
    here = _normal(_cut(sums, edges, points))
    changes = []
    for number in range(4):
        moved = edges.copy()
        moved[number] += (probe := _PROBE / points * (-1 if edges[number] > 0.5 else 1))  # inwards
        changes.append((_normal(_cut(sums, moved, points)) - here) / probe)
    slopes = np.stack(changes).reshape(4, -1)
    normal = np.einsum("ik,jk", slopes, slopes)  # so small that threads of BLAS would slow it
    damping = 1e-6 * np.trace(normal) * np.eye(4) + 1e-12 * np.eye(4)
    step = np.linalg.solve(normal + damping, np.einsum("ik,k", slopes, (wanted - here).ravel()))
    longest = _LONGEST / points
    # Neither beyond the image, nor so far that nothing would be left between them.
    low, high = np.array([0, 0.55, 0, 0.55]), np.array([0.45, 1, 0.45, 1])
    taken: Pixels = np.clip(edges + step.clip(-longest, longest), low, high) - edges
    return taken


def _sums(thumb: Thumbnail) -> Pixels:
    """Return the sum of the pixels above and left of each place: (SIDE + 1, SIDE + 1)."""
    sums = np.zeros((SIDE + 1, SIDE + 1))
    sums[1:, 1:] = thumb.cumsum(0, dtype=np.float64).cumsum(1)
    return sums


def _cut(sums: Pixels, edges: Pixels, points: int) -> Pixels:
    """Return the means of points x points equal parts of a window, whole pixels or not."""
    top, bottom, left, right = edges * SIDE
    within = _between(_between(sums, top, bottom, points).T, left, right, points).T
    part = (bottom - top) * (right - left) / points**2
    cut: Pixels = np.diff(np.diff(within, axis=0), axis=1) / part
    return cut


def _between(sums: Pixels, low: float, high: float, points: int) -> Pixels:
    places = np.linspace(low, high, points + 1)
    before = np.minimum(places.astype(int), SIDE - 1)
    share = (places - before)[:, None]
    between: Pixels = sums[before] * (1 - share) + sums[before + 1] * share
    return between


def _normal(pixels: Pixels) -> Pixels:
    """Return pixels of mean 0 and length 1, or all 0 where they are all the same."""
    centred: Pixels = pixels - pixels.mean()
    length = np.sqrt((centred * centred).sum())
    normal: Pixels = centred / length if length > 1e-3 else np.zeros_like(centred)
    return normal


def _details(pixels: Pixels) -> Pixels:
    width = 2 * _AROUND + 1
    padded = np.pad(pixels, _AROUND, mode="edge")
    around = np.lib.stride_tricks.sliding_window_view(padded, (width, width)).mean(axis=(2, 3))
    return _normal(pixels - around)
