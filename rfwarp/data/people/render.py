"""Person and pose -> picture and keypoints."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from rfwarp.data.people.figure import solids
from rfwarp.data.people.materials import colors
from rfwarp.data.people.parameters import PersonParameters
from rfwarp.data.people.skeleton import Pose, stand
from rfwarp.data.people.solids import Cast, Picture

RENDERER_VERSION = 1
"""Raised whenever the pictures of a seed change."""

VIEW_HEIGHT = 2.1
"""Metres from the picture's lower edge, on the ground, to its upper."""

_LIGHT = np.array([-0.45, 0.6, 0.66], np.float32)
_AMBIENT = 0.52


def render_person(
    parameters: PersonParameters, pose: Pose, height: int, width: int
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
    """An orthographic picture.

    Returns:
        (H, W, 3) RGB, and (18, 3) joints as :class:`rfwarp.poses.Keypoints` takes them. Joints that
        the figure itself hides are present, except those of a face that looks away.

    Raises:
        ValueError: if the picture has no pixels.
    """
    if min(height, width) < 1:
        raise ValueError(f"the picture has {height} x {width} pixels")
    skeleton = stand(parameters.body, pose)
    rows, columns = 2 * height, 2 * width  # each pixel is the mean of four
    per_metre = rows / VIEW_HEIGHT
    x = ((np.arange(columns) + 0.5 - columns / 2) / per_metre).astype(np.float32)
    y = ((rows - np.arange(rows) - 0.5) / per_metre).astype(np.float32)
    nearest = np.full((rows, columns), -np.inf, np.float32)
    owner = np.full((rows, columns), -1, np.int16)
    casts = [Cast.of(solid) for solid in solids(parameters, skeleton)]
    boxes = [_box(cast, x, y) for cast in casts]
    for number, cast in enumerate(casts):
        box = boxes[number]
        z = cast.depth(x[None, box[1]], y[box[0], None])
        closer = z > nearest[box]
        np.copyto(nearest[box], z, where=closer)
        np.copyto(owner[box], np.int16(number), where=closer)
    picture = np.empty((3, rows, columns), np.float32)
    picture[:] = np.array(parameters.background)[:, None, None]
    for number, (cast, box) in enumerate(zip(casts, boxes, strict=True)):
        down, across = np.nonzero(owner[box] == number)
        if len(down):
            down, across = down + box[0].start, across + box[1].start
            seen = _shaded(cast, x[across], y[down], nearest[down, across])
            picture[:, down, across] = seen
    halved = picture[:, ::2] + picture[:, 1::2]
    pixels = (halved[..., ::2] + halved[..., 1::2]).transpose(1, 2, 0) / 4
    keypoints = np.empty((18, 3), np.float32)
    keypoints[:, 0] = skeleton.joints[:, 0] * height / VIEW_HEIGHT + (width - 1) / 2
    keypoints[:, 1] = height - 0.5 - skeleton.joints[:, 1] * height / VIEW_HEIGHT
    inside = (keypoints[:, :2] >= -0.5) & (keypoints[:, :2] < (width - 0.5, height - 0.5))
    keypoints[:, 2] = skeleton.present & inside.all(axis=1)
    return (pixels.clip(0, 1) * 255 + 0.5).astype(np.uint8), keypoints


def _box(cast: Cast, x: Picture, y: Picture) -> tuple[slice, slice]:
    """Rows and columns that the solid may cover."""
    solid = cast.solid
    (ax, ay, _), (bx, by, _) = solid.start.tolist(), solid.end.tolist()
    ra, rb = (radius * max(1.0, solid.depth) for radius in solid.radii)
    left, right = np.searchsorted(x, (min(ax - ra, bx - rb), max(ax + ra, bx + rb))).tolist()
    top, bottom = np.searchsorted(-y, (-max(ay + ra, by + rb), -min(ay - ra, by - rb))).tolist()
    return slice(top, bottom), slice(left, right)


def _shaded(cast: Cast, x: Picture, y: Picture, z: Picture) -> Picture:
    points, normal = cast.surface(x, y, z)
    radius = sum(cast.solid.radii) / 2
    light = _AMBIENT + (1 - _AMBIENT) * np.maximum(0, _LIGHT @ normal)
    shaded: Picture = colors(cast.solid.cloth, points, cast.length, radius) * light
    return shaded
