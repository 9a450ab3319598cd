"""Inputs for warp_fuse that every type holds exactly, in every layout that memory can have."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import warp_oracle
from torch import Tensor
from warp_oracle import OUTPUTS, Answer

from rfwarp.ops import reference

NAMES = ("features", "flow", "residual", "occlusion", "attention", "target")
PADDINGS = ("zeros", "border", "reflection")
DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)

Layout = Callable[[Tensor], Tensor]


def channels_last(x: Tensor) -> Tensor:
    return x.movedim(-3, -1).contiguous().movedim(-1, -3)


def transposed(x: Tensor) -> Tensor:
    return x.mT.contiguous().mT


def amid_nan(x: Tensor) -> Tensor:
    """A slice of a larger tensor, whose other elements must not be read."""
    around = x.new_full([size + 3 for size in x.shape], torch.nan)
    return around[tuple(slice(1, 1 + size) for size in x.shape)].copy_(x)


def channels_last_amid_nan(x: Tensor) -> Tensor:
    return amid_nan(x.movedim(-3, -1)).movedim(-1, -3)


def every_other(x: Tensor) -> Tensor:
    return x.new_full((*x.shape, 2), torch.nan)[..., 0].copy_(x)


def misaligned(x: Tensor) -> Tensor:
    return x.new_empty(x.numel() + 1)[1:].view(x.shape).copy_(x)


LAYOUTS: dict[str, tuple[Layout, Layout, Layout, Layout]] = {
    # features, target, grad_out, and the small tensors: flow, residual and logits
    "contiguous": (Tensor.contiguous,) * 4,
    "channels_last": (channels_last,) * 4,
    "features channels_last": (channels_last, *(Tensor.contiguous,) * 3),
    "target channels_last": (Tensor.contiguous, channels_last, *(Tensor.contiguous,) * 2),
    "grad_out channels_last": (*(Tensor.contiguous,) * 2, channels_last, Tensor.contiguous),
    "transposed": (transposed,) * 4,
    "amid NaN": (amid_nan,) * 4,
    "channels_last amid NaN": (channels_last_amid_nan,) * 4,
    "every other": (every_other,) * 4,
    "misaligned": (misaligned,) * 4,
}


@dataclass(frozen=True, eq=False)
class Case:
    """One call of warp_fuse, all of it float64, and what it must give."""

    inputs: tuple[Tensor | None, ...]
    mask: Tensor | None
    padding_mode: str
    grad_out: Tensor
    answer: Answer

    def arguments(self, dtype: torch.dtype, layout: str = "contiguous"):
        """(grad_out, the inputs), with features of a type, in one of LAYOUTS."""
        by_features, by_target, by_grad, by_small = LAYOUTS[layout]
        small_dtype = torch.float64 if dtype == torch.float64 else torch.float32
        features, *small, target = self.inputs
        return by_grad(self.grad_out.to(dtype)), (
            _lay_out(by_features, features, dtype),
            *(None if x is None else _lay_out(by_small, x, small_dtype) for x in small),
            by_target(target.to(dtype)),
        )


def _lay_out(layout: Layout, x: Tensor, dtype: torch.dtype) -> Tensor:
    """Dimensions of stride 0 stay so."""
    once = x[tuple(slice(0, 1) if stride == 0 else slice(None) for stride in x.stride())]
    return layout(once.to(dtype)).expand_as(x)


def exact_inputs(
    n: int, k: int, c: int, h: int, w: int, generator: torch.Generator
) -> dict[str, Tensor]:
    """The tensors of NAMES, and grad_out, of few bits: neither the conversion to a type nor the sum
    of pixel, flow and residual rounds. A quarter of the coordinates are whole.
    """

    def numbers(*shape: int, bound: float, step: float) -> Tensor:
        steps = round(bound / step)
        return step * torch.randint(-steps, steps + 1, shape, generator=generator).double()

    far = max(h, w) / 2 + 1
    flow = numbers(n, k, 2, h, w, bound=far, step=1 / 64)
    residual = numbers(n, k, 2, h, w, bound=1, step=1 / 64)
    whole = torch.rand(flow.shape, generator=generator) < 0.25
    return {
        "features": numbers(n, k, c, h, w, bound=4, step=1 / 16),
        "flow": torch.where(whole, flow.round(), flow),
        "residual": torch.where(whole, residual.round(), residual),
        "occlusion": numbers(n, k, 1, h, w, bound=4, step=1 / 16),
        "attention": numbers(n, k, 1, h, w, bound=4, step=1 / 16),
        "target": numbers(n, c, h, w, bound=4, step=1 / 16),
        "grad_out": numbers(n, c, h, w, bound=1, step=1 / 16),
    }


@functools.cache
def case(
    shape: tuple[int, int, int, int, int],
    padding_mode: str,
    present: str = "all",
    shared: str = "nothing",
    with_residual: bool = True,
) -> Case:
    """A call on `exact_inputs`, and the oracle's answer.

    Args:
        shape: N, K, C, H, W.
        present: the mask: ``"all"`` (none is given), ``"some"``, ``"one"`` source of each sample,
            or ``"none"`` of the first sample.
        shared: ``"batch"``: all samples are one, in tensors of stride 0; ``"sources"``: so are the
            sources of each.
    """
    n, k, *_ = shape
    generator = torch.Generator().manual_seed(sum(shape))
    inputs = exact_inputs(*shape, generator)
    grad_out = inputs.pop("grad_out")
    if shared == "batch" and n > 0:
        inputs = {name: x[:1].expand_as(x) for name, x in inputs.items()}
    if shared == "sources":
        inputs = {
            name: x if name == "target" else x[:, :1].expand_as(x) for name, x in inputs.items()
        }
    values = list(inputs.values())
    if not with_residual:
        values[2] = None
    only = torch.arange(k).expand(n, k) == torch.arange(n)[:, None] % k
    mask = {
        "all": None,
        "some": only | (torch.rand(n, k, generator=generator) < 0.5),
        "one": only,
        "none": torch.arange(n)[:, None].expand(n, k) > 0,
    }[present]
    answer = warp_oracle.warp_fuse(*values, mask, padding_mode, grad_out)
    return Case(tuple(values), mask, padding_mode, grad_out, answer)


def answer_of_reference(
    inputs: Sequence[Tensor | None],
    mask: Tensor | None,
    padding_mode: str,
    grad_out: Tensor,
    visibility: bool = False,
) -> Answer:
    """The oracle's answer, computed by the PyTorch reference in float64: for what is too large for
    loops. The sizes are bounds of those that the oracle sums up. What is absent gets gradients all
    the same; values that are not finite count as zero in the sizes.
    """
    features, flow, residual, occlusion, attention, target = (
        None if x is None else x.double() for x in inputs
    )
    if occlusion is None:
        occlusion, visibility = torch.ones_like(flow[:, :, :1]), True
    attention = torch.zeros_like(flow[:, :, :1]) if attention is None else attention
    target = torch.zeros_like(features[:, 0]) if target is None else target
    call = (features, flow, residual, occlusion, attention, target, mask, padding_mode, visibility)
    grad_out = grad_out.double()
    gradients = reference.warp_fuse_backward(grad_out, *call[:-1], [True] * 5, visibility)
    value = by_name(reference.warp_fuse(*call), gradients)

    features, target, grad_out = (_magnitude(x) for x in (features, target, grad_out))
    weights = (attention, torch.zeros_like(target), mask, padding_mode)
    ours = (features, flow, residual, torch.ones_like(occlusion), *weights)  # all is visible
    theirs = (torch.zeros_like(features), flow, residual, occlusion, attention, target)
    theirs = (*theirs, mask, padding_mode)
    *_, by_target = reference.warp_fuse_backward(grad_out, *theirs, [True] * 5, visibility)
    by_features, *_ = reference.warp_fuse_backward(grad_out, *ours, [True] * 5, True)
    largest = max(features.amax(), target.amax()) if features.numel() else 0
    by_pixel = 2 * largest * grad_out.sum(1)[:, None, None]
    size = {
        "out": reference.warp_fuse(*ours, True) + reference.warp_fuse(*theirs, visibility),
        "features": by_features,
        "flow": by_pixel.expand_as(flow),
        "occlusion": by_pixel.expand_as(occlusion),
        "attention": 2 * by_pixel.expand_as(occlusion),
        "target": by_target,
    }
    k, c = features.shape[1:3]
    terms = {"out": 5 * k, "target": k, "features": _most_hits(flow, residual)}
    terms.update(flow=c + 4, occlusion=c + 4, attention=c + k + 4)
    return Answer(value, size, terms)


def _magnitude(x: Tensor) -> Tensor:
    return x.abs().nan_to_num(nan=0, posinf=0)


def answer_of_reference_for_warp(
    features: Tensor, flow: Tensor, padding_mode: str, grad_out: Tensor
) -> Answer:
    """The same for warp: images or volumes, several flows for a sample or one."""
    features, flow, grad_out = (x.double() for x in (features, flow, grad_out))
    by_features, by_flow = reference.warp_backward(
        grad_out, features, flow, padding_mode, [True, True]
    )
    value = {"out": reference.warp(features, flow, padding_mode)}
    value.update(features=by_features, flow=by_flow)
    features, grad_out = _magnitude(features), _magnitude(grad_out)
    by_features, _ = reference.warp_backward(grad_out, features, flow, padding_mode, [True, False])
    largest = features.amax() if features.numel() else 0
    by_flow = (2 * largest * grad_out.sum(1, keepdim=True)).expand_as(flow)
    size = {"out": reference.warp(features, flow, padding_mode)}
    size.update(features=by_features, flow=by_flow)
    hits = 4 if features.ndim == 4 else 8
    per_sample = flow.shape[0] // max(1, features.shape[0])
    terms = {"out": hits, "features": hits * per_sample * grad_out[0:1, :1].numel()}
    return Answer(value, size, {**terms, "flow": features.shape[1] + 8})


def _most_hits(flow: Tensor, residual: Tensor | None) -> int:
    """At most as many positions have one pixel among their four neighbours."""
    n, k, _, height, width = flow.shape
    if flow.numel() == 0:
        return 0
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    moved = flow if residual is None else flow + residual
    x, y = moved[:, :, 0] + x, moved[:, :, 1] + y
    cell = [
        torch.nan_to_num(t).clamp(-2, size).floor().long() + 2
        for t, size in ((x, width), (y, height))
    ]
    image = torch.arange(n * k).view(n, k, 1, 1)
    cells = ((image * (height + 3)) + cell[1]) * (width + 3) + cell[0]
    return 4 * int(cells.flatten().bincount().max())


def assert_correct(results: dict[str, Tensor], answer: Answer, note: object = "") -> None:
    """Every result, by names of OUTPUTS, is within the rounding errors of its type, as derived.

    Half-precision results are computed in float32 and rounded once.
    """
    for name, result in results.items():
        wide = torch.float64 if result.dtype == torch.float64 else torch.float32
        value = answer.value[name]
        tolerance = answer.tolerance(name, torch.finfo(wide).eps)
        if result.dtype != wide:
            narrow = torch.finfo(result.dtype)
            tolerance = tolerance + (value.abs() + tolerance) * narrow.eps / 2
            tolerance = tolerance + narrow.smallest_normal * narrow.eps
        tolerance = tolerance + 64 * torch.finfo(wide).tiny  # what underflows may become zero
        assert result.shape == value.shape, (name, result.shape, note)
        result = result.double()
        same = (result == value) | (result.isnan() & value.isnan())
        wrong = ~(((result - value).abs() <= tolerance) | same)
        if wrong.any():
            place = tuple(wrong.nonzero()[0].tolist())
            raise AssertionError(
                f"{name}{list(place)} is {result[place].item()}, not {value[place].item()} +-"
                f" {tolerance[place].item():.2e}; {int(wrong.sum())} of {wrong.numel()} are wrong."
                f" {note}"
            )


def by_name(out: Tensor, gradients: tuple[Tensor, ...]) -> dict[str, Tensor]:
    return dict(zip(OUTPUTS, (out, *gradients), strict=True))
