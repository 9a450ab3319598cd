"""What differs from image to image of one face: expression, gaze, turn of the head, camera."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from rfwarp.data.people.materials import Array
from rfwarp.data.seeds import Dice

FOCAL = 5.0
"""Focal length over half the image's height: a field of view of about 23 degrees."""

ROOM = 1.5
"""Half the height of the image at the face, decimetres."""

CENTRE = (0.0, 7.18, 0.9)
"""What the camera looks at."""

PIVOT = (0.0, 6.45, 0.2)
"""Joint about which a head turns."""

FOLLOWED = 0.75
"""Share of the face's movement in the image that the camera follows, as crops of videos do."""


@dataclass(frozen=True)
class FacePose:
    """``units`` has the weights of action units, see :data:`.EXPRESSIONS`.

    ``yaw`` turns the head to its left, ``pitch`` up and ``roll`` to its right shoulder, radians.
    ``scale`` is relative to the usual size in the image, and ``shift`` moves the face right and
    down, in heights of the image.
    """

    units: dict[str, float]
    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    scale: float = 1.0
    shift: tuple[float, float] = (0.0, 0.0)

    @classmethod
    def draw(cls, dice: Dice) -> FacePose:
        """Yaw within 40 degrees, pitch within 20, roll within 15; one of four faces is neutral."""
        return cls(
            _draw_units(dice),
            yaw=math.radians(dice.uniform(-40.0, 40.0)),
            pitch=math.radians(dice.uniform(-20.0, 20.0)),
            roll=math.radians(dice.uniform(-15.0, 15.0)),
            scale=dice.uniform(0.92, 1.08),
            shift=(dice.uniform(-0.05, 0.05), dice.uniform(-0.03, 0.03)),
        )

    def project(self, points: Array, height: int, width: int) -> Array:
        """Points (P, 3) -> (P, 3): x and y in pixels, of which (0, 0) is the middle of the top left
        pixel, and the inverse of the distance along the optical axis, 1 / decimetres."""
        centre, pivot = np.array(CENTRE), np.array(PIVOT)
        moved = pivot - centre + self.turn((centre - pivot)[None], np.ones(1))[0]
        local = points - centre - moved * [FOLLOWED, FOLLOWED, 0.0]
        inverse = 1 / (FOCAL * ROOM / self.scale - local[:, 2])
        x = width / 2 + (FOCAL * local[:, 0] * inverse / 2 + self.shift[0]) * height - 0.5
        y = height / 2 - (FOCAL * local[:, 1] * inverse / 2 - self.shift[1]) * height - 0.5
        return np.stack([x, y, inverse], -1)

    def turn(self, vectors: Array, share: Array) -> Array:
        """Vectors (P, 3) turned by a share (P,) of the head's turn."""
        x, y, z = vectors.T
        for angle, axis in ((self.roll, "z"), (-self.pitch, "x"), (self.yaw, "y")):
            cos, sin = np.cos(angle * share), np.sin(angle * share)
            if axis == "z":
                x, y = cos * x - sin * y, sin * x + cos * y
            elif axis == "x":
                y, z = cos * y - sin * z, sin * y + cos * z
            else:
                x, z = cos * x + sin * z, cos * z - sin * x
        return np.stack([x, y, z], -1)


class Mood(NamedTuple):
    """What a face expresses, at its most."""

    chance: float
    sides: Mapping[str, float] = {}
    """Weights of units that the face has left and right."""
    middle: Mapping[str, float] = {}
    jaw: tuple[float, float] | None = None
    """How far it is open: the least and the most."""


MOODS = {
    "neutral": Mood(0.25),
    "smile": Mood(0.22, {"mouthSmile": 0.9, "cheekSquint": 0.5}),
    "laugh": Mood(
        0.12,
        {
            "mouthSmile": 0.9,
            "mouthUpperUp": 0.5,
            "mouthLowerDown": 0.3,
            "cheekSquint": 0.7,
            "eyeSquint": 0.5,
        },
        jaw=(0.05, 0.45),
    ),
    "talk": Mood(0.16),
    "sad": Mood(0.07, {"mouthFrown": 0.8}, {"browInnerUp": 0.8, "mouthShrugLower": 0.5}),
    "angry": Mood(0.07, {"browDown": 0.9, "noseSneer": 0.5, "mouthPress": 0.6, "eyeSquint": 0.4}),
    "surprise": Mood(
        0.07, {"browOuterUp": 0.9, "eyeWide": 0.8}, {"browInnerUp": 0.9}, jaw=(0.1, 0.8)
    ),
    "kiss": Mood(0.04, middle={"mouthPucker": 0.9}),
}


def _draw_units(dice: Dice) -> dict[str, float]:
    units: dict[str, float] = {}

    def add(name: str, weight: float) -> None:
        units[name] = min(1.0, units.get(name, 0.0) + weight)

    def both(name: str, weight: float, apart: float = 0.15) -> None:
        for side in ("Left", "Right"):
            add(name + side, weight * (1 + dice.uniform(-apart, apart)))

    mood = dice.choose({name: mood.chance for name, mood in MOODS.items()})
    much = dice.uniform(0.4, 1.0)
    if mood == "talk":
        add("jawOpen", dice.uniform(0.1, 0.5))
        add(
            dice.choose({"mouthFunnel": 1.0, "mouthPucker": 0.5, "mouthRollLower": 0.5}), 0.5 * much
        )
        both("mouthStretch", dice.uniform(0.0, 0.5))
    for name, weight in MOODS[mood].sides.items():
        both(name, weight * much)
    for name, weight in MOODS[mood].middle.items():
        add(name, weight * much)
    if (jaw := MOODS[mood].jaw) is not None:
        add("jawOpen", dice.uniform(*jaw) * much)
    # Small movements of everything, as no face is still.
    for name in ("browDown", "browOuterUp", "eyeSquint", "mouthDimple", "mouthStretch"):
        both(name, dice.uniform(0.0, 0.12), 0.8)
    for name in ("browInnerUp", "jawOpen", "mouthRollLower", "mouthShrugUpper", "cheekPuff"):
        add(name, max(0.0, dice.uniform(-0.2, 0.15)))
    sideways = dice.uniform(-0.35, 0.35)
    add("mouthLeft" if sideways > 0 else "mouthRight", abs(sideways) ** 1.5)
    add("jawLeft" if sideways > 0 else "jawRight", 0.5 * abs(sideways))
    across, up = dice.uniform(-0.7, 0.7), dice.uniform(-0.4, 0.4)
    for side, out in (("Left", across), ("Right", -across)):
        add(f"eyeLook{'Out' if out > 0 else 'In'}{side}", abs(out))
        add(f"eyeLook{'Up' if up > 0 else 'Down'}{side}", abs(up))
    lids = dice.choose({"open": 0.78, "half": 0.12, "closed": 0.07, "wink": 0.03})
    drop = dice.uniform(0.0, 0.08) + 0.2 * max(0.0, -up)
    if lids == "half":
        drop = dice.uniform(0.25, 0.6)
    both("eyeBlink", 1.0 if lids == "closed" else drop, 0.0 if lids == "closed" else 0.1)
    if lids == "wink":
        add(f"eyeBlink{dice.choose({'Left': 1.0, 'Right': 1.0})}", 1.0)
    return {name: weight for name, weight in units.items() if weight > 0.005}
