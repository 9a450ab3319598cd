"""Convex polygons -> samples by z-buffering, row by row.

Columns and rows are sample units: sample (0, 0) is at column 0, row 0.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

Array = npt.NDArray[Any]
Indices = npt.NDArray[np.intp]

PAIRS = 1 << 16
"""Pairs of a polygon and a sample that are computed at a time, so that they stay in caches."""


class Pairs(NamedTuple):
    """M pairs of a polygon and a sample that lies in it."""

    polygon: Indices
    """(M,)."""
    column: Indices
    """(M,)."""
    row: Indices
    """(M,)."""


def nearest(
    corners: Array,
    nearness: Array,
    size: tuple[int, int],
    shows: Callable[[Pairs], Array] | None = None,
) -> tuple[Array, Array]:
    """The nearest polygon at each sample.

    Args:
        corners: (P, V, 2) columns and rows of the corners of convex polygons, in order; those of
            fewer than V repeat one.
        nearness: (P, 3): ``[0] + [1] column + [2] row`` is positive in the polygon, and the larger
            the nearer.
        size: rows and columns.
        shows: tells (M,) which pairs can be seen; by default all.

    Returns:
        (rows, columns) int64 numbers of polygons, -1 where there is none, and their nearness,
        float32, 0 where there is none. Of equal ones, the first polygon is taken.
    """
    rows, columns = size
    count = len(corners)
    best = torch.full((rows * columns,), -1, dtype=torch.int64)
    known = best.numpy()
    coefficients = np.ascontiguousarray(nearness.T)
    # Near ones first, so that most of what they hide is passed over early.
    reach = coefficients[0][:, None] + (corners * nearness[:, None, 1:]).sum(2)
    order = np.argsort(-reach.max(1), kind="stable")
    polygon, row, first, length = _spans(corners[order], size)
    polygon = order[polygon]
    ends = np.cumsum(length)
    begin = 0
    while begin < len(length):
        done = ends[begin - 1] if begin else 0
        end = max(begin + 1, int(np.searchsorted(ends, done + PAIRS, side="right")))
        span = np.repeat(np.arange(begin, end), length[begin:end])
        column = np.arange(len(span)) - (ends[span] - length[span] - done) + first[span]
        found = Pairs(polygon[span], column, row[span])
        a, b, c = (part.take(found.polygon) for part in coefficients)
        # Positive floats order like their bits.
        near = np.maximum(a + b * found.column + c * found.row, 1e-12).astype(np.float32)
        key = (near.view(np.int32).astype(np.int64) << 32) | (count - 1 - found.polygon)
        sample = found.row * columns + found.column
        kept = np.flatnonzero(key > known[sample])
        if shows is not None:
            kept = kept[shows(Pairs(*(part[kept] for part in found)))]
        chosen = torch.from_numpy(sample[kept])
        best.scatter_reduce_(0, chosen, torch.from_numpy(key[kept]), "amax")
        begin = end
    keys = known.reshape(size)
    there = keys >= 0
    number = np.where(there, count - 1 - (keys & 0xFFFFFFFF), -1)
    near = np.where(there, keys >> 32, 0).astype(np.int32).view(np.float32)
    return number, near


def _spans(corners: Array, size: tuple[int, int]) -> tuple[Indices, Indices, Indices, Indices]:
    """Polygon, row, first column and number of columns of every row of every polygon."""
    rows, columns = size
    x, y = corners[..., 0], corners[..., 1]
    top = np.ceil(y.min(1)).clip(0, rows).astype(np.intp)
    bottom = np.floor(y.max(1)).clip(-1, rows - 1).astype(np.intp)
    inside = (x.max(1) >= 0) & (x.min(1) <= columns - 1)
    height = np.where(inside, (bottom - top + 1).clip(0), 0)
    polygon = np.repeat(np.arange(len(corners)), height)
    row = np.arange(len(polygon)) - np.repeat(np.cumsum(height) - height, height) + top[polygon]
    left, right = np.full(len(row), np.inf), np.full(len(row), -np.inf)
    for one in range(corners.shape[1]):
        two = (one + 1) % corners.shape[1]
        y0, y1 = y[polygon, one], y[polygon, two]
        crossing = np.flatnonzero((np.minimum(y0, y1) <= row) & (row <= np.maximum(y0, y1)))
        y0, y1, line = y0[crossing], y1[crossing], polygon[crossing]
        x0, x1 = x[line, one], x[line, two]
        level = y0 == y1
        part = (row[crossing] - y0) / np.where(level, 1.0, y1 - y0)
        at = x0 + part * (x1 - x0)
        left[crossing] = np.minimum(left[crossing], np.where(level, np.minimum(x0, x1), at))
        right[crossing] = np.maximum(right[crossing], np.where(level, np.maximum(x0, x1), at))
    first = np.ceil(left.clip(0, columns)).astype(np.intp)
    last = np.floor(right.clip(-1, columns - 1)).astype(np.intp)
    some = np.flatnonzero(last >= first)
    return polygon[some], row[some], first[some], (last - first + 1)[some]
