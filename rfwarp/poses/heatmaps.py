"""Joints as Gaussian heatmaps, one channel each."""

from __future__ import annotations

import torch
from torch import Tensor

SIGMA = 6.0
"""Standard deviation in pixels in a picture 256 pixels high; it grows with the height."""


def keypoint_heatmaps(points: Tensor, height: int, width: int) -> Tensor:
    """``exp(-((u - x)^2 + (v - y)^2) / (2 s^2))`` at the pixel in column u and row v, with
    ``s = SIGMA height / 256``; all zero for a missing joint.

    Args:
        points: (..., J, 3) of any real dtype: x and y in pixels of a picture of that size, whole
            numbers being centres of pixels, and how present the joint is: 0 for missing, whatever
            its x and y, else 1. Joints outside the picture are allowed.

    Returns:
        (..., J, height, width) float32 on the device of ``points``.

    Raises:
        ValueError: if ``points`` is not (..., J, 3).
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
