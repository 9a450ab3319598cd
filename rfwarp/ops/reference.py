"""The operators in plain PyTorch, with their gradients: the specification of every other backend.

Shapes: features (N, K, C, H, W), flow (N, K, 2, H, W), logits (N, K, 1, H, W). P = H * W positions.
Sampling is written as a weighted sum of rows of a table. A row holds the C features of one pixel,
and one more row, the last, is zero: whatever must not contribute (outside of the image, not a
number, an absent source) points there, so that no value of it is ever read. The transpose of such a
sum is such a sum, too; gradients are therefore free of scatter-adds and deterministic everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

_OUTSIDE = -2.0  # a coordinate both of whose neighbours lie outside of every image


class Taps(NamedTuple):
    """The four pixels around every sampled position. All are (N, K, P, 4)."""

    row: Tensor  # int64, into the table of features
    weight: Tensor
    slope_x: Tensor  # derivative of weight by the x coordinate
    slope_y: Tensor


def compute_dtype(dtype: torch.dtype) -> torch.dtype:
    """The type of coordinates, softmax, sigmoid and sums for features of a type."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def _axis_taps(
    position: Tensor, size: int, padding_mode: str
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Index, whether it is inside, weight and slope of both neighbours of (...) positions."""
    moving = torch.ones_like(position)
    if padding_mode == "border":
        moving = ((position > 0) & (position < size - 1)).to(position.dtype)
        position = position.clamp(0, size - 1)
    # Tested as floats, before the cast that huge values would not survive. NaN fails the test.
    reached = (position >= -1) & (position < size)
    position = position.masked_fill(~reached, _OUTSIDE)
    low = position.floor()
    fraction = position - low
    index = torch.stack([low, low + 1], dim=-1).long()
    inside = (index >= 0) & (index < size)
    weight = torch.stack([1 - fraction, fraction], dim=-1)
    slope = torch.stack([-moving, moving], dim=-1)
    return index, inside, weight, slope


def _outer(a: Tensor, b: Tensor) -> Tensor:
    """(..., 2) and (..., 2) to (..., 4)."""
    return (a[..., :, None] * b[..., None, :]).flatten(-2)


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
    x_index, x_inside, x_weight, x_slope = _axis_taps(x.flatten(2), width, padding_mode)
    y_index, y_inside, y_weight, y_slope = _axis_taps(y.flatten(2), height, padding_mode)
    pixel = (y_index[..., :, None] * width + x_index[..., None, :]).flatten(-2)
    inside = (y_inside[..., :, None] & x_inside[..., None, :]).flatten(-2)
    if mask is not None:
        inside = inside & mask[:, :, None, None]
    images = k if shared else n * k
    first = torch.arange(images, device=flow.device).view(-1, k, 1, 1) * (height * width)
    return Taps(
        row=torch.where(inside, first + pixel, images * height * width),
        weight=_outer(y_weight, x_weight),
        slope_x=_outer(y_weight, x_slope),
        slope_y=_outer(y_slope, x_weight),
    )


def _table(features: Tensor, dtype: torch.dtype) -> Tensor:
    """(N, K, C, H, W) features as (N * K * P + 1, C) rows, the last of them zero."""
    n, k, c, height, width = features.shape
    table = features.new_empty(n * k * height * width + 1, c, dtype=dtype)
    table[:-1].view(n, k, height, width, c).copy_(features.permute(0, 1, 3, 4, 2))
    table[-1] = 0
    return table


def _sum_rows(table: Tensor, row: Tensor, weight: Tensor) -> Tensor:
    """(R, C) table, (..., J) rows and weights: the (..., C) weighted sums over J."""
    taps = row.shape[-1]
    out = F.embedding_bag(
        row.reshape(-1, taps), table, per_sample_weights=weight.reshape(-1, taps), mode="sum"
    )
    return out.view(*row.shape[:-1], table.shape[1])


def _sum_rows_transposed(grad: Tensor, row: Tensor, weight: Tensor, rows: int) -> Tensor:
    """The gradient of the table in ``_sum_rows``, (rows, C), with the sums over K and 4 as J.

    Args:
        grad: (N, P, C), gradient of the sums.
        row, weight: (N, K, P, 4).
    """
    n, k, p, taps = row.shape
    row, order = row.flatten().sort(stable=True)
    source = torch.arange(n * p, device=row.device).view(n, 1, p, 1).expand(n, k, p, taps).flatten()
    starts = torch.searchsorted(row, torch.arange(rows, device=row.device))
    return F.embedding_bag(
        source[order],
        grad.flatten(0, 1),
        starts,
        per_sample_weights=weight.flatten()[order],
        mode="sum",
    )


def _pixels_last(images: Tensor, dtype: torch.dtype) -> Tensor:
    """(N, C, H, W) to contiguous (N, P, C)."""
    return images.flatten(2).transpose(1, 2).to(dtype).contiguous()


def _like(pixels: Tensor, images: Tensor) -> Tensor:
    """(..., P, C) values with the (..., C, H, W) shape, type and memory format of images."""
    values = pixels.transpose(-1, -2).unflatten(-1, images.shape[-2:])
    return torch.empty_like(images).copy_(values)


def _confidence(occlusion: Tensor, attention: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """m and softmax(a), both (N, K, P), zero for absent sources."""
    m = occlusion.flatten(2).sigmoid()
    attention = attention.flatten(2)
    if mask is None:
        return m, attention.softmax(1)
    absent = ~mask[:, :, None]
    # The second fill is for a sample without any source, whose softmax is 0 / 0.
    a = attention.masked_fill(absent, -torch.inf).softmax(1).masked_fill(absent, 0)
    return m.masked_fill(absent, 0), a


def warp(features: Tensor, flow: Tensor, padding_mode: str) -> Tensor:
    """``rfwarp::warp``: (N, C, H, W) features at every pixel plus its (N, 2, H, W) flow."""
    taps = _taps(flow[:, None], None, None, padding_mode, shared=False)
    table = _table(features[:, None], compute_dtype(features.dtype))
    return _like(_sum_rows(table, taps.row, taps.weight)[:, 0], features)


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
    grad = _pixels_last(grad_out, dtype)
    grad_features, grad_flow = features.new_empty(0), flow.new_empty(0)
    if output_mask[0]:
        grad_features = _grad_features(grad, features[:, None], taps, taps.weight)[:, 0]
    if output_mask[1]:
        table = _table(features[:, None], dtype)
        grad_flow = _grad_flow(grad, table, taps, flow[:, None])[:, 0]
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
    dtype = compute_dtype(features.dtype)
    shared = features.stride(0) == 0 and features.shape[0] > 0
    taps = _taps(flow, residual, mask, padding_mode, shared)
    m, a = _confidence(occlusion, attention, mask)
    weight = taps.weight * (a * (1 - m))[..., None]
    out = _sum_rows(
        _table(features[:1] if shared else features, dtype),
        taps.row.transpose(1, 2).flatten(2),
        weight.transpose(1, 2).flatten(2),
    )
    out += (a * m).sum(1)[..., None] * target.flatten(2).transpose(1, 2)
    return _like(out, target)


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
    dtype = compute_dtype(features.dtype)
    wants_features, wants_flow, wants_occlusion, wants_attention, wants_target = output_mask
    taps = _taps(flow, residual, mask, padding_mode, shared=False)
    m, a = _confidence(occlusion, attention, mask)
    visible = a * (1 - m)
    grad = _pixels_last(grad_out, dtype)
    grads = [x.new_empty(0) for x in (features, flow, occlusion, attention, target)]

    if wants_features:
        weight = taps.weight * visible[..., None]
        grads[0] = _grad_features(grad, features, taps, weight)
    if wants_target:
        grads[4] = _like(grad * (a * m).sum(1)[..., None], target)
    if not (wants_flow or wants_occlusion or wants_attention):
        return tuple(grads)
    table = _table(features, dtype)
    if wants_flow:
        grads[1] = _grad_flow(grad, table, taps, flow) * visible.view_as(occlusion)
    if wants_occlusion or wants_attention:
        by_target = (grad * target.flatten(2).transpose(1, 2)).sum(-1)[:, None]
        by_sample = _dot(_sum_rows(table, taps.row, taps.weight), grad)
        value = by_sample * (1 - m) + by_target * m
        if wants_occlusion:
            grads[2] = (a * (by_target - by_sample) * m * (1 - m)).view_as(occlusion)
        if wants_attention:
            grads[3] = (a * (value - (a * value).sum(1, keepdim=True))).view_as(attention)
    return tuple(grads)


def _dot(samples: Tensor, grad: Tensor) -> Tensor:
    """(N, K, P, C), which is overwritten, and (N, P, C) to (N, K, P)."""
    return samples.mul_(grad[:, None]).sum(-1)


def _grad_features(grad: Tensor, features: Tensor, taps: Taps, weight: Tensor) -> Tensor:
    n, k, _, height, width = features.shape
    rows = n * k * height * width + 1
    out = _sum_rows_transposed(grad, taps.row, weight, rows)[:-1]
    return _like(out.view(n, k, height * width, -1), features)


def _grad_flow(grad: Tensor, table: Tensor, taps: Taps, flow: Tensor) -> Tensor:
    slopes = (taps.slope_x, taps.slope_y)
    by_axis = [_dot(_sum_rows(table, taps.row, slope), grad) for slope in slopes]
    return torch.stack(by_axis, dim=2).view_as(flow)
