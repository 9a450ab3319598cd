"""The implementations of the operators that this machine can run, and which tests come first."""

import logging
from pathlib import Path

import pytest
import torch

import rfwarp_cuda
from rfwarp.ops import backend, use_backend

# A file stays in one process: begun late, a long one would keep it busy when the others are done.
LONGEST = {
    Path(__file__).parent / name
    for name in (
        "test_benchmarks.py",
        "test_bundled_weights.py",
        "test_documentation.py",
        "test_example.py",
        "training/test_training.py",
        "training/test_training_experiment.py",
        "training/test_training_processes.py",
    )
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path not in LONGEST)  # else they stay in order


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
