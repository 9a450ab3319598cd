"""The implementation that computes the operators, and the choice of another.

PyTorch's dispatcher makes the choice: a compiled kernel registered for CPU or CUDA goes before the
PyTorch reference, which is registered for every device. The backend ``"torch"`` registers the
reference once more, on top of the compiled kernels; taking it away uncovers them again.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch

import rfwarp_cuda
from rfwarp.ops import reference
from rfwarp.ops.schema import OPERATORS

BACKENDS = ("auto", "torch", "cpu", "cuda")

# Whether compiled kernels compute the tensors of these devices: they check their arguments.
compiled_cpu = compiled_cuda = False

_active = "torch"
_loaded: rfwarp_cuda.Loaded | None = None  # None: not tried yet
_reference_on_top: torch.library.Library | None = None


class Kernels(NamedTuple):
    """Implementation that computes the operators for the tensors of one device.

    Attributes:
        kind: ``"compiled"``, ``"torch"``, or ``"none"`` where calls raise an error.
        reason: why, for people.

    Example:
        >>> from rfwarp.ops import backend, use_backend
        >>> with use_backend("torch"):
        ...     print(backend().cpu.reason)
        the backend torch was asked for
    """

    kind: str
    reason: str


class Backend(NamedTuple):
    """Implementations that compute the operators, by device.

    Attributes:
        name: the chosen backend: ``"auto"``, ``"torch"``, ``"cpu"`` or ``"cuda"``.
        cpu: implementation for CPU tensors.
        cuda: implementation for CUDA tensors. PyTorch computes those of any other device.

    Example:
        >>> from rfwarp.ops import backend, use_backend
        >>> with use_backend("torch"):
        ...     print(backend().name, backend().cpu.kind, backend().cuda.kind)
        torch torch torch
    """

    name: str
    cpu: Kernels
    cuda: Kernels


def backend() -> Backend:
    """Implementations that compute the operators in this process, and why these.

    Example:
        >>> from rfwarp.ops import backend, use_backend
        >>> with use_backend("torch"):
        ...     backend().cpu
        Kernels(kind='torch', reason='the backend torch was asked for')
    """
    return Backend(_active, _kernels("cpu"), _kernels("cuda"))


def _kernels(device: str) -> Kernels:
    if _active == "torch":
        return Kernels("torch", "the backend torch was asked for")
    if _active not in ("auto", device):
        return Kernels("none", f"the backend {_active} was asked for")
    assert _loaded is not None
    reason = getattr(_loaded, device)
    if reason is not None:
        return Kernels("torch", reason)
    if device == "cpu":
        return Kernels("compiled", f"rfwarp_cuda is loaded, with {rfwarp_cuda.cpu_capability()}")
    architectures = " ".join(rfwarp_cuda.build_info()["cuda_architectures"])
    return Kernels("compiled", f"rfwarp_cuda is loaded, compiled for {architectures}")


@contextmanager
def use_backend(name: str) -> Iterator[None]:
    """Let a backend compute the operators within a ``with`` block, then the previous one again.

    It holds for the whole process, other threads included: do not switch while another thread runs
    the operators. A backward runs on what is chosen when it runs, not when its forward ran.
    Compiled and exported programs follow too.

    Args:
        name: ``"auto"``: compiled kernels where there are some, else PyTorch. ``"torch"``: PyTorch
            everywhere. ``"cpu"``, ``"cuda"``: the compiled kernels of this device, and no other:
            `warp` and `warp_fuse` refuse tensors of other devices.

    Raises:
        ValueError: if the name is unknown.
        RuntimeError: if there are no such kernels here; it says why. After this error and the next
            the backend is the one before.
        ImportError: if there are kernels that cannot be used: compiled from an earlier state of the
            source, or told by RFWARP_CPU_CAPABILITY to use instructions that are not there.

    Example:
        >>> import torch
        >>> from rfwarp.ops import use_backend, warp
        >>> features, flow = torch.arange(3.0).view(1, 1, 1, 3), torch.zeros(1, 2, 1, 3)
        >>> with use_backend("torch"):  # the reference, for comparison
        ...     print(warp(features, flow))
        tensor([[[[0., 1., 2.]]]])
    """
    previous = _active
    _select(name)
    try:
        yield
    finally:
        _select(previous)


def check_device(device: torch.device) -> None:
    """Raise RuntimeError if the backend was asked for by name and does not compute this device."""
    if _active in ("cpu", "cuda") and device.type not in (_active, "meta"):
        raise RuntimeError(
            f"the backend {_active!r} computes {_active} tensors only, got one on {device}; the"
            " backend 'auto' (RFWARP_BACKEND or rfwarp.ops.use_backend) computes all"
        )


def _select(name: str) -> None:
    global _active, compiled_cpu, compiled_cuda
    if name not in BACKENDS:
        raise ValueError(f"a backend is one of {', '.join(BACKENDS)}, got {name!r}")
    try:
        if name != "torch":
            _load(name)
        _active = name
    finally:  # after an error too: kernels may have come on top of the reference
        _cover(_active == "torch")
    compiled_cpu, compiled_cuda = (
        _kernels(device).kind == "compiled" for device in ("cpu", "cuda")
    )


def _load(name: str) -> None:
    """Load the compiled kernels; raise RuntimeError unless there are those of this backend."""
    global _loaded
    _loaded = rfwarp_cuda.load()
    if name == "auto":
        return
    reason = getattr(_loaded, name)
    if reason is None and name == "cuda" and not torch.cuda.is_available():
        reason = "PyTorch finds no CUDA device"
    if reason is not None:
        raise RuntimeError(f"the backend {name!r} is not available: {reason}")


def _cover(covered: bool) -> None:
    """Put the reference on top of whatever is loaded by now, or take it away."""
    global _reference_on_top
    if _reference_on_top is not None:
        _reference_on_top._destroy()
        _reference_on_top = None
    if covered:
        _reference_on_top = torch.library.Library(rfwarp_cuda.NAMESPACE, "IMPL")
        with warnings.catch_warnings():
            # Overriding a kernel is what is meant here.
            warnings.filterwarnings("ignore", "Warning only once for all operators")
            for device in ("CPU", "CUDA"):
                for operator in OPERATORS:
                    _reference_on_top.impl(operator, getattr(reference, operator), device)


def select_from_environment() -> None:
    """Choose what RFWARP_BACKEND names, ``"auto"`` where it is not set.

    Raises:
        ImportError: if it is unknown or not available; it says why.
    """
    name = os.environ.get("RFWARP_BACKEND") or "auto"
    try:
        _select(name)
    except (ValueError, RuntimeError) as error:
        raise ImportError(f"RFWARP_BACKEND={name}: {error}") from error
