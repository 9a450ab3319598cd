"""Scores of many images, gathered batch by batch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from rfwarp.images import from_uint8, to_uint8
from rfwarp.metrics.fid import feature_statistics, frechet_distance
from rfwarp.metrics.images import score_images
from rfwarp.metrics.networks import MetricNetworks
from rfwarp.metrics.sharpness import DetailSums

if TYPE_CHECKING:
    from torchmetrics.image.fid import FrechetInceptionDistance

NO_NETWORKS = MetricNetworks()


@dataclass(frozen=True)
class Scores:
    """Means over all target images; see :class:`rfwarp.metrics.ImageScores`.

    What was not asked for is None.

    Example:
        >>> from rfwarp.metrics import Scores
        >>> scores = Scores(psnr=24.0, ssim=0.9, l1=0.02, fid=12.5)
        >>> scores.fid, scores.lpips  # the latter was not asked for
        (12.5, None)
    """

    psnr: float
    ssim: float
    l1: float
    lpips: float | None = None
    """See :class:`rfwarp.metrics.Lpips`."""
    mask_lpips: float | None = None
    """LPIPS of images that are black where the mask is not, both of them."""
    fid: float | None = None
    """Frechet Inception distance (Heusel et al. 2017) of all images to all real ones, on the
    features of :class:`rfwarp.metrics.Inception`."""
    st_lpips: float | None = None
    """See :class:`rfwarp.metrics.StLpips`."""
    sharpness: float | None = None
    """Energy of fine detail inside the object over that of the targets, over all images together:
    see :class:`rfwarp.metrics.sharpness.DetailSums`. Needs the true foreground."""
    hp_r2: float | None = None
    """How much of that detail is right, 1 is all; see there."""


class ImageMetrics:
    """Scores of the images that several methods make of the same targets.

    Memory does not grow with the number of images.

    Args:
        height, width: of all images, pixels.
        networks: for scores besides PSNR, SSIM and L1. They see images rounded to 8 bits.

    Raises:
        ValueError: if the networks have real images, but fewer than two, or of another size.

    Example:
        >>> import torch
        >>> from rfwarp.metrics import ImageMetrics
        >>> metrics = ImageMetrics(16, 16)
        >>> targets = torch.zeros(2, 3, 16, 16)
        >>> metrics.update(targets, {"grey": targets, "brighter": targets + 0.2})
        >>> {method: round(scores.l1, 3) for method, scores in metrics.compute().items()}
        {'grey': 0.0, 'brighter': 0.1}
    """

    def __init__(self, height: int, width: int, networks: MetricNetworks = NO_NETWORKS) -> None:
        self._networks = networks
        self._values: defaultdict[Hashable, defaultdict[str, list[Tensor]]] = defaultdict(
            lambda: defaultdict(list)
        )
        self._features: dict[Hashable, FrechetInceptionDistance] = {}
        self._detail: defaultdict[Hashable, DetailSums] = defaultdict(DetailSums)
        if networks.inception is not None:
            self._real = feature_statistics(networks.inception.num_features)
        for images in networks.real or ():
            if images.dtype != torch.uint8 or images.shape[1:] != (3, height, width):
                raise ValueError(
                    f"real images must be uint8 (N, 3, {height}, {width}) like the results, got "
                    f"{images.dtype} {tuple(images.shape)}"
                )
            self._real.update(self._inception(from_uint8(images)), real=True)
        if networks.real is not None and self._real.real_features_num_samples < 2:
            raise ValueError("FID needs at least two real images")

    def update(
        self,
        targets: Tensor,
        images: Mapping[Hashable, Tensor],
        masks: Tensor | None = None,
        foreground: Tensor | None = None,
    ) -> None:
        """Count a batch.

        Args:
            targets: (N, 3, H, W) in [-1, 1], of 8 bits.
            images: what each method made of them, as ``targets``.
            masks: (N, H, W) bool, of what masked LPIPS sees.
            foreground: (N, H, W) bool, the true one: sharpness is scored too then.
        """
        if self._networks.inception is not None and self._networks.real is None:
            self._real.update(self._inception(targets), real=True)
        for method, made in images.items():
            values = self._values[method]
            for name, scores in score_images(made, targets)._asdict().items():
                values[name].append(scores)
            if foreground is not None:
                self._detail[method].add(made, targets, foreground)
            if self._networks:
                self._update_networks(method, from_uint8(to_uint8(made)), targets, masks)

    def _update_networks(
        self, method: Hashable, images: Tensor, targets: Tensor, masks: Tensor | None
    ) -> None:
        values, networks = self._values[method], self._networks
        if networks.st_lpips is not None:
            pair = [x.to(networks.st_lpips.shift.device) for x in (images, targets)]
            values["st_lpips"].append(networks.st_lpips(*pair).double().cpu())
        if networks.lpips is not None:
            device = networks.lpips.shift.device
            pair = [x.to(device) for x in (images, targets)]
            values["lpips"].append(networks.lpips(*pair).double().cpu())
            if masks is not None:
                outside = ~masks[:, None].to(device)
                pair = [x.masked_fill(outside, -1) for x in pair]
                values["mask_lpips"].append(networks.lpips(*pair).double().cpu())
        if networks.inception is not None:
            if method not in self._features:
                self._features[method] = feature_statistics(networks.inception.num_features)
            self._features[method].update(self._inception(images), real=False)

    def compute(self) -> dict[Hashable, Scores]:
        """By method, of all its images so far."""
        return {method: self._scores(method) for method in self._values}

    def _scores(self, method: Hashable) -> Scores:
        means: dict[str, float | None] = {
            name: float(torch.cat(values).mean()) for name, values in self._values[method].items()
        }
        if method in self._features:
            means["fid"] = frechet_distance(self._features[method], self._real)
        if method in self._detail:
            detail = self._detail[method]
            means |= {"sharpness": detail.sharpness, "hp_r2": detail.hp_r2}
        return Scores(**means)  # type: ignore[arg-type]  # PSNR, SSIM and L1 are always there

    def _inception(self, images: Tensor) -> Tensor:
        inception = self._networks.inception
        assert inception is not None
        device = next(inception.parameters()).device
        return inception(images.to(device)).double().cpu()
