"""Pictures of people, and where their joints are in them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from rfwarp.data.people.body import ARMS, EAR, EYE, LEGS, NOSE, arm, face_point, head, leg, trunk
from rfwarp.data.people.camera import Camera
from rfwarp.data.people.loose import coat, hair, hem, skirt, sleeve
from rfwarp.data.people.materials import Array
from rfwarp.data.people.mesh import (
    HEAD,
    LEFT_ARM,
    LEFT_LEG,
    RIGHT_ARM,
    RIGHT_LEG,
    TORSO,
    Mesh,
)
from rfwarp.data.people.parameters import PersonParameters
from rfwarp.data.people.pose import BodyPose
from rfwarp.data.people.raster import Hits, rasterise, shade
from rfwarp.data.people.skeleton import Skeleton, pose_body
from rfwarp.data.seeds import Dice

RENDERER_VERSION = 1
"""Raised whenever the pictures of a seed change, so that caches of older pictures are refused."""

JOINTS = 18

Flags = npt.NDArray[np.bool_]


class People(NamedTuple):
    """V pictures of one person."""

    pictures: Tensor
    """(V, 3, H, W) uint8 RGB."""
    keypoints: Tensor
    """(V, 18, 3) float32: x and y in pixels, of which (0, 0) is the middle of the top left pixel,
    and 1 if the joint is present; 0, 0, 0 if not. In the order of OpenPose's 18 joints."""
    visible: Tensor
    """(V, 18) bool: present, and not hidden by another part of the body."""


_person = lru_cache(maxsize=64)(PersonParameters.from_seed)


def joints(person: PersonParameters, skeleton: Skeleton) -> Array:
    """(18, 3) in the world. The neck is midway between the shoulders, as OpenPose has it."""
    (right, left), (right_leg, left_leg) = skeleton.arms, skeleton.legs
    neck = (right.joints[0] + left.joints[0]) / 2
    nose = face_point(person, skeleton, 0.0, NOSE)
    nose = nose + 0.01 * person.body.height * skeleton.head_frame[:, 0]
    face = [
        face_point(person, skeleton, side * angle, z) for angle, z in (EYE, EAR) for side in (-1, 1)
    ]
    limbs = [limb.joints for limb in (right, left, right_leg, left_leg)]
    return np.concatenate([nose[None], neck[None], *limbs, np.stack(face)])


def build(person: PersonParameters, pose: BodyPose) -> tuple[Mesh, Skeleton]:
    """Everything of a person in a pose."""
    skeleton = pose_body(person.body, pose)
    sheets = [*trunk(person, skeleton), *head(person, skeleton), *hair(person, skeleton, pose)]
    for limb, part in zip(skeleton.arms, ARMS, strict=True):
        sheets += arm(person, limb, part) + sleeve(person, limb, part)
    for limb, foot, part in zip(skeleton.legs, skeleton.feet, LEGS, strict=True):
        sheets += leg(person, limb, foot, part)
    for garment in (skirt, hem, coat):
        sheets += garment(person, skeleton, pose)
    return Mesh.of(sheets), skeleton


# What may lie before a joint without hiding it, and how far before it, in metres.
_TRUNK_REACH, _HIP_REACH, _LIMB_REACH, _SKIRT_REACH, _FACE_REACH = 0.17, 0.22, 0.14, 0.28, 0.03
_CARRIERS: tuple[tuple[frozenset[int], float], ...] = (
    (frozenset({HEAD}), _FACE_REACH),
    (frozenset({TORSO, HEAD}), _TRUNK_REACH),
    *(
        (frozenset({part, *also}), reach)
        for part in (RIGHT_ARM, LEFT_ARM)
        for also, reach in (((TORSO,), _LIMB_REACH), ((), _LIMB_REACH), ((), _LIMB_REACH))
    ),
    *(
        (frozenset({part, *also}), reach)
        for part in (RIGHT_LEG, LEFT_LEG)
        for also, reach in (
            ((TORSO, RIGHT_LEG, LEFT_LEG), _HIP_REACH),
            ((TORSO,), _SKIRT_REACH),
            ((TORSO,), _SKIRT_REACH),
        )
    ),
    *((frozenset({HEAD}), _FACE_REACH),) * 4,
)
# Detectors find a point of the face until the head has turned it well away.
_FACE = (0, 14, 15, 16, 17)
_TURNED_AWAY = -0.2


def _present(places: Array, skeleton: Skeleton, camera: Camera, height: int, width: int) -> Flags:
    """(18,) bool."""
    x, y = places[:, 0], places[:, 1]
    inside = (x >= -0.5) & (x < width - 0.5) & (y >= -0.5) & (y < height - 0.5)
    forward, left = (camera.axes()[2] @ skeleton.head_frame[:, :2]).tolist()
    for joint, angle in zip(_FACE, (0.0, -EYE[0], EYE[0], -EAR[0], EAR[0]), strict=True):
        inside[joint] &= math.cos(angle) * forward + math.sin(angle) * left > _TURNED_AWAY
    return inside


def _visible(mesh: Mesh, hits: Hits, places: Array, present: Flags, n: int, columns: int) -> Flags:
    """(18,) bool: the first thing at a joint's sample carries it, and is not far before it."""
    visible = np.zeros(JOINTS, bool)
    for joint in np.flatnonzero(present):
        column, row = (math.floor(v * n + n / 2) for v in places[joint, :2])
        found = np.searchsorted(hits.sample, row * columns + column)
        if found < len(hits.sample) and hits.sample[found] == row * columns + column:
            carriers, reach = _CARRIERS[joint]
            before = 1 / places[joint, 2] - 1 / hits.inverse[found]
            visible[joint] = int(mesh.part[hits.triangle[found]]) in carriers and before < reach
        else:
            visible[joint] = True  # beside a thin part, before nothing
    return visible


def picture(
    person: PersonParameters, pose: BodyPose, camera: Camera, height: int, width: int
) -> tuple[Array, Array, Flags]:
    """One picture (3, H, W) float64 in [0, 1], keypoints (18, 3) and visibility (18,)."""
    mesh, skeleton = build(person, pose)
    tall = person.body.height
    n = 3 if height < 128 else 2  # samples along each side of a pixel
    rows, columns = height * n, width * n
    points = camera.project(mesh.points, tall, height, width)
    points[:, :2] = points[:, :2] * n + (n - 1) / 2
    corners = points.T[:, mesh.triangles].transpose(1, 0, 2)
    hits = rasterise(corners, mesh.thin, rows, columns)
    # A pixel is the mean of n x n samples, of the figure or of the background.
    pixel = hits.sample // (columns * n) * width + hits.sample % columns // n
    pixels = np.empty((3, height, width))
    for channel, colour in enumerate(shade(mesh, hits, camera.axes())):
        background = person.background[channel]
        sums = np.bincount(pixel, colour - background, height * width)
        pixels[channel] = background + sums.reshape(height, width) / (n * n)
    places = camera.project(joints(person, skeleton), tall, height, width)
    present = _present(places, skeleton, camera, height, width)
    visible = _visible(mesh, hits, places, present, n, columns)
    keypoints = np.where(present[:, None], np.concatenate([places[:, :2], present[:, None]], 1), 0)
    return pixels, keypoints, visible


def render_person(seed: int, views: Sequence[int], size: int | tuple[int, int]) -> People:
    """Pictures of one person.

    Args:
        seed: of the person.
        views: numbers of pictures, at least 0; each is one pose and camera of its own.
        size: height and width in pixels, one number if they are equal.

    Raises:
        ValueError: for a bad seed, view or size.

    A picture depends on its seed, view and size alone; it is the same to the bit on one machine.
    """
    height, width = checked_size(size)
    person = _person(seed)
    if any(view < 0 for view in views):
        raise ValueError(f"views must be at least 0, got {min(views)}")
    pictures = np.empty((len(views), 3, height, width), np.uint8)
    keypoints = np.empty((len(views), JOINTS, 3), np.float32)
    visible = np.empty((len(views), JOINTS), bool)
    for number, view in enumerate(views):
        dice = Dice([int(seed), 1 + int(view)])
        drawn = picture(person, BodyPose.draw(dice), Camera.draw(dice), height, width)
        pictures[number] = (drawn[0] * 255 + 0.5).astype(np.uint8)
        keypoints[number], visible[number] = drawn[1], drawn[2]
    return People(*(torch.from_numpy(array) for array in (pictures, keypoints, visible)))


def checked_size(size: int | tuple[int, int]) -> tuple[int, int]:
    """Height and width.

    Raises:
        ValueError: if they are not at least 1 pixel.
    """
    height, width = (size, size) if isinstance(size, int) else size
    if height < 1 or width < 1:
        raise ValueError(f"the picture size must be at least 1 pixel, got {height} x {width}")
    return height, width
