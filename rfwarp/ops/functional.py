"""The operators people call: validation in front, the registered operators behind."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def warp(features: Tensor, flow: Tensor, padding_mode: str = "zeros") -> Tensor:
    """Bilinear sample of (N, C, H, W) features at each pixel plus its (N, 2, H, W) flow."""
    height, width = features.shape[-2:]
    dtype = torch.float64 if features.dtype == torch.float64 else torch.float32
    x = torch.arange(width, device=flow.device, dtype=dtype) + flow[:, 0].to(dtype)
    y = torch.arange(height, device=flow.device, dtype=dtype)[:, None] + flow[:, 1].to(dtype)
    grid = torch.stack([(2 * x + 1) / width - 1, (2 * y + 1) / height - 1], dim=-1)
    return F.grid_sample(
        features.to(dtype), grid, padding_mode=padding_mode, align_corners=False
    ).to(features.dtype)


def warp_fuse(
    features: Tensor,
    flow: Tensor,
    residual: Tensor | None,
    occlusion: Tensor,
    attention: Tensor,
    target: Tensor,
    mask: Tensor | None = None,
    padding_mode: str = "zeros",
) -> Tensor:
    """Refined warp of K sources, blended by occlusion and attention (Eq. 5 and 6)."""
    sizes = flow.shape[:2]
    if residual is not None:
        flow = flow + residual
    warped = warp(features.flatten(0, 1), flow.flatten(0, 1), padding_mode).unflatten(0, sizes)
    attention, m = attention.to(flow.dtype), torch.sigmoid(occlusion.to(flow.dtype))
    if mask is not None:
        absent = ~mask[:, :, None, None, None]
        warped = warped.masked_fill(absent, 0)
        m = m.masked_fill(absent, 0)
        attention = attention.masked_fill(absent, -torch.inf)
    out = (attention.softmax(1) * (warped * (1 - m) + target[:, None] * m)).sum(1)
    return out.to(features.dtype)
