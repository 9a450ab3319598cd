"""The generator on a GPU: the CPU's images, in CUDA graphs and in streams too."""

import functools

import numpy as np
import pytest
import torch
from test_generator import inputs, make

from rfwarp import Generator
from rfwarp.nn import CudaGraph
from rfwarp.ops import backend

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


@pytest.fixture(autouse=True)
def _compiled():
    """The CUDA kernels compute what is on the GPU; the CPU has its own, for what is expected."""
    assert backend().cuda.kind == "compiled", backend().cuda.reason


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "optimized"])
def pair(request) -> tuple[Generator, Generator]:
    """Generators on the CPU in float64, and on the GPU in float32."""
    generator = make().requires_grad_(False)
    form = generator.optimize() if request.param else generator
    return make().double().requires_grad_(False), form.cuda()


@pytest.fixture(autouse=True)
def _exact_convolutions():
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        yield


def on_gpu(**shape: int) -> list[torch.Tensor]:
    return [x.float().cuda() for x in inputs(**shape)]


def test_images_are_those_of_the_cpu(pair):
    mask = torch.tensor([[True, False, True], [True, True, True]])
    expected = pair[0](*inputs(), mask)
    image = pair[1](*on_gpu(), mask.cuda())
    torch.testing.assert_close(image.cpu().double(), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision(dtype):
    generator = make().requires_grad_(False)
    expected = generator(*(x.float() for x in inputs()))
    image = generator.optimize(dtype).cuda()(*(x.to(dtype) for x in on_gpu()))
    assert (image.cpu().float() - expected).abs().mean() < 0.02


def test_a_call_does_not_wait_for_the_gpu(pair):
    arguments = on_gpu()
    pair[1](*arguments)
    torch.cuda.set_sync_debug_mode("error")
    try:
        pair[1](*arguments)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_cuda_graph(pair):
    """Replayed on other inputs than it was recorded with; its images outlive the next call."""
    graph = CudaGraph(pair[1], *on_gpu())
    first, other = on_gpu(), [x.flip(0) for x in on_gpu()]
    images = [graph(*first), graph(*other)]
    for image, arguments in zip(images, (first, other), strict=True):
        torch.testing.assert_close(image, pair[1](*arguments), rtol=0, atol=1e-4)
    with pytest.raises(ValueError, match=r"was made for .* 2 x 3 x 3 x 64 x 64 on cuda:0"):
        graph(*on_gpu(k=2))


def test_cuda_graph_of_decode(pair):
    sources, poses, _ = on_gpu(n=1)
    _, _, targets = on_gpu(n=4)
    encoded = pair[1].encode(sources, poses)
    graph = CudaGraph(functools.partial(pair[1].decode, encoded), targets)
    torch.testing.assert_close(graph(targets), pair[1].decode(encoded, targets), rtol=0, atol=1e-4)


def test_stream(pair):
    sources, poses, _ = on_gpu(n=1)
    _, _, targets = inputs(n=5)
    images = pair[1].stream(pair[1].encode(sources, poses), targets, batch_size=2)
    encoded = pair[0].encode(*(x[:1].double().cpu() for x in (sources, poses)))
    expected = pair[0].stream(encoded, targets, batch_size=5)
    for ours, theirs in zip(images, expected, strict=True):
        assert np.abs(np.int16(np.array(ours)) - np.array(theirs)).max() <= 1
