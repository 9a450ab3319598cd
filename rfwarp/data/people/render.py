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

VIEW_HEIGHT = 2.2
"""Metres from the picture's lower edge, on the ground, to its upper."""

_SAMPLES = 2
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
    rows, columns = _SAMPLES * height, _SAMPLES * width
    per_metre = rows / VIEW_HEIGHT
    x = ((np.arange(columns) + 0.5 - columns / 2) / per_metre).astype(np.float32)
    y = ((rows - np.arange(rows) - 0.5) / per_metre).astype(np.float32)
    nearest = np.full((rows, columns), -np.inf, np.float32)
    owner = np.full((rows, columns), -1, np.int16)
    casts = [Cast.of(solid) for solid in solids(parameters, skeleton)]
    for number, cast in enumerate(casts):
        box = _box(cast, x, y)
        gx, gy = np.broadcast_arrays(x[None, box[1]], y[box[0], None])
        if gx.size == 0:
            continue
        z = cast.depth(gx, gy)
        closer = z > nearest[box]
        nearest[box] = np.where(closer, z, nearest[box])
        owner[box][closer] = number
    picture = np.empty((rows, columns, 3), np.float32)
    picture[:] = parameters.background
    for number, cast in enumerate(casts):
        at = np.nonzero(owner == number)
        if len(at[0]):
            picture[at] = _shaded(cast, x[at[1]], y[at[0]], nearest[at]).T
    picture = picture.reshape(height, _SAMPLES, width, _SAMPLES, 3).mean(axis=(1, 3))
    keypoints = np.empty((18, 3), np.float32)
    keypoints[:, 0] = skeleton.joints[:, 0] * height / VIEW_HEIGHT + (width - 1) / 2
    keypoints[:, 1] = height - 0.5 - skeleton.joints[:, 1] * height / VIEW_HEIGHT
    inside = (keypoints[:, :2] >= -0.5) & (keypoints[:, :2] < (width - 0.5, height - 0.5))
    keypoints[:, 2] = skeleton.present & inside.all(axis=1)
    return (picture.clip(0, 1) * 255 + 0.5).astype(np.uint8), keypoints


def _box(cast: Cast, x: Picture, y: Picture) -> tuple[slice, slice]:
    """Rows and columns that the solid may cover."""
    solid = cast.solid
    reach = np.array(solid.radii)[:, None] * max(1.0, solid.depth)
    ends = np.stack([solid.start, solid.end])
    low, high = (ends - reach).min(axis=0), (ends + reach).max(axis=0)
    left, right = np.searchsorted(x, (low[0], high[0]))
    top, bottom = np.searchsorted(-y, (-high[1], -low[1]))
    return slice(int(top), int(bottom)), slice(int(left), int(right))


def _shaded(cast: Cast, x: Picture, y: Picture, z: Picture) -> Picture:
    points, normal = cast.surface(x, y, z)
    radius = sum(cast.solid.radii) / 2
    light = _AMBIENT + (1 - _AMBIENT) * np.maximum(0, _LIGHT @ normal)
    shaded: Picture = colors(cast.solid.cloth, points, cast.length, radius) * light
    return shaded
