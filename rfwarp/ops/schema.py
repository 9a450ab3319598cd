"""The operators as PyTorch knows them: schema, default kernel, shapes for tracing, gradients.

Importing this module defines ``torch.ops.rfwarp.*``. The kernels of `reference` are registered for
every device (CompositeExplicitAutograd); a compiled kernel registered for CPU or CUDA takes their
place by itself. A kernel may rely on what `functional` establishes:

* shapes as in the user functions, N >= 0 and all other sizes >= 1, one device, any strides;
* features, target and grad_out have one type; flow, residual and logits are float32, or float64
  where the features are;
* padding_mode is "zeros" or "border".

It returns new dense tensors: the output laid out as ``torch.empty_like(target)`` (of warp:
features), a gradient as ``torch.empty_like`` of its input. Where output_mask is false, a gradient
is an empty tensor of shape (0,).

Its results are the same to the bit in every call, with one exception: a backward on CUDA may add up
the gradient of features in any order. Under ``torch.use_deterministic_algorithms(True)`` autograd
calls ``*_backward_deterministic`` there instead, which take that gradient from `reference`. Who
calls a backward operator directly makes this choice too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import torch
from torch import Tensor

from rfwarp.ops import reference
from rfwarp_cuda import NAMESPACE

_SCHEMAS = {
    "warp": "(Tensor features, Tensor flow, str padding_mode) -> Tensor",
    "warp_backward": (
        "(Tensor grad_out, Tensor features, Tensor flow, str padding_mode, bool[2] output_mask)"
        " -> (Tensor, Tensor)"
    ),
    "warp_fuse": (
        "(Tensor features, Tensor flow, Tensor? residual, Tensor occlusion, Tensor attention,"
        " Tensor target, Tensor? mask, str padding_mode) -> Tensor"
    ),
    "warp_fuse_backward": (
        "(Tensor grad_out, Tensor features, Tensor flow, Tensor? residual, Tensor occlusion,"
        " Tensor attention, Tensor target, Tensor? mask, str padding_mode, bool[5] output_mask)"
        " -> (Tensor, Tensor, Tensor, Tensor, Tensor)"
    ),
}
OPERATORS = tuple(_SCHEMAS)
operators = getattr(torch.ops, NAMESPACE)


def _warp_fake(features: Tensor, flow: Tensor, padding_mode: str) -> Tensor:
    return torch.empty_like(features)


def _warp_backward_fake(
    grad_out: Tensor, features: Tensor, flow: Tensor, padding_mode: str, output_mask: Sequence[bool]
) -> tuple[Tensor, ...]:
    return _fake_gradients((features, flow), output_mask)


def _warp_fuse_fake(
    features: Tensor,
    flow: Tensor,
    residual: Tensor | None,
    occlusion: Tensor,
    attention: Tensor,
    target: Tensor,
    mask: Tensor | None,
    padding_mode: str,
) -> Tensor:
    return torch.empty_like(target)


def _warp_fuse_backward_fake(
    grad_out: Tensor,
    features: Tensor,
    flow: Tensor,
    residual: Tensor | None,
    occlusion: Tensor,
    attention: Tensor,
    target: Tensor,
    mask: Tensor | None,
    padding_mode: str,
    output_mask: Sequence[bool],
) -> tuple[Tensor, ...]:
    return _fake_gradients((features, flow, occlusion, attention, target), output_mask)


def _fake_gradients(inputs: Sequence[Tensor], output_mask: Sequence[bool]) -> tuple[Tensor, ...]:
    return tuple(
        torch.empty_like(x) if wanted else x.new_empty(0)
        for x, wanted in zip(inputs, output_mask, strict=True)
    )


def _save_inputs(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *tensors, ctx.padding_mode = inputs
    ctx.save_for_backward(*tensors)


def _asked_for(
    gradients: Sequence[Tensor], output_mask: Sequence[bool]
) -> tuple[Tensor | None, ...]:
    return tuple(g if wanted else None for g, wanted in zip(gradients, output_mask, strict=True))


def _backward(name: str, device: torch.device, wants_features: bool) -> Callable[..., Any]:
    """The operator that computes gradients, as the user asked for them."""
    if wants_features and device.type == "cuda" and torch.are_deterministic_algorithms_enabled():
        name = f"{name}_deterministic"
    backward: Callable[..., Any] = getattr(operators, name)
    return backward


def _deterministic(name: str) -> Callable[..., tuple[Tensor, ...]]:
    """A kernel of ``*_backward_deterministic``."""

    def backward(*arguments: Any) -> tuple[Tensor, ...]:
        *inputs, (wants_features, *wanted) = arguments
        nothing = [False] * len(wanted)
        by_features, *_ = getattr(reference, name)(*inputs, [wants_features, *nothing])
        _, *others = getattr(operators, name)(*inputs, [False, *wanted])
        return by_features, *others

    return backward


def _warp_gradients(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:
    output_mask = ctx.needs_input_grad[:2]
    backward = _backward("warp_backward", grad_out.device, output_mask[0])
    gradients = backward(grad_out, *ctx.saved_tensors, ctx.padding_mode, output_mask)
    return (*_asked_for(gradients, output_mask), None)


def _warp_fuse_gradients(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:
    features, flow, residual, occlusion, attention, target, _, _ = ctx.needs_input_grad
    output_mask = (features, flow or residual, occlusion, attention, target)
    backward = _backward("warp_fuse_backward", grad_out.device, features)
    gradients = backward(grad_out, *ctx.saved_tensors, ctx.padding_mode, output_mask)
    by_features, by_position, *others = _asked_for(gradients, output_mask)
    by_flow, by_residual = by_position if flow else None, by_position if residual else None
    return (by_features, by_flow, by_residual, *others, None, None)


def _no_second_derivative(ctx: Any, *grads: Tensor) -> NoReturn:
    raise NotImplementedError(
        "rfwarp operators have no second derivative: their backward cannot be differentiated"
    )


if hasattr(operators, OPERATORS[0]):
    raise ImportError(
        f"torch.ops.{NAMESPACE} is already defined, by another copy of rfwarp in this process; a"
        " copy within another project needs a NAMESPACE of its own, see csrc/README.md"
    )

for _name, _schema in _SCHEMAS.items():
    _op = f"{NAMESPACE}::{_name}"
    torch.library.define(_op, _schema, tags=torch.Tag.pt2_compliant_tag)
    torch.library.impl(_op, "default", getattr(reference, _name))

torch.library.register_fake(f"{NAMESPACE}::warp", _warp_fake)
torch.library.register_fake(f"{NAMESPACE}::warp_fuse", _warp_fuse_fake)

torch.library.register_autograd(f"{NAMESPACE}::warp", _warp_gradients, setup_context=_save_inputs)
torch.library.register_autograd(
    f"{NAMESPACE}::warp_fuse", _warp_fuse_gradients, setup_context=_save_inputs
)

for _name, _fake in (
    ("warp_backward", _warp_backward_fake),
    ("warp_fuse_backward", _warp_fuse_backward_fake),
):
    _op = f"{NAMESPACE}::{_name}_deterministic"
    torch.library.define(_op, _SCHEMAS[_name], tags=torch.Tag.pt2_compliant_tag)
    torch.library.impl(_op, "default", _deterministic(_name))
    for _backward_op in (f"{NAMESPACE}::{_name}", _op):
        torch.library.register_fake(_backward_op, _fake)
        torch.library.register_autograd(_backward_op, _no_second_derivative)
