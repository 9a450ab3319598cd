"""Photographs of any shape brought to one shape, and their poses with them: never distorted.

A photograph is seen through a frame, a box in its middle of the shape of the images for the
network: ``pad`` takes the smallest box around it, white beyond it, ``crop`` the largest one inside.
"""

from __future__ import annotations

import math
from typing import TypeVar, cast

import numpy as np
from PIL import Image, ImageOps

from rfwarp.data.catalog import Fit
from rfwarp.images import RESIZE_FILTER
from rfwarp.poses.keypoints import Keypoints
from rfwarp.poses.landmarks import FaceLandmarks

P = TypeVar("P")


def frame(photo: tuple[int, int], size: tuple[int, int], fit: Fit) -> tuple[int, int, float, float]:
    """The box: left, top, width and height, in pixels of a photograph.

    It begins at a whole pixel, so that what need not be resized stays sharp.

    Args:
        photo: height and width of the photograph, pixels.
        size: height and width of the images, pixels.

    Example:
        >>> from rfwarp.data.framing import frame
        >>> frame((300, 400), (64, 64), "pad"), frame((300, 400), (64, 64), "crop")
        ((0, -50, 400, 400.0), (50, 0, 300.0, 300))
    """
    (tall, wide), (height, width) = photo, size
    whole_width = (wide * height >= tall * width) == (fit == "pad")
    w = wide if whole_width else tall * width / height
    h = wide * height / width if whole_width else tall
    return int((wide - w) / 2), int((tall - h) / 2), w, h


def frame_image(photo: Image.Image, size: tuple[int, int], fit: Fit) -> Image.Image:
    """An RGB photograph seen through its frame, at the images' size (height, width)."""
    left, top, w, h = frame((photo.height, photo.width), size, fit)
    right, bottom = math.ceil(left + w) - photo.width, math.ceil(top + h) - photo.height
    margins = (max(0, -left), max(0, -top), max(0, right), max(0, bottom))
    if any(margins):
        photo = ImageOps.expand(photo, margins, "white")
    left, top = max(0, left), max(0, top)
    return photo.resize(size[::-1], RESIZE_FILTER, box=(left, top, left + w, top + h))


def frame_pose(pose: P, size: tuple[int, int], fit: Fit) -> P:
    """A pose in the image that :func:`frame_image` gives: joints and landmarks move along, others
    stay as they are."""
    if not isinstance(pose, Keypoints | FaceLandmarks):
        return pose
    left, top, w, h = frame((pose.height, pose.width), size, fit)
    height, width = size
    # Pixels' edges keep their place, not their centres.
    edges = pose.points[:, :2].astype(np.float64) + 0.5
    xy = (edges - (left, top)) * (width / w, height / h) - 0.5
    points = np.concatenate([xy, pose.points[:, 2:]], axis=1)
    return cast(P, type(pose)(points, height, width))
