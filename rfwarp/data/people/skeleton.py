"""Body and pose -> positions of the joints.

World axes, in metres: x to the person's front, y to its left, z up; the floor is z = 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from rfwarp.data.people.materials import Array
from rfwarp.data.people.mesh import cross, unit
from rfwarp.data.people.parameters import Body
from rfwarp.data.people.pose import Arm, BodyPose, Leg

HEAD_SCALE = 1.12
"""Heads are a little large: faces have few pixels."""

SPINE = 0.315
"""Distance from the hips to the base of the neck, over the height."""


def rotation(axis: str, angle: float) -> Array:
    """(3, 3): right-handed, about x, y or z."""
    c, s = math.cos(angle), math.sin(angle)
    rows = {
        "x": ((1, 0, 0), (0, c, -s), (0, s, c)),
        "y": ((c, 0, s), (0, 1, 0), (-s, 0, c)),
        "z": ((c, -s, 0), (s, c, 0), (0, 0, 1)),
    }
    return np.array(rows[axis], np.float64)


@dataclass(frozen=True)
class Limb:
    """Three joints (3, 3), from the trunk outward, and the axis (3,) the middle one bends about.

    ``hinge`` x (direction of a bone) is the direction in which the elbow or the knee points.
    """

    joints: Array
    hinge: Array


@dataclass(frozen=True)
class Skeleton:
    """Pairs are (right, left). Frames are (3, 3) with the columns front, left and up."""

    pelvis: Array
    pelvis_frame: Array
    chest_frame: Array
    spine: float
    head: Array
    head_frame: Array
    arms: tuple[Limb, Limb]
    legs: tuple[Limb, Limb]
    feet: tuple[Array, Array]

    def trunk(self, t: Array) -> tuple[Array, Array]:
        """Centres (R, 3) and frames (R, 3, 3) at heights t: 0 at the hips, 1 at the neck's base."""
        low = self.pelvis_frame[:, 2] * self.spine / 2
        high = self.chest_frame[:, 2] * self.spine / 2
        t = np.asarray(t, np.float64)[:, None]
        inner = np.clip(t, 0, 1)
        centres = self.pelvis + 2 * inner * low + inner**2 * (high - low)
        centres = centres + 2 * np.minimum(t, 0) * low + 2 * np.maximum(t - 1, 0) * high
        share = np.clip(inner * 1.6 - 0.3, 0, 1)[..., None]
        mixed = (1 - share) * self.pelvis_frame + share * self.chest_frame
        up = unit(mixed[:, :, 2])
        left = unit(mixed[:, :, 1] - (mixed[:, :, 1] * up).sum(-1, keepdims=True) * up)
        return centres, np.stack([cross(left, up), left, up], -1)


def _leg(body: Body, hip: Array, frame: Array, leg: Leg, side: int) -> tuple[Limb, Array]:
    thigh = frame @ rotation("x", side * leg.outward) @ rotation("y", -leg.forward)
    shank = thigh @ rotation("y", leg.knee)
    length = 0.245 * body.height * body.legs
    knee = hip - length * thigh[:, 2]
    ankle = knee - 0.97 * length * shank[:, 2]
    pitch = 0.55 * (leg.knee - leg.forward)
    foot = frame @ rotation("z", 0.12 * side) @ rotation("y", pitch)
    return Limb(np.stack([hip, knee, ankle]), -thigh[:, 1]), foot


def _arm(body: Body, shoulder: Array, chest: Array, arm: Arm, side: int) -> Limb:
    upper, lower = 0.165 * body.height, 0.145 * body.height
    mirror = np.array([1.0, side, 1.0])
    offset = chest @ (np.array(arm.reach) * mirror)
    size = math.sqrt(float(offset @ offset))
    ahead = offset / size
    distance = min(max(size * (upper + lower), 0.35 * (upper + lower)), 0.995 * (upper + lower))
    pole = chest @ (np.array(arm.elbow) * mirror)
    pole = unit(pole - (pole @ ahead) * ahead)
    # The triangle of shoulder, elbow and wrist has these three sides.
    along = (upper**2 - lower**2 + distance**2) / (2 * distance)
    out = math.sqrt(max(upper**2 - along**2, 0.0))
    elbow = shoulder + along * ahead + out * pole
    return Limb(np.stack([shoulder, elbow, shoulder + distance * ahead]), cross(ahead, pole))


def pose_body(body: Body, pose: BodyPose) -> Skeleton:
    """The joints of a body in a pose, with its lower foot on the floor."""
    height = body.height
    pelvis_frame = np.eye(3)
    hips = np.array([[0.0, side * 0.052 * body.hips * height, 0.0] for side in (-1, 1)])
    legs, feet = zip(
        *(
            _leg(body, hip, pelvis_frame, leg, side)
            for hip, leg, side in zip(hips, pose.legs, (-1, 1), strict=True)
        ),
        strict=True,
    )
    lowest = min(leg.joints[2, 2] for leg in legs)
    pelvis = np.array([0.0, 0.0, 0.042 * height - lowest])
    legs = tuple(Limb(leg.joints + pelvis, leg.hinge) for leg in legs)
    chest = rotation("z", pose.twist) @ rotation("y", pose.lean) @ rotation("x", -pose.bend)
    spine = SPINE * height
    bare = Skeleton(pelvis, pelvis_frame, chest, spine, pelvis, chest, (legs[0],) * 2, legs, feet)
    (shoulder_line, neck), _ = bare.trunk(np.array([0.87, 1.0]))
    arms = []
    for arm, side in zip(pose.arms, (-1, 1), strict=True):
        lift = max(0.0, arm.reach[2]) * 0.035 * height
        width = 0.102 * body.shoulders * height
        shoulder = shoulder_line + chest[:, 1] * side * width + chest[:, 2] * lift
        arms.append(_arm(body, shoulder, chest, arm, side))
    head_frame = chest @ rotation("z", pose.turn) @ rotation("y", pose.nod - 0.6 * pose.lean)
    head = neck + 0.045 * height * chest[:, 2] + 0.062 * height * head_frame[:, 2]
    head = head + 0.008 * height * head_frame[:, 0]
    return Skeleton(
        pelvis, pelvis_frame, chest, spine, head, head_frame, (arms[0], arms[1]), legs, feet
    )
