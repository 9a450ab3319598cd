"""The operators of the method: bilinear warp, and the fused warp and blend of Eq. 5 and 6.

Importing it defines ``torch.ops.rfwarp.*`` and loads the compiled kernels where there are some. The
environment variable RFWARP_BACKEND (auto, torch, cpu, cuda) chooses what computes them, see
`use_backend`; ``torch`` loads no compiled code at all.
"""

from rfwarp.ops import backends
from rfwarp.ops.backends import Backend, Kernels, backend, use_backend
from rfwarp.ops.functional import flow_from_grid, warp, warp_fuse, warp_fuse_with_warped

__all__ = [
    "Backend",
    "Kernels",
    "backend",
    "flow_from_grid",
    "use_backend",
    "warp",
    "warp_fuse",
    "warp_fuse_with_warped",
]

backends.select_from_environment()
