"""What a pose can be, and how each kind becomes the (c_p, H, W) map that the networks read."""

from rfwarp.poses.encoding import Pose, PoseLike
from rfwarp.poses.viewpoint import Viewpoint

__all__ = ["Pose", "PoseLike", "Viewpoint"]
