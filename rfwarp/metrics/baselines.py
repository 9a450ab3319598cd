"""Baselines: the source of the nearest pose, the mean of all sources, and a perfect warp."""

from __future__ import annotations

import torch
from torch import Tensor

from rfwarp.data.truth import Truth
from rfwarp.ops import warp
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

    Example:
        >>> import torch
        >>> from rfwarp.metrics import nearest_source
        >>> from rfwarp.poses import POSE_KINDS, Viewpoint
        >>> sources = torch.arange(2.0).view(1, 2, 1, 1, 1).expand(1, 2, 3, 8, 8)  # number 0 and 1
        >>> poses = torch.stack([Viewpoint(180, 0).code(), Viewpoint(40, 0).code()])[None]
        >>> target_pose = Viewpoint(60, 10).code()[None]
        >>> nearest_source(sources, POSE_KINDS["viewpoint"], poses, target_pose)[0, 0, 0, 0].item()
        1.0
    """
    distances = kind.distance(poses, target_poses[:, None])
    # Rounded, so that poses that mirror each other are exactly as far away as each other.
    nearest = distances.round(decimals=3).argmin(dim=1).to(sources.device)
    return sources[torch.arange(len(sources), device=sources.device), nearest]


def mean_source(sources: Tensor) -> Tensor:
    """The mean of the sources: (N, K, 3, H, W) to (N, 3, H, W).

    Example:
        >>> import torch
        >>> from rfwarp.metrics import mean_source
        >>> mean_source(torch.tensor([0.0, 1.0]).view(1, 2, 1, 1, 1)).item()
        0.5
    """
    return sources.mean(dim=1)


def warped_by_truth(sources: Tensor, truth: Truth, elsewhere: Tensor) -> Tensor:
    """The sources' pixels, warped by the true flow.

    Args:
        sources: (N, K, 3, H, W) float32.
        truth: of N targets with K sources.
        elsewhere: (N, 3, H, W), images that give the pixels that no source shows.

    Returns:
        (N, 3, H, W): each pixel's mean over the sources that show its point, by bilinear sampling.
    """
    warped = warp(sources.flatten(0, 1), truth.flow.flatten(0, 1), "border").view_as(sources)
    visible = truth.visible.unsqueeze(2).to(sources)
    count = visible.sum(dim=1)
    mean = (warped * visible).sum(dim=1) / count.clamp_min(1)
    return torch.where(count > 0, mean, elsewhere)
