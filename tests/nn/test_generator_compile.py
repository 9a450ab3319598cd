"""The generator under torch.compile, and what keeps a call from waiting for the device."""

import pytest
import torch
from test_generator import inputs, make
from torch._dynamo.testing import CompileCounter
from torch._subclasses.fake_tensor import FakeTensorMode

from rfwarp import Generator
from rfwarp.nn import CudaGraph


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "optimized"])
def generator(request) -> Generator:
    generator = make().requires_grad_(False)
    return generator.optimize() if request.param else generator


@pytest.mark.slow
def test_one_graph_for_all_n_and_k(generator):
    """Numbers of 1 apart, which PyTorch compiles on their own, and batches from 16 on, for which
    its convolutions do."""
    torch.compiler.reset()
    counter = CompileCounter()
    compiled = torch.compile(generator, fullgraph=True, dynamic=True, backend=counter)
    for n, k in [(2, 4), (2, 2), (3, 4), (2, 5), (4, 3)]:
        arguments = inputs(n=n, k=k, dtype=torch.float32)
        assert torch.equal(compiled(*arguments), generator(*arguments))
    assert counter.frame_count == 1


@pytest.mark.slow
def test_encode_and_decode_compile_apart(generator):
    """For any number of targets."""
    torch.compiler.reset()
    counter = CompileCounter()
    encode, decode = (
        torch.compile(part, fullgraph=True, dynamic=True, backend=counter)
        for part in (generator.encode, generator.decode)
    )
    sources, poses, _ = inputs(n=1, k=4, dtype=torch.float32)
    encoded = encode(sources, poses)
    for m in (2, 3):
        _, _, target = inputs(n=m, dtype=torch.float32)
        expected = generator.decode(generator.encode(sources, poses), target)
        assert torch.equal(decode(encoded, target), expected)
    assert counter.frame_count == 2


@pytest.mark.parametrize("maps", [False, True])
def test_no_call_waits_for_values(generator, maps):
    """Waiting would stall a GPU. Fake tensors have no values: to look at one is an error."""
    with FakeTensorMode():
        fake = make()
        if generator.optimized:
            fake.use_optimized_parts()
        out = fake(*inputs(dtype=torch.float32), None, maps)
    assert (out[0] if maps else out).shape == (2, 3, 64, 64)


@pytest.mark.parametrize("examples", [(), (torch.zeros(2),)])
def test_cuda_graphs_need_a_cuda_device(examples):
    with pytest.raises(ValueError, match=r"needs examples on one CUDA device, got (none|cpu)"):
        CudaGraph(torch.sin, *examples)
