"""Priors of the flow: what poses alone say of it, found in the maps that networks are given."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from rfwarp.poses.body_flow import keypoint_flow
from rfwarp.poses.face_flow import landmark_flow, landmarks_from_drawing
from rfwarp.poses.heatmaps import keypoints_from_heatmaps

PRIOR_CHANNELS = 5
"""Channels of a prior in the flow network: the source warped by it, and the prior itself."""


class Prior(NamedTuple):
    """One prior.

    Attributes:
        points: of maps (..., c_p, H, W), the points (..., P, D) that they were drawn from.
        flow: of points of the target (N, P, D) and the sources (N, K, P, D), and of the images'
            height and width, the flow (N, K, 2, H, W) in pixels.
    """

    points: Callable[[Tensor], Tensor]
    flow: Callable[[Tensor, Tensor, int, int], Tensor]


PRIORS = {
    "keypoints": Prior(keypoints_from_heatmaps, keypoint_flow),
    "landmarks": Prior(landmarks_from_drawing, landmark_flow),
}
"""By the name that ``NetworkConfig.flow_prior`` has, and the kind of pose that they are for."""
