"""The operators of the method: bilinear warp, and the fused warp and blend of Eq. 5 and 6.

Importing it defines ``torch.ops.rfwarp.*`` and loads the compiled kernels where there are some.
"""

from typing import NamedTuple

import rfwarp_cuda
from rfwarp.ops.functional import flow_from_grid, warp, warp_fuse

__all__ = ["Backend", "backend", "flow_from_grid", "warp", "warp_fuse"]


class Backend(NamedTuple):
    """What computes the operators.

    Attributes:
        name: ``"torch"``, or ``"compiled"`` where `rfwarp_cuda` has kernels.
        reason: why, for people.
    """

    name: str
    reason: str


_not_loaded = rfwarp_cuda.load().cpu


def backend() -> Backend:
    """What computes the operators in this process, and why."""
    if _not_loaded is None:
        return Backend("compiled", "rfwarp_cuda is loaded")
    return Backend("torch", _not_loaded)
