"""Camera axes of viewpoints, and the distance at which a chair fits the image in every view."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from rfwarp.data.chairs.solids import Part
from rfwarp.poses import Viewpoint

Array = npt.NDArray[np.float64]

FOCAL = 3.2
"""Focal length over half the image size: a field of view of about 35 degrees."""

FILL = 0.94
"""The largest distance of a chair's hull from the image centre, over half the image size."""


class Direction(Protocol):
    """A viewing direction: a :class:`rfwarp.poses.Viewpoint`, or any other angles."""

    @property
    def azimuth(self) -> float:
        """Degrees."""

    @property
    def elevation(self) -> float:
        """Degrees above the horizon."""


def camera_axes(views: Sequence[Direction]) -> Array:
    """(V, 3, 3) orthonormal rows: image right, image up, and from the object to the camera.

    Convention: at azimuth 0 the camera is in front of the chair (+x), a growing azimuth moves it
    counter-clockwise as seen from above, and elevation is measured from the horizon.
    """
    rows = []
    for view in views:
        a, e = math.radians(view.azimuth), math.radians(view.elevation)
        ca, sa, ce, se = math.cos(a), math.sin(a), math.cos(e), math.sin(e)
        rows.append(((-sa, ca, 0.0), (-ca * se, -sa * se, ce), (ca * ce, sa * ce, se)))
    return np.array(rows)


_ALL_AXES = camera_axes(list(Viewpoint.grid()))


def fit(parts: Sequence[Part]) -> tuple[Array, float]:
    """The point to look at (3,) and the camera's distance from it, metres.

    The distance is the smallest at which every part's hull stays inside ``FILL`` at all 54 views:
    a corner at (x, y, z) in camera axes projects to FOCAL * x / (distance - z).
    """
    corners = np.concatenate([part.corners() for part in parts])
    centre = (corners.min(axis=0) + corners.max(axis=0)) / 2
    return centre, distance_to(corners - centre)


def distance_to(points: Array) -> float:
    """The smallest distance of the camera from the origin at which points (N, 3) stay inside
    ``FILL`` at all 54 views."""
    local = points @ _ALL_AXES.transpose(0, 2, 1)
    reach = np.abs(local[..., :2]).max(axis=-1)
    return float((FOCAL / FILL * reach + local[..., 2]).max())
