"""People who walk."""

from __future__ import annotations

import math

from rfwarp.data.people.camera import Camera
from rfwarp.data.people.pose import Arm, BodyPose, Leg


def walking_pose(phase: float) -> BodyPose:
    """The pose at a moment of an even walk on the spot.

    Args:
        phase: time in pairs of steps; the pose repeats at whole numbers, and begins with the legs
            together.

    Example:
        >>> from rfwarp.data.people import Camera, render_poses, walking_pose
        >>> camera = Camera(azimuth=0.8, elevation=0.1, scale=1.0, shift=(0.0, 0.0))
        >>> frames = [(walking_pose(n / 28), camera) for n in range(28)]
        >>> render_poses(0, frames, size=64).images.shape
        torch.Size([28, 3, 64, 64])
    """
    swing, lift = math.sin(2 * math.pi * phase), math.cos(2 * math.pi * phase)
    legs = [Leg(0.45 * s * swing, 0.03, 0.12 + 0.45 * max(0.0, s * lift)) for s in (1, -1)]
    arms = [Arm((-0.4 * s * swing, 0.2, -0.9), (-1.0, 0.4, 0.0)) for s in (1, -1)]
    return BodyPose(
        legs=(legs[0], legs[1]),
        arms=(arms[0], arms[1]),
        lean=0.03,
        bend=0.0,
        twist=-0.1 * swing,
        nod=0.0,
        turn=0.0,
        sway=(-0.1, 0.0),
    )


def walk(frames: int, azimuth: float) -> list[tuple[BodyPose, Camera]]:
    """Poses of an even walk, before a camera that stands still, for :func:`.render_poses`.

    Args:
        frames: number of frames; 28 are a pair of steps.
        azimuth: side from which it is seen, radians, as of :class:`.Camera`.
    """
    camera = Camera(azimuth, elevation=math.radians(6), scale=1.0, shift=(0.0, 0.0))
    return [(walking_pose(n / 28), camera) for n in range(frames)]
