"""True correspondences between pictures of a person, from the meshes that they are drawn from.

All meshes of a person have the same triangles, so a point of a triangle in one picture is the point
with the same weights of the same triangle in another. Weights are affine in the picture, without
perspective, as those by which :mod:`.raster` paints: correspondences follow what is painted. (With
perspective they would differ by 0.04 pixels at most at 64 x 64.) Weights are not kept: they follow
from the pixel and the projected corners, float32, so nothing is rounded but these.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from rfwarp.data.disk_cache import Array, Forms
from rfwarp.data.people.camera import ROOM
from rfwarp.data.people.parameters import PersonParameters
from rfwarp.data.people.raster import rasterise
from rfwarp.data.people.render import build, drawn_poses
from rfwarp.data.surfaces import Flags, Indices, dense, shown
from rfwarp.data.truth import Truth

TRACE_VERSION = 1
"""Raised whenever what is traced changes, so that older caches are refused."""

POINTS, TRIANGLES = 3876, 6588
"""At most, of any mesh: of a person with everything that people can wear."""

NEAR = 2.0
"""How far apart points of one surface may lie, in pixels' sizes at the person."""

MOST_OBLIQUE = 2.0
"""How many times as far at most where a surface is seen obliquely."""


def trace_arrays(views: int, height: int, width: int) -> Forms:
    """Shapes and dtypes of what :func:`trace_person` gives."""
    return {
        "triangle": ((views, height, width), np.int16),
        "points": ((views, 2, POINTS), np.float32),
        "triangles": ((3, TRIANGLES), np.int16),
        "sheet": ((TRIANGLES,), np.int8),
        "canonical": ((3, POINTS), np.float32),
    }


def trace_person(seed: int, views: Sequence[int], size: tuple[int, int]) -> dict[str, Array]:
    """What the pictures of a person show where, from which :func:`person_truth` is made.

    Returns:
        ``triangle`` (V, H, W): the number of the triangle that the ray through a pixel's middle
        meets, or -1. ``points`` (V, 2, POINTS): x and y of the meshes' points, pixels.
        ``triangles`` (3, TRIANGLES): the numbers of their corners. ``sheet`` (TRIANGLES,): of which
        sheet they are. ``canonical`` (3, POINTS): points of the first picture's mesh, in units of
        ``NEAR`` pixels' sizes.

    Raises:
        ValueError: if a mesh is larger than the arrays, or meshes differ in their triangles.
    """
    person, (height, width) = PersonParameters.from_seed(seed), size
    forms = trace_arrays(len(views), height, width)
    arrays = {name: np.zeros(shape, dtype) for name, (shape, dtype) in forms.items()}
    arrays["triangle"].fill(-1)
    tall = person.body.height
    for number, (pose, camera) in enumerate(drawn_poses(seed, views)):
        mesh, _ = build(person, pose)
        points, triangles = len(mesh.points), mesh.triangles.shape[1]
        if points > POINTS or triangles > TRIANGLES:
            raise ValueError(
                f"a mesh has at most {POINTS} points and {TRIANGLES} triangles, got {points} and "
                f"{triangles}"
            )
        if number == 0:
            arrays["triangles"][:, :triangles] = mesh.triangles
            arrays["sheet"][:triangles] = mesh.sheet
            arrays["canonical"][:, :points] = mesh.points.T * (height / (NEAR * ROOM * tall))
        elif not np.array_equal(arrays["triangles"][:, :triangles], mesh.triangles):
            raise ValueError("the meshes of a person must have the same triangles")
        projected = camera.project(mesh.points, tall, height, width).T.copy()
        arrays["points"][number, :, :points] = projected[:2]
        corners = projected.take(mesh.triangles, axis=1).transpose(1, 0, 2)
        hits = rasterise(corners, mesh.thin, height, width)
        arrays["triangle"][number].flat[hits.sample] = hits.triangle
    return arrays


def person_truth(traced: Mapping[str, Array], views: Sequence[int]) -> Truth:
    """Where K pictures of a person show what another one shows.

    A source shows a point if its triangle turns the same side to the camera, and neighbours with
    half of the bilinear weights show the same sheet near the point, within about two pixels.

    Args:
        traced: see :func:`trace_person`.
        views: numbers of K + 1 pictures: the sources, then the target.

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
    x, y = (points[:, axis].reshape(-1).take(view * POINTS + corners) for axis in (0, 1))
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
