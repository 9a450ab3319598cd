"""The Gaussian sampler of the sampling-correctness loss (Ren 2019)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def gaussian_sample(features: Tensor, flow: Tensor, size: int = 4, sigma: float = 2.0) -> Tensor:
    """Sample with a normalised Gaussian window instead of a bilinear one.

    The gradient of a bilinear sampler knows four pixels, and the sampling-correctness loss is
    reported not to converge with it; this window of ``size`` x ``size`` pixels sees further.
    The price: it blurs, and as an even window cannot be centred on a whole pixel, its centre of
    mass is off by up to 0.36 pixels there, and right halfway between two.

    ``out[l] = sum_m w_m f[m] / sum_m w_m``, ``w_m = exp(-|m - l - flow[l]|^2 / (2 sigma^2))``,
    over the window m from ``floor(l + flow[l]) - size / 2 + 1`` on. Differentiable by both.

    Args:
        features: (N, C, H, W).
        flow: (N, 2, H, W) of the same type in pixels, channel 0 = x. Indices outside the image are
            clamped to it. Where the flow is not finite, so is the result.

    Returns:
        (N, C, H, W).
    """
    n, c, h, w = features.shape
    y = torch.arange(h, device=flow.device, dtype=flow.dtype)[:, None] + flow[:, 1]
    x = torch.arange(w, device=flow.device, dtype=flow.dtype) + flow[:, 0]
    rows, weights_y = _window(y, h, size, sigma)
    columns, weights_x = _window(x, w, size, sigma)
    first = torch.arange(n, device=flow.device).view(n, 1, 1, 1, 1) * (h * w)
    index = first + rows[..., :, None] * w + columns[..., None, :]
    weights = weights_y[..., :, None] * weights_x[..., None, :]
    # One weighted sum of rows for every position: no window of features is ever stored.
    sampled = F.embedding_bag(
        index.view(n * h * w, size * size),
        features.movedim(1, -1).reshape(n * h * w, c),
        per_sample_weights=weights.reshape(n * h * w, size * size),
        mode="sum",
    )
    return sampled.view(n, h, w, c).movedim(-1, 1).contiguous()


def _window(at: Tensor, length: int, size: int, sigma: float) -> tuple[Tensor, Tensor]:
    """Clamped indices and weights, both (..., size), of the window around positions ``at``."""
    # A NaN must not become an index; it goes on through the weights.
    start = at.detach().floor().nan_to_num(0.0) - (size // 2 - 1)
    taps = start[..., None] + torch.arange(size, device=at.device, dtype=at.dtype)
    weights = torch.exp(-((taps - at[..., None]) ** 2) / (2 * sigma**2))
    return taps.clamp(0, length - 1).long(), weights / weights.sum(dim=-1, keepdim=True)
