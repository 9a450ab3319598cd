"""The operators of the method: bilinear warp, and the fused warp and blend of Eq. 5 and 6."""

from rfwarp.ops.functional import warp, warp_fuse

__all__ = ["warp", "warp_fuse"]
