"""Loose parts that move with the pose: skirts, coats, wide sleeves, hair."""

from __future__ import annotations

import numpy as np

from rfwarp.data.people.body import (
    TRUNK_SQUARENESS,
    WAIST,
    Tube,
    blob,
    head_profile,
    printed,
    shirt_girth,
    trunk_sizes,
)
from rfwarp.data.people.materials import Array, Cloth, Surface
from rfwarp.data.people.mesh import (
    FULL_TURN,
    HEAD,
    SIDES,
    TORSO,
    TURNS,
    Sheet,
    cross,
    ring_points,
    unit,
)
from rfwarp.data.people.parameters import PersonParameters
from rfwarp.data.people.pose import BodyPose
from rfwarp.data.people.skeleton import HEAD_SCALE, SPINE, Limb, Skeleton


def drape(
    person: PersonParameters,
    skeleton: Skeleton,
    cut: Array,
    centre: Array,
    drops: Array,
    angles: Array,
    sway: tuple[float, float],
    margin: float,
) -> Array:
    """(R, C, 3): cloth that hangs from a ring, over the legs.

    At each height it is as wide as it was cut, or as far out as a leg above holds it; below a leg
    it falls in at 45 degrees at most. Its hem rises where it is spread, as its length is given.

    Args:
        cut: (R, C) radii, metres; the first ring is that from which the cloth hangs.
        centre: (3,) centre of that ring.
        drops: (R,) lengths along the cloth, metres, from 0.
        angles: (R, C) around the vertical, 0 at the front.
    """
    centres = centre[:2] + (drops * drops)[:, None] * np.array(sway)
    z = centre[2] - drops
    directions = np.stack([np.cos(angles), np.sin(angles)], -1)
    held = np.zeros_like(cut)
    thickness = 0.052 * person.body.height * person.body.girth + margin
    for limb in skeleton.legs:
        steps = np.linspace(0, 1, 6)[:, None]
        bones = [
            a + steps * (b - a) for a, b in zip(limb.joints[:-1], limb.joints[1:], strict=True)
        ]
        leg = np.concatenate([bones[0], bones[1][1:]])
        thick = thickness * np.linspace(1.0, 0.62, len(leg))
        offset = leg[None, :, :2] - centres[:, None]
        out = directions @ offset.transpose(0, 2, 1) + thick  # (R, C, P)
        below = np.maximum(z[:, None] - leg[:, 2], 0.0)
        held = np.maximum(held, (out - below[:, None, :]).max(-1))
    spread = np.maximum(cut, held)
    spread[0] = cut[0]
    gained = spread - cut[0]
    fall = np.sqrt(np.maximum(drops[:, None] ** 2 - gained**2, (0.45 * drops[:, None]) ** 2))
    flat = centres[:, None] + spread[..., None] * directions
    return np.concatenate([flat, (centre[2] - fall)[..., None]], -1)


def pleats(points: Array, centre: Array, angles: Array, count: int, depth: Array) -> Array:
    """Moves points out by up to ``depth`` (R,) metres; not in, where the legs are."""
    out = unit((points - centre) * np.array([1.0, 1.0, 0.0]))
    return points + (depth[:, None] * (0.5 + 0.5 * np.sin(count * angles)))[..., None] * out


def _cut(
    person: PersonParameters, drops: Array, angles: Array, slack: Array | float, flare: float
) -> Array:
    """(R, C) radii of cloth that is cut to pass the hips; ``drops`` in metres below the waist."""
    t = np.maximum(WAIST - drops / (SPINE * person.body.height), 0.06)
    depth, width = (np.maximum.accumulate(size) + slack for size in trunk_sizes(person, t))
    cos, sin = np.cos(angles) / depth[:, None], np.sin(angles) / width[:, None]
    ellipse = 1 / np.sqrt(cos**2 + sin**2)
    return ellipse * (1 + TRUNK_SQUARENESS * np.sin(2 * angles) ** 2) + flare * drops[:, None]


def _length(person: PersonParameters, fraction: float) -> float:
    """Metres below the waist."""
    return (WAIST * SPINE + fraction * 0.48) * person.body.height


def skirt(person: PersonParameters, skeleton: Skeleton, pose: BodyPose) -> list[Sheet]:
    lower = person.lower
    if lower.kind != "skirt":
        return []
    length = _length(person, lower.length)
    drops = length * np.array([0, 0.1, 0.2, 0.32, 0.44, 0.56, 0.68, 0.8, 0.9, 1.0])
    angles = np.broadcast_to(FULL_TURN, (len(drops), SIDES + 1))
    centre = skeleton.trunk(np.array([WAIST]))[0][0]
    cut = _cut(person, drops, angles, 0.012, lower.flare)
    points = drape(person, skeleton, cut, centre, drops, angles, pose.sway, 0.012)
    points = pleats(points, centre, angles, lower.folds, lower.depth * drops / length)
    girth = 5.6 * float(cut[len(cut) // 2].mean())
    rows = (Surface(lower.border, girth),) + (Surface(lower.cloth, girth),) * 8
    return [Sheet(points[::-1], TURNS, -drops[::-1], rows, TORSO, closed=False)]


def hem(person: PersonParameters, skeleton: Skeleton, pose: BodyPose) -> list[Sheet]:
    """A shirt's part below the waist, worn over the lower garment."""
    lower = person.lower
    if person.top.hem == 0:
        return []
    drops = np.linspace(0, _length(person, 0.0) - 0.03 + person.top.hem, 7)
    angles = np.broadcast_to(FULL_TURN, (len(drops), SIDES + 1))
    centre = skeleton.trunk(np.array([WAIST]))[0][0]
    slack, flare, margin = np.linspace(0.010, 0.030, 7), 0.05, 0.034
    if lower.kind == "skirt":
        folds = lower.depth * drops / _length(person, lower.length)
        slack, flare, margin = 0.020 + folds, lower.flare, margin + lower.depth / 2
    cut = _cut(person, drops, angles, slack, flare)
    points = drape(person, skeleton, cut, centre, drops, angles, pose.sway, margin)[::-1]
    shirt = Surface(person.top.cloth, shirt_girth(person))
    along = WAIST * skeleton.spine - drops[::-1]
    return [Sheet(points, TURNS, along, (shirt,) * 6, TORSO, closed=False)]


def coat(person: PersonParameters, skeleton: Skeleton, pose: BodyPose) -> list[Sheet]:
    worn, lower = person.coat, person.lower
    if worn is None:
        return []
    t = np.array([0.985, 0.96, 0.91, 0.84, 0.72, 0.62, 0.50, WAIST])
    depth, width = (size + 0.028 for size in trunk_sizes(person, t))
    centres, frames = skeleton.trunk(t)
    # Radians to either side of the front: wide at the neck and at the hem.
    half = worn.opening * np.concatenate([np.linspace(0.7, 0.25, 8), np.linspace(0.3, 0.65, 8)])
    angles = half[:, None] + np.linspace(0, 1, SIDES + 1) * (2 * np.pi - 2 * half[:, None])
    x, y = frames[:, :, 0] * depth[:, None], frames[:, :, 1] * width[:, None]
    upper = ring_points(centres, x, y, angles[:8], squareness=TRUNK_SQUARENESS)
    drops = _length(person, worn.length) * np.linspace(0, 1, 9)
    yaw = np.arctan2(frames[-1, 1, 0], frames[-1, 0, 0])
    below = lower.kind == "skirt"
    slack = 0.028 + np.linspace(0, lower.depth if below else 0.012, 9)
    cut = _cut(person, drops, angles[7:], slack, worn.flare + (lower.flare if below else 0.0))
    margin = 0.055 + (lower.depth if below else 0.0)
    down = drape(person, skeleton, cut, centres[-1], drops, angles[7:] + yaw, pose.sway, margin)
    points = np.concatenate([upper, down[1:]])[::-1]
    along = np.concatenate([t * skeleton.spine, t[-1] * skeleton.spine - drops[1:]])[::-1]
    girth = 5.6 * float(width.max())
    surface = Surface(worn.cloth, girth, printed(None, worn.back, girth, 0.68 * skeleton.spine))
    turns = angles[::-1] / (2 * np.pi)
    return [Sheet(points, turns, along, (surface,) * 15, TORSO, closed=False)]


def sleeve(person: PersonParameters, limb: Limb, part: int) -> list[Sheet]:
    """A wide sleeve, or a coat's; its open end hangs down."""
    h, top, worn = person.body.height, person.top, person.coat
    wide = worn.wide_sleeves if worn is not None else top.sleeves == "wide"
    if worn is None and not wide:
        return []
    cloth = top.sleeve_cloth if worn is None else worn.cloth
    stations = np.array([-0.09, -0.04, 0.03, 0.12, 0.25, 0.38, 0.5, 0.62, 0.74, 0.86])
    if worn is not None and not wide:
        stations = stations * 1.06
    tube = Tube.along(limb, stations, 0.045 * h)
    radii = np.interp(stations, (-0.09, -0.04, 0.08, 0.5), (0.008, 0.025, 0.034, 0.032)) * h
    radii = radii * person.body.girth + (0.016 if worn is not None else 0.006)
    sag = np.zeros((len(stations), 3))
    if wide:
        # The cloth falls off an arm that points up, and hangs below one that is level.
        rising = np.clip(tube.tangents[:, 2], 0, 1)
        wider = top.sleeve_width * np.clip((stations - 0.3) / 0.56, 0, 1) ** 1.6
        wider = wider * (1 - 0.65 * rising)
        radii = radii + wider
        sag[:, 2] = -0.75 * wider * (1 - np.abs(tube.tangents[:, 2]))
        slip = 0.30 * np.clip(stations - 0.25, 0, 1) * rising * h
        sag -= slip[:, None] * 0.45 * tube.tangents
    rows = (Surface(cloth, 0.042 * 6.28 * h),) * (len(stations) - 1)
    return [tube.sheet(radii, rows, part, sag=sag, closed=False)]


def _cap(
    person: PersonParameters, skeleton: Skeleton, z: Array, half: Array, thick: Array
) -> tuple[Array, Array]:
    """Points (R, C, 3) and heights of a shell around the head, open by ``half`` at the front."""
    depth, width, rise, shift = head_profile(person, np.clip(z, -0.45, 1.0))
    rise = rise + np.minimum(z + 0.45, 0.0) * 0.068 * HEAD_SCALE * person.body.height
    frame = skeleton.head_frame
    columns = np.linspace(0, 1, SIDES + 1)
    angles = half[:, None] + columns * (2 * np.pi - 2 * half[:, None])
    centres = (
        skeleton.head
        + (rise + thick * np.clip(z, 0, 1))[:, None] * frame[:, 2]
        + shift[:, None] * frame[:, 0]
    )
    points = ring_points(
        centres,
        (depth + thick)[:, None] * frame[:, 0],
        (width + thick)[:, None] * frame[:, 1],
        angles,
    )
    return points, rise


def hair(person: PersonParameters, skeleton: Skeleton, pose: BodyPose) -> list[Sheet]:
    style, h = person.hair.style, HEAD_SCALE * person.body.height
    if style == "bald":
        return []
    low = {"bob": -1.15 - 0.35 * person.hair.length, "long": -1.2, "curls": -0.7}.get(style, -0.55)
    z = np.concatenate([np.linspace(low, 0.42, 6), [0.62, 0.8, 0.93, 0.999]])
    face = {"short": 1.75, "bob": 1.0, "long": 1.1, "curls": 1.15}.get(style, 1.45)
    half = np.interp(z, (-0.5, 0.2, 0.5, 0.66, 0.8), (face + 0.12, face, 0.85, 0.25, 0.0))
    thick = {"curls": 0.026, "bob": 0.011, "long": 0.010}.get(style, 0.006) * h
    thickness = thick * np.interp(z, (-1.2, 0.3, 1.0), (1.5, 1.0, 1.0))
    points, rise = _cap(person, skeleton, z, half, thickness)
    if style == "long":
        points = _fall(person, skeleton, pose, points)
        z = np.concatenate([np.linspace(-3, -1.3, 5), z])
        rise = np.concatenate([rise[0] + np.linspace(-0.2, -0.04, 5), rise])
    colour = Surface(Cloth.plain(person.hair.colour), 0.3)
    sheets = [Sheet(points, TURNS, rise, (colour,) * (len(points) - 1), HEAD, closed=False)]
    frame = skeleton.head_frame
    if style == "bun":
        up = 0.07 * h * (0.3 + 0.7 * person.hair.length)
        centre = skeleton.head - 0.052 * h * frame[:, 0] + up * frame[:, 2]
        sheets.append(blob(centre, frame, (0.027 * h,) * 3, colour, HEAD))
    if style == "ponytail":
        sheets.append(_ponytail(person, skeleton, pose, colour))
    return sheets


def _fall(person: PersonParameters, skeleton: Skeleton, pose: BodyPose, points: Array) -> Array:
    """Long hair below a cap: down over the shoulders, with its back before the back."""
    length = (0.06 + 0.13 * person.hair.length) * person.body.height
    steps = np.linspace(1.0, 0.15, 5)
    rim = points[0]
    away = unit((rim - skeleton.head) * np.array([1.0, 1.0, 0.0]))
    down = steps[:, None, None] * length * np.array([pose.sway[0], pose.sway[1], -1.0])
    out = (0.03 * np.sin(2.2 * steps))[:, None, None] * away
    back = -0.35 * length * (steps * (1 - 0.4 * steps))[:, None, None] * skeleton.chest_frame[:, 0]
    return np.concatenate([rim + down + out + back, points])


def _ponytail(
    person: PersonParameters, skeleton: Skeleton, pose: BodyPose, colour: Surface
) -> Sheet:
    h, frame = person.body.height, skeleton.head_frame
    s = np.linspace(0, 1, 8)[:, None]
    root = skeleton.head - 0.058 * h * frame[:, 0] + 0.03 * h * frame[:, 2]
    length = (0.12 + 0.12 * person.hair.length) * h
    swing = np.array([pose.sway[0], pose.sway[1], 0.0])
    centres = root - 0.05 * h * np.sin(1.9 * s) * frame[:, 0]
    centres = centres + s * s * length * (swing - np.array([0.0, 0.0, 1.0]))
    radius = 0.021 * h * np.sin(np.pi * (0.12 + 0.86 * s)) ** 0.7
    tangents = unit(np.gradient(centres, axis=0))
    front = unit(cross(frame[:, 1], tangents))
    points = ring_points(centres, radius * front, radius * cross(tangents, front))
    return Sheet(points, TURNS, length * s[:, 0], (colour,) * 7, HEAD)
