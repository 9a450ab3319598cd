"""True correspondences between views of a chair, from the geometry that is rendered."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rfwarp.data.chairs.camera import FOCAL, camera_axes
from rfwarp.data.chairs.model import Array, Model
from rfwarp.data.chairs.raycast import cast_middles
from rfwarp.data.surfaces import Flags, Indices, dense, shown
from rfwarp.data.truth import Truth
from rfwarp.poses import Viewpoint


def chair_truth(model: Model, views: Sequence[Viewpoint], size: int) -> Truth:
    """True correspondences between a target view and K source views of a chair.

    One ray is cast through the middle of each pixel. With 4 sources that takes 3 ms at 64 x 64,
    too little for a cache to be worth while.

    Args:
        model: the chair.
        views: K + 1 viewpoints: the sources, then the target.
        size: height and width of the images, pixels.

    Returns:
        With depth; flow is rounded from float64. A surface is a face of a part: one of the six
        sides of a box, or an end of a round part, or all that is between its two ends.
    """
    hits = cast_middles(model, views, size)
    axes = camera_axes(views)
    count = size * size
    begin = int(np.searchsorted(hits.sample, (len(views) - 1) * count))
    pixel, depth = hits.sample[begin:] % count, hits.depth[begin:].astype(np.float64)
    points = points_at(axes[-1], model.distance, pixel, depth, size)
    x, y = project(axes[:-1], model.distance, points, size)

    surfaces = np.full(len(views) * count, -1, np.int64)
    surfaces[hits.sample] = hits.surface
    wanted = hits.surface[begin:]

    def same(_source: Indices, point: Indices, source_pixel: Indices) -> Flags:
        return surfaces[source_pixel] == wanted[point]

    normals = hits.normal[:, begin:].T.astype(np.float64)
    # (camera - point) . normal, of every source
    facing = axes[:-1, 2] @ normals.T * model.distance > (points * normals).sum(1)
    visible = shown(x, y, facing, (size, size), same)
    return dense(pixel, x, y, visible, (size, size), depth * FOCAL / model.distance)


def points_at(axes: Array, distance: float, pixel: Indices, depth: Array, size: int) -> Array:
    """(M, 3) points at the given depths (M,) on rays through the middles of pixels.

    They are relative to the point looked at, in the unit of ``distance``.
    """
    right, up, back = axes
    across = (2 * (pixel % size) + 1) / size - 1
    rise = 1 - (2 * (pixel // size) + 1) / size
    ray = across[:, None] * right + rise[:, None] * up - FOCAL * back
    return back * distance + depth[:, None] * ray


def project(axes: Array, distance: float, points: Array, size: int) -> tuple[Array, Array]:
    """x and y (K, M) in pixels of points (M, 3) in the views with the given axes (K, 3, 3)."""
    local = axes @ points.T  # (K, 3, M)
    scale = FOCAL / (distance - local[:, 2])
    return (
        (local[:, 0] * scale + 1) * (size / 2) - 0.5,
        (1 - local[:, 1] * scale) * (size / 2) - 0.5,
    )
