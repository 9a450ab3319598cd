"""Frechet distances (Heusel et al. 2017) of features: FID of those of Inception; and folders of
real images."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from rfwarp.images import SUFFIXES, from_uint8, open_image, to_rgb

if TYPE_CHECKING:
    from torchmetrics.image.fid import FrechetInceptionDistance

    from rfwarp.metrics.efficientnet import PooledEfficientNet
    from rfwarp.metrics.inception import Inception

FRECHET_TITLES = {
    "fid": "FID",
    "frechet_efficientnet_lite0": "Frechet (EfficientNet-lite0)",
}
"""Titles of the distances on features of each network, by their names in reports."""


class _Identity(nn.Module):
    """The network's stand-in where features are given: those of the targets are computed once, for
    all methods."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, features: Tensor) -> Tensor:
        return features


def feature_statistics(num_features: int) -> FrechetInceptionDistance:
    """Means and covariances of features (N, num_features), to which ``update`` adds."""
    from torchmetrics.image.fid import FrechetInceptionDistance

    return FrechetInceptionDistance(feature=_Identity(num_features), normalize=True)


def frechet_distance(generated: FrechetInceptionDistance, real: FrechetInceptionDistance) -> float:
    """Distance of the ``real=False`` features of one to the ``real=True`` features of the other."""
    for name in ("features_sum", "features_cov_sum", "features_num_samples"):
        setattr(generated, f"real_{name}", getattr(real, f"real_{name}"))
    return float(generated.compute())


class FrechetDistances:
    """Distances of the images that several methods make to real ones, on the features of a network.

    Args:
        network: of images (N, 3, H, W) in [-1, 1] to features; it runs where it is.
        real: batches (N, 3, H, W) uint8 of the real images. None: the targets.

    Raises:
        ValueError: if there are real images, but fewer than two.
    """

    def __init__(
        self, network: Inception | PooledEfficientNet, real: Iterable[Tensor] | None = None
    ) -> None:
        self._network, self._to_targets = network, real is None
        self._real = feature_statistics(network.num_features)
        self._made: dict[Hashable, FrechetInceptionDistance] = {}
        for images in real or ():
            self._real.update(self._features(from_uint8(images)), real=True)
        if not self._to_targets and self._real.real_features_num_samples < 2:
            raise ValueError("a Frechet distance needs at least two real images")

    def add_targets(self, targets: Tensor) -> None:
        """Count a batch (N, 3, H, W) in [-1, 1] as real, if the targets are."""
        if self._to_targets:
            self._real.update(self._features(targets), real=True)

    def add(self, method: Hashable, images: Tensor) -> None:
        """Count a batch (N, 3, H, W) in [-1, 1] that a method made."""
        if method not in self._made:
            self._made[method] = feature_statistics(self._network.num_features)
        self._made[method].update(self._features(images), real=False)

    def compute(self, method: Hashable) -> float:
        """Distance of all images of a method so far."""
        return frechet_distance(self._made[method], self._real)

    def _features(self, images: Tensor) -> Tensor:
        device = next(self._network.parameters()).device
        return self._network(images.to(device)).double().cpu()


class ImageFolder:
    """Images of a folder, but not of folders within it, as batches (N, 3, H, W) uint8.

    Raises:
        FileNotFoundError: if there is no such folder.
        ValueError: if it has no images; when its turn comes, if one cannot be read or is of
            another size. The message names it.
    """

    def __init__(self, folder: Path, height: int, width: int, batch_size: int = 16) -> None:
        if not folder.is_dir():
            raise FileNotFoundError(f"no folder of real images at {folder}")
        self.paths = sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES)
        if not self.paths:
            raise ValueError(f"{folder} has no images ({', '.join(SUFFIXES)})")
        self.height, self.width, self.batch_size = height, width, batch_size

    def __iter__(self) -> Iterator[Tensor]:
        for begin in range(0, len(self.paths), self.batch_size):
            paths = self.paths[begin : begin + self.batch_size]
            yield torch.stack([self._load(path) for path in paths])

    def _load(self, path: Path) -> Tensor:
        image = to_rgb(open_image(path))
        if image.size != (self.width, self.height):
            raise ValueError(
                f"{path} is {image.height} x {image.width} (H x W), but the results are "
                f"{self.height} x {self.width}: how images are resized changes FID, so prepare "
                "real ones as the dataset does"
            )
        return torch.from_numpy(np.array(image)).permute(2, 0, 1)
