"""The operators in plain PyTorch, with their gradients: the specification of every other backend.

features are (N, K, C, H, W), flow (N, K, 2, H, W), logits (N, K, 1, H, W). Inside, the P = H * W
positions come first, because one two-dimensional transpose of (N*K*C, P) is PyTorch's cheapest way
to have the channels of a pixel side by side.

Sampling is a weighted sum of rows of a table. A row holds the C features of one pixel of one
source. One more row, the last, is zero: whatever must not contribute (outside of the image, not a
number, an absent source) points there, so no value of it is ever read. The transpose of such a sum
is such a sum too: the gradients need no scatter-add, and are deterministic on every device.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

_OUTSIDE = -2.0  # a coordinate both of whose neighbours lie outside of every image


class Taps(NamedTuple):
    """The four pixels around every sampled position. All are (P, N, K, 4)."""

    row: Tensor  # int64, into the table of features
    weight: Tensor
    slope_x: Tensor  # derivative of weight by the x coordinate
    slope_y: Tensor


def compute_dtype(dtype: torch.dtype) -> torch.dtype:
    """The type of coordinates, softmax, sigmoid and sums for features of a type."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def _axis_taps(
    position: Tensor, size: int, padding_mode: str
) -> list[tuple[Tensor, Tensor, Tensor, Tensor]]:
    """Index, whether it is inside, weight and slope of the lower and of the upper neighbour."""
    slope = torch.ones_like(position)
    if padding_mode == "border":
        slope = ((position > 0) & (position < size - 1)).to(position.dtype)
        position = position.clamp(0, size - 1)
    # Tested as floats, before the cast that huge values would not survive. NaN fails the test.
    reached = (position >= -1) & (position < size)
    position = position.masked_fill(~reached, _OUTSIDE)
    low = position.floor()
    fraction = position - low
    index = low.long()
    return [
        (index, (index >= 0) & (index < size), 1 - fraction, -slope),
        (index + 1, (index >= -1) & (index < size - 1), fraction, slope),
    ]


def _taps(
    flow: Tensor, residual: Tensor | None, mask: Tensor | None, padding_mode: str, shared: bool
) -> Taps:
    """Where every output pixel samples.

    Args:
        shared: the table holds the K sources once, for all of the batch.
    """
    n, k, _, height, width = flow.shape
    if residual is not None:
        flow = flow + residual
    x = flow[:, :, 0] + torch.arange(width, dtype=flow.dtype, device=flow.device)
    y = flow[:, :, 1] + torch.arange(height, dtype=flow.dtype, device=flow.device)[:, None]
    images = k if shared else n * k
    image = torch.arange(images, device=flow.device).view(images // k, k)
    row, weight, slope_x, slope_y = [], [], [], []
    columns = _axis_taps(_rows(x), width, padding_mode)
    for y_index, y_inside, y_weight, y_slope in _axis_taps(_rows(y), height, padding_mode):
        for x_index, x_inside, x_weight, x_slope in columns:
            inside = y_inside & x_inside if mask is None else y_inside & x_inside & mask
            pixel = y_index * width + x_index
            row.append(torch.where(inside, pixel * images + image, height * width * images))
            weight.append(y_weight * x_weight)
            slope_x.append(y_weight * x_slope)
            slope_y.append(y_slope * x_weight)
    return Taps(*(torch.stack(taps, dim=-1) for taps in (row, weight, slope_x, slope_y)))


def _rows(images: Tensor) -> Tensor:
    """(..., H, W) to contiguous (P, ...)."""
    *batch, height, width = images.shape
    planes = images.reshape(math.prod(batch), height * width)
    return planes.t().contiguous().view(height * width, *batch)


def _images(rows: Tensor, like: Tensor) -> Tensor:
    """(P, ...) to the shape, type and memory format of like, (..., H, W)."""
    planes = rows.reshape(rows.shape[0], rows[0].numel()).t().contiguous()
    return torch.empty_like(like).copy_(planes.view(like.shape))


def _table(features: Tensor, dtype: torch.dtype) -> Tensor:
    """(N, K, C, H, W) features as (P * N * K + 1, C) rows, the last of them zero."""
    n, k, c, height, width = features.shape
    table = features.new_empty(height * width * n * k + 1, c, dtype=dtype)
    planes = features.reshape(n * k * c, height * width)
    table[:-1].view(height * width, n * k * c).copy_(planes.t())
    table[-1] = 0
    return table


def _sum_rows(table: Tensor, row: Tensor, weight: Tensor) -> Tensor:
    """(R, C) table, (..., J) rows and weights: the (..., C) weighted sums over J."""
    taps = row.shape[-1]
    bags = row.numel() // taps
    out = F.embedding_bag(
        row.view(bags, taps), table, per_sample_weights=weight.view(bags, taps), mode="sum"
    )
    return out.view(*row.shape[:-1], table.shape[1])


def _sum_rows_transposed(grad: Tensor, row: Tensor, weight: Tensor) -> Tensor:
    """(P, N, C) gradients of sums over (P, N, K, 4) rows, to those of the (P * N * K, C) rows."""
    p, n, k, _ = row.shape
    rows = torch.arange(p * n * k, device=row.device)
    own = rows.view(p, n, k, 1)
    # Taps of the zero row would make one long sum. They go to the pixel they come from, as zeros.
    idle = row == p * n * k
    row, order = torch.where(idle, own, row).flatten().sort(stable=True)
    return F.embedding_bag(
        (own // k).expand_as(idle).flatten()[order],
        grad.flatten(0, 1),
        torch.searchsorted(row, rows),
        per_sample_weights=weight.masked_fill(idle, 0).flatten()[order],
        mode="sum",
    )


def _confidence(occlusion: Tensor, attention: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """m and softmax(a), both (P, N, K), zero for absent sources."""
    m = _rows(occlusion[:, :, 0]).sigmoid()
    attention = _rows(attention[:, :, 0])
    if mask is None:
        return m, attention.softmax(-1)
    # The second fill is for a sample without any source, whose softmax is 0 / 0.
    a = attention.masked_fill(~mask, -torch.inf).softmax(-1).masked_fill(~mask, 0)
    return m.masked_fill(~mask, 0), a


def _per_pixel(rows: Tensor, like: Tensor) -> Tensor:
    """(P, N) to (N, 1, H, W) with the H and W of like."""
    return rows.t().reshape(rows.shape[1], 1, *like.shape[-2:])


def warp(features: Tensor, flow: Tensor, padding_mode: str) -> Tensor:
    """``rfwarp::warp``: (N, C, H, W) features at every pixel plus its (N, 2, H, W) flow."""
    taps = _taps(flow[:, None], None, None, padding_mode, shared=False)
    table = _table(features[:, None], compute_dtype(features.dtype))
    return _images(_sum_rows(table, taps.row, taps.weight), features)


def warp_backward(
    grad_out: Tensor,
    features: Tensor,
    flow: Tensor,
    padding_mode: str,
    output_mask: Sequence[bool],
) -> tuple[Tensor, Tensor]:
    """``rfwarp::warp_backward``: gradients of features and flow."""
    dtype = compute_dtype(features.dtype)
    taps = _taps(flow[:, None], None, None, padding_mode, shared=False)
    grad = _rows(grad_out.to(dtype))
    grad_features, grad_flow = features.new_empty(0), flow.new_empty(0)
    if output_mask[0]:
        grad_features = _grad_features(grad, features, taps.row, taps.weight)
    if output_mask[1]:
        grad_flow = _images(_grad_position(grad, _table(features[:, None], dtype), taps), flow)
    return grad_features, grad_flow


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
    """``rfwarp::warp_fuse``: sum_k softmax_k(a) (W(f, w + r) (1 - m) + f_t m)."""
    shared = features.stride(0) == 0 and features.shape[0] > 0
    table = _table(features[:1] if shared else features, compute_dtype(features.dtype))
    taps = _taps(flow, residual, mask, padding_mode, shared)
    m, a = _confidence(occlusion, attention, mask)
    weight = taps.weight * (a * (1 - m))[..., None]
    out = _images(_sum_rows(table, taps.row.flatten(2), weight.flatten(2)), target.to(table.dtype))
    out += _per_pixel((a * m).sum(-1), target) * target
    return torch.empty_like(target).copy_(out)


def warp_fuse_backward(
    grad_out: Tensor,
    features: Tensor,
    flow: Tensor,
    residual: Tensor | None,
    occlusion: Tensor,
    attention: Tensor,
    target: Tensor,
    mask: Tensor | None,
    padding_mode: str,
    output_mask: Sequence[bool],
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """``rfwarp::warp_fuse_backward``: gradients of features, flow, occlusion, attention, target.

    The gradient of the residual is that of the flow.
    """
    wants_features, wants_flow, wants_occlusion, wants_attention, wants_target = output_mask
    grad_features, grad_flow, grad_occlusion, grad_attention, grad_target = (
        x.new_empty(0) for x in (features, flow, occlusion, attention, target)
    )
    taps = _taps(flow, residual, mask, padding_mode, shared=False)
    m, a = _confidence(occlusion, attention, mask)
    visible = a * (1 - m)
    grad_out = grad_out.to(m.dtype)
    grad = _rows(grad_out)
    if wants_features:
        weight = taps.weight * visible[..., None]
        grad_features = _grad_features(grad, features, taps.row, weight)
    if wants_target:
        by_target = grad_out * _per_pixel((a * m).sum(-1), target)
        grad_target = torch.empty_like(target).copy_(by_target)
    if wants_flow or wants_occlusion or wants_attention:
        table = _table(features, m.dtype)
    if wants_flow:
        by_position = _grad_position(grad, table, taps) * visible[..., None]
        grad_flow = _images(by_position, flow)
    if wants_occlusion or wants_attention:
        sample = _dot(_sum_rows(table, taps.row, taps.weight), grad)
        own = _rows((grad_out * target).sum(1))[..., None]
        value = sample * (1 - m) + own * m
        if wants_occlusion:
            grad_occlusion = _images(a * (own - sample) * m * (1 - m), occlusion)
        if wants_attention:
            mean = (a * value).sum(-1, keepdim=True)
            grad_attention = _images(a * (value - mean), attention)
    return grad_features, grad_flow, grad_occlusion, grad_attention, grad_target


def _grad_features(grad: Tensor, features: Tensor, row: Tensor, weight: Tensor) -> Tensor:
    p, n, k, _ = weight.shape
    out = _sum_rows_transposed(grad, row, weight)
    return _images(out.view(p, n * k, grad.shape[-1]), features)


def _grad_position(grad: Tensor, table: Tensor, taps: Taps) -> Tensor:
    """(P, N, K, 2): how the sampled values, each times its gradient, change with x and y."""
    slopes = (taps.slope_x, taps.slope_y)
    return torch.stack([_dot(_sum_rows(table, taps.row, s), grad) for s in slopes], dim=-1)


def _dot(samples: Tensor, grad: Tensor) -> Tensor:
    """(P, N, K, C), which is overwritten, and (P, N, C) to (P, N, K)."""
    return samples.mul_(grad[:, :, None]).sum(-1)
