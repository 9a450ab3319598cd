"""What a pose can be, and how each kind becomes the (c_p, H, W) map that the networks read."""

from rfwarp.poses.encoding import Pose, PoseLike
from rfwarp.poses.heatmaps import keypoint_heatmaps
from rfwarp.poses.kinds import POSE_KINDS, PoseKind
from rfwarp.poses.viewpoint import Viewpoint

__all__ = ["POSE_KINDS", "Pose", "PoseKind", "PoseLike", "Viewpoint", "keypoint_heatmaps"]
