"""The one solid that chairs are built from.

A tapered box whose long edges may be rounded covers boards, rails, square and round legs, discs and
cushions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rfwarp.data.chairs.materials import Material

Array = npt.NDArray[np.float64]
Point = tuple[float, float, float]

SQUARE = 10.0
"""A roundness that leaves a rectangle: anything above the square root of 2 does."""
ROUND = 1.0


@dataclass(frozen=True)
class Part:
    r"""A convex solid in its own coordinates :math:`(u, v, w) = A (p - c)`.

    .. math::
        |w| \le 1, \quad |u| \le s, \quad |v| \le s, \quad \sqrt{u^2 + v^2} \le \rho s, \quad
        s(w) = 1 + (e - 1)(w + 1) / 2

    Attributes:
        centre: (3,) world position ``c``, metres.
        axes: (3, 3) orthonormal rows, the directions of u, v and w.
        half: (3,) half sizes, metres; ``A = diag(1 / half) axes``.
        end_scale: ``e``, the cross-section at w = 1 relative to w = -1.
        roundness: rho. 1 makes the cross-section an ellipse, 1.41 and more leaves it a rectangle.
        material: what it is made of.
    """

    centre: Array
    axes: Array
    half: Array
    end_scale: float
    roundness: float
    material: Material

    def corners(self) -> Array:
        """(8, 3) corners of the tapered box, world coordinates: a hull of the solid."""
        points = [
            (a * (self.end_scale if w > 0 else 1.0), b * (self.end_scale if w > 0 else 1.0), w)
            for a in (-1, 1)
            for b in (-1, 1)
            for w in (-1, 1)
        ]
        return (np.array(points) * self.half) @ self.axes + self.centre


def beam(
    start: Point,
    end: Point,
    width: float,
    depth: float,
    material: Material,
    *,
    side: Point = (0.0, 1.0, 0.0),
    end_scale: float = 1.0,
    roundness: float = SQUARE,
) -> Part:
    """A part that runs from ``start`` to ``end``; ``width`` is measured along ``side``."""
    a, b = np.array(start, dtype=np.float64), np.array(end, dtype=np.float64)
    length = math.dist(start, end)
    w = (b - a) / length
    u = np.array(side, dtype=np.float64)
    u = u - w * (u * w).sum()
    u = u / math.sqrt((u * u).sum())
    axes = np.stack([u, np.cross(w, u), w])
    half = np.array([width, depth, length]) / 2
    return Part((a + b) / 2, axes, half, end_scale, roundness, material)
