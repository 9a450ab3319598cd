"""Frechet Inception distance (Heusel et al. 2017) from features, and folders of real images."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from rfwarp.images import open_image, to_rgb

if TYPE_CHECKING:
    from torchmetrics.image.fid import FrechetInceptionDistance

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".ppm")


class _Identity(nn.Module):
    """In the place of the network, for features that are there already: of the targets they are
    computed once, for all methods."""

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
    """FID of what is ``real=False`` in one to what is ``real=True`` in the other."""
    for name in ("features_sum", "features_cov_sum", "features_num_samples"):
        setattr(generated, f"real_{name}", getattr(real, f"real_{name}"))
    return float(generated.compute())


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
