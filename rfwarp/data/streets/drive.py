"""The camera's way along a street, frame by frame."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from rfwarp.data.seeds import Dice
from rfwarp.data.streets.parameters import StreetParameters

Array = npt.NDArray[Any]

HEIGHT = 1.65
"""Height of the camera above the road, metres, as of KITTI's."""

LEVER = 1.15
"""Distance of the camera ahead of the rear axle, about which the car turns, metres: what sideways
motion per turn says of KITTI's sequence 00."""

SIDEWAYS = 0.028
"""Largest sideways acceleration in bends, metres per frame and frame: 2.8 m/s^2."""

SHAKING = (0.006, 0.005, 0.021)
"""Size of the oscillations of pitch and roll, radians, and of height, metres."""

MOST_FRAMES = 64
"""Frames after which the fastest car is at the end of its way."""

STEP = 0.05  # of the plan, metres
SMOOTH = 2.0  # metres over which steering changes


def lane(parameters: StreetParameters, crossing: bool = False) -> float:
    """Distance of the driven line to the right of the middle of the road, metres."""
    roadway = parameters.crossing_roadway if crossing else parameters.roadway
    if roadway.parking:
        return (roadway.half - roadway.parking) / 2
    return 0.36 * roadway.half  # away from what is parked half on the pavement


def drive(parameters: StreetParameters, frames: int) -> Array:
    """(frames, 3, 4) float64 poses [R | t] of the camera in the street's axes.

    Speeds, rates of turning and shaking are as in KITTI's sequence 00.
    """
    dice = Dice([parameters.seed, 1])
    x, z = _line(parameters, dice)
    heading = np.arctan2(np.gradient(x), np.gradient(z))
    curvature = np.abs(np.gradient(np.unwrap(heading))) / STEP
    limit = np.sqrt(SIDEWAYS / np.maximum(curvature, 1e-6))
    speed = _eased(np.minimum(limit, parameters.speed))
    at, places = 0.0, []
    grid = np.arange(len(x)) * STEP
    for _ in range(frames):
        places.append(at)
        at += float(np.interp(at, grid, speed))
    x, z, heading = (np.interp(places, grid, v) for v in (x, z, np.unwrap(heading)))
    pitch, roll, bounce = (_shaking(dice, frames, size) for size in SHAKING)
    poses = np.zeros((frames, 3, 4))
    for i in range(frames):
        poses[i, :, :3] = _rotation(heading[i], pitch[i], roll[i])
        ahead = LEVER * np.array([np.sin(heading[i]), 0, np.cos(heading[i])])
        poses[i, :, 3] = np.array([x[i], bounce[i] - HEIGHT, z[i]]) + ahead
    return poses


def _line(p: StreetParameters, dice: Dice) -> tuple[Array, Array]:
    """x and z of the rear axle, every STEP."""
    along = np.arange(-4, 90, STEP)
    side = lane(p)
    if p.way in ("left", "right"):
        assert p.crossing is not None
        sign = 1.0 if p.way == "right" else -1.0
        beyond = -sign * lane(p, crossing=True)  # of the other road's lane, in z
        if sign > 0:
            room = min(p.roadway.half - side, p.crossing_roadway.half + beyond)
            radius = min(dice.uniform(6.0, 11), (2**0.5 * room - 1.1) / (2**0.5 - 1))
        else:
            radius = dice.uniform(7.0, 11.0)
        radius = max(radius, 6.2)
        first = p.crossing + beyond - radius
        turn = ((along - first) / radius).clip(0, np.pi / 2)
        after = (along - first - radius * np.pi / 2).clip(0)
        x = side + sign * (radius * (1 - np.cos(turn)) + after)
        z = np.minimum(along, first) + radius * np.sin(turn)
    else:
        wander = 0.2 * np.sin(along / dice.uniform(4, 9) + dice.uniform(0, 6))
        centre = centreline(p.curvature, along)
        x = centre[0] + (side + wander) * np.cos(centre[2])
        z = centre[1] - (side + wander) * np.sin(centre[2])
    count = int(SMOOTH / STEP)
    window = np.hanning(count + 3)
    window /= window.sum()
    x, z = np.convolve(x, window, "valid"), np.convolve(z, window, "valid")
    step = np.append(0, np.cumsum(np.hypot(np.diff(x), np.diff(z))))
    even = np.arange(0, step[-1], STEP)
    return np.interp(even, step, x), np.interp(even, step, z)


def centreline(curvature: float, along: Array) -> tuple[Array, Array, Array]:
    """x, z and heading of a street's middle at lengths along it: straight before 0, then bending
    over 10 metres to its curvature."""
    fine = np.arange(min(along.min(), 0.0), along.max() + 1, 0.25)
    heading = np.cumsum(curvature * ((fine / 10).clip(0, 1))) * 0.25
    x, z = np.cumsum(np.sin(heading)) * 0.25, np.cumsum(np.cos(heading)) * 0.25
    origin = int(np.searchsorted(fine, 0.0))
    x, z, heading = (np.interp(along, fine, v - v[origin]) for v in (x, z, heading))
    return x, z, heading


def _eased(speed: Array) -> Array:
    """Speeds that brake before what needs it and gather again, at 0.017 metres per frame^2."""
    speed = speed.copy()
    for order in (range(1, len(speed)), range(len(speed) - 2, -1, -1)):
        for i in order:
            before = speed[i - 1] if order.step > 0 else speed[i + 1]
            speed[i] = min(speed[i], np.sqrt(before**2 + 2 * 0.017 * STEP))
    return speed


def _shaking(dice: Dice, frames: int, size: float) -> Array:
    """(frames,) of some oscillations with periods around those of a car's springs."""
    time, total = np.arange(frames), np.zeros(frames)
    for period in (5.5, 8.0, 21.0):
        period *= dice.uniform(0.85, 1.2)
        total += (
            size * dice.uniform(0, 1) * np.sin(2 * np.pi * (time / period + dice.uniform(0, 1)))
        )
    return total


def _rotation(heading: float, pitch: float, roll: float) -> Array:
    """(3, 3) from the camera's axes to the street's: a heading from z towards x."""
    (ch, cp, cr), (sh, sp, sr) = np.cos([heading, pitch, roll]), np.sin([heading, pitch, roll])
    about_y = np.array([[ch, 0, sh], [0, 1, 0], [-sh, 0, ch]])
    about_x = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    about_z = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    rotation: Array = about_y @ about_x @ about_z
    return rotation
