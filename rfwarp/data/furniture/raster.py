"""Triangles -> samples by z-buffering, on any torch device.

Geometry is float64. Of triangles at the same distance, to float32, the first is drawn: coplanar
ones, of which there are many in models drawn by hand, do not flicker.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

PAIRS = {"cpu": 1 << 17}
"""Pairs of a triangle and a sample that are computed at a time, by type of device: on a CPU they
should stay in its caches."""
_MANY_PAIRS = 1 << 23


class Planes(NamedTuple):
    """T triangles projected to an image, as affine functions of a sample's column and row."""

    first: Tensor
    """(3, T) float64: the weight of corner 1 is [0] + [1] column + [2] row."""
    second: Tensor
    """(3, T) float64: of corner 2, likewise; corner 0 has the rest of 1."""
    inverse: Tensor
    """(3, T) float64 inverse distances of the corners along the optical axis."""
    box: Tensor
    """(4, T) int64: first column, first row, columns and rows that it may cover, perhaps none."""
    front: Tensor
    """(T,) bool: its corners run counter-clockwise as seen in the image."""
    area: Tensor
    """(T,) float64, samples."""

    @classmethod
    def of(cls, x: Tensor, y: Tensor, inverse: Tensor, samples: int) -> Planes:
        """Planes of triangles with corners at columns ``x`` and rows ``y`` (3, T) of an image."""
        (x0, x1, x2), (y0, y1, y2) = x, y
        area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
        some = torch.where(area == 0, torch.inf, area)  # seen edge-on: nothing is inside
        fx, fy = (y2 - y0) / some, (x0 - x2) / some
        sx, sy = (y0 - y1) / some, (x1 - x0) / some
        left, columns = _span(x, samples)
        top, rows = _span(y, samples)
        columns = torch.where(area == 0, 0, columns)
        return cls(
            torch.stack([-fx * x0 - fy * y0, fx, fy]),
            torch.stack([-sx * x0 - sy * y0, sx, sy]),
            inverse,
            torch.stack([left, top, columns, rows]),
            area < 0,  # rows grow downwards
            area.abs() / 2,
        )


class Fragments(NamedTuple):
    """M samples, each with the point of a triangle that it shows."""

    sample: Tensor
    """(M,) int64: row * samples + column."""
    triangle: Tensor
    """(M,) int64."""
    weights: Tensor
    """(3, M) float64 of its corners, with perspective."""
    inverse: Tensor
    """(M,) float64 inverse distance along the optical axis."""

    def mix(self, corners: Tensor) -> Tensor:
        """(M, C): the mean of (3, T, C) values of corners."""
        weights = self.weights.to(corners.dtype)
        return sum(  # type: ignore[return-value]
            (weights[k, :, None] * corners[k, self.triangle] for k in range(3)),
        )


def nearest(
    planes: Planes,
    triangles: Tensor,
    samples: int,
    *,
    farther: Tensor | None = None,
    nearer: Tensor | None = None,
    shows: Callable[[Fragments], Tensor] | None = None,
) -> Tensor:
    """The nearest of some triangles at each sample.

    Args:
        planes: of the image.
        triangles: (C,) numbers of those to draw.
        samples: columns and rows of the image.
        farther: (samples^2,) keys that hits must be farther than; -1 allows no hit.
        nearer: (samples^2,) keys that hits must be nearer than; -1 allows all.
        shows: tells (M,) which fragments can be seen; by default all.

    Returns:
        (samples^2,) int64 keys, -1 where nothing is hit. The larger is the nearer; see
        :func:`fragments`.
    """
    count = planes.area.shape[0]
    best = torch.full((samples * samples,), -1, dtype=torch.int64, device=planes.area.device)
    for triangle, sample, column, row in _pairs(planes, triangles, samples):
        b1, b2 = _weights(planes, triangle, column, row)
        inside = ((b1 >= 0) & (b2 >= 0) & (b1 + b2 <= 1)).nonzero()[:, 0]
        found = _fragments(planes, triangle[inside], sample[inside], b1[inside], b2[inside])
        # Positive floats order like their bits.
        bits = found.inverse.float().view(torch.int32).long()
        key = (bits << 32) | (count - 1 - found.triangle)
        kept = torch.ones_like(key, dtype=torch.bool)
        if farther is not None:
            kept &= key < farther[found.sample]
        if nearer is not None:
            kept &= key > nearer[found.sample]
        if shows is not None:
            kept &= shows(found)
        best.scatter_reduce_(0, found.sample, torch.where(kept, key, -1), "amax")
    return best


def fragments(planes: Planes, keys: Tensor, samples: int) -> Fragments:
    """Fragments of the samples with a hit, by their keys of :func:`nearest`."""
    sample = (keys >= 0).nonzero()[:, 0]
    triangle = planes.area.shape[0] - 1 - (keys[sample] & 0xFFFFFFFF)
    column, row = sample % samples, sample // samples
    return _fragments(
        planes, triangle, sample, *_weights(planes, triangle, column.double(), row.double())
    )


def _span(corners: Tensor, samples: int) -> tuple[Tensor, Tensor]:
    """The first sample between three coordinates (3, T), and how many there are."""
    low = corners.amin(0).ceil().clamp(0, samples).long()
    high = corners.amax(0).floor().clamp(-1, samples - 1).long()
    return low, (high - low + 1).clamp_min(0)


def _pairs(
    planes: Planes, triangles: Tensor, samples: int
) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
    """Triangles, samples, and columns and rows (float64), of all in the triangles' boxes."""
    left, top, columns, rows = planes.box[:, triangles]
    area = columns * rows
    some = area.nonzero()[:, 0]
    triangles, left, top, columns, area = (
        value[some] for value in (triangles, left, top, columns, area)
    )
    budget = PAIRS.get(area.device.type, _MANY_PAIRS)
    ends = area.cumsum(0)
    part = torch.div(ends, budget, rounding_mode="floor")
    begin = 0
    for end in torch.unique_consecutive(part, return_counts=True)[1].cumsum(0).tolist():
        size = area[begin:end]
        pair = torch.repeat_interleave(torch.arange(begin, end, device=size.device), size)
        first = ends[pair] - area[pair] - (ends[begin] - area[begin])
        local = torch.arange(len(pair), device=size.device) - first
        width = columns[pair]
        row = torch.div(local, width, rounding_mode="floor")
        column = local - row * width + left[pair]
        row += top[pair]
        yield triangles[pair], row * samples + column, column.double(), row.double()
        begin = end


def _weights(
    planes: Planes, triangle: Tensor, column: Tensor, row: Tensor
) -> tuple[Tensor, Tensor]:
    f0, fx, fy = planes.first.index_select(1, triangle)
    s0, sx, sy = planes.second.index_select(1, triangle)
    return f0 + fx * column + fy * row, s0 + sx * column + sy * row


def _fragments(
    planes: Planes, triangle: Tensor, sample: Tensor, b1: Tensor, b2: Tensor
) -> Fragments:
    z0, z1, z2 = planes.inverse.index_select(1, triangle)
    w0, w1, w2 = (1 - b1 - b2) * z0, b1 * z1, b2 * z2
    inverse = w0 + w1 + w2
    return Fragments(sample, triangle, torch.stack([w0, w1, w2]) / inverse, inverse)
