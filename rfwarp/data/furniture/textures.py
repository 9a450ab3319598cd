"""Textures of a mesh as mipmaps, all in one row of texels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

LARGEST = 1024
"""Longest side of a texture in texels; larger ones are reduced, as no image shows such detail."""


@dataclass(frozen=True)
class Textures:
    """X textures of up to L levels; level l has sides of 1/2^l, at least 1 texel."""

    texels: Tensor
    """(N, 4) uint8 RGBA, row by row, top row first."""
    start: Tensor
    """(X, L) int64: the first texel of each level. Levels beyond a texture's last repeat it."""
    size: Tensor
    """(X, L, 2) int64 height and width of each level."""

    @classmethod
    def of(cls, images: Sequence[Image.Image]) -> Textures:
        """Mipmaps of PIL images of any mode."""
        texels: list[np.ndarray] = []
        starts: list[list[int]] = []
        sizes: list[list[tuple[int, int]]] = []
        total = 0
        for image in images:
            level = image.convert("RGBA")
            level.thumbnail((LARGEST, LARGEST), Image.Resampling.BOX)
            start, size = [], []
            while True:
                start.append(total)
                size.append((level.height, level.width))
                texels.append(np.asarray(level).reshape(-1, 4))
                total += level.height * level.width
                if level.size == (1, 1):
                    break
                half = (max(1, level.width // 2), max(1, level.height // 2))
                level = level.resize(half, Image.Resampling.BOX)
            starts.append(start)
            sizes.append(size)
        levels = max(map(len, starts), default=1)
        filled = [start + start[-1:] * (levels - len(start)) for start in starts]
        shapes = [size + size[-1:] * (levels - len(size)) for size in sizes]
        return cls(
            torch.from_numpy(np.concatenate([np.zeros((0, 4), np.uint8), *texels])),
            torch.tensor(filled, dtype=torch.int64).reshape(-1, levels),
            torch.tensor(shapes, dtype=torch.int64).reshape(-1, levels, 2),
        )

    def to(self, device: torch.device) -> Textures:
        return Textures(*(x.to(device) for x in (self.texels, self.start, self.size)))

    def level(self, texture: Tensor, area: Tensor) -> Tensor:
        """(M,) int64: the level at which a sample covers about one texel.

        Args:
            texture: (M,) numbers of textures.
            area: (M,) area of a sample, in areas of the whole texture.
        """
        texels = area * self.size[texture, 0].prod(1)
        level = (texels.clamp_min(1e-9).log2() / 2).round().long()
        return level.clamp(0, self.start.shape[1] - 1)

    def sample(self, texture: Tensor, level: Tensor, uv: Tensor) -> Tensor:
        """(M, 4) float32 RGBA in [0, 1], bilinear; textures repeat.

        Args:
            texture: (M,) numbers of textures.
            level: (M,).
            uv: (M, 2) across and up, 1 being the size of the texture.
        """
        height, width = self.size[texture, level].unbind(1)
        x = (uv[:, 0] % 1) * width - 0.5
        y = (-uv[:, 1] % 1) * height - 0.5
        left, top = x.floor(), y.floor()
        across, down = (x - left).float()[:, None], (y - top).float()[:, None]
        start, left, top = self.start[texture, level], left.long(), top.long()

        def texel(i: int, j: int) -> Tensor:
            return self.texels[start + (top + j) % height * width + (left + i) % width].float()

        upper = torch.lerp(texel(0, 0), texel(1, 0), across)
        lower = torch.lerp(texel(0, 1), texel(1, 1), across)
        return torch.lerp(upper, lower, down) / 255
