"""Poses of people: stances, and gestures of the arms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rfwarp.data.seeds import Dice

Gesture = Literal[
    "hang", "hips", "crossed", "clasped", "raised", "wave", "side", "forward", "chin", "swing"
]
Stance = Literal["stand", "wide", "walk", "knee", "lunge"]

REACHES: dict[Gesture, tuple[tuple[float, float, float], tuple[float, float, float]]] = {
    "hang": ((0.04, 0.16, -0.96), (-0.6, 0.8, 0.0)),
    "hips": ((0.10, 0.05, -0.64), (-0.45, 1.0, 0.0)),
    "crossed": ((0.40, -0.46, -0.42), (0.1, 0.75, -1.0)),
    "clasped": ((0.42, -0.32, -0.68), (-0.4, 1.0, -0.4)),
    "raised": ((0.12, 0.30, 0.92), (0.2, 1.0, -0.2)),
    "wave": ((0.16, 0.52, 0.42), (0.0, 0.8, -1.0)),
    "side": ((0.05, 0.97, 0.10), (-0.6, 0.1, -1.0)),
    "forward": ((0.88, 0.06, -0.10), (0.0, 0.7, -1.0)),
    "chin": ((0.40, -0.26, 0.10), (0.2, 0.45, -1.0)),
    "swing": ((0.00, 0.20, -0.93), (-1.0, 0.4, 0.0)),
}
"""Position of the hand relative to the shoulder, to the front, outward and up, in lengths of the
arm; and the direction in which the elbow points."""


@dataclass(frozen=True)
class Arm:
    """Axes of the chest, see :data:`REACHES`."""

    reach: tuple[float, float, float]
    elbow: tuple[float, float, float]


@dataclass(frozen=True)
class Leg:
    """Radians: the thigh's angle to the front and outward, and the bend of the knee."""

    forward: float
    outward: float
    knee: float


@dataclass(frozen=True)
class BodyPose:
    """Angles in radians. Pairs are (right, left). The person faces +x, with +y to its left.

    ``lean`` to the front, ``bend`` to the left and ``twist`` to the left turn the chest against the
    pelvis; ``nod`` and ``turn`` the head against the chest. ``sway`` is the shift (x, y) of hanging
    clothes and hair, metres at a length of one metre.
    """

    legs: tuple[Leg, Leg]
    arms: tuple[Arm, Arm]
    lean: float
    bend: float
    twist: float
    nod: float
    turn: float
    sway: tuple[float, float]

    @classmethod
    def draw(cls, dice: Dice) -> BodyPose:
        stances: dict[Stance, float] = {
            "stand": 0.36,
            "wide": 0.16,
            "walk": 0.30,
            "knee": 0.10,
            "lunge": 0.08,
        }
        stance = dice.choose(stances)
        side = 1 if dice.chance(0.5) else -1
        stride = dice.uniform(0.5, 1.0) * side
        legs = _draw_legs(dice, stance, stride)
        arms = _draw_arms(dice, stride if stance == "walk" else 0.0)
        forward = {"walk": -0.16, "lunge": -0.1}.get(stance, 0.0)
        return cls(
            legs,
            arms,
            lean=dice.uniform(-0.06, 0.12) + (0.12 if stance == "lunge" else 0.0),
            bend=dice.uniform(-0.10, 0.10),
            twist=dice.uniform(-0.22, 0.22) - (0.12 * stride if stance == "walk" else 0.0),
            nod=dice.uniform(-0.12, 0.22),
            turn=dice.uniform(-0.6, 0.6),
            sway=(forward + dice.uniform(-0.10, 0.10), dice.uniform(-0.13, 0.13)),
        )


def _draw_legs(dice: Dice, stance: Stance, stride: float) -> tuple[Leg, Leg]:
    def relaxed(outward: float) -> Leg:
        forward = dice.uniform(-0.06, 0.08)
        return Leg(forward, outward + dice.uniform(-0.02, 0.05), dice.uniform(0.02, 0.14))

    both = [relaxed(0.24 if stance == "wide" else 0.04) for _ in range(2)]
    other = 0 if stride > 0 else 1
    size = abs(stride)
    if stance == "walk":
        both[1 - other] = Leg(0.50 * size, 0.02, 0.10 + 0.15 * dice.uniform(0, 1))
        both[other] = Leg(-0.42 * size, 0.02, 0.25 + 0.6 * dice.uniform(0, 1) * size)
    elif stance == "knee":
        lift = dice.uniform(0.6, 1.35)
        both[other] = Leg(lift, dice.uniform(0.02, 0.25), lift * dice.uniform(0.9, 1.3))
    elif stance == "lunge":
        both[1 - other] = Leg(0.75 * size, 0.05, 0.85 * size)
        both[other] = Leg(-0.55 * size, 0.05, 0.25)
    return both[0], both[1]


def _draw_arms(dice: Dice, stride: float) -> tuple[Arm, Arm]:
    gestures: dict[Gesture, float] = {
        "hang": 0.22,
        "hips": 0.13,
        "crossed": 0.14,
        "clasped": 0.09,
        "raised": 0.09,
        "wave": 0.09,
        "side": 0.07,
        "forward": 0.07,
        "chin": 0.10,
    }
    first = dice.choose(gestures)
    second = dice.choose({**gestures, first: 1.2})
    if stride and dice.chance(0.7):
        first = second = "swing"
    if "crossed" in (first, second):
        first = second = "crossed"
    arms = []
    for number, gesture in enumerate((first, second)):
        (x, y, z), elbow = REACHES[gesture]
        small = 0.5 if gesture == "crossed" else 1.0
        x += small * dice.uniform(-0.07, 0.07)
        y += small * dice.uniform(-0.05, 0.07)
        z += small * dice.uniform(-0.05, 0.05)
        if gesture == "swing":
            x += 0.42 * stride * (-1 if number else 1)
        elif gesture == "crossed":
            x, z = x + 0.10 * number, z + 0.06 * number  # one forearm over the other
        arms.append(Arm((x, y, z), elbow))
    return arms[0], arms[1]
