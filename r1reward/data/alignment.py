"""Lays one image over a part of another, and says how alike they are there.

The place is refined by Gauss-Newton steps on the four edges of the window (Lucas and Kanade, 1981),
coarse to fine; brightness and contrast do not count. What is compared in the end are details: each
pixel less the mean around it, so that a white ground or a blue sky makes nothing alike.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from r1reward.data.imagehash import Thumbnail, Window, averaging

Pixels = NDArray[np.floating[Any]]

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
    shown_pixels, whole_pixels = shown.astype(np.float32), whole.astype(np.float32)
    edges = np.array(window)
    for points in _LEVELS:
        wanted = _normal(_cut(shown_pixels, WHOLE, points))
        for _ in range(_STEPS):
            edges += _step(wanted, whole_pixels, edges, points)
    top, bottom, left, right = edges.tolist()
    return top, bottom, left, right


def likeness(shown: Thumbnail, whole: Thumbnail, window: Window) -> float:
    """Return how alike ``shown`` and a window of ``whole`` are in their details, -1 to 1."""
    points = _LEVELS[-1]
    first = _details(_cut(shown.astype(np.float32), WHOLE, points))
    second = _details(_cut(whole.astype(np.float32), window, points))
    return float((first * second).sum())


def _step(
    wanted: Pixels, whole: Pixels, edges: NDArray[np.float64], points: int
) -> NDArray[np.float64]:
    """Return how to move the edges, by least squares."""
    rows = averaging(edges[0], edges[1], points)
    columns = averaging(edges[2], edges[3], points)
    left, right = rows @ whole, whole @ columns.T
    here = _normal(rows @ right)
    changes = []
    for number in range(4):
        moved = edges.copy()
        moved[number] += (probe := _PROBE / points * (-1 if edges[number] > 0.5 else 1))  # inwards
        if number < 2:
            cut = averaging(moved[0], moved[1], points) @ right
        else:
            cut = left @ averaging(moved[2], moved[3], points).T
        changes.append((_normal(cut) - here) / probe)
    slopes = np.stack(changes).reshape(4, -1).astype(np.float64)
    normal = slopes @ slopes.T
    damping = 1e-6 * np.trace(normal) * np.eye(4) + 1e-12 * np.eye(4)
    step = np.linalg.solve(normal + damping, slopes @ (wanted - here).ravel())
    longest = _LONGEST / points
    # Neither beyond the image, nor so far that nothing would be left between them.
    low, high = np.array([0, 0.55, 0, 0.55]), np.array([0.45, 1, 0.45, 1])
    taken: NDArray[np.float64] = np.clip(edges + step.clip(-longest, longest), low, high) - edges
    return taken


def _cut(pixels: Pixels, edges: Window, points: int) -> Pixels:
    top, bottom, left, right = edges
    cut: Pixels = averaging(top, bottom, points) @ pixels @ averaging(left, right, points).T
    return cut


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
