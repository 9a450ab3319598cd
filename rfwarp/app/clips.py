"""Poses of the app's animations."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TypeVar

import numpy as np

from rfwarp.app.examples import AppPose
from rfwarp.poses import CameraMotion, FaceLandmarks, Keypoints, Viewpoint

FRAMES = 12
"""Frames from one pose to another, without those of the way back."""

Points = TypeVar("Points", Keypoints, FaceLandmarks)


def clip(first: AppPose, last: AppPose) -> list[AppPose]:
    """A turntable at the last viewpoint's elevation; of all else the way from one pose to the other
    and back, smoothly.

    Raises:
        ValueError: if these are not two poses of one kind that have something in common.
    """
    if isinstance(last, Viewpoint):
        return [*turn(last.elevation)]
    if isinstance(first, Keypoints) and isinstance(last, Keypoints):
        return [*move(first, last)]
    if isinstance(first, FaceLandmarks) and isinstance(last, FaceLandmarks):
        return [*move(first, last)]
    if isinstance(first, CameraMotion) and isinstance(last, CameraMotion):
        return [*drive(first, last)]
    raise ValueError(f"there is no way from {first.kind} to {last.kind}")


def turn(elevation: float) -> list[Viewpoint]:
    """The viewpoints of a turntable."""
    return [Viewpoint(azimuth, elevation) for azimuth in Viewpoint.AZIMUTHS]


def move(first: Points, last: Points) -> list[Points]:
    """Joints that both poses have, or landmarks, on straight lines.

    Raises:
        ValueError: if no joint is in both, or the images differ in size.
    """
    if (first.height, first.width) != (last.height, last.width):
        raise ValueError("both poses of a clip must be of images of one size")
    present = first.points[:, 2:] * last.points[:, 2:]  # landmarks always are
    if present.shape[1] and not present.any():
        raise ValueError("the first source and the target have no joint in common")
    return [
        type(first)(
            np.concatenate(
                [(1 - time) * first.points[:, :2] + time * last.points[:, :2], present], axis=1
            ),
            first.height,
            first.width,
        )
        for time in _there_and_back()
    ]


def drive(first: CameraMotion, last: CameraMotion) -> list[CameraMotion]:
    """Cameras on a straight line whose angles change evenly."""
    ends = np.array([[*x.rotation, *x.translation] for x in (first, last)])
    codes = [((1 - time) * ends[0] + time * ends[1]).tolist() for time in _there_and_back()]
    return [CameraMotion((a, b, c), (x, y, z)) for a, b, c, x, y, z in codes]


def _there_and_back() -> Iterator[float]:
    times = [(1 - math.cos(math.pi * k / (FRAMES - 1))) / 2 for k in range(FRAMES)]
    yield from (*times, *times[-2:0:-1])
