"""What is put on a head: locks of long hair, buns, glasses. All turn with the head."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rfwarp.data.faces.parameters import FaceParameters
from rfwarp.data.people.materials import Array
from rfwarp.data.seeds import Dice

Flags = npt.NDArray[np.bool_]

HAIR, RIMS, LENS = 4, 5, 6
"""Parts, after those of :mod:`.head`."""


@dataclass(frozen=True)
class Sheet:
    """R x C points (R, C, 3), seen from both sides, with coordinates for its paint (R, C, 3)."""

    points: Array
    paint: Array
    part: int


def locks(face: FaceParameters, points: Array, scalp: Flags) -> list[Sheet]:
    """Ribbons of hair that hang from the head.

    Args:
        points: (P, 3) of the head of this face.
        scalp: (P,) whether hair grows there.
    """
    style = face.hair.style
    if style not in ("bob", "long"):
        return _bun(face, points, scalp) if style == "bun" else []
    grown = points[scalp]
    low, high = grown.min(0), grown.max(0)
    centre = np.array([0.0, high[1] - 0.92, (low[2] + high[2]) / 2 - 0.06])
    radii = np.array([high[0] + 0.03, 0.92, (high[2] - low[2]) / 2 + 0.0])
    dice = Dice([scalp.size, int(1e6 * face.hair.volume), int(1e6 * face.hair.length)])
    end = 6.45 - 0.35 * face.hair.length if style == "bob" else 5.5 - 0.7 * face.hair.length
    wave, period = 0.05 * dice.uniform(0, 1) ** 2, dice.uniform(0.5, 1.0)
    flare = dice.uniform(-0.10, 0.06)
    opening = dice.uniform(0.92, 1.15)
    count, rows = 44, 12
    sheets = []
    for number in range(count):
        angle = opening + (2 * np.pi - 2 * opening) * (number + 0.5) / count
        angle += dice.uniform(-0.03, 0.03)
        layer = 1.0 + 0.04 * dice.uniform(0, 1) + 0.04 * face.hair.volume
        stop = end + dice.uniform(-0.08, 0.08) - 0.12 * np.cos(angle)
        t = np.linspace(0.35, 1.0, 5) * (np.pi / 2)
        out = np.concatenate([np.sin(t), np.ones(rows - 5)])
        high_up = np.concatenate(
            [centre[1] + radii[1] * layer * np.cos(t), np.linspace(centre[1], stop, rows - 4)[1:]]
        )
        hang = np.maximum(centre[1] - high_up, 0.0)
        # Under the skull the hair falls inwards to the neck, then over the shoulders.
        out = (
            out * layer * (1 - 0.16 * np.sin(np.clip(hang / 1.5, 0, 1) * np.pi))
            + flare * (hang**1.5) * 0.3
        )
        phase = dice.uniform(0, 0.6)
        sway = wave * np.sin(2 * np.pi * (hang / period + phase)) * np.minimum(hang, 1.0)
        turn = angle + sway
        middle = np.stack(
            [
                centre[0] + radii[0] * out * np.sin(turn),
                high_up,
                centre[2] + radii[2] * out * np.cos(turn),
            ],
            -1,
        )
        # Shoulders lie in the way.
        across = np.stack([np.cos(turn), np.zeros(rows), -np.sin(turn)], -1)
        width = 0.5 * (2 * np.pi - 2 * opening) / count * 0.95
        taper = np.concatenate(
            [np.linspace(0.5, 1, 5), 1.1 - 0.6 * np.linspace(0, 1, rows - 5) ** 3]
        )
        half = (width * taper * 2.0)[:, None]
        bulge = 0.02 * np.stack([np.sin(turn), np.zeros(rows), np.cos(turn)], -1)
        grid = np.stack([middle - across * half, middle + bulge, middle + across * half], 1)
        along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(middle, axis=0), axis=1))])
        paint = np.stack(
            np.broadcast_arrays(
                np.array([0.0, 0.5, 1.0])[None, :] * 0.14 + number * 1.37, along[:, None], 0.0
            ),
            -1,
        )
        sheets.append(Sheet(grid, paint, HAIR))
    return sheets


def _bun(face: FaceParameters, points: Array, scalp: Flags) -> list[Sheet]:
    top = points[scalp].max(0)
    size = 0.24 + 0.16 * face.hair.volume
    back = 0.15 - 0.5 * face.hair.length
    centre = np.array([0.0, top[1] + 0.4 * size - 0.3 * face.hair.length, back])
    up, around = np.linspace(-0.5 * np.pi, 0.5 * np.pi, 9), np.linspace(0, 2 * np.pi, 15)
    unit = np.stack(
        np.broadcast_arrays(
            np.cos(up)[:, None] * np.sin(around), np.sin(up)[:, None],
            np.cos(up)[:, None] * np.cos(around),
        ), -1,
    )  # fmt: skip
    paint = np.stack(
        np.broadcast_arrays(up[:, None] * 0.4 + around * 0.15, around * 0.3 + 0 * up[:, None], 0.0),
        -1,
    )
    return [Sheet(centre + unit * np.array([1.15, 0.85, 1.0]) * size, paint, HAIR)]


def glasses(face: FaceParameters, points: Array, landmarks: Array) -> list[Sheet]:
    """Rims, bridge and temples; lenses of sunglasses.

    Args:
        points: (P, 3) of the head of this face.
        landmarks: (68, 3) of it.
    """
    worn = face.glasses
    if worn.rims == "none":
        return []
    eyes = [landmarks[a:b].mean(0) for a, b in ((36, 42), (42, 48))]
    nose = landmarks[27]
    plane = max(nose[2] + 0.03, max(e[2] for e in eyes) + 0.17)
    scale = worn.scale * (eyes[1][0] - eyes[0][0]) / 0.62
    half = np.array([0.245, 0.205 if worn.rims == "round" else 0.18]) * scale
    squareness = 2.0 if worn.rims == "round" else 3.4
    if worn.rims == "round":
        half[0] = 0.225 * scale
    around = np.linspace(0, 2 * np.pi, 29)
    cos, sin = np.cos(around), np.sin(around)
    grow = (np.abs(cos) ** squareness + np.abs(sin) ** squareness) ** (-1 / squareness)
    x, y = cos * grow, sin * grow
    sheets = []

    def add(rows: Array, part: int = RIMS) -> None:
        sheets.append(Sheet(rows, np.zeros(rows.shape), part))

    thick = 0.026 if worn.rims == "round" else 0.036
    for eye in eyes:
        side = np.sign(eye[0])
        centre = np.array([eye[0] + side * 0.02, eye[1] - 0.035, plane])

        def ring(extra: float, depth: float, centre: Array = centre, side: float = side) -> Array:
            across = x * (half[0] + extra)
            curve = 0.10 * np.maximum(side * across, 0) ** 2 / half[0]
            return centre + np.stack([across, y * (half[1] + extra), -depth - curve], -1)

        add(np.stack([ring(0, 0.03), ring(0, 0), ring(thick, 0), ring(thick, 0.05)]))
        if worn.rims == "dark":
            middle = np.broadcast_to(centre, ring(0, 0).shape)
            add(np.stack([middle, ring(0.004, 0.012)]), LENS)
        # A temple from the rim to the ear.
        start = centre + np.array([side * (half[0] + thick * 0.6), half[1] * 0.45, -0.05])
        ear = np.array([side * (np.abs(points[:, 0][points[:, 1] > 7.6]).max() - 0.03), 7.36, 0.42])
        path = np.stack([start, start + (ear - start) * [1.0, 0.1, 0.12], ear])
        up = np.array([0.0, 0.028, 0.0])
        add(np.stack([path - up, path + up]))
    left, right = (np.array([e[0], e[1] + 0.03, plane]) for e in eyes)
    aside, up = np.array([half[0] * 0.93, 0, 0]), np.array([0, 0.016, 0])
    first, last = left + aside, right - aside
    t = np.linspace(0, 1, 7)[:, None]
    bar = first + (last - first) * t + np.array([0, 0.04, 0.03]) * np.sin(np.pi * t)
    add(np.stack([bar - up, bar + up]))
    return sheets
