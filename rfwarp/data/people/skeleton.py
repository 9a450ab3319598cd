"""Poses: joint angles, and where they put the joints of a body."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from rfwarp.data.chairs.parameters import Dice
from rfwarp.data.people.parameters import Body

Floats = npt.NDArray[np.float64]

PoseStyle = Literal["standing", "walking", "raised", "crossed", "akimbo", "reaching"]

RIGHT, LEFT = 0, 1
_SIDES = (-1.0, 1.0)
_AWAY = math.cos(math.radians(100))
_FAR_EAR = -0.3


@dataclass(frozen=True)
class Arm:
    """Directions of both bones in the chest's frame, degrees: ``raise_`` from hanging down, and
    ``forward``, which turns the raised arm from sideways (0) to the front (90) and across (180)."""

    upper_raise: float
    upper_forward: float
    lower_raise: float
    lower_forward: float


@dataclass(frozen=True)
class Leg:
    """Degrees: of the thigh forward and outward, and of the knee."""

    flexion: float
    outward: float
    knee: float


@dataclass(frozen=True)
class Pose:
    """Degrees. ``azimuth`` 0 faces the viewer, 90 the picture's left; pairs are the
    person's right, then left."""

    azimuth: float
    elevation: float
    lean: float
    twist: float
    head_yaw: float
    head_pitch: float
    arms: tuple[Arm, Arm]
    legs: tuple[Leg, Leg]


@dataclass(frozen=True, eq=False)
class Skeleton:
    """Metres before the viewer: x right, y up, z towards the viewer; the ground's middle is 0.

    Frames have the person's left, up and front as columns.
    """

    joints: Floats
    """(18, 3), in the order of :data:`rfwarp.poses.keypoints.JOINTS`."""
    pelvis: Floats
    waist: Floats
    head: Floats
    hands: Floats
    """(2, 3): ends of the right and the left hand."""
    toes: Floats
    hip_frame: Floats
    chest_frame: Floats
    head_frame: Floats
    foot_frame: Floats

    @property
    def present(self) -> npt.NDArray[np.bool_]:
        """Which joints a detector would report: none of a face that looks away, no far ear."""
        found = np.ones(18, bool)
        found[[0, 14, 15]] = self.head_frame[2, 2] > _AWAY
        found[16] = -self.head_frame[2, 0] > _FAR_EAR
        found[17] = self.head_frame[2, 0] > _FAR_EAR
        return found


def sample_pose(seed: int, view: int) -> Pose:
    """Pose number ``view`` of a person."""
    dice = Dice((seed + 1 << 32) + view)
    styles: dict[PoseStyle, float] = {
        "standing": 0.24,
        "walking": 0.24,
        "raised": 0.16,
        "crossed": 0.12,
        "akimbo": 0.12,
        "reaching": 0.12,
    }
    style = dice.choose(styles)
    stride = dice.uniform(-32, 32) if style == "walking" else dice.uniform(-7, 7)
    return Pose(
        azimuth=dice.uniform(0, 360),
        elevation=dice.uniform(0, 12),
        lean=dice.uniform(-4, 9),
        twist=dice.uniform(-14, 14),
        head_yaw=dice.uniform(-40, 40),
        head_pitch=dice.uniform(-12, 20),
        arms=(_draw_arm(dice, style, -stride), _draw_arm(dice, style, stride)),
        legs=(_draw_leg(dice, stride), _draw_leg(dice, -stride)),
    )


def _draw_arm(dice: Dice, style: PoseStyle, swing: float) -> Arm:
    a, b, c, d = (dice.uniform(0, 1) for _ in range(4))
    if style in ("raised", "reaching") and dice.chance(0.35):
        style = "standing"  # one arm only
    if style == "raised":
        return Arm(85 + 80 * a, 5 + 40 * b, 125 + 55 * c, 180 * d)
    if style == "reaching":
        return Arm(40 + 60 * a, 20 + 80 * b, 70 + 70 * c, 40 + 80 * d)
    if style == "crossed":
        return Arm(28 + 14 * a, 62 + 25 * b, 84 + 24 * c, 150 + 14 * d)
    if style == "akimbo":
        return Arm(42 + 12 * a, -25 + 20 * b, 38 + 10 * c, 165 + 20 * d)
    if style == "walking":
        # Hanging, then swung in the plane of the walk, and a little outward.
        forward = math.degrees(math.atan2(swing, 9))
        return Arm(math.hypot(swing, 9), forward, math.hypot(swing + 15 + 25 * a, 8), 75 + 10 * b)
    return Arm(6 + 16 * a, 50 * b - 10, 8 + 30 * c, 20 + 70 * d)


def _draw_leg(dice: Dice, forward: float) -> Leg:
    bend = dice.uniform(0, 12) + (dice.uniform(10, 45) if forward < -8 else 0)
    return Leg(forward, dice.uniform(1, 9), bend)


def _turn(axis: int, degrees: float) -> Floats:
    """Right-handed rotation about x, y or z."""
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    matrix = np.eye(3)
    i, j = (axis + 1) % 3, (axis + 2) % 3
    matrix[i, i] = matrix[j, j] = cosine
    matrix[i, j], matrix[j, i] = -sine, sine
    return matrix


def _direction(side: float, raised: float, forward: float) -> Floats:
    raised, forward = math.radians(raised), math.radians(forward)
    out = math.sin(raised)
    return np.array([side * out * math.cos(forward), -math.cos(raised), out * math.sin(forward)])


def stand(body: Body, pose: Pose) -> Skeleton:
    """Forward kinematics, the lower foot on the ground."""
    view = _turn(0, pose.elevation)
    hip_frame = _turn(1, -pose.azimuth)
    chest_frame = hip_frame @ _turn(1, pose.twist) @ _turn(0, pose.lean)
    head_frame = chest_frame @ _turn(1, pose.head_yaw) @ _turn(0, pose.head_pitch - pose.lean)
    up = chest_frame[:, 1]
    joints = np.zeros((18, 3))
    waist = hip_frame @ np.array([0, 0.08 * body.height, 0])
    neck = waist + (body.torso - 0.08 * body.height) * up
    joints[1] = neck
    hands, toes, foot_frames = np.zeros((2, 3)), np.zeros((2, 3)), np.zeros((2, 3, 3))
    for i, side in enumerate(_SIDES):
        arm, leg = pose.arms[i], pose.legs[i]
        shoulder = neck + side * body.shoulders * chest_frame[:, 0]
        upper = chest_frame @ _direction(side, arm.upper_raise, arm.upper_forward)
        lower = chest_frame @ _direction(side, arm.lower_raise, arm.lower_forward)
        elbow = shoulder + body.upper_arm * upper
        wrist = elbow + body.forearm * lower
        joints[2 + 3 * i : 5 + 3 * i] = shoulder, elbow, wrist
        hands[i] = wrist + 0.045 * body.height * lower
        hip = side * body.hips * hip_frame[:, 0]
        splay = hip_frame @ _turn(2, side * leg.outward)
        thigh = splay @ _turn(0, -leg.flexion)
        shin = splay @ _turn(0, leg.knee - leg.flexion)
        knee = hip - body.thigh * thigh[:, 1]
        ankle = knee - body.shin * shin[:, 1]
        joints[8 + 3 * i : 11 + 3 * i] = hip, knee, ankle
        foot_frames[i] = splay @ _turn(1, side * 12) @ _turn(0, 0.6 * (leg.knee - leg.flexion) + 6)
        toes[i] = ankle + foot_frames[i] @ np.array([0, -0.024, 0.085]) * body.height
    head = neck + 0.055 * body.height * up + head_frame @ np.array([0, body.head, 0.12 * body.head])
    r = body.head
    for joint, place in (
        (0, (0, -0.22, 0.9)),
        (14, (-0.27, 0.12, 0.76)),
        (15, (0.27, 0.12, 0.76)),
        (16, (-0.78, 0, 0)),
        (17, (0.78, 0, 0)),
    ):
        joints[joint] = head + r * (head_frame @ np.array(place))
    lowest = min(joints[10, 1], joints[13, 1], toes[0, 1] + 0.02, toes[1, 1] + 0.02)
    rise = np.array([0, 0.045 * body.height - lowest, 0])
    return Skeleton(
        joints=(joints + rise) @ view.T,
        pelvis=view @ rise,
        waist=view @ (waist + rise),
        head=view @ (head + rise),
        hands=(hands + rise) @ view.T,
        toes=(toes + rise) @ view.T,
        hip_frame=view @ hip_frame,
        chest_frame=view @ chest_frame,
        head_frame=view @ head_frame,
        foot_frame=view @ foot_frames,
    )
