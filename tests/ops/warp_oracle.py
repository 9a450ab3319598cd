"""The oracle of rfwarp.ops: Eq. 5 and 6 and their gradients, pixel by pixel in float64.

It was written from the docstrings of rfwarp.ops, not from any of its implementations.
"""

from __future__ import annotations

import itertools
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
        size: their sums of absolute values, which rounding errors are relative to. 1 - m counts as
            1, because it has the absolute error of m.
        terms: the most terms that one of the numbers is a sum of.
    """

    value: dict[str, Tensor]
    size: dict[str, Tensor]
    terms: dict[str, int]

    def tolerance(self, name: str, eps: float) -> Tensor:
        """Bound of the rounding errors if every operation has a relative one of at most eps / 2.

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
    if padding_mode == "reflection":
        position, slope = reflect(position, size - 1)
    if not -1 <= position < size:
        return []
    low = math.floor(position)
    both = [(low, 1 - (position - low), -slope), (low + 1, position - low, slope)]
    return [neighbour for neighbour in both if 0 <= neighbour[0] < size]


def reflect(position: float, last: int) -> tuple[float, float]:
    """The coordinate among the pixels 0 to last, and its derivative by the position."""
    if not math.isfinite(position):
        return math.nan, 0.0
    slope = 1.0
    position = 0.0 if last == 0 else math.fmod(position, 2 * last)
    if position < 0:
        position, slope = -position, -slope
    if position > last:
        position, slope = 2 * last - position, -slope
    return position, slope if 0 < position < last else 0.0


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
    occlusion: Tensor | None,
    attention: Tensor | None,
    target: Tensor | None,
    mask: Tensor | None,
    padding_mode: str,
    grad_out: Tensor,
    visibility: bool = False,
) -> Answer:
    """``rfwarp::warp_fuse`` and its backward. What is absent gets gradients all the same."""
    if occlusion is None:
        occlusion, visibility = torch.ones_like(flow[:, :, :1]), True
    if attention is None:
        attention = torch.zeros_like(flow[:, :, :1])
    if target is None:
        target = torch.zeros_like(features[:, 0])
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
                    place, how = (b, y, x), (padding_mode, visibility)
                    _pixel(sums, hits, (f, w, o, logits, t, g), place, sources, how)
    terms = {"out": 5 * k, "target": k, "features": int(hits.max(initial=0))}
    terms.update(flow=c + 4, occlusion=c + 4, attention=c + k + 4)
    as_tensors = ({name: torch.from_numpy(v) for name, v in x.items()} for x in vars(sums).values())
    return Answer(*as_tensors, terms)


def _pixel(sums, hits, arrays, place, sources, how) -> None:
    padding_mode, visibility = how
    f, w, o, logits, t, g = arrays
    b, y, x = place
    height, width = f.shape[-2:]
    grad = g[b, :, y, x]
    own = t[b, :, y, x]
    scores = logits[b, sources, 0, y, x]
    a = np.exp(scores - scores.max())
    a = a / a.sum()
    m = o[b, sources, 0, y, x]
    m = 1 - m if visibility else 1 / (1 + np.exp(-m))

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
        slope, steepest = (-1, 1) if visibility else (m[i] * (1 - m[i]), m[i])
        sums.add(
            "occlusion",
            (b, k, 0, y, x),
            a[i] * slope * (own_value - dot),
            a[i] * steepest * (own_size + dot_size),
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


def warp_any(features: Tensor, flow: Tensor, padding_mode: str, grad_out: Tensor) -> Answer:
    """``rfwarp::warp`` and its backward: images or volumes, several flows for a sample or one."""
    f, w, g = (x.double().numpy() for x in (features, flow, grad_out))
    samples, c, *size = f.shape
    sums = _Sums({"out": g.shape, "features": f.shape, "flow": w.shape})
    hits = np.zeros((samples, *size), dtype=int)
    for m in range(len(w)):
        n = m // (len(w) // samples)
        for place in np.ndindex(*size):
            to, grad = (m, slice(None), *place), g[(m, slice(None), *place)]
            position = [coordinate + w[(m, a, *place)] for a, coordinate in enumerate(place[::-1])]
            axes = [
                axis_neighbours(x, length, padding_mode)
                for x, length in zip(position, size[::-1], strict=True)
            ]
            for corner in itertools.product(*axes):
                weights = [weight for _, weight, _ in corner]
                at = (n, slice(None), *(index for index, _, _ in corner[::-1]))
                weight, there = math.prod(weights), f[at]
                sums.add("out", to, weight * there, weight * np.abs(there))
                sums.add("features", at, weight * grad, weight * np.abs(grad))
                hits[(at[0], *at[2:])] += 1
                for a, (_, _, slope) in enumerate(corner):
                    change = slope * math.prod(weights[:a] + weights[a + 1 :])
                    dot, dot_size = grad @ there, np.abs(grad) @ np.abs(there)
                    sums.add("flow", (m, a, *place), change * dot, abs(change) * dot_size)
    terms = {"out": 2 ** len(size), "features": int(hits.max(initial=0)), "flow": c + 8}
    return Answer(
        *({k: torch.from_numpy(v) for k, v in x.items()} for x in vars(sums).values()), terms
    )
