"""Cameras that look at people."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from rfwarp.data.people.materials import Array
from rfwarp.data.people.skeleton import rotation
from rfwarp.data.seeds import Dice

FOCAL = 4.0
"""Focal length over half the image's height: a field of view of about 28 degrees."""

ROOM = 1.17
"""Height of the image at the person, over the person's height: raised hands mostly fit."""


@dataclass(frozen=True)
class Camera:
    """Looks at the middle of a person from ``azimuth`` and ``elevation`` (radians).

    Azimuth 0 looks at the person's front, and a growing one moves the camera counter-clockwise as
    seen from above. ``scale`` is relative to a frame that leaves room for raised arms; ``shift``
    moves the person right and down, in heights of the image.
    """

    azimuth: float
    elevation: float
    scale: float
    shift: tuple[float, float]

    @classmethod
    def draw(cls, dice: Dice) -> Camera:
        return cls(
            azimuth=dice.uniform(-math.pi, math.pi),
            elevation=math.radians(dice.uniform(-3.0, 16.0)),
            scale=dice.uniform(0.94, 1.06),
            shift=(dice.uniform(-0.03, 0.03), dice.uniform(-0.015, 0.015)),
        )

    def axes(self) -> Array:
        """(3, 3) orthonormal rows: image right, image up, and from the person to the camera."""
        return (rotation("z", self.azimuth) @ rotation("y", -self.elevation))[:, [1, 2, 0]].T

    def project(self, points: Array, tall: float, height: int, width: int) -> Array:
        """World points (..., 3) of a person ``tall`` metres high -> (..., 3).

        The first two are x and y in pixels, of which (0, 0) is the middle of the top left pixel;
        the third is the inverse of the distance along the optical axis, in 1 / metres.
        """
        local = (points - np.array([0.0, 0.0, 0.53 * tall])) @ self.axes().T
        distance = FOCAL * ROOM * tall / 2 / self.scale
        inverse = 1 / (distance - local[..., 2])
        x = width / 2 + (FOCAL * local[..., 0] * inverse / 2 + self.shift[0]) * height - 0.5
        y = height / 2 - (FOCAL * local[..., 1] * inverse / 2 - self.shift[1]) * height - 0.5
        return np.stack([x, y, inverse], -1)
