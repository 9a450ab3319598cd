"""Images of many tiles: every kind of flow, threads and repeats, against the reference."""

import functools
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from warp_cases import NAMES, Case, answer_of_reference, assert_correct, by_name, exact_inputs

from rfwarp.ops import backend

FLOWS = ("identity", "smooth", "random", "all to one", "half outside", "upside down")
SHAPE = (2, 3, 37, 41, 53)  # N, K, C, H, W: multiples of no vector or tile
DEEP = (2, 3, 147, 21, 23)  # several blocks of channels, which threads share


def make_flow(kind, n, k, h, w):
    """(N, K, 2, H, W), rounded to 1/64 pixel."""
    g = torch.Generator().manual_seed(1)
    y, x = torch.meshgrid(torch.arange(h).double(), torch.arange(w).double(), indexing="ij")
    flow = torch.zeros(n, k, 2, h, w, dtype=torch.float64)
    amplitude = torch.rand(n, k, 2, 1, 1, generator=g, dtype=torch.float64) * 8
    if kind == "smooth":
        flow += amplitude * torch.sin(0.3 * x + 0.2 * y)
    elif kind == "random":
        flow += torch.randn(flow.shape, generator=g, dtype=torch.float64) * max(h, w) / 2
    elif kind == "all to one":
        flow += torch.stack([w // 2 + 0.25 - x, h // 3 + 0.5 - y])
    elif kind == "half outside":
        flow += torch.tensor([w / 2 + 0.75, h / 4], dtype=torch.float64)[:, None, None]
    elif kind == "upside down":
        flow += torch.stack([w - 1 - 2 * x, h - 1.5 - 2 * y])
    return (flow * 64).round() / 64


@functools.cache
def large_case(kind, padding_mode, shape=SHAPE):
    n, k, _, h, w = shape
    inputs = exact_inputs(*shape, torch.Generator().manual_seed(2))
    grad_out = inputs.pop("grad_out")
    inputs["flow"] = make_flow(kind, n, k, h, w)
    inputs["residual"] = None
    mask = torch.tensor([[True, True, True], [True, False, True]])
    values = tuple(inputs[name] for name in NAMES)
    answer = answer_of_reference(values, mask, padding_mode, grad_out)
    return Case(values, mask, padding_mode, grad_out, answer)


def run(kernels, given, dtype, layout):
    grad_out, inputs = given.arguments(dtype, layout)
    rest = (given.mask, given.padding_mode)
    gradients = kernels.warp_fuse_backward(grad_out, *inputs, *rest, [True] * 5)
    return by_name(kernels.warp_fuse(*inputs, *rest), gradients)


@pytest.mark.parametrize("layout", ["contiguous", "channels_last", "features channels_last"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("kind", FLOWS)
def test_flows(kernels, kind, dtype, layout):
    given = large_case(kind, "border" if kind == "random" else "zeros")
    assert_correct(run(kernels, given, dtype, layout), given.answer)


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", ["random", "all to one"])
@pytest.mark.usefixtures("two_threads")
def test_threads_and_repeats(kernels, kind, dtype, layout):
    given = large_case(kind, "border" if kind == "random" else "zeros", DEEP)
    first, again = (run(kernels, given, dtype, layout) for _ in range(2))
    assert_correct(first, given.answer)
    torch.set_num_threads(1)
    alone = run(kernels, given, dtype, layout)
    for name, result in first.items():
        assert torch.equal(result, again[name]), name
        # Two threads may add up the channels of a gradient in another order.
        eps = torch.finfo(result.dtype).eps
        tolerance = given.answer.tolerance(name, 2 * eps)
        assert ((result.double() - alone[name].double()).abs() <= tolerance).all(), name


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
def test_callers_on_several_threads(kernels, layout):
    cases = [large_case(kind, "zeros", DEEP) for kind in ("smooth", "all to one")] * 4
    with ThreadPoolExecutor(4) as pool:
        results = pool.map(lambda given: run(kernels, given, torch.float32, layout), cases)
    for given, result in zip(cases, results, strict=True):
        assert_correct(result, given.answer)


COUNT_THREADS = """
import os, torch
from rfwarp.ops import use_backend, warp
features, flow = torch.zeros(8, 16, 64, 64), torch.zeros(8, 2, 64, 64)
torch.set_num_threads(2)
before = len(os.listdir("/proc/self/task"))
with use_backend("cpu"):
    warp(features, flow)
print(len(os.listdir("/proc/self/task")) - before)
"""


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="the system does not list threads")
def test_kernels_do_use_the_threads():
    """Kernels that are built without OpenMP could run serially, and nothing would say so."""
    if backend().cpu.kind != "compiled":
        pytest.skip(backend().cpu.reason)
    command = [sys.executable, "-c", COUNT_THREADS]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) >= 1
