"""Differences of two images by pixel values: PSNR, SSIM and L1, one number per image."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

try:
    from torchmetrics.functional.image import (
        peak_signal_noise_ratio,
        structural_similarity_index_measure,
    )
except ModuleNotFoundError as error:
    raise ImportError(
        f'rfwarp.metrics needs {error.name}, which is missing: pip install "rfwarp[metrics]"'
    ) from error

MAX_PSNR = 100.0
"""PSNR of equal images, dB; not infinity, so that means stay finite.

>>> import torch
>>> from rfwarp.metrics import MAX_PSNR, score_images
>>> image = torch.zeros(1, 3, 16, 16)
>>> score_images(image, image).psnr.item() == MAX_PSNR
True
"""

_WINDOW = 11  # of SSIM


class ImageScores(NamedTuple):
    """Scores of N images against N references; each (N,) float64 on the CPU.

    Example:
        >>> import torch
        >>> from rfwarp.metrics import score_images
        >>> scores = score_images(torch.full((2, 3, 16, 16), 0.2), torch.zeros(2, 3, 16, 16))
        >>> scores.l1.round(decimals=3), scores.psnr.round(decimals=3)
        (tensor([0.1000, 0.1000], dtype=torch.float64), tensor([20., 20.], dtype=torch.float64))
    """

    psnr: Tensor
    """Peak signal-to-noise ratio in dB: -10 log10(mean squared difference), at most MAX_PSNR."""
    ssim: Tensor
    """Structural similarity (Wang et al. 2004): Gaussian window 11 x 11, sigma 1.5, k1 = 0.01,
    k2 = 0.03, population variances, mean over channels and all windows inside the image."""
    l1: Tensor
    """Mean absolute difference."""


def score_images(images: Tensor, references: Tensor) -> ImageScores:
    """PSNR, SSIM and L1 of every image, on values from 0 to 1.

    In float64, but for SSIM, whose windows take 16 times as long there; float32 is off by 1e-5 at
    most.

    Args:
        images, references: (N, 3, H, W) in [-1, 1], as the networks have them, H and W at least 11.
            They are mapped to [0, 1]; values outside are clipped, as when an image is saved.

    Raises:
        ValueError: if the shapes differ or are no batches of images of at least 11 x 11.

    Example:
        >>> import torch
        >>> from rfwarp.metrics import score_images
        >>> grey, brighter = torch.zeros(1, 3, 16, 16), torch.full((1, 3, 16, 16), 0.2)
        >>> psnr, ssim, l1 = score_images(brighter, grey)
        >>> round(psnr.item(), 3), round(l1.item(), 3)  # 0.1 of the range from 0 to 1
        (20.0, 0.1)
    """
    if images.shape != references.shape or images.ndim != 4 or min(images.shape[2:]) < _WINDOW:
        raise ValueError(
            f"images and references must both be (N, 3, H, W) with H and W >= {_WINDOW}, "
            f"got {tuple(images.shape)} and {tuple(references.shape)}"
        )
    ours, truth = (((x.detach().cpu().double() + 1) / 2).clamp(0, 1) for x in (images, references))
    psnr = peak_signal_noise_ratio(ours, truth, data_range=1.0, dim=(1, 2, 3), reduction="none")
    _, similarity = structural_similarity_index_measure(
        ours.float(), truth.float(), data_range=1.0, reduction="none", return_full_image=True
    )
    # Versions of torchmetrics differ in whether their mean counts windows that reach beyond the
    # image; ours never does.
    edge = _WINDOW // 2
    ssim = similarity[..., edge:-edge, edge:-edge].double().mean(dim=(1, 2, 3))
    l1 = (ours - truth).abs().mean(dim=(1, 2, 3))
    return ImageScores(psnr.clamp(max=MAX_PSNR), ssim, l1)
