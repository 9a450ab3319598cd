"""Scenes of textured convex polygons.

Axes are KITTI's: x right, y down, z forward, metres. The ground is at y = 0, so what is above it
has negative y.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Colour = tuple[float, float, float]

CORNERS = 8
"""Most corners of a polygon."""

UP = np.array([0.0, -1.0, 0.0])


class Paint(NamedTuple):
    """A texture on a plane, multiplied by a tint."""

    texture: int = 0
    """Number of the texture; 0 is white."""
    tint: Colour = (1.0, 1.0, 1.0)
    size: tuple[float, float] = (1.0, 1.0)
    """Width and height of the texture, metres."""


@dataclass(frozen=True)
class Place:
    """A position on the ground with a direction: objects are built in its axes."""

    origin: Array
    """(3,)."""
    heading: float
    """Angle of the forward axis from z towards x, radians."""

    @property
    def right(self) -> Array:
        return np.array([np.cos(self.heading), 0.0, -np.sin(self.heading)])

    @property
    def forward(self) -> Array:
        return np.array([np.sin(self.heading), 0.0, np.cos(self.heading)])

    def at(self, right: float, up: float, forward: float) -> Array:
        """(3,) the point so far to the right, up and ahead."""
        return self.origin + right * self.right + up * UP + forward * self.forward

    def points(self, local: Any) -> Array:
        """(..., 3) points given by (right, up, forward)."""
        return np.asarray(local, float) @ np.stack([self.right, UP, self.forward]) + self.origin

    def moved(self, right: float, forward: float, turn: float = 0.0) -> Place:
        return Place(self.at(right, 0.0, forward), self.heading + turn)


@dataclass(frozen=True)
class Polygons:
    """P convex polygons."""

    corners: Array
    """(P, CORNERS, 3); those of fewer repeat the last."""
    normal: Array
    """(P, 3) unit vectors, on the side that can be seen."""
    offset: Array
    """(P,): ``normal . point``."""
    shade: Array
    """(P, 3) unit vectors for light, of most the normal."""
    u: Array
    """(P, 4): ``[:3] . point + [3]`` is across the texture, in its widths."""
    v: Array
    """(P, 4): down the texture, in its heights."""
    texture: npt.NDArray[np.int64]
    """(P,)."""
    tint: Array
    """(P, 3)."""
    surface: npt.NDArray[np.int64]
    """(P,) numbers of surfaces: from 1 on planes, negative the foliage of a tree."""


class Builder:
    """Collects polygons."""

    def __init__(self) -> None:
        self._rows: list[tuple[Any, ...]] = []
        self._blocks: list[tuple[Any, ...]] = []
        self._surfaces = 0

    def surface(self) -> int:
        """A new number of a surface."""
        self._surfaces += 1
        return self._surfaces

    def polygon(
        self,
        points: Any,
        paint: Paint,
        *,
        toward: Array,
        across: Array | None = None,
        down: Array | None = None,
        start: Array | None = None,
        surface: int | None = None,
    ) -> None:
        """Add one.

        Args:
            points: (n, 3), n at most CORNERS.
            paint: its looks.
            toward: (3,) a direction on the side that can be seen.
            across: (3,) unit direction of the texture's rows; by default the first edge.
            down: (3,) of its columns; by default square to ``across``.
            start: (3,) point of the texture's top left corner; by default the first.
            surface: number that it shares with others; by default a new one.
        """
        points = np.asarray(points, float)
        corners = np.concatenate([points, np.repeat(points[-1:], CORNERS - len(points), 0)])
        self._rows.append(
            (
                corners,
                toward,
                _NONE if across is None else across,
                _NONE if down is None else down,
                points[0] if start is None else start,
                paint.size,
                paint.texture,
                paint.tint,
                self.surface() if surface is None else surface,
            )
        )

    def solid(
        self, points: Any, faces: Sequence[Sequence[int]], paints: Paint | Sequence[Paint]
    ) -> None:
        """Add a convex solid: (n, 3) points, and faces by their numbers in order."""
        points = np.asarray(points, float)
        middle = points.mean(0)
        for number, face in enumerate(faces):
            chosen = points[list(face)]
            paint = paints if isinstance(paints, Paint) else paints[number]
            self.polygon(chosen, paint, toward=chosen.mean(0) - middle)

    def box(self, place: Place, low: Any, high: Any, paint: Paint) -> None:
        """Add a box between two corners (right, up, forward), without its lower face."""
        (x0, y0, z0), (x1, y1, z1) = low, high
        self.prism(place, [(x0, z0), (x1, z0), (x1, z1), (x0, z1)], y0, y1, paint)

    def prism(
        self,
        place: Place,
        outline: Sequence[tuple[float, float]],
        low: float,
        high: float,
        paint: Paint,
        top: Paint | None = None,
        taper: float = 1.0,
    ) -> None:
        """Add a standing prism over an outline of (right, forward), without its lower face.

        ``taper`` scales the upper outline.
        """
        plan = np.asarray(outline, float)
        centre = plan.mean(0)
        upper = centre + (plan - centre) * taper
        base = place.points(np.stack([plan[:, 0], np.full(len(plan), low), plan[:, 1]], 1))
        lid = place.points(np.stack([upper[:, 0], np.full(len(plan), high), upper[:, 1]], 1))
        middle = (base.mean(0) + lid.mean(0)) / 2
        for one in range(len(plan)):
            two = (one + 1) % len(plan)
            side = np.stack([lid[one], lid[two], base[two], base[one]])
            self.polygon(side, paint, toward=side.mean(0) - middle, down=-UP)
        self.polygon(lid, top or paint, toward=UP)

    def cards(
        self,
        corners: Array,
        shade: Array,
        texture: npt.NDArray[np.int64],
        tint: Array,
        surface: int,
    ) -> None:
        """Add N parallelograms (N, 4, 3), whole textures, for both sides."""
        across, down = corners[:, 1] - corners[:, 0], corners[:, 3] - corners[:, 0]
        normal = np.cross(across, down)
        normal /= np.linalg.norm(normal, axis=1, keepdims=True)

        def along(direction: Array) -> Array:
            scaled = direction / (direction**2).sum(1, keepdims=True)
            return np.column_stack([scaled, -(scaled * corners[:, 0]).sum(1)])

        padded = np.concatenate([corners, np.repeat(corners[:, -1:], CORNERS - 4, 1)], 1)
        one = (
            padded,
            normal,
            shade,
            along(across),
            along(down),
            texture,
            tint,
            np.full(len(corners), -surface),
        )
        self._blocks += [one, (padded, -normal, *one[2:])]

    def build(self) -> Polygons:
        """All of them.

        Raises:
            ValueError: if there are more surfaces than 16 bits can number.
        """
        if self._surfaces > np.iinfo(np.int16).max:
            raise ValueError(f"a scene has at most 32767 surfaces, got {self._surfaces}")
        columns = [np.array(column) for column in zip(*self._rows, strict=True)]
        corners, toward, across, down, start, size, texture, tint, surface = columns
        # Newell's sum, so that no three corners need to be chosen.
        normal = _unit(_cross(corners, np.roll(corners, -1, 1)).sum(1))
        normal *= np.where((normal * toward).sum(1) >= 0, 1.0, -1.0)[:, None]
        across = np.where(np.isnan(across), _unit(corners[:, 1] - corners[:, 0]), across)
        down = np.where(np.isnan(down), _cross(normal, across), down)

        def along(axis: Array, length: Array) -> Array:
            return np.column_stack([axis, -(axis * start).sum(1)]) / length[:, None]

        flat = (
            corners,
            normal,
            normal,
            along(across, size[:, 0]),
            along(down, size[:, 1]),
            texture,
            tint,
            surface,
        )
        parts = [[column, *(b[i] for b in self._blocks)] for i, column in enumerate(flat)]
        corners, normal, shade, u, v, texture, tint, surface = map(np.concatenate, parts)
        offset = (normal * corners[:, 0]).sum(1)
        return Polygons(corners, normal, offset, shade, u, v, texture, tint, surface)


_NONE = np.full(3, np.nan)


def _unit(vectors: Array) -> Array:
    unit: Array = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    return unit


def _cross(one: Array, two: Array) -> Array:
    (a, b, c), (d, e, f) = np.moveaxis(one, -1, 0), np.moveaxis(two, -1, 0)
    return np.stack([b * f - c * e, c * d - a * f, a * e - b * d], -1)
