"""Folders of real pictures, for FID."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from rfwarp.images import open_image, to_rgb

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".ppm")


class PictureFolder:
    """The pictures of a folder, but not of folders within it, as batches (N, 3, H, W) uint8.

    Raises:
        FileNotFoundError: if there is no such folder.
        ValueError: if it has no pictures; when its turn comes, if one cannot be read or is of
            another size. The message names it.
    """

    def __init__(self, folder: Path, height: int, width: int, batch_size: int = 16) -> None:
        if not folder.is_dir():
            raise FileNotFoundError(f"no folder of real pictures at {folder}")
        self.paths = sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES)
        if not self.paths:
            raise ValueError(f"{folder} has no pictures ({', '.join(SUFFIXES)})")
        self.height, self.width, self.batch_size = height, width, batch_size

    def __iter__(self) -> Iterator[Tensor]:
        for begin in range(0, len(self.paths), self.batch_size):
            paths = self.paths[begin : begin + self.batch_size]
            yield torch.stack([self._load(path) for path in paths])

    def _load(self, path: Path) -> Tensor:
        picture = to_rgb(open_image(path))
        if picture.size != (self.width, self.height):
            raise ValueError(
                f"{path} is {picture.height} x {picture.width} (H x W), but the results are "
                f"{self.height} x {self.width}: how pictures are resized changes FID, so prepare "
                "real ones as the dataset does"
            )
        return torch.from_numpy(np.array(picture)).permute(2, 0, 1)
