"""The implementations of the operators that this machine can run."""

import pytest
import torch

from rfwarp.ops import backend, reference


@pytest.fixture(params=["torch", "baseline", "avx2", "avx512"])
def kernels(request: pytest.FixtureRequest):
    """The operators, by their names in the schema, of PyTorch or of an instruction set."""
    if request.param == "torch":
        yield reference
        return
    if backend().name == "torch":
        pytest.skip(backend().reason)
    from rfwarp_cuda import _C

    before = _C.cpu_capability()
    try:
        _C.set_cpu_capability(request.param)
    except RuntimeError as cannot:
        pytest.skip(str(cannot))
    yield torch.ops.rfwarp
    _C.set_cpu_capability(before)
