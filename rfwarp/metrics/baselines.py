"""What one gets without a network: the most similar source, or the mean of all."""

from __future__ import annotations

import torch
from torch import Tensor

from rfwarp.poses.kinds import PoseKind


def nearest_source(sources: Tensor, kind: PoseKind, poses: Tensor, target_poses: Tensor) -> Tensor:
    """The source whose pose is closest to the target's, see :meth:`PoseKind.distance`.

    Args:
        sources: (N, K, 3, H, W).
        kind: of the poses.
        poses: codes (N, K, *code).
        target_poses: codes (N, *code).

    Returns:
        (N, 3, H, W); of sources that are equally close the first.
    """
    distances = kind.distance(poses, target_poses[:, None])
    # Rounded, so that poses that mirror each other are exactly as far away as each other.
    nearest = distances.round(decimals=3).argmin(dim=1).to(sources.device)
    return sources[torch.arange(len(sources), device=sources.device), nearest]


def mean_source(sources: Tensor) -> Tensor:
    """The mean of the sources: (N, K, 3, H, W) to (N, 3, H, W)."""
    return sources.mean(dim=1)
