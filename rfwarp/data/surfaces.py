"""True correspondences from the positions of surfaces in images, for any kind of object."""

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
    x: Array,
    y: Array,
    facing: Flags,
    size: tuple[int, int],
    same: Callable[[Indices, Indices, Indices], Flags],
) -> Flags:
    """Visibility of M points in K sources.

    Args:
        x, y: (K, M) positions of the points in the sources, pixels.
        facing: (K, M) whether their surfaces face the camera; others are not visible.
        size: height and width of the sources.
        same: given indices (n,) of sources, of points and of pixels among the K * H * W of all
            sources, tells (n,) whether the pixel shows the point's surface.

    Returns:
        (K, M): whether bilinear weights of at least 0.5 are on pixels of the same surface.
    """
    height, width = size
    source, point = np.nonzero(facing & (np.abs(x) < 2 * width) & (np.abs(y) < 2 * height))
    x, y = x[source, point], y[source, point]
    left, top = np.floor(x).astype(np.intp), np.floor(y).astype(np.intp)
    right_weight, lower_weight = x - left, y - top
    total = np.zeros(len(source))
    for i, across in ((0, 1 - right_weight), (1, right_weight)):
        for j, down in ((0, 1 - lower_weight), (1, lower_weight)):
            column, row = left + i, top + j
            inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
            pixel = np.where(inside, (source * height + row) * width + column, 0)
            total += across * down * (inside & same(source, point, pixel))
    visible = np.zeros_like(facing)
    # A weight that is 0.5 but for rounding counts, so that nothing hangs on the last bit.
    visible[source, point] = total >= 0.5 - 1e-6
    return visible


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
        x, y: (K, M) positions of their points in the sources, pixels.
        visible: (K, M), see :func:`shown`.
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
