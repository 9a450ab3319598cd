"""What one gets without a network: the most similar source, or the mean of all."""

from __future__ import annotations

import torch
from torch import Tensor

from rfwarp.poses import Viewpoint


def view_angles() -> Tensor:
    """(54, 54) float64: degrees between the directions that viewpoints i and j look from."""
    views = list(Viewpoint.grid())
    azimuth, elevation = (
        torch.tensor(degrees, dtype=torch.float64).deg2rad()
        for degrees in ([v.azimuth for v in views], [v.elevation for v in views])
    )
    directions = torch.stack(
        [azimuth.cos() * elevation.cos(), azimuth.sin() * elevation.cos(), elevation.sin()], dim=1
    )
    cosines = (directions @ directions.T).clamp(-1, 1)
    # Rounded, so that views that mirror each other are exactly as far away as each other.
    return cosines.acos().rad2deg().round(decimals=3)


def nearest_source(sources: Tensor, source_views: Tensor, target_views: Tensor) -> Tensor:
    """The source seen from the direction closest to the target's.

    Args:
        sources: (N, K, 3, H, W).
        source_views: (N, K) int64, view indices 0..53.
        target_views: (N,) int64.

    Returns:
        (N, 3, H, W); of sources at the same angle the first.
    """
    angles = view_angles().to(source_views.device)[source_views, target_views[:, None]]
    return sources[torch.arange(len(sources)), angles.argmin(dim=1)]


def mean_source(sources: Tensor) -> Tensor:
    """The mean of the sources: (N, K, 3, H, W) to (N, 3, H, W)."""
    return sources.mean(dim=1)
