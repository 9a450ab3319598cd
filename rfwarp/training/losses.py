"""The losses of Eq. 7-9 that need no discriminator and no downloaded network."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

EPSILON = 1e-8


def gaussian_sample(features: Tensor, flow: Tensor, size: int = 4, sigma: float = 2.0) -> Tensor:
    """Sample with a normalised Gaussian window instead of a bilinear one.

    The bilinear sampler sees one pixel around it, and its gradient is reported not to make the
    sampling-correctness loss converge (Ren 2019); this window of ``size`` x ``size`` pixels does.

    Args:
        features: (N, C, H, W).
        flow: (N, 2, H, W) in pixels, channel 0 = x. Indices outside are clamped to the border.

    Returns:
        (N, C, H, W): sum of the window's features, weighted by exp(-d^2 / (2 sigma^2)) / sum.
    """
    n, c, h, w = features.shape
    y = torch.arange(h, device=flow.device, dtype=flow.dtype)[:, None] + flow[:, 1]
    x = torch.arange(w, device=flow.device, dtype=flow.dtype) + flow[:, 0]
    # A NaN flow gives NaN, through its weights, but must not become an index.
    x0, y0 = x.detach().floor().nan_to_num(0.0), y.detach().floor().nan_to_num(0.0)
    taps = [offset - (size // 2 - 1) for offset in range(size)]
    wx = torch.stack([torch.exp(-((x0 + t - x) ** 2) / (2 * sigma**2)) for t in taps])
    wy = torch.stack([torch.exp(-((y0 + t - y) ** 2) / (2 * sigma**2)) for t in taps])
    wx, wy = wx / wx.sum(0), wy / wy.sum(0)
    flat = features.flatten(2)
    out = torch.zeros_like(features)
    for i, ty in enumerate(taps):
        row = (y0 + ty).clamp(0, h - 1).long() * w
        for j, tx in enumerate(taps):
            index = (row + (x0 + tx).clamp(0, w - 1).long()).view(n, 1, h * w).expand(-1, c, -1)
            out = out + (wy[i] * wx[j])[:, None] * flat.gather(2, index).view(n, c, h, w)
    return out


def best_match(source: Tensor, target: Tensor, chunk: int = 1024) -> Tensor:
    """``mu``: for every target position the largest cosine to any source position, (N, H*W).

    The (HW)^2 similarities are made ``chunk`` target positions at a time, to bound the memory.
    Both (N, C, H, W); cosines use L2 norms + 1e-8.
    """
    s = source.flatten(2) / (source.flatten(2).norm(dim=1, keepdim=True) + EPSILON)
    t = target.flatten(2) / (target.flatten(2).norm(dim=1, keepdim=True) + EPSILON)
    parts = [(part.transpose(1, 2) @ s).amax(dim=2) for part in t.split(chunk, dim=2)]
    return torch.cat(parts, dim=1)


def sampling_correctness(
    source: Tensor, target: Tensor, flow: Tensor, sampler: str = "gaussian"
) -> Tensor:
    """Sampling correctness loss (Ren 2019) at one level: does the flow sample similar features?

    ``mean_l exp(-cos(W(s)_l, t_l) / (mu_l + 1e-8)) - 1/e``, 0 where every position finds its best
    match. The gradient goes to the flow only.

    Args:
        source, target: features (N, C, H, W).
        flow: (N, 2, H, W) in pixels of this level.
    """
    if sampler != "gaussian":
        raise ValueError(f"sampler must be gaussian, got {sampler!r}")
    source, target = source.detach(), target.detach()
    warped = gaussian_sample(source, flow)
    norms = (warped.norm(dim=1) + EPSILON) * (target.norm(dim=1) + EPSILON)
    cosine = ((warped * target).sum(dim=1) / norms).flatten(1)
    mu = best_match(source, target)
    return torch.exp(-cosine / (mu + EPSILON)).mean() - math.exp(-1)


def affine_regularisation(flow: Tensor, size: int) -> Tensor:
    """Affine regularisation (Ren 2020) at one level: is the flow locally an affine map?

    ``||(I - A (A'A)^-1 A') x||^2`` over every ``size`` x ``size`` window (stride 1) of absolute
    coordinates x, A = [row, col, 1]; summed over both coordinates, mean over windows. A level
    smaller than the window has none, and costs 0.

    Args:
        flow: (N, 2, H, W) in pixels of this level.
    """
    n, _, h, w = flow.shape
    if min(h, w) < size:
        return flow.sum() * 0
    rows, cols = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    a = torch.stack([rows.flatten(), cols.flatten(), torch.ones(size * size)], dim=1).double()
    projector = torch.eye(size * size, dtype=torch.float64) - a @ torch.linalg.pinv(a)
    # The grid itself is affine, so the residual of (grid + flow) is that of the flow.
    windows = F.unfold(flow.reshape(2 * n, 1, h, w), size)
    residual = projector.to(flow) @ windows
    return 2 * residual.square().sum(dim=1).mean()


def perceptual(generated: Sequence[Tensor], real: Sequence[Tensor]) -> Tensor:
    """Perceptual loss (Eq. 9): mean absolute difference of feature maps, summed over the maps."""
    differences = [F.l1_loss(g, r.detach()) for g, r in zip(generated, real, strict=True)]
    return torch.stack(differences).sum()


def style(generated: Sequence[Tensor], real: Sequence[Tensor]) -> Tensor:
    """Mean absolute difference of Gram matrices / (C H W), summed over the maps."""

    def gram(x: Tensor) -> Tensor:
        flat = x.flatten(2)
        return flat @ flat.transpose(1, 2) / (flat.shape[1] * flat.shape[2])

    pairs = zip(generated, real, strict=True)
    return torch.stack([F.l1_loss(gram(g), gram(r.detach())) for g, r in pairs]).sum()


def adversarial_discriminator(real_logits: Tensor, fake_logits: Tensor, kind: str) -> Tensor:
    """The discriminator's side of Eq. 11."""
    if kind == "least-squares":
        return (real_logits - 1).square().mean() + fake_logits.square().mean()
    return F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean()


def adversarial_generator(fake_logits: Tensor, kind: str) -> Tensor:
    """The generator's side of Eq. 11, non-saturating."""
    if kind == "least-squares":
        return (fake_logits - 1).square().mean()
    return F.softplus(-fake_logits).mean()
