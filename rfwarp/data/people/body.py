"""The body and close-fitting clothes: skin, shirt, trousers, shoes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rfwarp.data.people.materials import Array, Cloth, Mark, Surface
from rfwarp.data.people.mesh import (
    HEAD,
    LEFT_ARM,
    LEFT_LEG,
    RIGHT_ARM,
    RIGHT_LEG,
    TORSO,
    TURNS,
    Sheet,
    cross,
    ring_points,
    unit,
)
from rfwarp.data.people.parameters import PersonParameters, Print
from rfwarp.data.people.skeleton import HEAD_SCALE, Limb, Skeleton

ARMS, LEGS = (RIGHT_ARM, LEFT_ARM), (RIGHT_LEG, LEFT_LEG)

# Heights (hips 0, base of the neck 1), half widths and half depths of the trunk over the height.
_TRUNK = np.array(
    [
        (-0.13, 0.046, 0.040),
        (-0.06, 0.086, 0.060),
        (0.06, 0.096, 0.069),
        (0.20, 0.092, 0.066),
        (0.40, 0.077, 0.056),
        (0.58, 0.086, 0.062),
        (0.72, 0.097, 0.070),
        (0.84, 0.110, 0.062),
        (0.91, 0.104, 0.052),
        (0.96, 0.074, 0.043),
        (1.00, 0.040, 0.036),
    ]
)
WAIST, TRUNK_SQUARENESS = 0.36, 0.09
_ARM_RADII = ((-0.09, 0.006), (-0.05, 0.022), (0.06, 0.031), (0.30, 0.029), (0.5, 0.0235),
              (0.62, 0.025), (0.80, 0.021), (1.0, 0.0155))  # fmt: skip
_LEG_RADII = ((-0.06, 0.040), (0.06, 0.052), (0.25, 0.048), (0.48, 0.034), (0.56, 0.033),
              (0.68, 0.034), (0.85, 0.025), (1.0, 0.021))  # fmt: skip


@dataclass(frozen=True)
class Tube:
    """Stations along a limb: centres (R, 3), tangents (R, 3), and the axes to front and side."""

    centres: Array
    tangents: Array
    front: Array
    side: Array
    distance: Array

    @classmethod
    def along(cls, limb: Limb, stations: Sequence[float] | Array, soft: float) -> Tube:
        """A tube at fractions of the limb's length; its joint bends over +-``soft`` metres."""
        first, second = np.diff(limb.joints, axis=0)
        upper = float(np.sqrt(first @ first))
        total = upper + float(np.sqrt(second @ second))
        first, second = unit(first), unit(second)
        distance = np.asarray(stations) * total
        x = distance - upper
        beyond = np.where(np.abs(x) < soft, (x + soft) ** 2 / (4 * soft), np.maximum(x, 0.0))
        turned = np.clip((x + soft) / (2 * soft), 0, 1)[:, None]
        centres = limb.joints[1] + (x - beyond)[:, None] * first + beyond[:, None] * second
        tangents = unit((1 - turned) * first + turned * second)
        front = cross(limb.hinge, tangents)
        return cls(centres, tangents, front, cross(tangents, front), distance)

    def sheet(
        self,
        radii: Array,
        surfaces: Sequence[Surface],
        part: int,
        sag: Array | None = None,
        closed: bool = True,
    ) -> Sheet:
        centres = self.centres if sag is None else self.centres + sag
        points = ring_points(centres, radii[:, None] * self.front, radii[:, None] * self.side)
        return Sheet(points, TURNS, self.distance, tuple(surfaces), part, closed)


def trunk_sizes(person: PersonParameters, t: Array) -> tuple[Array, Array]:
    """Half depths and half widths (R,) in metres of the bare trunk at heights t."""
    body = person.body
    build = np.interp(t, (0.1, 0.4, 0.8), (body.hips, 0.5 * (body.hips + body.shoulders) - 0.02,
                                           body.shoulders))  # fmt: skip
    width = np.interp(t, _TRUNK[:, 0], _TRUNK[:, 1]) * build * (0.5 + 0.5 * body.girth)
    depth = np.interp(t, _TRUNK[:, 0], _TRUNK[:, 2]) * body.girth
    return depth * body.height, width * body.height


def shirt_girth(person: PersonParameters) -> float:
    """Metres around the chest."""
    return 5.2 * (float(trunk_sizes(person, np.array([0.84]))[1][0]) + 0.006)


def printed(
    front: Print | None, back: Print | None, girth: float, middle: float
) -> tuple[Mark, ...]:
    """Prints on the chest and between the shoulders; ``middle`` is their height, metres."""
    return tuple(
        Mark(p.stencil, turns, middle, p.size / girth, p.size, p.colour)
        for p, turns in ((front, 0.0), (back, 0.5))
        if p is not None
    )


def trunk(person: PersonParameters, skeleton: Skeleton) -> list[Sheet]:
    """The shirt, from the hips to the neck, and the neck."""
    t = np.concatenate([_TRUNK[:3, 0], np.linspace(0.13, 0.72, 7), _TRUNK[7:, 0]])
    depth, width = (size + 0.006 for size in trunk_sizes(person, t))
    centres, frames = skeleton.trunk(t)
    girth = shirt_girth(person)
    marks = printed(person.top.front, person.top.back, girth, 0.70 * skeleton.spine)
    shirt = Surface(person.top.cloth, girth, marks)
    points = ring_points(
        centres,
        frames[:, :, 0] * depth[:, None],
        frames[:, :, 1] * width[:, None],
        squareness=TRUNK_SQUARENESS,
    )
    lower = Surface(person.lower.cloth, girth)
    rows = [lower if height < 0.16 else shirt for height in t[1:]]
    skin = Surface(Cloth.plain(person.body.skin), 1.0)
    rows[-1] = skin  # the neckline
    if person.top.sleeves == "none":
        rows[-2] = skin
    sheets = [Sheet(points, TURNS, t * skeleton.spine, tuple(rows), TORSO)]
    h = person.body.height
    top = skeleton.head - 0.03 * h * skeleton.head_frame[:, 2]
    base = skeleton.trunk(np.array([0.93]))[0][0]
    steps = np.linspace(0, 1, 4)[:, None]
    frame = skeleton.head_frame
    girths = np.array([0.037, 0.031, 0.029, 0.030])[:, None] * h * (0.4 + 0.6 * person.body.girth)
    neck = ring_points((1 - steps) * base + steps * top, girths * frame[:, 0], girths * frame[:, 1])
    return [*sheets, Sheet(neck, TURNS, steps[:, 0], (skin,) * 3, TORSO)]


def blob(
    centre: Array, frame: Array, sizes: tuple[float, float, float], surface: Surface, part: int
) -> Sheet:
    """An ellipsoid with the half axes ``sizes`` along the columns of the frame."""
    angle = np.linspace(-0.495, 0.495, 7) * np.pi
    radius, rise = np.cos(angle)[:, None], np.sin(angle)[:, None]
    points = ring_points(
        centre + sizes[2] * rise * frame[:, 2],
        sizes[0] * radius * frame[:, 0],
        sizes[1] * radius * frame[:, 1],
    )
    return Sheet(points, TURNS, sizes[2] * rise[:, 0], (surface,) * 6, part)


def arm(person: PersonParameters, limb: Limb, part: int) -> list[Sheet]:
    """Arm, hand, and a sleeve as far as it is not wide."""
    h, top = person.body.height, person.top
    skin = Surface(Cloth.plain(person.body.skin), 1.0)
    cloth = Surface(top.sleeve_cloth, 0.036 * 6.28 * h)
    reach = {"none": -1.0, "short": 0.34, "long": 0.97, "wide": 0.5}[top.sleeves]
    stations = np.array([-0.09, -0.05, 0.0, 0.06, 0.18, 0.34, 0.44, 0.5, 0.56, 0.66, 0.82, 0.97])
    tube = Tube.along(limb, stations, 0.035 * h)
    bare = np.interp(stations, *np.transpose(_ARM_RADII)) * h * person.body.girth
    extra = np.where(stations < reach, 0.006, 0.0)
    if top.sleeves == "short" and person.coat is None:
        extra = np.where(stations <= reach, 0.004 + 0.055 * np.clip(stations, 0, 1), 0.0)
    rows = [cloth if s <= reach else skin for s in stations[1:]]
    sheets = [tube.sheet(bare + extra, rows, part)]
    end = Tube.along(limb, np.array([1.0]), 0.035 * h)
    frame = np.stack([end.front[0], end.side[0], end.tangents[0]], -1)
    hand = end.centres[0] + 0.028 * h * end.tangents[0]
    return [*sheets, blob(hand, frame, (0.024 * h, 0.015 * h, 0.046 * h), skin, part)]


def leg(person: PersonParameters, limb: Limb, foot: Array, part: int) -> list[Sheet]:
    """Leg, trousers and shoe."""
    h, lower = person.body.height, person.lower
    skin = Surface(Cloth.plain(person.body.skin), 1.0)
    stations = np.array([-0.06, 0.06, 0.16, 0.26, 0.36, 0.44, 0.5, 0.56, 0.68, 0.8, 0.9, 0.985])
    tube = Tube.along(limb, stations, 0.05 * h)
    bare = np.interp(stations, *np.transpose(_LEG_RADII)) * h * person.body.girth
    reach = 0.0 if lower.kind == "skirt" else lower.length
    cloth, border = (Surface(c, 0.33 * h) for c in (lower.cloth, lower.border))
    shoe = Surface(Cloth.plain(person.shoes), 1.0)
    shaft = 0.66 if person.boots and lower.kind in ("skirt", "shorts") else 2.0
    loose = 0.010 + 0.03 * np.clip(stations, 0, 1) * (lower.kind != "skirt")
    if lower.kind == "flares":
        loose = 0.008 + lower.flare * 0.3 * np.clip(stations - 0.5, 0, 1)
    extra = np.where((stations <= reach + 0.01) | (stations > shaft), loose, 0.0)
    rows = [
        shoe if s > shaft else cloth if s <= reach - 0.09 else border if s <= reach + 0.01 else skin
        for s in stations[1:]
    ]
    sheets = [tube.sheet(bare + extra, rows, part)]
    x = np.array([-0.034, -0.03, -0.012, 0.02, 0.055, 0.085, 0.103, 0.108])
    wide = np.array([0.002, 0.02, 0.026, 0.027, 0.032, 0.03, 0.018, 0.002])
    high = np.array([0.004, 0.026, 0.033, 0.03, 0.022, 0.017, 0.013, 0.004])
    ankle = limb.joints[2]
    centres = ankle + (x[:, None] * foot[:, 0] + (high - 0.042)[:, None] * foot[:, 2]) * h
    points = ring_points(centres, high[:, None] * foot[:, 2] * h, -wide[:, None] * foot[:, 1] * h)
    sole = Sheet(points, TURNS, x * h, (shoe,) * 7, part)
    return [*sheets, sole]


def face_point(person: PersonParameters, skeleton: Skeleton, angle: float, z: float) -> Array:
    """(3,) on the head's surface: ``angle`` from the front to the left, z in half heights."""
    depth, width, rise, shift = head_profile(person, np.array([z]))
    frame = skeleton.head_frame
    front = shift[0] + depth[0] * np.cos(angle)
    return (
        skeleton.head
        + front * frame[:, 0]
        + width[0] * np.sin(angle) * frame[:, 1]
        + rise[0] * frame[:, 2]
    )


def head_profile(person: PersonParameters, z: Array) -> tuple[Array, Array, Array, Array]:
    """Half depths, half widths, heights and shifts to the front (R,), metres, at z in -1 ... 1."""
    size = HEAD_SCALE * person.body.height
    round_ = np.sqrt(np.maximum(1 - z * z, 0.0))
    jaw = np.interp(z, (-1.0, -0.6, 0.0), (0.72, 0.84, 1.0))
    depth, width = 0.055 * size * round_ * jaw, 0.046 * size * round_ * jaw
    fuller = np.interp(z, (-1.0, -0.9, -0.5), (1.0, 1.25, 1.0))
    return depth * fuller, width * fuller, 0.068 * size * z, 0.008 * size * (1 - jaw) * 2


def face_marks(person: PersonParameters, rise: float) -> tuple[Mark, ...]:
    """Eyes, brows and mouth; ``rise`` is the head's half height, metres."""
    body, hair = person.body, person.hair
    brow = tuple(0.8 * c for c in hair.colour)
    marks = [Mark("disc", 0.0, -0.52 * rise, 0.052, 0.085 * rise, body.lips)]
    for side in (-1, 1):
        turns = 0.078 * side
        marks += [
            Mark("disc", turns, 0.06 * rise, 0.042, 0.115 * rise, (0.97, 0.97, 0.96)),
            Mark("disc", turns, 0.05 * rise, 0.024, 0.105 * rise, body.eyes),
            Mark("square", turns, 0.27 * rise, 0.046, 0.045 * rise, (brow[0], brow[1], brow[2])),
        ]
    return tuple(marks)


EYE, EAR, NOSE = (0.49, 0.05), (1.62, 0.0), -0.16
"""(angle, z) of the left eye and ear on the head, and z of the nose's tip."""


def head(person: PersonParameters, skeleton: Skeleton) -> list[Sheet]:
    """Head, nose and ears."""
    z = np.sin(np.linspace(-0.495, 0.495, 11) * np.pi)
    depth, width, rise, shift = head_profile(person, z)
    frame, h = skeleton.head_frame, HEAD_SCALE * person.body.height
    skin = Cloth.plain(person.body.skin)
    face = Surface(skin, 5.5 * float(depth.max()), face_marks(person, float(rise.max())))
    points = ring_points(
        skeleton.head + rise[:, None] * frame[:, 2] + shift[:, None] * frame[:, 0],
        depth[:, None] * frame[:, 0],
        width[:, None] * frame[:, 1],
    )
    sheets = [Sheet(points, TURNS, rise, (face,) * 10, HEAD)]
    plain = Surface(skin, 1.0)
    nose = face_point(person, skeleton, 0.0, NOSE)
    sheets.append(blob(nose, frame, (0.0105 * h, 0.0075 * h, 0.014 * h), plain, HEAD))
    for side in (-1, 1):
        ear = face_point(person, skeleton, side * EAR[0], EAR[1])
        sheets.append(blob(ear, frame, (0.010 * h, 0.005 * h, 0.017 * h), plain, HEAD))
    return sheets
