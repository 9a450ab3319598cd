"""The operators around ``F.grid_sample``: for runtimes that have it and nothing of ours.

As one writes them without this library, and slower than `reference` and the kernels. Where a flow
is not finite they are not defined; grids lose precision as sizes grow.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def warp(features: Tensor, flow: Tensor, padding_mode: str) -> Tensor:
    """``rfwarp::warp``, for H and W of at least 2."""
    height, width = features.shape[-2:]
    x = flow[:, 0] + torch.arange(width, dtype=flow.dtype, device=flow.device)
    y = flow[:, 1] + torch.arange(height, dtype=flow.dtype, device=flow.device)[:, None]
    grid = torch.stack([x * (2 / (width - 1)) - 1, y * (2 / (height - 1)) - 1], dim=-1)
    sampled = F.grid_sample(features.to(flow.dtype), grid, "bilinear", padding_mode, True)
    return sampled.to(features.dtype)


def warp_fuse(
    features: Tensor,
    flow: Tensor,
    residual: Tensor | None,
    occlusion: Tensor,
    attention: Tensor,
    target: Tensor,
    mask: Tensor | None,
    padding_mode: str,
) -> Tensor:
    """``rfwarp::warp_fuse`` (Eq. 5 and 6)."""
    n, k = flow.shape[:2]
    moved = flow if residual is None else flow + residual
    warped = warp(features.flatten(0, 1), moved.flatten(0, 1), padding_mode).unflatten(0, (n, k))
    m = occlusion.sigmoid()
    if mask is not None:
        absent = ~mask[:, :, None, None, None]
        attention = attention.masked_fill(absent, -torch.inf)
        warped, m = warped.masked_fill(absent, 0), m.masked_fill(absent, 0)
    matted = attention.softmax(dim=1) * (warped * (1 - m) + target[:, None] * m)
    return matted.sum(dim=1).to(target.dtype)
