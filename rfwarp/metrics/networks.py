"""Networks that scores are computed by."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from rfwarp.data.tuples import TupleDataset
from rfwarp.metrics.config import EvaluationConfig
from rfwarp.metrics.efficientnet import PooledEfficientNet
from rfwarp.metrics.fid import ImageFolder
from rfwarp.metrics.inception import Inception
from rfwarp.metrics.lpips import Lpips
from rfwarp.metrics.masks import Mask, mask_of_target
from rfwarp.metrics.st_lpips import StLpips
from rfwarp.metrics.temporal import WarpingError


@dataclass(frozen=True)
class MetricNetworks:
    """Networks of the requested scores; each runs on its own device.

    Attributes:
        lpips: for LPIPS.
        mask: for masked LPIPS too, by the same network, such as :func:`mask_of_target`.
        inception: for FID.
        real: images that FID compares with: batches (N, 3, H, W) uint8 of the size of the results.
            None: the targets. Ren et al. (2020), whom the paper follows, take the whole training
            set.
        st_lpips: for shift-tolerant LPIPS.
        efficientnet: for the Frechet distance on its features, always to the targets.

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
    efficientnet: PooledEfficientNet | None = None

    def __post_init__(self) -> None:
        if self.mask is not None and self.lpips is None:
            raise ValueError("masked LPIPS needs the network of LPIPS")
        if self.real is not None and self.inception is None:
            raise ValueError("real images are for FID, which needs the network Inception")

    def __bool__(self) -> bool:
        """Whether there are any."""
        return any(x is not None for x in (self.lpips, self.st_lpips, *self.frechet.values()))

    @property
    def frechet(self) -> dict[str, Inception | PooledEfficientNet]:
        """Those of Frechet distances, by the names of the scores."""
        given = {"fid": self.inception, "frechet_efficientnet_lite0": self.efficientnet}
        return {name: network for name, network in given.items() if network is not None}

    @classmethod
    def open(
        cls, config: EvaluationConfig, dataset: TupleDataset, device: torch.device
    ) -> MetricNetworks:
        """The networks of a configuration's metrics, on a device.

        Raises:
            FileNotFoundError: if weights, or the folder of real images, are not there.
            ImportError: if a package is not installed that brings weights, or optical flow.
            ValueError: if they are damaged.
        """
        lpips = inception = real = st_lpips = efficientnet = None
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
        if "frechet-efficientnet" in config.metrics:
            efficientnet = PooledEfficientNet().to(device)
        if "warping-error" in config.metrics:
            WarpingError()  # needs no network, but a package that may be missing
        mask = mask_of_target if masked else None
        return cls(lpips, mask, inception, real, st_lpips, efficientnet)
