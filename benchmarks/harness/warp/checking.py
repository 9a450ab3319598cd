"""The check before timing: every output and gradient against float64, sample by sample."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from harness.warp.cases import Case, DType, Inputs

NAMES = ("output", *(f"gradient of {name}" for name in Inputs._fields[:6]))

# Largest error by the largest value, and root mean square of the error by that of the values.
# float32: normalised coordinates round by 1e-7 of the width, 1e-5 to 1e-4 pixels, and values change
# by about as much. Half precision: twice the rounding of the result, 2^-9 and 2^-12.
TOLERANCES: dict[DType, tuple[float, float]] = {
    "float32": (1e-3, 1e-4),
    "bfloat16": (8e-3, 4e-3),
    "float16": (1e-3, 5e-4),
}


class Mismatch(AssertionError):
    """A candidate does not compute the operator."""


class Error(NamedTuple):
    """Error of a result against float64."""

    largest: float
    """Largest error of all elements, divided by the largest value."""
    rms: float
    """Root mean square error, divided by the root mean square of the values."""

    def to_json(self) -> dict[str, float]:
        return {name: float(f"{value:.3g}") for name, value in self._asdict().items()}


class Reference:
    """The results of a case in float64, rounded to float32 to hold them."""

    def __init__(self, case: Case, inputs: Inputs) -> None:
        self.case = case
        samples = [_sample(case, inputs, n) for n in range(case.shape.n)]
        results = [torch.cat(parts) for parts in zip(*samples, strict=True)]
        if case.backward and case.shape.shared:
            results[1] = results[1].double().sum(0, keepdim=True).float()
        self.results = tuple(results)

    def check(self, name: str, results: Sequence[Tensor]) -> dict[str, Error]:
        """The error of each result: the output, then, if the case has a backward, the gradients.

        Args:
            name: of the candidate, for the message.
            results: in the order of `NAMES`.

        Raises:
            Mismatch: if one is too large, or the output is not laid out as the target is.
        """
        if not results[0].is_contiguous(memory_format=self.case.memory_format):
            raise Mismatch(
                f"{name} on {self.case}: the output must be laid out as the target, in"
                f" {self.case.layout}, got the strides {results[0].stride()}"
            )
        errors = {}
        largest, rms = TOLERANCES[self.case.dtype]
        references = self._references()
        for what, result, expected in zip(NAMES, results, references, strict=False):
            error = _error(result, expected)
            errors[what] = error
            # Negated, so that NaN fails.
            if not (error.largest <= largest and error.rms <= rms):
                raise Mismatch(
                    f"{name} on {self.case}: {what} is off by {error.largest:.2g} of the largest"
                    f" value (allowed {largest:g}) and {error.rms:.2g} in root mean square"
                    f" (allowed {rms:g})"
                )
        return errors

    def _references(self) -> list[tuple[Tensor, ...]]:
        """Per result the values that count as right: at a kink of the flow, two."""
        output, *gradients = self.results
        if not self.case.backward:
            return [(output,)]
        features, right, left, occlusion, attention, target = gradients
        flow = (right, left)
        return [(output,), (features,), flow, flow, (occlusion,), (attention,), (target,)]


def _error(result: Tensor, expected: tuple[Tensor, ...]) -> Error:
    largest, squares = 0.0, 0.0
    for parts in zip(result.detach(), *expected, strict=True):
        actual, *choices = (part.double() for part in parts)
        difference = torch.stack([(actual - choice).abs() for choice in choices]).amin(0)
        largest = max(largest, float(difference.max()))
        squares += float(difference.square().sum())
        if not torch.isfinite(actual).all():
            return Error(float("nan"), float("nan"))
    peak = float(expected[0].abs().max())
    power = float(torch.linalg.vector_norm(expected[0], dtype=torch.float64)) ** 2
    if peak == 0:
        return Error(largest, squares**0.5)
    return Error(largest / peak, (squares / power) ** 0.5)


def _sample(case: Case, inputs: Inputs, n: int) -> tuple[Tensor, ...]:
    """One sample's output; with a backward also the gradients, the flow's from both sides."""
    one = [x[n if x.shape[0] > 1 else 0 : (n if x.shape[0] > 1 else 0) + 1] for x in inputs]
    features, flow, residual, occlusion, attention, target, grad_out = (
        x.detach().double() for x in one
    )
    position = _positions(flow + residual)
    if not case.backward:
        return (_fuse(features, position, occlusion, attention, target).float(),)
    leaves = [x.requires_grad_() for x in (features, occlusion, attention, target)]
    out = _fuse(features, position, *leaves[1:])
    by_features, *others = torch.autograd.grad(out, leaves, grad_out)
    sides = [_slope(features, position, side, leaves[1:], grad_out) for side in (1, -1)]
    return tuple(x.detach().float() for x in (out, by_features, *sides, *others))


def _slope(
    features: Tensor, position: Tensor, side: int, others: Sequence[Tensor], grad_out: Tensor
) -> Tensor:
    """The gradient of the positions, on one side of where it jumps.

    It jumps at the centre of a pixel. What float32 cannot tell from a centre is moved clearly to
    one side of it, for rounding decides on which a float32 implementation finds it.
    """
    centre = position.round()
    near = (position - centre).abs() < 5e-7 * max(position.shape[-2:])
    beside = torch.where(near, centre + side * 1e-9, position).requires_grad_()
    (slope,) = torch.autograd.grad(_fuse(features, beside, *others), beside, grad_out)
    return slope


def _positions(flow: Tensor) -> Tensor:
    """Sampled coordinates in pixels."""
    height, width = flow.shape[-2:]
    x = torch.arange(width, dtype=flow.dtype, device=flow.device)
    y = torch.arange(height, dtype=flow.dtype, device=flow.device)
    return flow + torch.stack(torch.meshgrid(x, y, indexing="xy"))


def _fuse(
    features: Tensor, position: Tensor, occlusion: Tensor, attention: Tensor, target: Tensor
) -> Tensor:
    n, k, _, height, width = features.shape
    last = position.new_tensor([width - 1, height - 1])
    grid = position.movedim(2, -1) * (2 / last) - 1
    warped = F.grid_sample(features.flatten(0, 1), grid.flatten(0, 1), align_corners=True)
    m, a = occlusion.sigmoid(), attention.softmax(1)
    return (a * (warped.unflatten(0, (n, k)) * (1 - m) + target[:, None] * m)).sum(1)
