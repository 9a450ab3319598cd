"""True correspondences between views of a mesh, from their depth and normals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from rfwarp.data.chairs.camera import FOCAL, Direction, camera_axes
from rfwarp.data.chairs.correspondence import points_at, project
from rfwarp.data.surfaces import Flags, Indices, dense, shown
from rfwarp.data.truth import Truth

NEAR = 1.0
"""Largest distance of a surface from the tangent plane of its point, in pixel sizes there."""

TURN = 0.5
"""Least cosine of the angle between the normals of neighbours on one surface."""


def mesh_truth(
    depth: npt.NDArray[np.float32], normal: npt.NDArray[np.int8], views: Sequence[Direction]
) -> Truth:
    """True correspondences between a target view and K source views of a mesh.

    A source shows a point if the side of the surface that the target sees faces its camera too, and
    neighbours with half of the bilinear weights show a surface of about the same normal that lies
    near the point's tangent plane.

    Args:
        depth: (K + 1, S, S), see :func:`.trace_mesh`: of the sources, then of the target.
        normal: (K + 1, 3, S, S), likewise.
        views: K + 1 viewpoints.

    Returns:
        With depth. A translucent surface counts only where nothing solid lies behind it.
    """
    size = depth.shape[-1]
    count = size * size
    axes = camera_axes(views)
    view, pixel = np.nonzero(depth.reshape(-1, count))
    far = depth.reshape(-1, count)[view, pixel].astype(np.float64)
    across = np.full((len(views) * count, 3), np.nan)
    across[view * count + pixel] = (
        normal.reshape(-1, 3, count)[view, :, pixel].astype(np.float64) / 127
    )
    # In units of the camera's distance, so that the camera stands at 1.
    place = np.full((len(views) * count, 3), np.nan)
    for number in range(len(views)):
        chosen = view == number
        place[number * count + pixel[chosen]] = points_at(
            axes[number], 1.0, pixel[chosen], far[chosen] / FOCAL, size
        )
    target = pixel[view == len(views) - 1]
    begin = (len(views) - 1) * count
    points, normals = place[begin + target], across[begin + target]
    depths = far[view == len(views) - 1]
    x, y = project(axes[:-1], 1.0, points, size)
    # (camera - point) . normal, of every source
    facing = axes[:-1, 2] @ normals.T > (points * normals).sum(1)
    reach = NEAR * 2 / (size * FOCAL) * (1 - axes[:-1, 2] @ points.T)  # (K, M)

    def same(source: Indices, point: Indices, source_pixel: Indices) -> Flags:
        # Comparisons with the background, which is nan, are false.
        away = ((place[source_pixel] - points[point]) * normals[point]).sum(1)
        turned = (across[source_pixel] * normals[point]).sum(1)
        return (np.abs(away) < reach[source, point]) & (turned > TURN)

    visible = shown(x, y, facing, (size, size), same)
    return dense(target, x, y, visible, (size, size), depths)
