"""The operators around ``F.grid_sample``: for runtimes that have it and nothing of ours.

As one writes them without this library, and slower than `reference` and the kernels. Where a flow
is not finite they are not defined; grids lose precision as sizes grow.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def warp(features: Tensor, flow: Tensor, padding_mode: str) -> Tensor:
    """``rfwarp::warp``; reflection for D, H and W of at least 2.

    Zeros beyond the image, and -1 and 1 at its edges rather than at pixel centres, are what ONNX
    Runtime has a fast path for. A clamped position makes the border of it. Reflection cannot be
    had like this: it mirrors at whatever -1 and 1 stand for.
    """
    if flow.shape[0] != features.shape[0]:
        features = features.repeat_interleave(flow.shape[0] // features.shape[0], dim=0)
    reflects = padding_mode == "reflection"
    grid = []
    for axis, size in enumerate(reversed(features.shape[2:])):
        pixels = torch.arange(size, dtype=flow.dtype, device=flow.device).view(-1, *[1] * axis)
        position = flow[:, axis] + pixels
        if padding_mode == "border":
            position = position.clamp(0, size - 1)
        step = 2 / (size - 1) if reflects else 2 / size
        grid.append(position * step + (-1 if reflects else 1 / size - 1))
    sampled = F.grid_sample(
        features.to(flow.dtype),
        torch.stack(grid, dim=-1),
        "bilinear",
        padding_mode if reflects else "zeros",
        align_corners=reflects,
    )
    return sampled.to(features.dtype)


def warp_fuse(
    features: Tensor,
    flow: Tensor,
    residual: Tensor | None,
    occlusion: Tensor | None,
    attention: Tensor | None,
    target: Tensor | None,
    mask: Tensor | None,
    padding_mode: str,
    visibility: bool = False,
) -> Tensor:
    """``rfwarp::warp_fuse`` (Eq. 5 and 6)."""
    n, k = flow.shape[:2]
    moved = flow if residual is None else flow + residual
    warped = warp(features.flatten(0, 1), moved.flatten(0, 1), padding_mode).unflatten(0, (n, k))
    attention = torch.zeros_like(flow[:, :, :1]) if attention is None else attention
    m = None
    if occlusion is not None:
        m = 1 - occlusion if visibility else occlusion.sigmoid()
    if mask is not None:
        absent = ~mask[:, :, None, None, None]
        attention = attention.masked_fill(absent, -torch.inf)
        warped, m = warped.masked_fill(absent, 0), None if m is None else m.masked_fill(absent, 0)
    if m is not None:
        warped = warped * (1 - m)
        if target is not None:
            warped = warped + target[:, None] * m
    return (attention.softmax(dim=1) * warped).sum(dim=1).to(features.dtype)
