"""A pose that is edited by hand: its points are picked up and put down, or typed into a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from rfwarp.poses import FaceLandmarks, Keypoints
from rfwarp.poses.keypoints import JOINTS
from rfwarp.viz import draw_skeletons, enlarge

PointPose: TypeAlias = "Keypoints | FaceLandmarks"

LANDMARKS = tuple(
    f"{part} {number}"
    for part, count in (
        *(("jaw", 17), ("right brow", 5), ("left brow", 5), ("bridge of the nose", 4)),
        *(("nostrils", 5), ("right eye", 6), ("left eye", 6)),
        *(("outer lips", 12), ("inner lips", 8)),
    )
    for number in range(1, count + 1)
)
"""Names of the 68 landmarks; right and left are the person's."""
NAMES = {Keypoints.kind: JOINTS, FaceLandmarks.kind: LANDMARKS}
"""Names of a pose's points, by its kind."""

PICKED = (230, 0, 60)
REACH = 0.06
"""Distance from a point, relative to the image's height, within which a click picks it up."""


def draw_canvas(
    image: Image.Image | None, pose: PointPose, scale: int, picked: int | None
) -> Image.Image:
    """The pose over an image, or over white, ``scale`` times enlarged; a ring marks a point."""
    blank = Image.new("RGB", (pose.width, pose.height), "white")
    canvas = enlarge(blank if image is None else image, scale)
    if isinstance(pose, Keypoints):
        canvas = draw_skeletons(canvas, [pose])
    else:
        canvas = pose.draw_over(canvas)
    if picked is not None and present(pose)[picked]:
        # Pixels' edges keep their place, not their centres.
        x, y = ((pose.points[picked, :2] + 0.5) * scale - 0.5).tolist()
        radius = canvas.height / 32
        pen = ImageDraw.Draw(canvas)
        pen.circle((x, y), radius, outline=PICKED, width=max(2, round(radius / 4)))
    return canvas


def present(pose: PointPose) -> npt.NDArray[np.bool_]:
    """Which points there are: of landmarks all."""
    return (pose.points[:, 2:] != 0).all(axis=1)


def point_at(pose: PointPose, x: float, y: float) -> int | None:
    """The point nearest to a place in the pose's pixels, None if none is within reach."""
    away = np.hypot(pose.points[:, 0] - x, pose.points[:, 1] - y)
    away[~present(pose)] = np.inf
    nearest = int(away.argmin())
    return nearest if away[nearest] <= REACH * pose.height else None


def with_point(pose: PointPose, number: int, x: float, y: float) -> PointPose:
    """The pose with a point at a place, present from now on."""
    points = pose.points.copy()
    points[number, :2] = x, y
    points[number, 2:] = 1
    return type(pose)(points, pose.height, pose.width)


def to_rows(pose: PointPose) -> list[list[Any]]:
    """A table: name, x and y of every point, None for a missing one."""
    return [
        [name, round(x, 1), round(y, 1)] if there else [name, None, None]
        for name, (x, y), there in zip(
            NAMES[pose.kind], pose.points[:, :2].tolist(), present(pose), strict=True
        )
    ]


def from_rows(rows: Sequence[Sequence[Any]], before: PointPose) -> PointPose:
    """The pose of such a table; empty cells make a joint missing.

    Args:
        before: a pose of the same kind and size.

    Raises:
        ValueError: if it has other rows, a cell is no number, or a landmark is missing.
    """
    names = NAMES[before.kind]
    if len(rows) != len(names) or any(len(row) != 3 for row in rows):
        raise ValueError(f"the table must have {len(names)} rows: name, x, y")
    points = np.zeros_like(before.points)
    for number, (_, *cells) in enumerate(rows):
        if any(cell is None or str(cell).strip() in ("", "nan") for cell in cells):
            if before.kind == FaceLandmarks.kind:
                raise ValueError(f"{names[number]}: landmarks cannot be missing")
            continue
        points[number, :2] = [to_number(names[number], cell) for cell in cells]
        points[number, 2:] = 1
    return type(before)(points, before.height, before.width)


def to_number(name: str, cell: Any) -> float:
    """A cell of a table as a finite number; ValueError, which has the name, if it is none."""
    try:
        value = float(cell)
    except (TypeError, ValueError):
        value = float("nan")
    if not np.isfinite(value):
        raise ValueError(f"{name}: a number is expected, got {str(cell)[:40]!r}")
    return value
