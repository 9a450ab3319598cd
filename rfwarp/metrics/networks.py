"""Networks that scores are computed by."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from rfwarp.data.tuples import TupleDataset
from rfwarp.metrics.config import EvaluationConfig
from rfwarp.metrics.fid import ImageFolder
from rfwarp.metrics.inception import Inception
from rfwarp.metrics.lpips import Lpips
from rfwarp.metrics.masks import Mask, mask_of_target
from rfwarp.metrics.st_lpips import StLpips


@dataclass(frozen=True)
class MetricNetworks:
    """Networks of the scores that are wanted; they run where they are.

    Attributes:
        lpips: for LPIPS.
        mask: for masked LPIPS too, by the same network, such as :func:`mask_of_target`.
        inception: for FID.
        real: what FID compares with: batches (N, 3, H, W) uint8 of the size of the results. None:
            the targets. Ren et al. (2020), whom the paper follows, take the whole training set.
        st_lpips: for shift-tolerant LPIPS.

    Raises:
        ValueError: if there is a mask without LPIPS, or real images without Inception.

    Example:
        >>> from rfwarp.metrics import MetricNetworks, mask_of_target
        >>> bool(MetricNetworks())  # none: PSNR, SSIM and L1 need none
        False
        >>> MetricNetworks(mask=mask_of_target)
        Traceback (most recent call last):
            ...
        ValueError: masked LPIPS needs the network of LPIPS
    """

    lpips: Lpips | None = None
    mask: Mask | None = None
    inception: Inception | None = None
    real: Iterable[Tensor] | None = None
    st_lpips: StLpips | None = None

    def __post_init__(self) -> None:
        if self.mask is not None and self.lpips is None:
            raise ValueError("masked LPIPS needs the network of LPIPS")
        if self.real is not None and self.inception is None:
            raise ValueError("real images are for FID, which needs the network Inception")

    def __bool__(self) -> bool:
        """Whether there are any."""
        return any(x is not None for x in (self.lpips, self.inception, self.st_lpips))

    @classmethod
    def open(
        cls, config: EvaluationConfig, dataset: TupleDataset, device: torch.device
    ) -> MetricNetworks:
        """Those of a configuration's metrics, on a device.

        Raises:
            FileNotFoundError: if weights, or the folder of real images, are not there.
            ValueError: if they are damaged.
        """
        lpips = inception = real = st_lpips = None
        masked = "mask-lpips" in config.metrics
        if masked or "lpips" in config.metrics:
            lpips = Lpips(config.lpips_weights, config.lpips_net).to(device)
        if "fid" in config.metrics:
            inception = Inception(config.fid_weights).to(device)
        if config.fid_real is not None:
            size = (dataset.height, dataset.width)
            real = ImageFolder(config.fid_real, *size, config.batch_size)
        if "st-lpips" in config.metrics:
            st_lpips = StLpips().to(device)
        return cls(lpips, mask_of_target if masked else None, inception, real, st_lpips)
