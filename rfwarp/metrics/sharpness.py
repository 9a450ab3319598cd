"""Measures of the fine detail of images: its energy (sharpness) and its correctness (HP-R2)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

SIGMA, RADIUS = 1.5, 5  # pixels: the window of SSIM


def high_pass(images: Tensor) -> Tensor:
    """Images minus their blur by a Gaussian.

    Its sigma is 1.5 pixels at any size of image, cut off at 5 pixels; edges are replicated.

    Args:
        images: (N, C, H, W) floating point.

    Returns:
        (N, C, H, W) in their type and range.

    Example:
        >>> import torch
        >>> from rfwarp.metrics import high_pass
        >>> image = torch.zeros(1, 1, 9, 9)
        >>> high_pass(image + 0.5).abs().max().item() < 1e-6  # no detail
        True
        >>> image[..., 4, 4] = 1
        >>> round(high_pass(image)[..., 4, 4].item(), 2)
        0.93
    """
    offsets = torch.arange(-RADIUS, RADIUS + 1, device=images.device, dtype=images.dtype)
    line = (-offsets.square() / (2 * SIGMA**2)).exp()
    line = line / line.sum()
    padded = F.pad(images.flatten(0, 1)[:, None], (RADIUS,) * 4, mode="replicate")
    blurred = F.conv2d(F.conv2d(padded, line.view(1, 1, 1, -1)), line.view(1, 1, -1, 1))
    return images - blurred.view_as(images)


def inside(foreground: Tensor) -> Tensor:
    """The foreground (N, H, W) bool without pixels that touch the background, also by a corner."""
    return F.max_pool2d((~foreground)[:, None].float(), 3, 1, 1)[:, 0] == 0


class DetailSums:
    """Fine detail of images against that of their targets, gathered batch by batch.

    Of the :func:`high_pass` h of images in [-1, 1], over all channels of pixels
    :func:`inside` the object, of all images together.
    """

    def __init__(self) -> None:
        self._ours = self._true = self._wrong = 0.0

    def add(self, images: Tensor, targets: Tensor, foreground: Tensor) -> None:
        """The next images and targets, (N, 3, H, W) in [-1, 1], and masks (N, H, W) bool."""
        mask = inside(foreground.cpu())
        ours, true = (
            high_pass(x.detach().cpu().double().clamp(-1, 1)).movedim(1, -1)[mask]
            for x in (images, targets)
        )
        self._ours += float(ours.square().sum())
        self._true += float(true.square().sum())
        self._wrong += float((ours - true).square().sum())

    @property
    def sharpness(self) -> float | None:
        """sum h(image)^2 / sum h(target)^2: 1 is as sharp as the truth, less is blurred. None if
        the targets have no detail."""
        return self._ours / self._true if self._true > 0 else None

    @property
    def hp_r2(self) -> float | None:
        """1 - sum (h(image) - h(target))^2 / sum h(target)^2: 0 is what an image without detail
        gets, 1 is perfect. None if the targets have no detail."""
        return 1 - self._wrong / self._true if self._true > 0 else None
