"""The operators as PyTorch knows them: schema, default kernel, shapes for tracing, gradients.

Importing this module defines ``torch.ops.rfwarp.*``. The kernels of `reference` are registered for
every device (CompositeExplicitAutograd); a compiled kernel registered for CPU or CUDA takes their
place by itself. A kernel may rely on what `functional` establishes:

* shapes as in the user functions, N >= 0 and all other sizes >= 1, one device, any strides; flow of
  warp may have several samples, one after the other, for each one of features;
* features, target and grad_out have one type; flow, residual and logits are float32, or float64
  where the features are;
* padding_mode is "zeros", "border" or "reflection".

It returns new dense tensors: the output laid out as ``torch.empty_like(target)``, without one as
that of a source, of warp as `reference.empty_warped`, a gradient as ``torch.empty_like`` of its
input. Where output_mask is false, a gradient
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
        "(Tensor features, Tensor flow, Tensor? residual, Tensor? occlusion, Tensor? attention,"
        " Tensor? target, Tensor? mask, str padding_mode, bool visibility=False) -> Tensor"
    ),
    "warp_fuse_with_warped": (
        "(Tensor features, Tensor flow, Tensor? residual, Tensor? occlusion, Tensor? attention,"
        " Tensor? target, Tensor? mask, str padding_mode, bool visibility=False)"
        " -> (Tensor, Tensor)"
    ),
    "warp_fuse_backward": (
        "(Tensor grad_out, Tensor features, Tensor flow, Tensor? residual, Tensor? occlusion,"
        " Tensor? attention, Tensor? target, Tensor? mask, str padding_mode, bool[5] output_mask,"
        " bool visibility=False) -> (Tensor, Tensor, Tensor, Tensor, Tensor)"
    ),
}
OPERATORS = tuple(_SCHEMAS)
operators = getattr(torch.ops, NAMESPACE)


def _warp_fake(features: Tensor, flow: Tensor, padding_mode: str) -> Tensor:
    return reference.empty_warped(features, flow.shape[0])


def _warp_backward_fake(
    grad_out: Tensor, features: Tensor, flow: Tensor, padding_mode: str, output_mask: Sequence[bool]
) -> tuple[Tensor, ...]:
    return _fake_gradients((features, flow), output_mask)


def _warp_fuse_fake(
    features: Tensor,
    flow: Tensor,
    residual: Tensor | None,
    occlusion: Tensor | None,
    attention: Tensor | None,
    target: Tensor | None,
    mask: Tensor | None,
    padding_mode: str,
    visibility: bool = False,
) -> Tensor:
    return torch.empty_like(features[:, 0] if target is None else target)


def _warp_fuse_with_warped_fake(features: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
    return _warp_fuse_fake(features, *rest), torch.empty_like(features)


def _warp_fuse_backward_fake(
    grad_out: Tensor,
    features: Tensor,
    flow: Tensor,
    residual: Tensor | None,
    occlusion: Tensor | None,
    attention: Tensor | None,
    target: Tensor | None,
    mask: Tensor | None,
    padding_mode: str,
    output_mask: Sequence[bool],
    visibility: bool = False,
) -> tuple[Tensor, ...]:
    occlusion = flow if occlusion is None else occlusion  # of an absent one only the type counts
    attention = flow if attention is None else attention
    target = features if target is None else target
    return _fake_gradients((features, flow, occlusion, attention, target), output_mask)


def _fake_gradients(inputs: Sequence[Tensor], output_mask: Sequence[bool]) -> tuple[Tensor, ...]:
    return tuple(
        torch.empty_like(x) if wanted else x.new_empty(0)
        for x, wanted in zip(inputs, output_mask, strict=True)
    )


def _save_inputs(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(*(x for x in inputs if x is None or isinstance(x, Tensor)))
    ctx.settings = [x for x in inputs if not (x is None or isinstance(x, Tensor))]


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
        position = next(i for i, x in enumerate(arguments) if isinstance(x, list))
        inputs, (wants_features, *wanted) = arguments[:position], arguments[position]
        rest, nothing = arguments[position + 1 :], [False] * len(wanted)
        by_features, *_ = getattr(reference, name)(*inputs, [wants_features, *nothing], *rest)
        _, *others = getattr(operators, name)(*inputs, [False, *wanted], *rest)
        return by_features, *others

    return backward


def _warp_gradients(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:
    output_mask = ctx.needs_input_grad[:2]
    backward = _backward("warp_backward", grad_out.device, output_mask[0])
    gradients = backward(grad_out, *ctx.saved_tensors, *ctx.settings, output_mask)
    return (*_asked_for(gradients, output_mask), None)


def _warp_fuse_gradients(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:
    features, flow, residual, occlusion, attention, target = ctx.needs_input_grad[:6]
    output_mask = (features, flow or residual, occlusion, attention, target)
    backward = _backward("warp_fuse_backward", grad_out.device, features)
    padding_mode, visibility = ctx.settings
    gradients = backward(grad_out, *ctx.saved_tensors, padding_mode, output_mask, visibility)
    by_features, by_position, *others = _asked_for(gradients, output_mask)
    by_flow, by_residual = by_position if flow else None, by_position if residual else None
    return (by_features, by_flow, by_residual, *others, None, None, None)


def _save_inputs_and_ask(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    _save_inputs(ctx, inputs, output)
    ctx.set_materialize_grads(False)


def _warp_fuse_with_warped_gradients(
    ctx: Any, grad_out: Tensor | None, grad_warped: Tensor | None
) -> tuple[Tensor | None, ...]:
    gradients: list[Tensor | None] = [None] * len(ctx.needs_input_grad)
    if grad_out is not None:
        gradients = list(_warp_fuse_gradients(ctx, grad_out))
    if grad_warped is not None:
        # As of so many calls of warp; an absent source samples nothing, wherever it should look.
        features, flow, residual, *_, mask = ctx.saved_tensors
        moved = flow if residual is None else flow + residual
        if mask is not None:
            moved = moved.masked_fill(~mask[:, :, None, None, None], torch.nan)
        wants_features, wants_flow, wants_residual = ctx.needs_input_grad[:3]
        output_mask = (wants_features, wants_flow or wants_residual)
        backward = _backward("warp_backward", grad_warped.device, wants_features)
        given = (x.flatten(0, 1) for x in (grad_warped, features, moved))
        by_features, by_position = (
            x.unflatten(0, flow.shape[:2]) if wanted else None
            for x, wanted in zip(
                backward(*given, ctx.settings[0], output_mask), output_mask, strict=True
            )
        )
        more = (by_features, by_position if wants_flow else None)
        for i, by in enumerate((*more, by_position if wants_residual else None)):
            before = gradients[i]
            gradients[i] = by if before is None else before if by is None else before + by
    return tuple(gradients)


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

torch.library.register_fake(f"{NAMESPACE}::warp_fuse_with_warped", _warp_fuse_with_warped_fake)
torch.library.register_autograd(
    f"{NAMESPACE}::warp_fuse_with_warped",
    _warp_fuse_with_warped_gradients,
    setup_context=_save_inputs_and_ask,
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
