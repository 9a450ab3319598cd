"""A person's pose that is edited by hand: joints picked up and put down, or typed into a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from rfwarp.poses import Keypoints
from rfwarp.poses.keypoints import JOINTS
from rfwarp.viz import draw_skeletons, enlarge

PICKED = (230, 0, 60)
REACH = 0.06
"""Distance from a joint, relative to the image's height, within which a click picks it up."""


def draw_canvas(
    image: Image.Image | None, pose: Keypoints, scale: int, picked: int | None
) -> Image.Image:
    """The pose over an image, or over white, ``scale`` times enlarged; a ring marks a joint."""
    blank = Image.new("RGB", (pose.width, pose.height), "white")
    canvas = draw_skeletons(enlarge(blank if image is None else image, scale), [pose])
    if picked is not None and pose.has(picked):
        x, y, _ = pose.scaled(canvas.height, canvas.width).points[picked].tolist()
        radius = canvas.height / 32
        pen = ImageDraw.Draw(canvas)
        pen.circle((x, y), radius, outline=PICKED, width=max(2, round(radius / 4)))
    return canvas


def joint_at(pose: Keypoints, x: float, y: float) -> int | None:
    """The joint nearest to a place in the pose's pixels, None if none is within reach."""
    away = np.hypot(pose.points[:, 0] - x, pose.points[:, 1] - y)
    away[pose.points[:, 2] == 0] = np.inf
    joint = int(away.argmin())
    return joint if away[joint] <= REACH * pose.height else None


def with_joint(pose: Keypoints, joint: int, x: float, y: float) -> Keypoints:
    """The pose with a joint at a place, present from now on."""
    points = pose.points.copy()
    points[joint] = x, y, 1
    return Keypoints(points, pose.height, pose.width)


def to_rows(pose: Keypoints) -> list[list[Any]]:
    """A table: name, x and y of every joint, None for a missing one."""
    return [
        [name, round(x, 1), round(y, 1)] if present else [name, None, None]
        for name, (x, y, present) in zip(JOINTS, pose.points.tolist(), strict=True)
    ]


def from_rows(rows: Sequence[Sequence[Any]], height: int, width: int) -> Keypoints:
    """The pose of such a table; empty cells make a joint missing.

    Raises:
        ValueError: if it has other rows, or a cell is no number.
    """
    if len(rows) != len(JOINTS) or any(len(row) != 3 for row in rows):
        raise ValueError(f"the table must have {len(JOINTS)} rows: joint, x, y")
    points = np.zeros((len(JOINTS), 3), np.float32)
    for joint, (_, *cells) in enumerate(rows):
        if any(cell is None or str(cell).strip() in ("", "nan") for cell in cells):
            continue
        points[joint] = *(number(f"{JOINTS[joint]}", cell) for cell in cells), 1
    return Keypoints(points, height, width)


def number(name: str, cell: Any) -> float:
    """A cell of a table as a finite number; ValueError, which has the name, if it is none."""
    try:
        value = float(cell)
    except (TypeError, ValueError):
        value = float("nan")
    if not np.isfinite(value):
        raise ValueError(f"{name}: a number is expected, got {str(cell)[:40]!r}")
    return value
