"""Priors of the flow: what can be said of it before anything is learned.

Of people and faces poses tell it, which are found in the maps that networks are given; of things on
white the silhouettes of the sources, see :mod:`rfwarp.poses.visual_hull`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from rfwarp.poses.body_flow import keypoint_flow
from rfwarp.poses.face_flow import landmark_flow, landmarks_from_drawing
from rfwarp.poses.heatmaps import keypoints_from_heatmaps

PRIOR_CHANNELS = {"keypoints": 5, "landmarks": 5, "hull": 7}
"""Channels of a prior in the flow network, by the name that ``NetworkConfig.flow_prior`` has: the
source warped by it, the flow itself, and of a hull whether there is one and what it says."""


class PointsPrior(NamedTuple):
    """A prior of poses that are points.

    Attributes:
        points: of maps (..., c_p, H, W), the points (..., P, D) that they were drawn from.
        flow: of points of the target (N, P, D) and the sources (N, K, P, D), and of the images'
            height and width, the flow (N, K, 2, H, W) in pixels.
    """

    points: Callable[[Tensor], Tensor]
    flow: Callable[[Tensor, Tensor, int, int], Tensor]


OF_POINTS = {
    "keypoints": PointsPrior(keypoints_from_heatmaps, keypoint_flow),
    "landmarks": PointsPrior(landmarks_from_drawing, landmark_flow),
}
