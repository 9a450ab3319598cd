"""True correspondences between images of a mesh that bends, as people and faces do.

The mesh has the same triangles in all images, so a point of a triangle in one image is the point
with the same weights of the same triangle in another. Weights are affine in the image, without
perspective, as those by which :mod:`rfwarp.data.people.raster` paints: correspondences follow what
is painted. Weights are not kept: they follow from the pixel and the projected corners, float32, so
nothing is rounded but these.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from rfwarp.data.surfaces import Flags, Indices, dense, shown
from rfwarp.data.truth import Truth

Array = npt.NDArray[Any]

NEAR = 2.0
"""Largest distance between neighbouring points of one surface, in pixel sizes at the object."""

MOST_OBLIQUE = 2.0
"""Largest factor of that distance for surfaces that are seen obliquely."""


def moving_mesh_truth(traced: Mapping[str, Array], views: Sequence[int]) -> Truth:
    """True correspondences between a target image and K source images of one thing.

    A source shows a point if its triangle turns the same side to the camera, and neighbours with
    half of the bilinear weights show the same sheet near the point, within about two pixels.

    Args:
        traced: of V images. ``triangle`` (V, H, W): the number of the triangle that the ray through
            a pixel's middle meets, or -1. ``points`` (V, 2, P): x and y of the mesh's points,
            pixels. ``triangles`` (3, T): the numbers of their corners. ``sheet`` (T,): the numbers
            of their surfaces. ``canonical`` (3, P): points of the mesh at rest, in units of
            :data:`NEAR` pixel sizes.
        views: numbers of K + 1 images: the sources, then the target.

    Returns:
        Without depth.
    """
    chosen = list(views)
    height, width = traced["triangle"].shape[1:]
    count = height * width
    triangle = traced["triangle"][chosen].reshape(-1).astype(np.intp)
    pixel = np.flatnonzero(triangle >= 0)
    view = pixel // count
    points = np.asarray(traced["points"][chosen], np.float64)
    corners = traced["triangles"][:, triangle[pixel]].astype(np.intp)  # (3, N)
    canonical = np.asarray(traced["canonical"], np.float64)
    each = points.shape[-1]
    x, y = (points[:, axis].reshape(-1).take(view * each + corners) for axis in (0, 1))
    weights, area = _weights(x, y, pixel % width, pixel % count // width)
    place = np.zeros((3, len(triangle)))
    place[:, pixel] = (canonical[:, corners] * weights).sum(1)
    sheets = np.full(len(triangle), -1, np.int8)
    sheets[pixel] = traced["sheet"][triangle[pixel]]

    begin = int(np.searchsorted(pixel, (len(chosen) - 1) * count))
    target = pixel[begin:]
    moved = points[:-1][:, :, corners[:, begin:]]  # (K, 2, 3, M)
    goal = (moved * weights[:, begin:]).sum(2)
    there = _area(moved[:, 0], moved[:, 1])
    sheet, spot = sheets[target], place[:, target]
    # An oblique surface has more of itself in a pixel.
    extent = _extent(canonical[:, corners[:, begin:]]) / np.maximum(np.abs(there), 1e-9)
    reach = np.clip(extent * NEAR**2, 1.0, MOST_OBLIQUE) ** 2

    def same(source: Indices, point: Indices, source_pixel: Indices) -> Flags:
        x, y, z = spot.take(point, axis=1) - place.take(source_pixel, axis=1)
        near = x * x + y * y + z * z < reach[source, point]
        return near & (sheets[source_pixel] == sheet[point])

    facing = np.sign(there) == np.sign(area[begin:])
    visible = shown(goal[:, 0], goal[:, 1], facing, (height, width), same)
    return dense(target % count, goal[:, 0], goal[:, 1], visible, (height, width))


def _extent(corners: Array) -> Array:
    """(N,) twice the areas of triangles (3 axes, 3 corners, N) in space."""
    first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    return np.linalg.norm(np.cross(first, second, axis=0), axis=0)


def _area(x: Array, y: Array) -> Array:
    """(..., N) twice the signed areas of triangles (..., 3, N)."""
    x0, x1, x2 = (x[..., corner, :] for corner in range(3))
    y0, y1, y2 = (y[..., corner, :] for corner in range(3))
    return (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)


def _weights(x: Array, y: Array, column: Indices, row: Indices) -> tuple[Array, Array]:
    """Weights (3, N) of the corners (3, N) of triangles at (N,) pixels, and their signed areas."""
    area = _area(x, y)
    # A triangle seen edge-on may be flat after rounding, or miss its pixel by a little.
    size = np.where(area == 0, 1.0, area)
    first = ((y[2] - y[0]) * (column - x[0]) - (x[2] - x[0]) * (row - y[0])) / size
    second = ((x[1] - x[0]) * (row - y[0]) - (y[1] - y[0]) * (column - x[0])) / size
    weights = np.clip(np.stack([1 - first - second, first, second]), 0.0, 1.0)
    return weights / weights.sum(0), area
