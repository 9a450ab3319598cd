"""Images of people, and the positions of their joints in them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from rfwarp.data.people.body import ARMS, LEGS, arm, head, leg, trunk
from rfwarp.data.people.camera import Camera
from rfwarp.data.people.garments import coat, hair, hem, skirt, sleeve
from rfwarp.data.people.keypoints import Flags, joints, present, visible
from rfwarp.data.people.materials import Array
from rfwarp.data.people.mesh import Mesh
from rfwarp.data.people.parameters import PersonParameters
from rfwarp.data.people.pose import BodyPose
from rfwarp.data.people.raster import rasterise, shade
from rfwarp.data.people.skeleton import Skeleton, pose_body
from rfwarp.data.seeds import Dice, checked_seed
from rfwarp.poses import Keypoints

RENDERER_VERSION = 2
"""Raised whenever the images of a seed change, so that caches of older images are refused."""


class People(NamedTuple):
    """V images of one person.

    A joint is present as detectors of keypoints report it: inside the image, hidden or not. Points
    of the face are the exception: eyes, nose and ears are missing where the head is turned away
    from them, so that a back has no nose. Whether a joint can really be seen is told by
    ``visible``: clothes worn on it do not hide it, another part of the body does.
    """

    images: Tensor
    """(V, 3, H, W) uint8 RGB."""
    keypoints: Tensor
    """(V, 18, 3) float32: x and y in pixels, of which (0, 0) is the middle of the top left pixel,
    and 1 if the joint is present; 0, 0, 0 if not. In the order of OpenPose's 18 joints: nose, neck,
    right shoulder, elbow, wrist, left ones, right hip, knee, ankle, left ones, eyes, ears."""
    visible: Tensor
    """(V, 18) bool: present, and not hidden by another part of the body."""


_person = lru_cache(maxsize=64)(PersonParameters.from_seed)


def build(person: PersonParameters, pose: BodyPose) -> tuple[Mesh, Skeleton]:
    """Mesh and skeleton of a person in a pose."""
    skeleton = pose_body(person.body, pose)
    sheets = [*trunk(person, skeleton), *head(person, skeleton), *hair(person, skeleton, pose)]
    for limb, part in zip(skeleton.arms, ARMS, strict=True):
        sheets += arm(person, limb, part) + sleeve(person, limb, part)
    for limb, foot, part in zip(skeleton.legs, skeleton.feet, LEGS, strict=True):
        sheets += leg(person, limb, foot, part)
    for garment in (skirt, hem, coat):
        sheets += garment(person, skeleton, pose)
    return Mesh.of(sheets), skeleton


def draw_person(
    person: PersonParameters, pose: BodyPose, camera: Camera, height: int, width: int
) -> tuple[Array, Array, Flags]:
    """One image (3, H, W) float64 in [0, 1], keypoints (18, 3) and visibility (18,)."""
    mesh, skeleton = build(person, pose)
    tall = person.body.height
    n = 3 if height < 128 else 2  # samples along each side of a pixel
    rows, columns = height * n, width * n
    points = camera.project(mesh.points, tall, height, width)
    places = camera.project(joints(person, skeleton), tall, height, width)
    here = present(places, skeleton, camera, height, width)
    keypoints = np.where(here[:, None], np.concatenate([places[:, :2], here[:, None]], 1), 0)
    for projected in (points, places):  # pixels -> samples
        projected[:, :2] = projected[:, :2] * n + (n - 1) / 2
    # Contiguous along triangles: all that follows is several times faster.
    corners = points.T.copy().take(mesh.triangles, axis=1).transpose(1, 0, 2)
    hits = rasterise(corners, mesh.thin, rows, columns)
    # A pixel is the mean of n x n samples, of the figure or of the background.
    pixel = hits.sample // (columns * n) * width + hits.sample % columns // n
    pixels = np.empty((3, height, width))
    for channel, colour in enumerate(shade(mesh, hits, camera.axes())):
        background = person.background[channel]
        sums = np.bincount(pixel, colour - background, height * width)
        pixels[channel] = background + sums.reshape(height, width) / (n * n)
    return pixels, keypoints, visible(mesh, corners, places, here)


def render_person(seed: int, views: Sequence[int], size: int | tuple[int, int]) -> People:
    """Images of one person.

    Args:
        seed: of the person.
        views: numbers of images, at least 0; each has a pose and a camera of its own.
        size: height and width in pixels, one number if they are equal.

    Raises:
        ValueError: for a bad seed, view or size.

    An image depends on its seed, view and size alone; it is the same to the bit on one machine.

    Example:
        >>> from rfwarp.data import render_person
        >>> people = render_person(seed=0, views=[0, 1], size=(32, 16))
        >>> people.images.shape, people.keypoints.shape
        (torch.Size([2, 3, 32, 16]), torch.Size([2, 18, 3]))
    """
    if any(view < 0 for view in views):
        raise ValueError(f"views must be at least 0, got {min(views)}")
    seed = checked_seed("person", seed)
    return render_poses(seed, drawn_poses(seed, views), size)


def drawn_poses(seed: int, views: Sequence[int]) -> list[tuple[BodyPose, Camera]]:
    """Pose and camera of every image of a person."""
    dices = [Dice([seed, 1 + int(view)]) for view in views]
    return [(BodyPose.draw(dice), Camera.draw(dice)) for dice in dices]


def render_poses(
    seed: int, poses: Sequence[tuple[BodyPose, Camera]], size: int | tuple[int, int]
) -> People:
    """Images of one person, one for each of the given poses; see :func:`render_person`.

    Raises:
        ValueError: for a bad seed or size.
    """
    height, width = checked_size(size)
    person = _person(seed)
    images = np.empty((len(poses), 3, height, width), np.uint8)
    keypoints = np.empty((len(poses), Keypoints.channels, 3), np.float32)
    seen = np.empty((len(poses), Keypoints.channels), bool)
    for number, (pose, camera) in enumerate(poses):
        drawn = draw_person(person, pose, camera, height, width)
        images[number] = (drawn[0] * 255 + 0.5).astype(np.uint8)
        keypoints[number], seen[number] = drawn[1], drawn[2]
    return People(*(torch.from_numpy(array) for array in (images, keypoints, seen)))


def checked_size(size: int | tuple[int, int]) -> tuple[int, int]:
    """Height and width.

    Raises:
        ValueError: if they are not at least 1 pixel.
    """
    height, width = (size, size) if isinstance(size, int) else size
    if height < 1 or width < 1:
        raise ValueError(f"the image size must be at least 1 pixel, got {height} x {width}")
    return height, width
