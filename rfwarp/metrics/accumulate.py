"""Scores of many images, gathered batch by batch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from rfwarp.images import from_uint8, to_uint8
from rfwarp.metrics.fid import FrechetDistances
from rfwarp.metrics.networks import MetricNetworks
from rfwarp.metrics.pixelwise import score_images
from rfwarp.metrics.sharpness import DetailSums

NO_NETWORKS = MetricNetworks()


@dataclass(frozen=True)
class Scores:
    """Means over all target images; see :class:`rfwarp.metrics.ImageScores`.

    Scores that were not asked for are None.

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
    """LPIPS of image and target, both black outside the mask."""
    fid: float | None = None
    """Frechet Inception distance (Heusel et al. 2017) of all images to all real ones, on the
    features of :class:`rfwarp.metrics.Inception`."""
    st_lpips: float | None = None
    """See :class:`rfwarp.metrics.StLpips`."""
    frechet_efficientnet_lite0: float | None = None
    """Frechet distance of all images to all targets, on the features of
    :class:`rfwarp.metrics.PooledEfficientNet`: computed as FID is, but not comparable with it."""
    sharpness: float | None = None
    """Energy of fine detail inside the object over that of the targets, over all images together:
    see :class:`rfwarp.metrics.sharpness.DetailSums`. Needs the true foreground."""
    hp_r2: float | None = None
    """R^2 of that detail: 1 is perfect, 0 is what no detail gets; see there."""


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
        self._detail: defaultdict[Hashable, DetailSums] = defaultdict(DetailSums)
        real = None if networks.real is None else _checked(networks.real, height, width)
        self._frechet = {
            name: FrechetDistances(network, real if name == "fid" else None)
            for name, network in networks.frechet.items()
        }

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
            images: those of each method, as ``targets``.
            masks: (N, H, W) bool, True for the pixels that masked LPIPS sees.
            foreground: (N, H, W) bool, the true one: sharpness is scored too then.
        """
        for distances in self._frechet.values():
            distances.add_targets(targets)
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
        for distances in self._frechet.values():
            distances.add(method, images)

    def compute(self) -> dict[Hashable, Scores]:
        """The scores of each method, over all its images so far."""
        return {method: self._scores(method) for method in self._values}

    def _scores(self, method: Hashable) -> Scores:
        means: dict[str, float | None] = {
            name: float(torch.cat(values).mean()) for name, values in self._values[method].items()
        }
        means |= {name: distances.compute(method) for name, distances in self._frechet.items()}
        if method in self._detail:
            detail = self._detail[method]
            means |= {"sharpness": detail.sharpness, "hp_r2": detail.hp_r2}
        return Scores(**means)  # type: ignore[arg-type]  # PSNR, SSIM and L1 are always there


def _checked(real: Iterable[Tensor], height: int, width: int) -> Iterator[Tensor]:
    for images in real:
        if images.dtype != torch.uint8 or images.shape[1:] != (3, height, width):
            raise ValueError(
                f"real images must be uint8 (N, 3, {height}, {width}) like the results, got "
                f"{images.dtype} {tuple(images.shape)}"
            )
        yield images
