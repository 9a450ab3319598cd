"""Sheets of quadrilaterals, which everything of a person is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rfwarp.data.people.materials import Array, Surface

SIDES = 18
"""Quadrilaterals around every sheet."""

TORSO, HEAD, RIGHT_ARM, LEFT_ARM, RIGHT_LEG, LEFT_LEG = range(6)
"""Parts of the body; what is worn on a part counts as it, skirts and coats as the torso."""

PARTS = 6

FULL_TURN = np.linspace(-np.pi, np.pi, SIDES + 1)
"""(C,) angles of a closed sheet: its seam is at the back."""

TURNS = FULL_TURN / (2 * np.pi)


@dataclass(frozen=True)
class Sheet:
    """R rings of C = SIDES + 1 points.

    Args:
        points: (R, C, 3) metres. Seen from outside, columns run to the right where rows run up.
        turns: (C,) or (R, C), see :mod:`.materials`.
        along: (R,) metres.
        surfaces: of the R - 1 rows of quadrilaterals.
        part: one of TORSO, HEAD, ...
        closed: whether the first column is the last one; else both sides may be seen.
    """

    points: Array
    turns: Array
    along: Array
    surfaces: tuple[Surface, ...]
    part: int
    closed: bool = True


def unit(vector: Array) -> Array:
    """Vectors of length 1 along the last axis."""
    x, y, z = vector[..., 0], vector[..., 1], vector[..., 2]
    return vector / np.sqrt(x * x + y * y + z * z + 1e-18)[..., None]


def cross(a: Array, b: Array) -> Array:
    """Vector products along the last axis; what np.cross does, in a third of its time."""
    product = np.empty(np.broadcast_shapes(a.shape, b.shape))
    for i, j, k in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        product[..., i] = a[..., j] * b[..., k] - a[..., k] * b[..., j]
    return product


def ring_points(
    centres: Array, x: Array, y: Array, angles: Array = FULL_TURN, squareness: float = 0.0
) -> Array:
    """(R, C, 3): ellipses with the half axes x (to the front) and y, both (R, 3).

    ``squareness`` swells them between their axes, up to that fraction.
    """
    swell = 1 + squareness * np.sin(2 * angles) ** 2
    cos, sin = (np.cos(angles) * swell)[..., None], (np.sin(angles) * swell)[..., None]
    return centres[:, None] + cos * x[:, None] + sin * y[:, None]


@dataclass(frozen=True)
class Mesh:
    """Triangles of all sheets.

    ``triangles`` (3, T) indexes the points; ``surface`` (T,) indexes ``surfaces``; ``part`` (T,);
    ``sheet`` (T,) is the number of the sheet;
    ``thin`` (T,) is True for triangles whose inner side can be seen.
    """

    points: Array
    normals: Array
    turns: Array
    along: Array
    triangles: npt.NDArray[np.intp]
    surface: npt.NDArray[np.intp]
    part: npt.NDArray[np.intp]
    sheet: npt.NDArray[np.intp]
    thin: npt.NDArray[np.bool_]
    surfaces: tuple[Surface, ...]

    @classmethod
    def of(cls, sheets: Sequence[Sheet]) -> Mesh:
        rows = np.array([len(sheet.points) for sheet in sheets])
        columns = SIDES + 1
        points = np.concatenate([sheet.points for sheet in sheets])
        normals = _normals(points, rows, np.repeat([sheet.closed for sheet in sheets], rows))
        surfaces = {id(s): s for sheet in sheets for s in sheet.surfaces}
        numbers = {key: number for number, key in enumerate(surfaces)}
        surface = [numbers[id(s)] for sheet in sheets for s in sheet.surfaces]
        last = np.cumsum(rows) - 1
        lower = np.delete(np.arange(rows.sum()), last)  # no quadrilaterals between sheets
        corner = lower[:, None] * columns + np.arange(SIDES)
        # Seen from outside, both triangles of a quadrilateral run counter-clockwise.
        corners = np.stack(
            [
                corner,
                corner + 1,
                corner + columns,
                corner + 1,
                corner + columns + 1,
                corner + columns,
            ],
            -1,
        )
        per_quad = 2 * SIDES
        part = np.array([sheet.part for sheet in sheets])
        thin = np.array([not sheet.closed for sheet in sheets])
        return cls(
            points.reshape(-1, 3),
            normals.reshape(-1, 3),
            np.concatenate([np.broadcast_to(s.turns, s.points.shape[:2]) for s in sheets]).reshape(
                -1
            ),
            np.repeat(np.concatenate([s.along for s in sheets]), columns),
            corners.reshape(-1, 3).T,
            np.repeat(surface, per_quad),
            np.repeat(np.repeat(part, rows - 1), per_quad),
            np.repeat(np.repeat(np.arange(len(sheets)), rows - 1), per_quad),
            np.repeat(np.repeat(thin, rows - 1), per_quad),
            tuple(surfaces.values()),
        )


def _normals(points: Array, rows: npt.NDArray[np.intp], closed: npt.NDArray[np.bool_]) -> Array:
    """(R, C, 3) outward unit normals, by differences between neighbours."""
    index = np.arange(len(points))
    last = np.cumsum(rows) - 1
    first = last - rows + 1
    above, below = index + 1, index - 1
    above[last], below[first] = last, first
    along = points[above] - points[below]
    around = np.empty_like(points)
    around[:, 1:-1] = points[:, 2:] - points[:, :-2]
    around[:, 0] = points[:, 1] - points[:, 0]
    around[:, -1] = points[:, -1] - points[:, -2]
    seam = points[closed, 1] - points[closed, -2]
    around[closed, 0] = around[closed, -1] = seam
    return unit(cross(around, along))
