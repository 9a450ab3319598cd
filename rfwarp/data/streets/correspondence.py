"""True correspondences between frames of a drive, from depth and the camera's poses."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from rfwarp.data.streets.render import NEAR, camera_at
from rfwarp.data.surfaces import Flags, Indices, dense, shown
from rfwarp.data.truth import Truth

Array = npt.NDArray[Any]

LEAVES = 0.3
"""Largest difference of depth, metres, between a point of a tree's foliage and what a source shows
in its place, if it is the same part of it; of planes there is none."""


def street_truth(depth: Array, surface: Array, poses: Array) -> Truth:
    """True correspondences between a target frame and K source frames.

    A source shows a point if it lies in front of the camera and neighbours with half of the
    bilinear weights show the same surface: a plane, or foliage of the same tree at about the depth
    of the point.

    Args:
        depth: (K + 1, H, W) along the optical axes, metres, 0 for the sky: of the sources, then of
            the target, at the middles of pixels.
        surface: (K + 1, H, W), likewise: numbers of surfaces, 0 for the sky, negative for foliage.
        poses: (K + 1, 3, 4), likewise: [R | t] in any common frame.

    Returns:
        With depth in metres. The sky is the background.
    """
    size = depth.shape[1:]
    cameras = [camera_at(pose, size) for pose in poses]
    target, (height, width) = cameras[-1], size
    pixel = np.flatnonzero(surface[-1])
    far = depth[-1].ravel()[pixel].astype(np.float64)
    ray = np.stack(
        [
            (pixel % width + 0.5 - width / 2) / target.focal,
            (pixel // width + 0.5 - height / 2) / target.focal,
            np.ones(len(pixel)),
        ],
        1,
    )
    points = (ray * far[:, None]) @ target.pose[:, :3].T + target.centre
    local = np.stack([camera.local(points - camera.centre) for camera in cameras[:-1]])
    z = local[..., 2].copy()
    # Behind a source there is no position: the flow is that of a point just before it.
    local[..., 2] = np.maximum(z, NEAR)
    places = np.stack([c.project(seen) for c, seen in zip(cameras[:-1], local, strict=True)])
    x, y = places[..., 0], places[..., 1]
    wanted, surfaces, depths = surface[-1].ravel()[pixel], surface[:-1].ravel(), depth[:-1].ravel()

    def same(source: Indices, point: Indices, source_pixel: Indices) -> Flags:
        alike: Flags = surfaces[source_pixel] == wanted[point]
        near = np.abs(depths[source_pixel] - z[source, point]) < LEAVES
        return alike & ((wanted[point] > 0) | near)

    visible = shown(x, y, z > NEAR, (height, width), same)
    return dense(pixel, x, y, visible, (height, width), far)
