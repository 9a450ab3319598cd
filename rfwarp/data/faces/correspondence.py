"""Positions of the surfaces of a face in images, from the meshes that they are drawn from.

All meshes of a face have the same triangles: see :mod:`rfwarp.data.moving_meshes`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rfwarp.data.disk_cache import Array, Forms
from rfwarp.data.faces.model import face_model
from rfwarp.data.faces.pose import ROOM
from rfwarp.data.faces.render import drawn_poses
from rfwarp.data.moving_meshes import NEAR
from rfwarp.data.people.raster import rasterise

TRACE_VERSION = 1
"""Raised whenever traces change, so that caches of older ones are refused."""

POINTS, TRIANGLES = 6860, 11874
"""Largest numbers of any mesh, that of a face with long hair and sunglasses."""


def trace_arrays(views: int, size: int) -> Forms:
    """Shapes and dtypes of the arrays of :func:`trace_face`."""
    return {
        "triangle": ((views, size, size), np.int16),
        "points": ((views, 2, POINTS), np.float32),
        "triangles": ((3, TRIANGLES), np.int16),
        "sheet": ((TRIANGLES,), np.int8),
        "canonical": ((3, POINTS), np.float32),
    }


def trace_face(seed: int, views: Sequence[int], size: int) -> dict[str, Array]:
    """Positions of a face's surfaces in images, as :func:`.moving_mesh_truth` takes them.

    Raises:
        ValueError: if the mesh is larger than the arrays.
    """
    model = face_model(seed)
    points, triangles = len(model.shape), model.triangles.shape[1]
    if points > POINTS or triangles > TRIANGLES:
        raise ValueError(
            f"a mesh has at most {POINTS} points and {TRIANGLES} triangles, got {points} and "
            f"{triangles}"
        )
    forms = trace_arrays(len(views), size)
    arrays = {name: np.zeros(shape, dtype) for name, (shape, dtype) in forms.items()}
    arrays["triangle"].fill(-1)
    arrays["triangles"][:, :triangles] = model.triangles
    arrays["sheet"][:triangles] = model.sheet
    rest = (model.shape + model.grown).T
    arrays["canonical"][:, :points] = rest * (size / (NEAR * 2 * ROOM))
    for number, pose in enumerate(drawn_poses(seed, views)):
        projected = pose.project(model.posed(pose)[0], size, size).T
        arrays["points"][number, :, :points] = projected[:2]
        corners = projected.take(model.triangles, axis=1).transpose(1, 0, 2)
        hits = rasterise(corners, model.thin, size, size)
        arrays["triangle"][number].flat[hits.sample] = hits.triangle
    return arrays
