"""Streams, graphs, devices, sizes and repeats: what only a GPU can show."""

import pytest
import torch
from test_ops_large import large_case, run
from torch import Tensor
from warp_cases import assert_correct, by_name, case

from rfwarp.ops import backend, warp, warp_fuse
from rfwarp.ops.schema import operators

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
    pytest.mark.usefixtures("compiled"),
]
LAYOUTS = pytest.mark.parametrize("layout", ["contiguous", "channels_last"])


def call(grad_out: Tensor, inputs, mask, padding_mode: str) -> list[Tensor]:
    out = operators.warp_fuse(*inputs, mask, padding_mode)
    return [
        out,
        *operators.warp_fuse_backward(grad_out, *inputs, mask, padding_mode, [True] * 5),
    ]


def check(results: list[Tensor], given) -> None:
    out, *gradients = (x.cpu() for x in results)
    assert_correct(by_name(out, tuple(gradients)), given.answer)


def to(device: str, tensors):
    return [None if x is None else x.to(device) for x in tensors]


def test_kernels_are_compiled():
    assert backend().cuda.kind == "compiled", backend().cuda.reason


@LAYOUTS
def test_current_stream(layout):
    """Inputs that are still being written, on a stream that is not the default one."""
    given = case((3, 4, 16, 4, 5), "zeros")
    grad_out, inputs = given.arguments(torch.float32, layout)
    ready = to("cuda", [grad_out, *inputs])
    late = [torch.full_like(x, torch.nan) for x in ready]
    torch.cuda.synchronize()
    with torch.cuda.stream(torch.cuda.Stream()):
        torch.cuda._sleep(100_000_000)
        for x, value in zip(late, ready, strict=True):
            x.copy_(value)
        results = call(late[0], late[1:], None, "zeros")
        torch.cuda.current_stream().synchronize()
    check(results, given)


@LAYOUTS
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_graph_capture_and_replay(layout, dtype):
    """It also shows that nothing waits for the device, and that memory is the graph's own."""
    given = case((3, 4, 16, 4, 5), "zeros", "some")
    grad_out, inputs = given.arguments(dtype, layout)
    grad_out, *inputs = to("cuda", [grad_out, *inputs])
    mask = given.mask.cuda()
    call(grad_out, inputs, mask, "zeros")
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        results = call(grad_out, inputs, mask, "zeros")
    for _ in range(3):
        for x in results:
            x.fill_(torch.nan)
        graph.replay()
        check(results, given)
    before = results[0].clone()
    inputs[0].mul_(2)  # features and target, which the output is linear in
    inputs[5].mul_(2)
    graph.replay()
    assert torch.equal(results[0], 2 * before)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA devices")
def test_device_that_is_not_the_current_one():
    given = case((3, 4, 16, 4, 5), "zeros")
    grad_out, inputs = given.arguments(torch.bfloat16)
    torch.cuda.set_device(0)
    grad_out, *inputs = to("cuda:1", [grad_out, *inputs])
    results = call(grad_out, inputs, None, "zeros")
    assert all(x.device == torch.device("cuda:1") for x in results)
    assert torch.cuda.current_device() == 0
    check(results, given)


def needs_memory(gigabytes: float) -> None:
    free = torch.cuda.mem_get_info()[0] / 1e9
    if free < gigabytes:
        pytest.skip(f"needs {gigabytes} GB of GPU memory, {free:.0f} are free")


@LAYOUTS
def test_views_of_more_than_2_to_the_31_elements(layout):
    """Sources, and their rows, that lie further apart than 32 bits can say."""
    needs_memory(12)
    given = case((1, 2, 16, 2, 5), "border")
    grad_out, inputs = given.arguments(torch.bfloat16, layout)
    grad_out, features, *others = to("cuda", [grad_out, *inputs])
    for dimension in (1, 3):
        stride = list(features.stride())
        stride[dimension] = 2**31 + 64
        room = torch.empty(2**31 + 2**12, dtype=features.dtype, device="cuda")
        far = room.as_strided(features.shape, stride).copy_(features)
        check(call(grad_out, [far, *others], None, "border"), given)
        del room, far


@LAYOUTS
def test_images_of_more_than_2_to_the_31_elements(layout):
    """Under a flow of zero, out is the features, and their gradient is that of out."""
    needs_memory(36)
    shape = (1, 136, 4000, 4000)
    memory_format = {
        "contiguous": torch.contiguous_format,
        "channels_last": torch.channels_last,
    }[layout]
    features = torch.empty(shape, dtype=torch.half, device="cuda", memory_format=memory_format)
    features.uniform_(-1, 1)
    assert features.numel() > 2**31
    flow = torch.zeros(1, 2, *shape[2:], device="cuda")
    assert torch.equal(operators.warp(features, flow, "zeros"), features)
    gradient, _ = operators.warp_backward(features, features, flow, "zeros", [True, False])
    assert torch.equal(gradient, features)


@pytest.fixture
def deterministic():
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


def gradients_of(given, dtype, layout) -> list[Tensor]:
    """The output and the gradients of all inputs, by autograd."""
    grad_out, inputs = given.arguments(dtype, layout)
    inputs = [None if x is None else x.cuda().requires_grad_() for x in inputs]
    out = warp_fuse(*inputs, given.mask.cuda(), given.padding_mode)
    wanted = [x for x in inputs if x is not None]
    return [out, *torch.autograd.grad(out, wanted, grad_out.cuda())]


@LAYOUTS
@pytest.mark.parametrize("kind", ["random", "all to one"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_deterministic_algorithms(deterministic, kind, dtype, layout):
    given = large_case(kind, "zeros")
    first = gradients_of(given, dtype, layout)
    check(first, given)
    for _ in range(5):
        for x, again in zip(first, gradients_of(given, dtype, layout), strict=True):
            assert torch.equal(x, again)


@LAYOUTS
def test_all_but_the_gradient_of_features_is_repeatable(kernels, layout):
    given = large_case("all to one", "zeros")
    first = run(kernels, given, torch.float32, layout)
    for _ in range(5):
        again = run(kernels, given, torch.float32, layout)
        for name in ("out", "flow", "occlusion", "attention", "target"):
            assert torch.equal(first[name], again[name]), name


def test_compiled_program():
    given = large_case("smooth", "zeros")
    grad_out, inputs = given.arguments(torch.float32)
    features, flow = (x.cuda().requires_grad_() for x in (inputs[0][:, 0], inputs[1][:, 0]))

    def twice(features, flow):
        return warp(features, flow) * 2

    results = []
    for function in (twice, torch.compile(twice, fullgraph=True)):
        out = function(features, flow)
        results.append([out, *torch.autograd.grad(out, (features, flow), grad_out.cuda())])
    for eager, compiled in zip(*results, strict=True):
        torch.testing.assert_close(compiled, eager)


def test_nothing_waits_for_the_device():
    given = case((3, 4, 16, 4, 5), "zeros")
    grad_out, inputs = given.arguments(torch.float16)
    grad_out, *inputs = to("cuda", [grad_out, *inputs])
    torch.cuda.set_sync_debug_mode("error")
    try:
        results = call(grad_out, inputs, None, "zeros")
    finally:
        torch.cuda.set_sync_debug_mode("default")
    check(results, given)
