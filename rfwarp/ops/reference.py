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
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

_OUTSIDE = -2.0  # a coordinate both of whose neighbours lie outside of every image


class Taps(NamedTuple):
    """The 2^A pixels around every sampled position of an image of A axes."""

    row: Tensor  # (P, N, K, 2^A) int64, into the table of features
    weight: Tensor  # (P, N, K, 2^A)
    slopes: tuple[Tensor, ...]  # its derivatives by the A coordinates, x first
    own: Tensor  # (P, N, K, 1): the rows of the output's pixels themselves
    rows: int  # of the table, without the last one


def compute_dtype(dtype: torch.dtype) -> torch.dtype:
    """The type of coordinates, softmax, sigmoid and sums for features of a type."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def _axis_taps(
    position: Tensor, size: int, padding_mode: str
) -> list[tuple[Tensor, Tensor, Tensor, Tensor]]:
    """Index, whether it is inside, weight and slope of the lower and of the upper neighbour."""
    slope = torch.ones_like(position)
    if padding_mode == "reflection":
        position, slope = _reflect(position, size - 1)
    elif padding_mode == "border":
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


def _reflect(position: Tensor, last: int) -> tuple[Tensor, Tensor]:
    """The coordinate in [0, last], NaN where it was not finite, and its derivative."""
    distance = position.abs()
    distance = distance.fmod(2 * last) if last > 0 else distance * 0
    back = distance > last
    reflected = torch.where(back, 2 * last - distance, distance)
    slope = torch.where((position < 0) ^ back, -1.0, 1.0).to(position.dtype)
    return reflected, slope.masked_fill((reflected <= 0) | (reflected >= last), 0)


def _taps(flow: Tensor, mask: Tensor | None, padding_mode: str, images: int, share: int) -> Taps:
    """The taps of every output pixel.

    Args:
        flow: (N, K, A, ...), x first among the channels, and last of the A axes.
        images: in the table. Of the N * K flows, numbered in this order and beginning anew after
            the last image, `share` neighbours sample the same one.
    """
    n, k, axes, *size = flow.shape
    image = torch.arange(n * k, device=flow.device).view(n, k) // share % max(images, 1)
    # Pixel, whether it is inside, weight and the weight's derivatives, of all corners.
    corners: list[tuple[Any, Any, Any, tuple[Any, ...]]] = [(0, True, 1, ())]
    pixels = 1
    for axis in range(axes):
        length = size[-1 - axis]
        steps = torch.arange(length, dtype=flow.dtype, device=flow.device)
        position = flow[:, :, axis] + steps.view(-1, *[1] * axis)
        corners = [
            (
                pixel + index * pixels,
                within & inside,
                other * weight,
                (*(slope * weight for slope in slopes), other * change),
            )
            for index, inside, weight, change in _axis_taps(
                _rows(position.flatten(2)[..., None]), length, padding_mode
            )
            for pixel, within, other, slopes in corners
        ]
        pixels *= length
    row, weight, *slopes = (
        torch.stack(taps, dim=-1)
        for taps in zip(
            *(
                (
                    torch.where(
                        inside if mask is None else inside & mask,
                        pixel * images + image,
                        pixels * images,
                    ),
                    weight,
                    *slopes,
                )
                for pixel, inside, weight, slopes in corners
            ),
            strict=True,
        )
    )
    every = torch.arange(pixels, device=flow.device)[:, None, None]
    return Taps(row, weight, tuple(slopes), (every * images + image)[..., None], pixels * images)


def _rows(images: Tensor) -> Tensor:
    """(..., H, W) to contiguous (P, ...)."""
    *batch, height, width = images.shape
    planes = images.reshape(math.prod(batch), height * width)
    return planes.t().contiguous().view(height * width, *batch)


def _images(rows: Tensor, like: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """(P, ...) to the shape, memory format and, if none is given, type of like, (..., H, W)."""
    planes = rows.reshape(rows.shape[0], rows[0].numel()).t().contiguous()
    return torch.empty_like(like, dtype=dtype).copy_(planes.view(like.shape))


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


def _sum_rows_transposed(grad: Tensor, taps: Taps, weight: Tensor) -> Tensor:
    """(P, N, C) gradients of sums over rows, to those of the rows of the table, (P, R / P, C)."""
    p, n, *_ = taps.row.shape
    # Taps of the zero row would make one long sum. They go to the pixel they come from, as zeros.
    idle = taps.row == taps.rows
    row, order = torch.where(idle, taps.own, taps.row).flatten().sort(stable=True)
    bag = torch.arange(p * n, device=row.device).view(p, n, 1, 1)
    out = F.embedding_bag(
        bag.expand_as(idle).flatten()[order],
        grad.flatten(0, 1),
        torch.searchsorted(row, torch.arange(taps.rows, device=row.device)),
        per_sample_weights=weight.masked_fill(idle, 0).flatten()[order],
        mode="sum",
    )
    return out.view(p, taps.rows // p, grad.shape[-1])


def _confidence(
    flow: Tensor,
    occlusion: Tensor | None,
    attention: Tensor | None,
    mask: Tensor | None,
    visibility: bool,
) -> tuple[Tensor, Tensor]:
    """m and softmax(a), both (P, N, K), zero for absent sources."""
    n, k, _, height, width = flow.shape
    nothing = flow.new_zeros(()).expand(height * width, n, k)
    attention = nothing if attention is None else _rows(attention[:, :, 0])
    if occlusion is None:
        m = nothing
    else:
        m = _rows(occlusion[:, :, 0])
        m = 1 - m if visibility else m.sigmoid()
    if mask is None:
        return m, attention.softmax(-1)
    # The second fill is for a sample without any source, whose softmax is 0 / 0.
    a = attention.masked_fill(~mask, -torch.inf).softmax(-1).masked_fill(~mask, 0)
    return m.masked_fill(~mask, 0), a


def _per_pixel(rows: Tensor, like: Tensor) -> Tensor:
    """(P, N) to (N, 1, H, W) with the H and W of like."""
    return rows.t().reshape(rows.shape[1], 1, *like.shape[-2:])


def empty_warped(features: Tensor, samples: int) -> Tensor:
    """The output of ``rfwarp::warp`` for so many samples of flow, laid out as features are."""
    if samples == features.shape[0]:
        return torch.empty_like(features)
    _, c, *size = features.shape
    if c == 1 or features.stride(1) != 1:
        return features.new_empty(samples, c, *size)
    return features.new_empty(samples, *size, c).movedim(-1, 1)


def _in_one_row(images: Tensor) -> Tensor:
    """(N, C, ...) to (N, C, P, 1): images and volumes alike."""
    return images.flatten(2)[..., None]


def _warp_taps(features: Tensor, flow: Tensor, padding_mode: str) -> Taps:
    samples = features.shape[0]
    return _taps(flow[:, None], None, padding_mode, samples, flow.shape[0] // max(samples, 1) or 1)


def warp(features: Tensor, flow: Tensor, padding_mode: str) -> Tensor:
    """``rfwarp::warp``: features at every pixel plus its flow."""
    taps = _warp_taps(features, flow, padding_mode)
    table = _table(_in_one_row(features)[:, None], compute_dtype(features.dtype))
    return _images(_sum_rows(table, taps.row, taps.weight), empty_warped(features, flow.shape[0]))


def warp_backward(
    grad_out: Tensor,
    features: Tensor,
    flow: Tensor,
    padding_mode: str,
    output_mask: Sequence[bool],
) -> tuple[Tensor, Tensor]:
    """``rfwarp::warp_backward``: gradients of features and flow."""
    dtype = compute_dtype(features.dtype)
    taps = _warp_taps(features, flow, padding_mode)
    grad = _rows(_in_one_row(grad_out.to(dtype)))
    grad_features, grad_flow = features.new_empty(0), flow.new_empty(0)
    if output_mask[0]:
        grad_features = _images(_sum_rows_transposed(grad, taps, taps.weight), features)
    if output_mask[1]:
        table = _table(_in_one_row(features)[:, None], dtype)
        grad_flow = _images(_grad_position(grad, table, taps), flow)
    return grad_features, grad_flow


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
    """``rfwarp::warp_fuse``: sum_k softmax_k(a) (W(f, w + r) (1 - m) + f_t m).

    Without occlusion m is 0, without attention a is, and without target f_t.
    """
    like = features[:, 0] if target is None else target
    if features.stride(0) == 0 and features.shape[0] > 0:
        features = features[:1]  # of a batch of one set of sources
    table = _table(features, compute_dtype(features.dtype))
    images = features.shape[0] * features.shape[1]
    taps = _taps(_moved(flow, residual), mask, padding_mode, images, 1)
    m, a = _confidence(flow, occlusion, attention, mask, visibility)
    weight = taps.weight * (a * (1 - m))[..., None]
    out = _images(_sum_rows(table, taps.row.flatten(2), weight.flatten(2)), like, table.dtype)
    if target is not None:
        out += _per_pixel((a * m).sum(-1), target) * target
    return torch.empty_like(like).copy_(out)


def warp_fuse_with_warped(
    features: Tensor,
    flow: Tensor,
    residual: Tensor | None,
    occlusion: Tensor | None,
    attention: Tensor | None,
    target: Tensor | None,
    mask: Tensor | None,
    padding_mode: str,
    visibility: bool = False,
) -> tuple[Tensor, Tensor]:
    """``rfwarp::warp_fuse_with_warped``: `warp_fuse`, and W(f, w + r) of every source."""
    table = _table(features, compute_dtype(features.dtype))
    taps = _taps(_moved(flow, residual), mask, padding_mode, flow.shape[0] * flow.shape[1], 1)
    m, a = _confidence(flow, occlusion, attention, mask, visibility)
    samples = _sum_rows(table, taps.row, taps.weight)
    like = features[:, 0] if target is None else target
    out = _images((samples * (a * (1 - m))[..., None]).sum(2), like, table.dtype)
    if target is not None:
        out += _per_pixel((a * m).sum(-1), target) * target
    return torch.empty_like(like).copy_(out), _images(samples, features)


def warp_fuse_backward(
    grad_out: Tensor,
    features: Tensor,
    flow: Tensor,
    residual: Tensor | None,
    occlusion: Tensor | None,
    attention: Tensor | None,
    target: Tensor | None,
    mask: Tensor | None,
    padding_mode: str,
    output_mask: Sequence[bool],
    visibility: bool = False,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """``rfwarp::warp_fuse_backward``: gradients of features, flow, occlusion, attention, target.

    The gradient of the residual is that of the flow.
    """
    wants_features, wants_flow, wants_occlusion, wants_attention, wants_target = output_mask
    grad_features, grad_target = (features.new_empty(0) for _ in range(2))
    grad_flow, grad_occlusion, grad_attention = (flow.new_empty(0) for _ in range(3))
    taps = _taps(_moved(flow, residual), mask, padding_mode, flow.shape[0] * flow.shape[1], 1)
    m, a = _confidence(flow, occlusion, attention, mask, visibility)
    visible = a * (1 - m)
    grad_out = grad_out.to(m.dtype)
    grad = _rows(grad_out)
    if wants_features:
        weight = taps.weight * visible[..., None]
        grad_features = _images(_sum_rows_transposed(grad, taps, weight), features)
    if wants_target:
        assert target is not None
        by_target = grad_out * _per_pixel((a * m).sum(-1), target)
        grad_target = torch.empty_like(target).copy_(by_target)
    if wants_flow or wants_occlusion or wants_attention:
        table = _table(features, m.dtype)
    if wants_flow:
        by_position = _grad_position(grad, table, taps) * visible[..., None]
        grad_flow = _images(by_position, flow)
    if wants_occlusion or wants_attention:
        sample = _dot(_sum_rows(table, taps.row, taps.weight), grad)
        own = torch.zeros_like(sample[..., :1])
        if target is not None:
            own = _rows((grad_out * target).sum(1))[..., None]
        value = sample * (1 - m) + own * m
        if wants_occlusion:
            assert occlusion is not None
            by_m = a * (own - sample)
            grad_occlusion = _images(-by_m if visibility else by_m * m * (1 - m), occlusion)
        if wants_attention:
            assert attention is not None
            mean = (a * value).sum(-1, keepdim=True)
            grad_attention = _images(a * (value - mean), attention)
    return grad_features, grad_flow, grad_occlusion, grad_attention, grad_target


def _grad_position(grad: Tensor, table: Tensor, taps: Taps) -> Tensor:
    """(P, N, K, A): how the sampled values, each times its gradient, change with the position."""
    return torch.stack([_dot(_sum_rows(table, taps.row, s), grad) for s in taps.slopes], dim=-1)


def _moved(flow: Tensor, residual: Tensor | None) -> Tensor:
    return flow if residual is None else flow + residual


def _dot(samples: Tensor, grad: Tensor) -> Tensor:
    """(P, N, K, C), which is overwritten, and (P, N, C) to (P, N, K)."""
    return samples.mul_(grad[:, :, None]).sum(-1)
