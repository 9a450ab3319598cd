"""Tests that need a CUDA device, and fail where the CUDA kernels are not compiled.

    python -m pytest tests/gpu

`benchmarks/gpu_day.py` runs them, the checkers below and the benchmarks unattended.

With the checkers of bad memory accesses and of races (each tensor in its own allocation, so that
its bounds are checked):

    PYTORCH_NO_CUDA_MEMORY_CACHING=1 compute-sanitizer --tool memcheck --error-exitcode 1 \
        python -m pytest tests/gpu/test_operators_on_gpu.py -k "not any_call"
    PYTORCH_NO_CUDA_MEMORY_CACHING=1 compute-sanitizer --tool racecheck --error-exitcode 1 \
        python -m pytest tests/gpu/test_operators_on_gpu.py -k "bfloat16 or float32"
"""

from collections.abc import Callable
from typing import Any

import pytest
from torch import Tensor

from rfwarp.ops import use_backend
from rfwarp.ops.schema import operators


def on_gpu(x: Any) -> Any:
    """A tensor like x on the GPU: of the same strides, amid the same memory."""
    if not isinstance(x, Tensor):
        return x
    there = x.untyped_storage().to(device="cuda")
    return x.new_empty(0, device="cuda").set_(there, x.storage_offset(), x.shape, x.stride())


class OnGpu:
    """The operators, computed on the GPU, for tensors on the CPU."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        operator = getattr(operators, name)

        def call(*arguments: Any) -> Any:
            out = operator(*map(on_gpu, arguments))
            return out.cpu() if isinstance(out, Tensor) else tuple(x.cpu() for x in out)

        return call


@pytest.fixture
def compiled():
    """The compiled CUDA kernels, an error where there are none."""
    with use_backend("cuda"):
        yield


@pytest.fixture
def kernels(compiled):
    """Takes the place of the fixture of this name in the tests imported from elsewhere."""
    return OnGpu()
