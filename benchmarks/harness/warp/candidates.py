"""The compared implementations: the baselines, PyTorch's compiler on them, and rfwarp."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Literal, TypeAlias

import torch
from torch import Tensor

import rfwarp_cuda
from harness.warp.baselines import Baselines
from harness.warp.cases import Case
from rfwarp.ops import use_backend, warp_fuse

Fuse: TypeAlias = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]
Kind = Literal["eager", "algebra", "compile", "reference", "ours"]
Capability = Literal["baseline", "avx2", "avx512"]


@dataclass(frozen=True)
class Candidate:
    """One implementation of warp_fuse.

    Attributes:
        name: for tables.
        kind: eager PyTorch as written or rewritten, torch.compile of both, rfwarp in PyTorch, or
            its kernels.
        fuse: (features, flow, residual, occlusion, attention, target) to output.
        active: the context it runs in, forward and backward; entering it is not timed.
    """

    name: str
    kind: Kind
    fuse: Fuse
    active: Callable[[], AbstractContextManager[object]] = nullcontext


def baselines(case: Case, *, compiled: bool, max_autotune: bool) -> Iterator[Candidate]:
    """The alternatives to rfwarp that people would write.

    Args:
        case: the one to compute.
        compiled: torch.compile of them too.
        max_autotune: torch.compile in this mode too, without CUDA graphs, which the clock adds for
            all alike.
    """
    forms = Baselines(case)
    eager: dict[str, Fuse] = {
        "eager": forms.eager,
        "eager per source": forms.eager_per_source,
        "algebra": forms.algebra,
        "algebra per source": forms.algebra_per_source,
    }
    for name, fuse in eager.items():
        kind: Kind = "eager" if name.startswith("eager") else "algebra"
        yield Candidate(name, kind, fuse)
        if case.device != "cpu":
            yield Candidate(f"{name}, no cuDNN", kind, fuse, _without_cudnn)
    if not compiled:
        return
    modes = ["default", "max-autotune-no-cudagraphs"] if max_autotune else ["default"]
    for mode in modes:
        suffix = "" if mode == "default" else ", max-autotune"
        for name in ("eager", "algebra", "algebra per source"):
            fuse = torch.compile(eager[name], dynamic=False, fullgraph=True, mode=mode)
            yield Candidate(f"compile({name}){suffix}", "compile", fuse)


class Unavailable(RuntimeError):
    """There are no kernels to measure."""


def require_kernels(device: str) -> None:
    """Raise Unavailable if rfwarp has no compiled kernels for a device."""
    try:
        with use_backend(torch.device(device).type):
            pass
    except RuntimeError as error:
        raise Unavailable(str(error)) from error


def ours(case: Case, capabilities: Sequence[Capability] = ()) -> Iterator[Candidate]:
    """rfwarp: its PyTorch backend, and its kernels, also with each instruction set asked for."""
    yield Candidate("rfwarp, torch", "reference", warp_fuse, partial(use_backend, "torch"))
    backend = torch.device(case.device).type
    yield Candidate("rfwarp", "ours", warp_fuse, partial(use_backend, backend))
    for capability in capabilities if backend == "cpu" else ():
        active = partial(_instructions, capability)
        yield Candidate(f"rfwarp, {capability}", "ours", warp_fuse, active)


@contextmanager
def _without_cudnn() -> Iterator[None]:
    with torch.backends.cudnn.flags(enabled=False):
        yield


@contextmanager
def _instructions(capability: Capability) -> Iterator[None]:
    with use_backend("cpu"):
        previous = rfwarp_cuda.cpu_capability()
        assert previous is not None
        rfwarp_cuda.set_cpu_capability(capability)
        try:
            yield
        finally:
            rfwarp_cuda.set_cpu_capability(previous)
