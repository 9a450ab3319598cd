"""Person and pose -> solids."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from rfwarp.data.people.parameters import Color, Pattern, PersonParameters
from rfwarp.data.people.skeleton import Floats, Skeleton
from rfwarp.data.people.solids import Cloth, Solid


def solids(person: PersonParameters, skeleton: Skeleton) -> list[Solid]:
    """Everything of the figure, in no order."""
    return [
        *_head(person, skeleton),
        *_torso(person, skeleton),
        *_arm(person, skeleton, 0),
        *_arm(person, skeleton, 1),
        *_leg(person, skeleton, 0),
        *_leg(person, skeleton, 1),
        *_cone(person, skeleton),
    ]


def _plain(color: Color) -> Cloth:
    return Cloth(Pattern("plain", color, color, 1.0))


def _darker(color: Color, factor: float = 0.6) -> Color:
    return (color[0] * factor, color[1] * factor, color[2] * factor)


def _head(person: PersonParameters, skeleton: Skeleton) -> list[Solid]:
    r, frame, head = person.body.head, skeleton.head_frame, skeleton.head

    def at(x: float, y: float, z: float) -> Floats:
        point: Floats = head + r * (frame @ np.array([x, y, z]))
        return point

    front = frame[:, 2]
    skin, hair = _plain(person.skin), _plain(person.hair)
    neck = skeleton.joints[1]
    found = [
        Solid(neck, at(0, -0.4, -0.1), (0.5 * r, 0.46 * r), front, skin),
        Solid(
            at(0, -0.45, 0), at(0, 0.3, 0), (0.6 * r, 0.8 * r), front, replace(skin, face=True), 1.1
        ),
        Solid(at(0, 0, 0.7), at(0, -0.22, 0.8), (0.07 * r, 0.13 * r), front, skin),
        Solid(at(0, 0.1, -0.26), at(0, 0.44, -0.12), (0.84 * r, 0.84 * r), front, hair, 1.0),
    ]
    if person.hair_length > 0:
        below = at(0, 0, -0.5) - np.array([0, person.hair_length, 0])
        found.append(Solid(at(0, 0.1, -0.4), below, (0.85 * r, 0.7 * r), front, hair, 0.55))
    return found


def _torso(person: PersonParameters, skeleton: Skeleton) -> list[Solid]:
    body, joints = person.body, skeleton.joints
    across, up, front = skeleton.chest_frame.T
    ground = person.top_pattern.ground
    top = Cloth(
        person.top_pattern,
        front=(person.front_print, person.front_color),
        back=(person.back_print, person.back_color),
    )
    if person.top != "t-shirt":
        width = 0.011 if person.top == "shirt" else 0.02
        top = replace(top, line=_darker(ground, 0.45), line_width=width)
    neck = joints[1]
    chest = neck - 0.55 * body.chest * up
    girth = 1.06 if person.top == "coat" else 1.0
    low = skeleton.waist - 0.03 * body.height * skeleton.hip_frame[:, 1]
    slope = 0.72 * body.shoulders * across
    shoulder = 1.05 * body.arm_girth
    bottom = Cloth(person.bottom_pattern)
    hips = skeleton.hip_frame
    return [
        Solid(low, chest, (girth * body.waist, girth * body.chest), front, top, 0.62),
        Solid(
            neck - slope - 0.3 * shoulder * up,
            neck + slope - 0.3 * shoulder * up,
            (shoulder, shoulder),
            front,
            Cloth(replace(person.top_pattern, style="plain")),
        ),
        Solid(
            skeleton.pelvis + 0.3 * (skeleton.waist - skeleton.pelvis),
            skeleton.waist,
            (0.9 * (body.hips + body.leg_girth), 0.98 * body.waist),
            hips[:, 2],
            bottom,
            0.72,
        ),
        Solid(
            skeleton.waist + 0.02 * hips[:, 1],
            skeleton.pelvis + 0.4 * (skeleton.waist - skeleton.pelvis),
            (1.05 * body.waist, body.hips + 1.15 * body.leg_girth),
            hips[:, 2],
            replace(top, front=("none", ground), back=("none", ground)),
            0.82,
            open=True,
        ),
    ]


def _arm(person: PersonParameters, skeleton: Skeleton, i: int) -> list[Solid]:
    body = person.body
    shoulder, elbow, wrist = skeleton.joints[2 + 3 * i : 5 + 3 * i]
    front = skeleton.chest_frame[:, 2] + 0.3 * skeleton.chest_frame[:, 1]
    sleeve = Cloth(person.top_pattern, person.skin)
    girth = body.arm_girth * {"t-shirt": 1.0, "shirt": 1.05, "coat": 1.25}[person.top]
    short = person.top == "t-shirt"
    lower = Cloth(person.top_pattern, person.skin, hem=-1.0 if short else 0.94)
    return [
        Solid(
            shoulder,
            elbow,
            (girth, 0.85 * girth),
            front,
            replace(sleeve, hem=0.55 if short else 2.0),
        ),
        Solid(elbow, wrist, (0.85 * girth, (0.6 if short else 0.75) * girth), front, lower),
        Solid(
            wrist,
            skeleton.hands[i],
            (0.7 * body.arm_girth, 0.62 * body.arm_girth),
            front,
            _plain(person.skin),
        ),
    ]


def _leg(person: PersonParameters, skeleton: Skeleton, i: int) -> list[Solid]:
    body = person.body
    hip, knee, ankle = skeleton.joints[8 + 3 * i : 11 + 3 * i]
    front = skeleton.hip_frame[:, 2]
    girth = body.leg_girth
    cloth = Cloth(person.bottom_pattern, person.skin)
    upper = replace(cloth, hem={"trousers": 2.0, "skirt": 0.3, "shorts": 0.75}[person.bottom])
    lower = replace(cloth, hem=0.97 if person.bottom == "trousers" else -1.0)
    thin = 0.5 if person.bottom == "trousers" else 0.42
    heel = ankle - 0.016 * body.height * skeleton.foot_frame[i][:, 1]
    return [
        Solid(hip, knee, (1.1 * girth, 0.72 * girth), front, upper),
        Solid(knee, ankle, (0.72 * girth, thin * girth), front, lower),
        Solid(
            heel,
            skeleton.toes[i],
            (0.024 * body.height, 0.019 * body.height),
            skeleton.foot_frame[i][:, 1],
            _plain(person.shoes),
        ),
    ]


def _cone(person: PersonParameters, skeleton: Skeleton) -> list[Solid]:
    """The skirt, and what of a coat hangs below the waist: they follow both thighs' mean."""
    body, joints, front = person.body, skeleton.joints, skeleton.hip_frame[:, 2]
    knees = joints[9] - joints[8], joints[12] - joints[11]
    down = (knees[0] + knees[1]) / 2
    down = down * body.thigh / np.linalg.norm(down)
    # Deep enough for both thighs, one before the other.
    spread = float(np.linalg.norm(knees[0] - knees[1])) / 2
    found = []
    garments = []
    if person.bottom == "skirt":
        garments.append((Cloth(person.bottom_pattern), 0.95, 1.0))
    if person.top == "coat":
        ground = _darker(person.top_pattern.ground, 0.45)
        garments.append((Cloth(person.top_pattern, line=ground, line_width=0.02), 0.75, 1.07))
    for cloth, reach, girth in garments:
        hip = girth * (body.hips + 1.1 * body.leg_girth)
        hem = hip + 0.03 * body.height * reach
        depth = max(0.8, girth * (1.1 * body.leg_girth + reach * spread) / hem)
        end = skeleton.pelvis + reach * down
        above = Solid(skeleton.pelvis, skeleton.waist, (hip, girth * body.waist), front, cloth, 0.8)
        found += [above, Solid(skeleton.pelvis, end, (hip, hem), front, cloth, depth, open=True)]
    return found
