"""What does not fit closely and moves with the pose: skirts, coats, wide sleeves, hair."""

from __future__ import annotations

import numpy as np

from rfwarp.data.people.body import (
    SHOULDER,
    TURNS,
    WAIST,
    Tube,
    blob,
    head_profile,
    printed,
    trunk_sizes,
)
from rfwarp.data.people.materials import Array, Cloth, Surface
from rfwarp.data.people.mesh import FULL_TURN, HEAD, SIDES, TORSO, Sheet, cross, ring_points, unit
from rfwarp.data.people.parameters import PersonParameters
from rfwarp.data.people.pose import BodyPose
from rfwarp.data.people.skeleton import HEAD_SCALE, Limb, Skeleton


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
        cut: (R, C) radii, metres; of the first ring, what it hangs from.
        centre: (3,) of the ring.
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
        bones = [a + steps * (b - a) for a, b in zip(limb.joints[:-1], limb.joints[1:], strict=True)]
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
    """Moves points in and out around the vertical; ``depth`` (R,) metres."""
    out = unit((points - centre) * np.array([1.0, 1.0, 0.0]))
    return points + (depth[:, None] * np.sin(count * angles))[..., None] * out


def _ring_radii(depth: float, width: float, angles: Array) -> Array:
    return 1 / np.sqrt((np.cos(angles) / depth) ** 2 + (np.sin(angles) / width) ** 2)


def skirt(person: PersonParameters, skeleton: Skeleton, pose: BodyPose) -> list[Sheet]:
    lower, h = person.lower, person.body.height
    t = np.array([WAIST])
    depth, width = (float(size[0]) + 0.012 for size in trunk_sizes(person, t))
    centre = skeleton.trunk(t)[0][0]
    length = (WAIST * 0.315 + lower.length * 0.48) * h
    drops = length * np.array([0, 0.1, 0.2, 0.32, 0.44, 0.56, 0.68, 0.8, 0.9, 1.0])
    angles = np.broadcast_to(FULL_TURN, (len(drops), SIDES + 1))
    start = _ring_radii(depth, width, FULL_TURN)
    # Cloth is cut to pass the hips.
    cut = start + (0.022 * h * np.minimum(drops / (0.1 * h), 1) + lower.flare * drops)[:, None]
    points = drape(person, skeleton, cut, centre, drops, angles, pose.sway, 0.012)
    points = pleats(points, centre, angles, lower.folds, lower.depth * drops / length)
    girth = 5.2 * (width + lower.flare * length / 2)
    cloth, border = Surface(lower.cloth, girth), Surface(lower.border, girth)
    rows = (border,) + (cloth,) * 8
    return [Sheet(points[::-1], TURNS, -drops[::-1], rows, TORSO, closed=False)]


def hem(person: PersonParameters, skeleton: Skeleton, pose: BodyPose) -> list[Sheet]:
    """A shirt's part below the waist, worn over what is there."""
    if person.top.hem == 0:
        return []
    t = np.linspace(0.44, 0.0, 5) - np.linspace(0, person.top.hem, 5) / skeleton.spine
    depth, width = (size + np.linspace(0.007, 0.024, 5) for size in trunk_sizes(person, t))
    depth, width = np.maximum.accumulate(depth), np.maximum.accumulate(width)
    centres, frames = skeleton.trunk(t)
    centres = centres + np.linspace(0, 0.25, 5)[:, None] ** 2 * np.array([*pose.sway, 0.0])
    points = ring_points(
        centres, frames[:, :, 0] * depth[:, None], frames[:, :, 1] * width[:, None], squareness=0.09
    )[::-1]
    girth = 5.2 * float(trunk_sizes(person, np.array([SHOULDER]))[1][0] + 0.006)
    along = (t * skeleton.spine)[::-1]
    return [Sheet(points, TURNS, along, (Surface(person.top.cloth, girth),) * 4, TORSO, False)]


def coat(person: PersonParameters, skeleton: Skeleton, pose: BodyPose) -> list[Sheet]:
    worn, h = person.coat, person.body.height
    if worn is None:
        return []
    t = np.array([0.985, 0.95, 0.90, 0.84, 0.74, 0.64, 0.52, WAIST + 0.04])
    depth, width = (size + 0.026 for size in trunk_sizes(person, t))
    centres, frames = skeleton.trunk(t)
    half = np.concatenate([np.linspace(0.9, 0.30, 8), np.linspace(0.30, 0.8, 9)[1:]])
    half = half * worn.opening / 2 * 1.6
    columns = np.linspace(0, 1, SIDES + 1)
    angles = half[:, None] + columns * (2 * np.pi - 2 * half[:, None])
    upper = ring_points(
        centres,
        frames[:, :, 0] * depth[:, None],
        frames[:, :, 1] * width[:, None],
        angles[:8],
        squareness=0.09,
    )
    length = (WAIST * 0.315 + worn.length * 0.48) * h
    drops = length * np.linspace(0, 1, 9)
    frame = frames[-1]
    yaw = np.arctan2(frame[1, 0], frame[0, 0])
    cut = _ring_radii(depth[-1], width[-1], angles[7:]) + worn.flare * drops[:, None]
    sway = (1.4 * pose.sway[0], 1.4 * pose.sway[1])
    down = drape(person, skeleton, cut, centres[-1], drops, angles[7:] + yaw, sway, 0.03)
    points = np.concatenate([upper, down[1:]])[::-1]
    along = np.concatenate([t * skeleton.spine, t[-1] * skeleton.spine - drops[1:]])[::-1]
    girth = 5.6 * float(width.max())
    marks = printed(None, worn.back, girth, 0.68 * skeleton.spine)
    surface = Surface(worn.cloth, girth, marks)
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
    radii = np.interp(stations, (-0.09, -0.04, 0.08, 0.5), (0.012, 0.030, 0.036, 0.032)) * h
    radii = radii * person.body.girth + (0.016 if worn is not None else 0.006)
    if wide:
        radii = radii + top.sleeve_width * np.clip((stations - 0.3) / 0.5, 0, 1) ** 1.6
    hang = np.clip((stations - 0.3) / 0.5, 0, 1) * (radii - radii[0])
    level = 1 - np.abs(tube.tangents[:, 2])
    sag = np.zeros((len(stations), 3))
    sag[:, 2] = -0.75 * hang * level
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


def _fall(
    person: PersonParameters, skeleton: Skeleton, pose: BodyPose, points: Array
) -> Array:
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
