"""Positions of the surfaces of a person in images, from the meshes that they are drawn from.

All meshes of a person have the same triangles: see :mod:`rfwarp.data.moving_meshes`. (With
perspective, correspondences would differ by 0.04 pixels at most at 64 x 64.)
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rfwarp.data.disk_cache import Array, Forms
from rfwarp.data.moving_meshes import NEAR
from rfwarp.data.people.camera import ROOM
from rfwarp.data.people.parameters import PersonParameters
from rfwarp.data.people.raster import rasterise
from rfwarp.data.people.render import build, drawn_poses

TRACE_VERSION = 1
"""Raised whenever traces change, so that caches of older ones are refused."""

POINTS, TRIANGLES = 3876, 6588
"""Largest numbers of any mesh, that of a person with everything that people can wear."""


def trace_arrays(views: int, height: int, width: int) -> Forms:
    """Shapes and dtypes of the arrays of :func:`trace_person`."""
    return {
        "triangle": ((views, height, width), np.int16),
        "points": ((views, 2, POINTS), np.float32),
        "triangles": ((3, TRIANGLES), np.int16),
        "sheet": ((TRIANGLES,), np.int8),
        "canonical": ((3, POINTS), np.float32),
    }


def trace_person(seed: int, views: Sequence[int], size: tuple[int, int]) -> dict[str, Array]:
    """Positions of a person's surfaces in images, from which :func:`.moving_mesh_truth` is made.

    Returns:
        ``triangle`` (V, H, W): the number of the triangle that the ray through a pixel's middle
        meets, or -1. ``points`` (V, 2, POINTS): x and y of the meshes' points, pixels.
        ``triangles`` (3, TRIANGLES): the numbers of their corners. ``sheet`` (TRIANGLES,): the
        numbers of their sheets. ``canonical`` (3, POINTS): points of the first image's mesh, in
        units of ``NEAR`` pixel sizes.

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
