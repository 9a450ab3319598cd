"""Eq. 5 and 6 and their gradients, one pixel after the other in float64: what rfwarp.ops is judged
by. Written from the docstrings of rfwarp.ops, not from any of its implementations.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

OUTPUTS = ("out", "features", "flow", "occlusion", "attention", "target")


@dataclass(frozen=True)
class Answer:
    """The output and every gradient, by the names in OUTPUTS (that of the residual is the flow's).

    Attributes:
        value: the numbers.
        size: their sums of absolute values: what rounding errors are relative to. 1 - m counts as
            1, because it has the absolute error of m.
        terms: the most terms that one of the numbers is a sum of.
    """

    value: dict[str, Tensor]
    size: dict[str, Tensor]
    terms: dict[str, int]

    def tolerance(self, name: str, eps: float) -> Tensor:
        """What rounding may change when every operation has a relative error of at most eps / 2.

        A sum of n terms loses at most n of these; 32 are for the sigmoid, the softmax and the
        factors of a term.
        """
        return (self.terms[name] + 32) * eps / 2 * self.size[name]


def axis_neighbours(position: float, size: int, padding_mode: str):
    """(index, weight, derivative of the weight by the position) of the pixels inside."""
    slope = 1.0
    if padding_mode == "border" and not math.isnan(position):
        slope = float(0 < position < size - 1)
        position = min(max(position, 0.0), size - 1.0)
    if not -1 <= position < size:
        return []
    low = math.floor(position)
    both = [(low, 1 - (position - low), -slope), (low + 1, position - low, slope)]
    return [neighbour for neighbour in both if 0 <= neighbour[0] < size]


def neighbours(x: float, y: float, height: int, width: int, padding_mode: str):
    """(row, column, weight, its derivatives by x and y) of the pixels around a position."""
    columns = axis_neighbours(x, width, padding_mode)
    for j, weight_y, slope_y in axis_neighbours(y, height, padding_mode):
        for i, weight_x, slope_x in columns:
            yield j, i, weight_y * weight_x, (weight_y * slope_x, slope_y * weight_x)


class _Sums:
    """Numbers and, beside them, the sums of their absolute values."""

    def __init__(self, shapes: dict[str, tuple[int, ...]]) -> None:
        self.value = {name: np.zeros(shape) for name, shape in shapes.items()}
        self.size = {name: np.zeros(shape) for name, shape in shapes.items()}

    def add(self, name, index, value, size) -> None:
        self.value[name][index] += value
        self.size[name][index] += size


def warp_fuse(
    features: Tensor,
    flow: Tensor,
    residual: Tensor | None,
    occlusion: Tensor,
    attention: Tensor,
    target: Tensor,
    mask: Tensor | None,
    padding_mode: str,
    grad_out: Tensor,
) -> Answer:
    """``rfwarp::warp_fuse`` and its backward."""
    arrays = (features, flow, occlusion, attention, target, grad_out)
    f, w, o, logits, t, g = (x.double().numpy() for x in arrays)
    if residual is not None:
        w = w + residual.double().numpy()
    n, k, c, height, width = f.shape
    present = np.ones((n, k), dtype=bool) if mask is None else mask.numpy()
    shapes = dict(zip(OUTPUTS[1:], (x.shape for x in (f, w, o, logits, t)), strict=True))
    sums = _Sums({"out": t.shape, **shapes})
    hits = np.zeros((n, k, height, width), dtype=int)
    with np.errstate(all="ignore"):
        for b in range(n):
            sources = np.flatnonzero(present[b])
            for y, x in np.ndindex(height, width):
                if sources.size:
                    _pixel(sums, hits, (f, w, o, logits, t, g), (b, y, x), sources, padding_mode)
    terms = {"out": 5 * k, "target": k, "features": int(hits.max(initial=0))}
    terms.update(flow=c + 4, occlusion=c + 4, attention=c + k + 4)
    as_tensors = ({name: torch.from_numpy(v) for name, v in x.items()} for x in vars(sums).values())
    return Answer(*as_tensors, terms)


def _pixel(sums, hits, arrays, place, sources, padding_mode) -> None:
    f, w, o, logits, t, g = arrays
    b, y, x = place
    height, width = f.shape[-2:]
    grad = g[b, :, y, x]
    own = t[b, :, y, x]
    scores = logits[b, sources, 0, y, x]
    a = np.exp(scores - scores.max())
    a = a / a.sum()
    m = 1 / (1 + np.exp(-o[b, sources, 0, y, x]))

    values, sizes = np.zeros(len(sources)), np.zeros(len(sources))  # of the attention's gradient
    own_value, own_size = grad @ own, np.abs(grad) @ np.abs(own)
    for i, k in enumerate(sources):
        sample, sample_size = np.zeros_like(own), np.zeros_like(own)
        visible = a[i] * (1 - m[i])
        dx, dy = w[b, k, :, y, x]
        for row, column, weight, slopes in neighbours(x + dx, y + dy, height, width, padding_mode):
            there = f[b, k, :, row, column]
            sample += weight * there
            sample_size += weight * np.abs(there)
            by_features = (b, k, slice(None), row, column)
            sums.add("features", by_features, visible * weight * grad, a[i] * weight * np.abs(grad))
            hits[b, k, row, column] += 1
            for axis, slope in enumerate(slopes):
                dot, dot_size = grad @ there, np.abs(grad) @ np.abs(there)
                by_flow = (b, k, axis, y, x)
                sums.add("flow", by_flow, visible * slope * dot, a[i] * abs(slope) * dot_size)
        sums.add("out", (b, slice(None), y, x), visible * sample, a[i] * sample_size)
        dot, dot_size = grad @ sample, np.abs(grad) @ sample_size
        values[i] = (1 - m[i]) * dot + m[i] * own_value
        sizes[i] = dot_size + m[i] * own_size
        scale = a[i] * m[i]
        by_logit = (b, k, 0, y, x)
        sums.add(
            "occlusion",
            by_logit,
            scale * (1 - m[i]) * (own_value - dot),
            scale * (own_size + dot_size),
        )
    matting = a @ m
    sums.add("out", (b, slice(None), y, x), matting * own, matting * np.abs(own))
    sums.add("target", (b, slice(None), y, x), matting * grad, matting * np.abs(grad))
    by_logits = (b, sources, 0, y, x)
    sums.add("attention", by_logits, a * (values - a @ values), a * (sizes + a @ sizes))


def warp(features: Tensor, flow: Tensor, padding_mode: str, grad_out: Tensor) -> Answer:
    """``rfwarp::warp`` and its backward, as that of one source that is visible everywhere."""
    logits = torch.zeros_like(flow[:, None, :1])
    fused = warp_fuse(
        features[:, None],
        flow[:, None],
        None,
        logits - math.inf,
        logits,
        torch.zeros_like(features),
        None,
        padding_mode,
        grad_out,
    )
    names = ("features", "flow")
    value, size = (
        {"out": x["out"], **{name: x[name][:, 0] for name in names}}
        for x in (fused.value, fused.size)
    )
    return Answer(value, size, {name: fused.terms[name] for name in ("out", *names)})
