"""Scores of many pictures, gathered batch by batch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from rfwarp.images import from_uint8, to_uint8
from rfwarp.metrics.images import score_images
from rfwarp.metrics.inception import Inception
from rfwarp.metrics.lpips import Lpips
from rfwarp.metrics.masks import Mask
from rfwarp.metrics.sharpness import DetailSums
from rfwarp.metrics.st_lpips import StLpips

if TYPE_CHECKING:
    from torchmetrics.image.fid import FrechetInceptionDistance


@dataclass(frozen=True)
class Scores:
    """Means over all target images; see :class:`rfwarp.metrics.ImageScores`.

    What was not asked for is None.
    """

    psnr: float
    ssim: float
    l1: float
    lpips: float | None = None
    """See :class:`rfwarp.metrics.Lpips`."""
    mask_lpips: float | None = None
    """LPIPS of pictures that are black where the mask is not, both of them."""
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


@dataclass(frozen=True)
class Judges:
    """Networks whose scores are wanted too; they run where they are, on pictures of 8 bits.

    Attributes:
        lpips: for LPIPS.
        mask: for masked LPIPS too, by the same network, such as :func:`mask_of_target`.
        inception: for FID.
        real: what FID compares with: batches (N, 3, H, W) uint8 of the size of the results. None:
            the targets. Ren et al. (2020), whom the paper follows, take the whole training set.
        st_lpips: for shift-tolerant LPIPS.
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
            raise ValueError("real pictures are for FID, which needs the network Inception")


class Jury:
    """Judges at work on the images of several methods: for each batch of targets :meth:`see` it,
    then :meth:`judge` what each method made of it.

    Memory does not grow with the number of pictures.

    Raises:
        ValueError: if there are real pictures, but fewer than two, or of another size.
    """

    def __init__(self, judges: Judges, height: int, width: int) -> None:
        self._judges = judges
        self._values: defaultdict[tuple[Hashable, str], list[Tensor]] = defaultdict(list)
        self._statistics: defaultdict[Hashable, FrechetInceptionDistance] = defaultdict(
            feature_statistics
        )
        self._detail: defaultdict[Hashable, DetailSums] = defaultdict(DetailSums)
        if judges.inception is not None:
            self._real = feature_statistics()
        for pictures in judges.real or ():
            if pictures.dtype != torch.uint8 or pictures.shape[1:] != (3, height, width):
                raise ValueError(
                    f"real pictures must be uint8 (N, 3, {height}, {width}) like the results, got "
                    f"{pictures.dtype} {tuple(pictures.shape)}"
                )
            self._real.update(self._features(from_uint8(pictures)), real=True)
        if judges.real is not None and self._real.real_features_num_samples < 2:
            raise ValueError("FID needs at least two real pictures")

    def see(
        self, targets: Tensor, masks: Tensor | None = None, foreground: Tensor | None = None
    ) -> None:
        """The next targets (N, 3, H, W) in [-1, 1], of 8 bits; with masks of LPIPS (N, H, W) bool.

        With the true foreground, (N, H, W) bool, sharpness is judged too.
        """
        self._targets, self._masks, self._foreground = targets, masks, foreground
        if self._judges.inception is not None and self._judges.real is None:
            self._real.update(self._features(targets), real=True)

    def judge(self, method: Hashable, images: Tensor) -> None:
        """Count a method's images of the targets, (N, 3, H, W) in [-1, 1]."""
        for name, values in score_images(images, self._targets)._asdict().items():
            self._values[method, name].append(values)
        if self._foreground is not None:
            self._detail[method].add(images, self._targets, self._foreground)
        lpips, tolerant = self._judges.lpips, self._judges.st_lpips
        if lpips is None and tolerant is None and self._judges.inception is None:
            return
        saved = from_uint8(to_uint8(images))
        if tolerant is not None:
            pair = [x.to(tolerant.shift.device) for x in (saved, self._targets)]
            self._values[method, "st_lpips"].append(tolerant(*pair).double().cpu())
        if lpips is not None:
            pair = [x.to(lpips.shift.device) for x in (saved, self._targets)]
            self._values[method, "lpips"].append(lpips(*pair).double().cpu())
            if self._masks is not None:
                mask = self._masks[:, None].to(lpips.shift.device)
                pair = [x.masked_fill(~mask, -1) for x in pair]
                self._values[method, "mask_lpips"].append(lpips(*pair).double().cpu())
        if self._judges.inception is not None:
            self._statistics[method].update(self._features(saved), real=False)

    def scores(self, method: Hashable) -> Scores:
        """Of all images of a method so far."""
        means: dict[str, float | None] = {
            name: float(torch.cat(values).mean())
            for (judged, name), values in self._values.items()
            if judged == method
        }
        if self._judges.inception is not None:
            means["fid"] = frechet_distance(self._statistics[method], self._real)
        if method in self._detail:
            detail = self._detail[method]
            means |= {"sharpness": detail.sharpness, "hp_r2": detail.hp_r2}
        return Scores(**means)  # type: ignore[arg-type]  # PSNR, SSIM and L1 are always there

    def _features(self, images: Tensor) -> Tensor:
        inception = self._judges.inception
        assert inception is not None
        device = next(inception.parameters()).device
        return inception(images.to(device)).double().cpu()


def feature_statistics() -> FrechetInceptionDistance:
    """Means and covariances of features, to which ``update`` adds."""
    from torchmetrics.image.fid import FrechetInceptionDistance

    return FrechetInceptionDistance(feature=_Given(), normalize=True)


def frechet_distance(generated: FrechetInceptionDistance, real: FrechetInceptionDistance) -> float:
    """FID of what is ``real=False`` in one to what is ``real=True`` in the other."""
    for name in ("features_sum", "features_cov_sum", "features_num_samples"):
        setattr(generated, f"real_{name}", getattr(real, f"real_{name}"))
    return float(generated.compute())


class _Given(nn.Module):
    """In the place of the network, for features that are there already: of the targets they are
    computed once, for all methods."""

    num_features = Inception.num_features

    def forward(self, features: Tensor) -> Tensor:
        return features
