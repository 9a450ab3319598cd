"""The implementations of the operators that this machine can run."""

import logging

import pytest
import torch

import rfwarp_cuda
from rfwarp.ops import backend, use_backend


@pytest.fixture(params=["torch", "baseline", "avx2", "avx512"])
def kernels(request: pytest.FixtureRequest):
    """torch.ops.rfwarp, computed by PyTorch, or by the compiled kernels of an instruction set.

    Where these make no difference, ask for ``"torch"`` and ``"compiled"``, which is the fastest.
    """
    if request.param == "torch":
        with use_backend("torch"):
            yield torch.ops.rfwarp
        return
    if backend().cpu.kind != "compiled":
        pytest.skip(backend().cpu.reason)
    before = rfwarp_cuda.cpu_capability()
    assert before is not None
    try:
        rfwarp_cuda.set_cpu_capability(before if request.param == "compiled" else request.param)
    except RuntimeError as cannot_run_here:
        pytest.skip(str(cannot_run_here))
    with use_backend("cpu"):
        yield torch.ops.rfwarp
    rfwarp_cuda.set_cpu_capability(before)


@pytest.fixture(autouse=True)
def _own_verbosity():
    """The command sets how much the library logs, for the whole process."""
    logger = logging.getLogger("rfwarp")
    level = logger.level
    yield
    logger.setLevel(level)
