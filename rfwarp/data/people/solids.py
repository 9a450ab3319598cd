"""The solids that a figure is made of: round cones, squeezed, and cast parallel rays at."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rfwarp.data.people.parameters import Color, Pattern, PrintStyle

Floats = npt.NDArray[np.float64]
Picture = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Cloth:
    """What a solid looks like; lengths in metres, along its axis.

    Args:
        hem: fraction of the length that the pattern ends at; beyond, or on the face of a head, it
            is ``skin``.
        front, back: prints on the two halves.
        line: of the front, and its width.
    """

    pattern: Pattern
    skin: Color = (0, 0, 0)
    hem: float = 2.0
    front: tuple[PrintStyle, Color] = ("none", (0, 0, 0))
    back: tuple[PrintStyle, Color] = ("none", (0, 0, 0))
    line: Color | None = None
    line_width: float = 0.0
    face: bool = False


@dataclass(frozen=True, eq=False)
class Solid:
    """A round cone about the axis from ``start`` to ``end``.

    Args:
        radii: at the start and the end, to the person's left and right.
        front: the direction that texture coordinates count from.
        depth: half the depth relative to half the width.
        open: cut off flat at both ends, instead of round.
    """

    start: Floats
    end: Floats
    radii: tuple[float, float]
    front: Floats
    cloth: Cloth
    depth: float = 1.0
    open: bool = False

    def frame(self) -> tuple[Floats, float]:
        """Rows: the axes from the viewer's frame to the solid's, y along its axis; its length."""
        axis = self.end - self.start
        length = float(np.linalg.norm(axis))
        y = axis / length
        z = self.front - (self.front @ y) * y
        z = z / np.linalg.norm(z)
        return np.stack([np.cross(y, z), y, z / self.depth]), length


@dataclass(frozen=True, eq=False)
class Cast:
    """A solid in its own frame, where it is round, and rays parallel to the viewer's z axis."""

    solid: Solid
    matrix: Floats
    length: float
    ray: Floats
    stretch: float

    @classmethod
    def of(cls, solid: Solid) -> Cast:
        matrix, length = solid.frame()
        stretch = float(np.linalg.norm(matrix[:, 2]))
        return cls(solid, matrix, length, matrix[:, 2] / -stretch, stretch)

    def origins(self, x: Picture, y: Picture) -> list[Picture]:
        """Where the rays through z = 0 at (x, y) are in the solid's frame."""
        start = (self.matrix @ self.solid.start).tolist()
        rows = self.matrix.tolist()
        return [x * row[0] + (y * row[1] - at) for row, at in zip(rows, start, strict=True)]

    def depth(self, x: Picture, y: Picture) -> Picture:
        """z of the nearest point, -inf where the ray misses."""
        ox, oy, oz = self.origins(x, y)
        dx, dy, dz = self.ray.tolist()
        ra, rb = self.solid.radii
        length = self.length
        rr = ra - rb
        m3 = ox * dx + oy * dy + oz * dz
        m5 = ox * ox + oy * oy + oz * oz
        d2 = length * length - rr * rr
        m2 = length * dy
        k2 = d2 - m2 * m2
        near = np.full(ox.shape, np.inf, np.float32)
        if d2 > 0 and k2 > 1e-7:
            m1 = length * oy
            k1 = d2 * m3 - m2 * (m1 - rr * ra)
            k0 = d2 * m5 - m1 * (m1 - 2 * rr * ra) - length * length * ra * ra
            root = k1 * k1 - k2 * k0
            half = np.sqrt(np.maximum(root, 0))
            for sign in (-1, 1) if self.solid.open else (-1,):
                t = (sign * half - k1) * (1 / k2)
                along = m1 + (t * m2 - ra * rr)
                hit = (root > 0) & (along > 0) & (along < d2) & (t < near)
                np.copyto(near, t, where=hit)
        if not self.solid.open:
            for square, m in (
                (m3 * m3 - (m5 - ra * ra), m3),
                ((m3 - m2) ** 2 - (m5 - 2 * length * oy) - (length * length - rb * rb), m3 - m2),
            ):
                t = -m - np.sqrt(np.maximum(square, 0))
                np.copyto(near, t, where=(square > 0) & (t < near))
        return near * (-1 / self.stretch)

    def surface(self, x: Picture, y: Picture, z: Picture) -> tuple[list[Picture], Picture]:
        """The points in the solid's frame, with depth as wide as width, and (3, N) unit normals in
        the viewer's."""
        column = self.matrix[:, 2].tolist()
        p = [o + z * c for o, c in zip(self.origins(x, y), column, strict=True)]
        ra, rb = self.solid.radii
        d2 = self.length**2 - (ra - rb) ** 2
        if d2 > 0:
            along = ((p[1] * self.length - ra * (ra - rb)) / d2).clip(0, 1)
        else:
            along = np.full(x.shape, 0.0 if ra > rb else 1.0, np.float32)
        local = np.stack([p[0], p[1] - self.length * along, p[2]])
        normal = self.matrix.T.astype(np.float32) @ local
        normal /= np.sqrt((normal * normal).sum(0)) + np.float32(1e-9)
        return p, np.where(normal[2] < 0, -normal, normal)
