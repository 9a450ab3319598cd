"""Joints as Gaussian heatmaps, one channel each."""

from __future__ import annotations

import torch
from torch import Tensor

SIGMA = 6.0
"""Standard deviation in pixels in an image 256 pixels high; it grows with the height."""


def keypoint_heatmaps(points: Tensor, height: int, width: int) -> Tensor:
    """``exp(-((u - x)^2 + (v - y)^2) / (2 s^2))`` at the pixel in column u and row v, with
    ``s = SIGMA height / 256``; all zero for a missing joint.

    Args:
        points: (..., J, 3) of any real dtype: x and y in pixels of an image of that size, whole
            numbers being centres of pixels, and the joint's presence: 0 for missing, whatever
            its x and y, else 1. Joints outside the image are allowed.

    Returns:
        (..., J, height, width) float32 on the device of ``points``.

    Raises:
        ValueError: if ``points`` is not (..., J, 3).

    Example:
        >>> import torch
        >>> from rfwarp.poses import keypoint_heatmaps
        >>> maps = keypoint_heatmaps(torch.tensor([[20.0, 10.0, 1.0]]), height=64, width=48)
        >>> maps.shape, maps[0, 10, 20].item()
        (torch.Size([1, 64, 48]), 1.0)
    """
    if points.ndim < 2 or points.shape[-1] != 3:
        raise ValueError(f"points must be (..., J, 3), got {tuple(points.shape)}")
    x, y, present = points.float().unbind(-1)
    missing = present == 0
    x, y = x.masked_fill(missing, 0), y.masked_fill(missing, 0)  # NaN times 0 would be NaN
    sigma = SIGMA * height / 256

    def bump(centre: Tensor, size: int) -> Tensor:
        axis = torch.arange(size, dtype=torch.float32, device=points.device)
        return torch.exp(-0.5 * ((axis - centre[..., None]) / sigma).square())

    # The Gaussian is a product, so that the exponentials number H + W for a joint, not H W.
    rows = bump(y, height).masked_fill(missing[..., None], 0)
    return rows[..., :, None] * bump(x, width)[..., None, :]


def keypoints_from_heatmaps(maps: Tensor, threshold: float = 0.1) -> Tensor:
    """The joints that :func:`keypoint_heatmaps` drew.

    The logarithm of a Gaussian is a parabola, which three of its values determine. So positions are
    exact for such maps up to rounding, also of joints in or beyond the border. In other maps the
    position is that of the highest value, give or take a pixel.

    Args:
        maps: (..., J, H, W) of any floating dtype; images of at least 16 pixels, as in smaller
            ones a Gaussian can fall between the pixels.
        threshold: a joint whose highest value is no more than that is missing.

    Returns:
        (..., J, 3), float32 at least: x and y in pixels and 1 for a present joint; zeros for a
        missing one.

    Raises:
        ValueError: if a side is shorter than three pixels.

    Example:
        >>> import torch
        >>> from rfwarp.poses import keypoint_heatmaps, keypoints_from_heatmaps
        >>> maps = keypoint_heatmaps(torch.tensor([[20.25, 10.5, 1.0], [0.0, 0.0, 0.0]]), 64, 48)
        >>> keypoints_from_heatmaps(maps).round(decimals=2)
        tensor([[20.2500, 10.5000,  1.0000],
                [ 0.0000,  0.0000,  0.0000]])
    """
    height, width = maps.shape[-2:]
    if min(height, width) < 3:
        raise ValueError(f"joints need heatmaps of at least 3 x 3 pixels, got {height} x {width}")
    maps = maps.to(torch.promote_types(maps.dtype, torch.float32))
    sigma = SIGMA * height / 256
    flat = maps.flatten(-2)
    peak, index = flat.max(-1)
    row, column = index // width, index % width
    lines = (
        (column, width, maps.gather(-2, _along(row, width)).squeeze(-2)),
        (row, height, maps.gather(-1, _down(column, height)).squeeze(-1)),
    )
    places = [_summit(line, top, size, sigma) for top, size, line in lines]
    present = (peak > threshold).to(maps.dtype)
    points = torch.stack([*places, torch.ones_like(peak)], -1)
    return torch.where(present[..., None] > 0, points, torch.zeros_like(points))


def _along(row: Tensor, width: int) -> Tensor:
    return row[..., None, None].expand(*row.shape, 1, width)


def _down(column: Tensor, height: int) -> Tensor:
    return column[..., None, None].expand(*column.shape, height, 1)


def _summit(line: Tensor, top: Tensor, size: int, sigma: float) -> Tensor:
    """Vertex of the parabola through the logarithm of (..., size) around the index ``top`` of its
    highest value."""
    step = max(1, min(round(sigma), (size - 1) // 2))  # wide, so that rounding matters little
    middle = top.clamp(step, size - 1 - step)
    three = torch.stack([middle - step, middle, middle + step], -1)
    values = line.gather(-1, three)
    low, mid, high = values.clamp_min(torch.finfo(line.dtype).tiny).log().unbind(-1)
    bend = 2 * mid - low - high
    usable = (values > 0).all(-1) & (bend > 0)
    offset = step * (high - low) / (2 * torch.where(usable, bend, torch.ones_like(bend)))
    place = torch.where(usable, middle + offset, top.to(line.dtype))
    # Inside, the summit is next to the highest value; beyond the border it may be further away.
    beyond = 1 + 3 * sigma
    lowest = top - torch.where(top == 0, beyond, 1.0).to(line.dtype)
    highest = top + torch.where(top == size - 1, beyond, 1.0).to(line.dtype)
    return torch.minimum(torch.maximum(place, lowest), highest)
