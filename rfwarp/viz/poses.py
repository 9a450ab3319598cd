"""Pose codes of any kind as images."""

from __future__ import annotations

import colorsys
import math
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from rfwarp.poses.keypoints import LIMBS, Keypoints
from rfwarp.poses.kinds import PoseKind
from rfwarp.poses.viewpoint import angles
from rfwarp.viz.sheet import INK, PAPER


def draw_pose(kind: PoseKind, code: Tensor, height: int, width: int) -> Image.Image:
    """A pose as an image of that size.

    Keypoints are drawn as a skeleton, landmarks as the drawing that they are; a viewpoint is an
    arrow from the camera to the object seen from above (azimuth 0 is below), with its elevation; a
    camera motion is its six numbers: a line for each axis, the angle in degrees and the way.

    Args:
        code: one pose, see :mod:`rfwarp.poses.kinds`.

    Raises:
        ValueError: if the code is not of this kind.

    Example:
        >>> from rfwarp.poses import POSE_KINDS, Viewpoint
        >>> from rfwarp.viz import draw_pose
        >>> draw_pose(POSE_KINDS["viewpoint"], Viewpoint(60, 10).code(), height=64, width=48).size
        (48, 64)
    """
    if kind.expand(code, height, width).ndim != 3:
        raise ValueError(f"one pose is drawn at a time, got codes {tuple(code.shape)}")
    code = code.detach().cpu()
    if kind.name == "landmarks":
        return Image.fromarray(code.permute(1, 2, 0).contiguous().numpy())
    image = Image.new("RGB", (width, height), PAPER)
    pen = ImageDraw.Draw(image)
    if kind.name == "keypoints":
        _skeleton(pen, code, height)
    elif kind.name == "viewpoint":
        _arrow(pen, code, height, width)
    else:
        lines = [
            f"{math.degrees(angle):+.1f}° {metres:+.2f}"
            for angle, metres in zip(*code.reshape(2, 3).tolist(), strict=True)
        ]
        font = ImageFont.load_default(max(8, min(height // 9, width // 9)))
        centre = (width / 2, height / 2)
        pen.text(centre, "\n".join(lines), fill=INK, font=font, anchor="mm", align="right")
    return image


def draw_skeletons(image: Image.Image, people: Sequence[Keypoints]) -> Image.Image:
    """A copy of an image with the skeletons of people over it.

    Args:
        people: their joints, in pixels of an image of any size.

    Example:
        >>> import numpy as np
        >>> from PIL import Image
        >>> from rfwarp.poses import Keypoints
        >>> from rfwarp.viz import draw_skeletons
        >>> person = Keypoints(np.full((18, 2), 20.0), height=64, width=48)
        >>> draw_skeletons(Image.new("RGB", (48, 64)), [person]).getpixel((20, 20))
        (60, 60, 60)
    """
    drawn = image.convert("RGB")  # a copy in any case
    pen = ImageDraw.Draw(drawn)
    for person in people:
        _skeleton(pen, person.scaled(image.height, image.width).code(), image.height)
    return drawn


def _skeleton(pen: ImageDraw.ImageDraw, joints: Tensor, height: int) -> None:
    thickness = max(1, round(height / 64))
    for number, (a, b) in enumerate(LIMBS):
        if joints[a, 2] and joints[b, 2]:
            hue = colorsys.hsv_to_rgb(number / len(LIMBS), 1.0, 0.85)
            ends = [(float(joints[j, 0]), float(joints[j, 1])) for j in (a, b)]
            colour = (round(255 * hue[0]), round(255 * hue[1]), round(255 * hue[2]))
            pen.line(ends, fill=colour, width=thickness)
    for x, y, present in joints.tolist():
        if present:
            pen.circle((x, y), thickness, fill=INK)


def _arrow(pen: ImageDraw.ImageDraw, code: Tensor, height: int, width: int) -> None:
    azimuth, elevation = (round(float(angle)) for angle in angles(code))
    angle, radius = math.radians(azimuth), 0.32 * min(height, width)
    x, y = width / 2, height * 0.57
    pen.circle((x, y), radius, outline=INK)
    # Azimuth 0 is at the front, below; a growing one goes counter-clockwise.
    camera = (x + radius * math.sin(angle), y + radius * math.cos(angle))
    pen.line([camera, (x, y)], fill=INK, width=max(1, round(radius / 16)))
    pen.circle(camera, radius / 6, fill=INK)
    font = ImageFont.load_default(max(8, height // 9))
    pen.text((2, 1), f"{azimuth}°/{elevation}°", fill=INK, font=font)
