"""Encoding of poses as the (c_p, H, W) maps that the networks read."""

from __future__ import annotations

from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
import torch
from torch import Tensor


@runtime_checkable
class Pose(Protocol):
    """Interface that a generator needs of a pose object, your own included.

    The poses of :mod:`rfwarp.poses` also have ``code()``, which datasets hand out.

    Example:
        >>> from rfwarp.poses import Pose, Viewpoint
        >>> isinstance(Viewpoint(40, 10), Pose), isinstance("40:10", Pose)
        (True, False)
    """

    @property
    def kind(self) -> str:
        """Name of the sort of pose, which a model's ``pose_kind`` must equal."""
        ...

    @property
    def channels(self) -> int:
        """c_p."""
        ...

    def encode(self, height: int, width: int) -> Tensor:
        """The pose as a float32 map (c_p, height, width)."""
        ...


PoseLike: TypeAlias = "Pose | np.ndarray[Any, Any] | Tensor"
"""A pose as a generator takes it: a pose object, a vector (c_p,), or a map (c_p, H, W).

>>> import numpy as np
>>> from rfwarp.poses import PoseLike
>>> from rfwarp.poses.encoding import encode_pose
>>> pose: PoseLike = np.zeros(21)  # a vector, which is tiled
>>> encode_pose("pose", pose, channels=21, height=64, width=64).shape
torch.Size([21, 64, 64])
"""


def encode_pose(name: str, pose: PoseLike, channels: int, height: int, width: int) -> Tensor:
    """A pose as a float32 map (channels, height, width) on the CPU.

    Args:
        name: name of the pose in error messages.
        pose: a pose object, a map (c_p, height, width), or a vector (c_p,), which is tiled. Arrays
            and tensors may be of any real dtype.

    Raises:
        TypeError, ValueError: if it is none of these, does not fit, or has non-finite values.
    """
    if isinstance(pose, Pose):
        encoded = pose.encode(height, width)
    elif isinstance(pose, np.ndarray):
        if pose.dtype.kind not in "fiub":
            raise TypeError(f"{name} must hold real numbers, got {pose.dtype}")
        encoded = torch.from_numpy(pose.astype(np.float32))
    elif isinstance(pose, Tensor):
        if pose.is_complex():
            raise TypeError(f"{name} must hold real numbers, got {pose.dtype}")
        encoded = pose.detach().to("cpu", torch.float32)
    else:
        raise TypeError(
            f"{name} must be a pose of rfwarp.poses, an array or a tensor, "
            f"got {type(pose).__name__}"
        )
    shape = tuple(encoded.shape)
    if shape not in ((channels,), (channels, height, width)):
        raise ValueError(
            f"{name} must be a map {(channels, height, width)} or a vector ({channels},), "
            f"got {shape}"
        )
    if not bool(torch.isfinite(encoded).all()):
        raise ValueError(f"{name} has non-finite values")
    return encoded if encoded.ndim == 3 else tile(encoded, height, width)


def tile(vectors: Tensor, height: int, width: int) -> Tensor:
    """(..., c_p) to (..., c_p, height, width), the same at every pixel; nothing is copied."""
    return vectors[..., None, None].expand(*vectors.shape, height, width)
