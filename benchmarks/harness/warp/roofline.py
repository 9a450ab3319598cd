"""The speed of light: the same minimal bytes with no gather, as a stream and as a copy."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from harness.warp.cases import Case, Inputs


def stream_forward(features: Tensor, target: Tensor) -> Tensor:
    """t + f_1 + ... + f_K, for features (N, K, L) and target (N, L)."""
    out = target
    for k in range(features.shape[1]):
        out = out + features[:, k]
    return out


def stream_backward(features: Tensor, target: Tensor, grad_out: Tensor) -> tuple[Tensor, ...]:
    """Reads what a backward must read, writes what it must write, one kernel each."""
    if features.shape[0] != target.shape[0]:  # one shared set of sources
        by_features = [features[0, k] * grad_out.sum(0) for k in range(features.shape[1])]
    else:
        by_features = [features[:, k] * grad_out for k in range(features.shape[1])]
    return (*by_features, target * grad_out)


def stream(case: Case, sets: Sequence[Inputs]) -> Callable[[int], tuple[Tensor, ...]]:
    """The K-way stream over sets of inputs. Inductor makes one vectorised loop of each pass."""
    forward = torch.compile(stream_forward, dynamic=False, fullgraph=True)
    backward = torch.compile(stream_backward, dynamic=False, fullgraph=True)

    flat = [[in_memory_order(x) for x in (s.features, s.target, s.grad_out)] for s in sets]

    def call(slot: int) -> tuple[Tensor, ...]:
        features, target, grad_out = flat[slot]
        out = forward(features, target)
        if not case.backward:
            return (out,)
        return (out, *backward(features, target, grad_out))

    return call


def check(results: tuple[Tensor, ...], inputs: Inputs) -> None:
    """Raise AssertionError if the compiled stream is not the one above."""
    features, target = in_memory_order(inputs.features), in_memory_order(inputs.target)
    expected: tuple[Tensor, ...] = (stream_forward(features, target),)
    if len(results) > 1:
        expected += stream_backward(features, target, in_memory_order(inputs.grad_out))
    # Inductor sums half precision in float32, eager PyTorch rounds every sum.
    rtol, atol = (1e-5, 1e-5) if target.dtype == torch.float32 else (0.02, 0.1)
    torch.testing.assert_close(results, expected, rtol=rtol, atol=atol)


def in_memory_order(images: Tensor) -> Tensor:
    """(..., C, H, W) of either layout as (..., L), without a copy."""
    images = images.detach()
    if not images.is_contiguous():
        images = images.movedim(-3, -1)
    return images.view(*images.shape[:-3], -1)


def copy(case: Case, slots: int) -> Callable[[int], Tensor]:
    """Half of the minimal bytes read, half written, into memory that is there already."""
    size = case.minimal_bytes // 2
    sources = [torch.ones(size, dtype=torch.uint8, device=case.device) for _ in range(slots)]
    targets = [torch.ones_like(source) for source in sources]
    return lambda slot: targets[slot].copy_(sources[slot])
