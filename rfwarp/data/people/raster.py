"""Triangles -> samples: which one is nearest, and where on it.

Everything is float64 and elementwise, and ties between triangles are settled by their order: one
machine draws the same picture to the bit, whatever else it draws.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rfwarp.data.people.materials import Array, paint
from rfwarp.data.people.mesh import Mesh

Indices = npt.NDArray[np.intp]

_LIGHT = np.array([-0.42, 0.52, 0.744])  # in camera axes: from above, to the left
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
        corners: (T, 3, 3): three corners with x and y, in samples, and inverse distance. Seen from
            outside, they run counter-clockwise as x runs to the right and y down.
        thin: (T,) whether the inner side is drawn too.
        rows, columns: of samples; sample (0, 0) is at x = y = 0.
    """
    x, y = corners[..., 0], corners[..., 1]
    area = (x[:, 1] - x[:, 0]) * (y[:, 2] - y[:, 0]) - (x[:, 2] - x[:, 0]) * (y[:, 1] - y[:, 0])
    low = np.maximum(np.ceil(corners[..., :2].min(1)), 0).astype(np.intp)
    limits = np.array([columns - 1, rows - 1])
    size = np.minimum(np.floor(corners[..., :2].max(1)), limits).astype(np.intp) - low + 1
    seen = (size > 0).all(1) & ((area < 0) | (thin & (area > 0)))
    chosen = np.flatnonzero(seen)
    x, y, area, low, size = x[chosen], y[chosen], area[chosen], low[chosen], size[chosen]
    # The weight of corner 1, of corner 2 and the inverse distance are affine in x and y.
    z = corners[chosen, :, 2]
    x0, y0 = x[:, 0] - low[:, 0], y[:, 0] - low[:, 1]
    first = np.stack([(y[:, 2] - y[:, 0]) / area, (x[:, 0] - x[:, 2]) / area])
    second = np.stack([(y[:, 0] - y[:, 1]) / area, (x[:, 1] - x[:, 0]) / area])
    depth = (z[:, 1] - z[:, 0]) * first + (z[:, 2] - z[:, 0]) * second
    slopes = np.concatenate([first, second, depth])
    bases = np.stack(
        [
            -first[0] * x0 - first[1] * y0,
            -second[0] * x0 - second[1] * y0,
            z[:, 0] - depth[0] * x0 - depth[1] * y0,
        ]
    )
    counts = size[:, 0] * size[:, 1]
    pair = np.repeat(np.arange(len(chosen)), counts)
    local = np.arange(len(pair)) - np.repeat(np.cumsum(counts) - counts, counts)
    row = local // np.repeat(size[:, 0], counts)
    column = local - row * np.repeat(size[:, 0], counts)
    b1 = bases[0][pair] + slopes[0][pair] * column + slopes[1][pair] * row
    b2 = bases[1][pair] + slopes[2][pair] * column + slopes[3][pair] * row
    b0 = 1 - b1 - b2
    inside = np.flatnonzero((b0 >= 0) & (b1 >= 0) & (b2 >= 0))
    pair, row, column = pair[inside], row[inside], column[inside]
    inverse = bases[2][pair] + slopes[4][pair] * column + slopes[5][pair] * row
    sample = (row + low[pair, 1]) * columns + column + low[pair, 0]
    nearest = np.zeros(rows * columns)
    np.maximum.at(nearest, sample, inverse)
    won = np.flatnonzero(inverse == nearest[sample])
    winner = np.full(rows * columns, -1)
    winner[sample[won]] = won  # of equals, the last
    hit = np.flatnonzero(winner >= 0)
    best = winner[hit]
    weights = np.stack([b0[inside[best]], b1[inside[best]], b2[inside[best]]])
    return Hits(hit, chosen[pair[best]], weights, inverse[best])


def shade(mesh: Mesh, hits: Hits, axes: Array) -> Array:
    """(M, 3) RGB in [0, 1] of what was hit; ``axes`` are the camera's."""
    corners = mesh.triangles[hits.triangle]
    data = np.concatenate([mesh.normals @ axes.T, mesh.turns[:, None], mesh.along[:, None]], 1)
    blend = np.zeros((len(corners), 5))
    for corner, weight in zip(corners.T, hits.weights, strict=True):
        blend += weight[:, None] * data[corner]
    normal = blend[:, :3]
    length = np.sqrt((normal * normal).sum(1) + 1e-18)
    inner = (normal[:, 2] < 0) & mesh.thin[hits.triangle]
    side = np.where(inner, -1.0, 1.0) / length
    facing = (normal @ _LIGHT) * side
    light = _AMBIENT + _KEY * np.maximum(facing, 0) + _SKY * normal[:, 1] * side
    light = np.where(inner, _INSIDE * light, light)
    colour = paint(mesh.surfaces, mesh.surface[hits.triangle], blend[:, 3], blend[:, 4])
    return np.clip(colour * light[:, None], 0.0, 1.0)
