"""Triangles -> samples: the nearest one, and the point on it.

Everything is float64 and elementwise, and ties between triangles are settled by their order: one
machine draws the same image to the bit, whatever else it draws.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rfwarp.data.people.materials import Array, paint
from rfwarp.data.people.mesh import Mesh

Indices = npt.NDArray[np.intp]

_LIGHT = (-0.42, 0.52, 0.744)  # in camera axes: from above, to the left
_AMBIENT, _KEY, _SKY = 0.60, 0.42, 0.06
_INSIDE = 0.62  # light on the inner side of a sheet


@dataclass(frozen=True)
class Hits:
    """The nearest triangle at each sample that has one.

    ``sample`` (M,) is row * columns + column; ``triangle`` (M,); ``weights`` (3, M) of its corners;
    ``inverse`` (M,) inverse distances.
    """

    sample: Indices
    triangle: Indices
    weights: Array
    inverse: Array


def rasterise(corners: Array, thin: npt.NDArray[np.bool_], rows: int, columns: int) -> Hits:
    """Z-buffering with perspective.

    Args:
        corners: (3, 3, T): of three corners, x and y in samples and inverse distance. Seen from
            outside, they run counter-clockwise as x runs to the right and y up.
        thin: (T,) whether the inner side is drawn too.
        rows, columns: of samples; sample (0, 0) is at x = y = 0, and y grows downwards.
    """
    (x0, y0, _), (x1, y1, _), (x2, y2, _) = corners
    area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
    chosen = np.flatnonzero((area < 0) | (thin & (area > 0)))
    x0, y0, z0, x1, y1, z1, x2, y2, z2 = corners.reshape(9, -1).take(chosen, axis=1)
    area = area[chosen]
    left, width = _span(x0, x1, x2, columns)
    top, height = _span(y0, y1, y2, rows)
    # The weights of corners 1 and 2 and the inverse distance are affine in column and row, which
    # are counted from (left, top).
    first_x, first_y = (y2 - y0) / area, (x0 - x2) / area
    second_x, second_y = (y0 - y1) / area, (x1 - x0) / area
    depth_x = (z1 - z0) * first_x + (z2 - z0) * second_x
    depth_y = (z1 - z0) * first_y + (z2 - z0) * second_y
    dx, dy = left - x0, top - y0
    first = first_x * dx + first_y * dy
    second = second_x * dx + second_y * dy
    depth = z0 + depth_x * dx + depth_y * dy
    counts = width * height
    pair = np.repeat(np.arange(len(chosen)), counts)
    local = np.arange(len(pair)) - np.repeat(np.cumsum(counts) - counts, counts)
    row = local // width[pair]
    column = local - row * width[pair]
    b1 = first[pair] + first_x[pair] * column + first_y[pair] * row
    b2 = second[pair] + second_x[pair] * column + second_y[pair] * row
    b0 = 1 - b1 - b2
    inside = np.flatnonzero((b0 >= 0) & (b1 >= 0) & (b2 >= 0))
    pair, row, column = pair[inside], row[inside], column[inside]
    inverse = depth[pair] + depth_x[pair] * column + depth_y[pair] * row
    sample = (row + top[pair]) * columns + column + left[pair]
    nearest = np.zeros(rows * columns)
    np.maximum.at(nearest, sample, inverse)
    won = np.flatnonzero(inverse == nearest[sample])
    winner = np.full(rows * columns, -1)
    winner[sample[won]] = won  # of equals, the last
    hit = np.flatnonzero(winner >= 0)
    best = winner[hit]
    weights = np.stack([b0[inside[best]], b1[inside[best]], b2[inside[best]]])
    return Hits(hit, chosen[pair[best]], weights, inverse[best])


def _span(a: Array, b: Array, c: Array, limit: int) -> tuple[Indices, Indices]:
    """The first sample between three coordinates, and how many there are."""
    low = np.maximum(np.ceil(np.minimum(np.minimum(a, b), c)), 0).astype(np.intp)
    high = np.minimum(np.floor(np.maximum(np.maximum(a, b), c)), limit - 1).astype(np.intp)
    return low, np.maximum(high - low + 1, 0)


def shade(mesh: Mesh, hits: Hits, axes: Array) -> Array:
    """(3, M) RGB in [0, 1] of what was hit; ``axes`` are the camera's."""
    corners = mesh.triangles[:, hits.triangle]
    data = np.stack([*(mesh.normals @ axes.T).T, mesh.turns, mesh.along])
    x, y, z, turns, along = sum(
        weight * data.take(corner, axis=1)
        for corner, weight in zip(corners, hits.weights, strict=True)
    )
    inner = (z < 0) & mesh.thin[hits.triangle]
    side = np.where(inner, -1.0, 1.0) / np.sqrt(x * x + y * y + z * z + 1e-18)
    facing = (_LIGHT[0] * x + _LIGHT[1] * y + _LIGHT[2] * z) * side
    light = _AMBIENT + _KEY * np.maximum(facing, 0) + _SKY * y * side
    light = np.where(inner, _INSIDE * light, light)
    colour = paint(mesh.surfaces, mesh.surface[hits.triangle], turns, along)
    return np.clip(colour * light, 0.0, 1.0)
