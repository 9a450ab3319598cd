"""Textures averaged along rows and columns separately, for surfaces seen at a slant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
LEVELS = 11
"""Levels along a side: textures have up to 1024 texels."""


@dataclass(frozen=True)
class Ripmaps:
    """T textures; at level (i, j) a texel is the mean of 2^i by 2^j."""

    texels: Array
    """(N, 4) uint8 RGBA."""
    start: Array
    """(T, LEVELS, LEVELS): first texel of level (i, j); those beyond the last repeat it."""
    bits: Array
    """(T, 2): logarithms to base 2 of width and height."""
    pierced: Array
    """(T,) bool: whether there are holes."""

    @classmethod
    def of(cls, images: Sequence[Array]) -> Ripmaps:
        """Of images (H, W, 4) in [0, 1], whose sides are powers of two."""
        texels: list[Array] = []
        start = np.zeros((len(images), LEVELS, LEVELS), np.int64)
        bits = np.array([[image.shape[1], image.shape[0]] for image in images])
        bits = np.log2(bits).round().astype(np.int64)
        total = 0
        for number, image in enumerate(images):
            wide: Array = image.astype(np.float32)
            for i in range(bits[number, 0] + 1):
                level: Array = wide
                for j in range(bits[number, 1] + 1):
                    start[number, i, j] = total
                    texels.append((level * 255 + 0.5).astype(np.uint8).reshape(-1, 4))
                    total += len(texels[-1])
                    if len(level) > 1:
                        level = (level[::2] + level[1::2]) / 2
                if wide.shape[1] > 1:
                    wide = (wide[:, ::2] + wide[:, 1::2]) / 2
        pierced = np.array([bool((image[..., 3] < 1).any()) for image in images])
        return cls(np.concatenate(texels), start, bits, pierced)

    def sample(self, texture: Array, uv: Array, extent: Array) -> Array:
        """(M, 4) float32 RGBA in [0, 1], bilinear; textures repeat.

        Args:
            texture: (M,).
            uv: (2, M), in widths and heights of the texture.
            extent: (2, M), of a sample, likewise.
        """
        bits = self.bits[texture].T
        texels = np.maximum(extent * (1 << bits), 1.0)
        level = np.minimum(np.rint(np.log2(texels)).astype(np.int64), bits)
        width, height = 1 << (bits - level)
        start = self.start[texture, level[0], level[1]]
        x = (uv[0] - np.floor(uv[0])) * width - 0.5
        y = (uv[1] - np.floor(uv[1])) * height - 0.5
        left, top = np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)
        across, down = (x - left)[:, None].astype(np.float32), (y - top)[:, None].astype(np.float32)
        columns = left & (width - 1), (left + 1) & (width - 1)
        rows = start + (top & (height - 1)) * width, start + ((top + 1) & (height - 1)) * width

        def texel(i: int, j: int) -> Array:
            return self.texels.take(rows[j] + columns[i], axis=0).astype(np.float32)

        upper = texel(0, 0) * (1 - across) + texel(1, 0) * across
        lower = texel(0, 1) * (1 - across) + texel(1, 1) * across
        return (upper * (1 - down) + lower * down) * np.float32(1 / 255)

    def opaque(self, texture: Array, uv: Array, extent: Array) -> Array:
        """(M,) bool: whether the nearest texel is none of a hole; see :meth:`sample`."""
        bits = self.bits[texture].T
        texels = np.maximum(extent * (1 << bits), 1.0)
        level = np.minimum(np.rint(np.log2(texels)).astype(np.int64), bits)
        width, height = 1 << (bits - level)
        column = ((uv[0] - np.floor(uv[0])) * width).astype(np.int64) & (width - 1)
        row = ((uv[1] - np.floor(uv[1])) * height).astype(np.int64) & (height - 1)
        at = self.start[texture, level[0], level[1]] + row * width + column
        solid: Array = self.texels[:, 3].take(at) >= 128
        return solid
