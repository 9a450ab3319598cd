"""From where surfaces lie in pictures to true correspondences, whatever the things are."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch

from rfwarp.data.truth import Truth

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]
Flags = npt.NDArray[np.bool_]


def shown(
    x: Array, y: Array, size: tuple[int, int], same: Callable[[Indices, Indices], Flags]
) -> Flags:
    """Which points K sources show, if nothing but other surfaces hides them.

    Args:
        x, y: (K, M) where M points lie in the sources, pixels.
        size: height and width of the sources.
        same: told two indices (n,), one of a point into the K * M, one of a pixel into the
            K * H * W, it says (n,) whether the pixel shows the point's surface.

    Returns:
        (K, M): bilinear weights of at least 0.5 are on pixels of the same surface.
    """
    height, width = size
    left, top = np.floor(x), np.floor(y)
    weights_x, weights_y = (1 - (x - left), x - left), (1 - (y - top), y - top)
    total = np.zeros(x.shape)
    for i in (0, 1):
        for j in (0, 1):
            column, row = left + i, top + j
            inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
            point = np.flatnonzero(inside)
            source = point // x.shape[1]
            pixel = (source * height + row.flat[point].astype(np.intp)) * width
            pixel += column.flat[point].astype(np.intp)
            weight = (weights_x[i] * weights_y[j]).flat[point]
            total.flat[point] += weight * same(point, pixel)
    # Pixels in line with the point have all of the weight but for rounding.
    return total >= 0.5 - 1e-9


def dense(
    pixel: Indices,
    x: Array,
    y: Array,
    visible: Flags,
    size: tuple[int, int],
    depth: Array | None = None,
) -> Truth:
    """Truth of a target whose M foreground pixels are known.

    Args:
        pixel: (M,) row * width + column.
        x, y: (K, M) where their points lie in the sources, pixels.
        visible: (K, M).
        size: height and width.
        depth: (M,), see :class:`.Truth`.
    """
    height, width = size
    count = height * width
    flow = np.zeros((len(x), 2, count), np.float32)
    flow[:, 0, pixel] = x - pixel % width
    flow[:, 1, pixel] = y - pixel // width
    seen = np.zeros((len(x), count), np.bool_)
    seen[:, pixel] = visible
    foreground = np.zeros(count, np.bool_)
    foreground[pixel] = True
    far = None
    if depth is not None:
        filled = np.zeros(count, np.float32)
        filled[pixel] = depth
        far = torch.from_numpy(filled.reshape(size))
    return Truth(
        torch.from_numpy(flow.reshape(-1, 2, height, width)),
        torch.from_numpy(seen.reshape(-1, height, width)),
        torch.from_numpy(foreground.reshape(size)),
        far,
    )
