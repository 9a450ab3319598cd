"""warp of volumes and with several flows for each sample, against the oracle; few channels too."""

import functools
import itertools

import pytest
import torch
import torch.nn.functional as F
import warp_oracle
from warp_cases import DTYPES, PADDINGS, amid_nan, assert_correct, every_other

from rfwarp.ops import use_backend, warp
from rfwarp.ops.grid_sample import warp as by_grid_sample

CASES = [  # N, flows of each, C, and the axes
    (2, 1, 3, (3, 4, 5)),
    (1, 2, 5, (2, 3, 9)),
    (1, 1, 17, (1, 2, 3)),
    (2, 3, 3, (4, 9)),
    (1, 2, 20, (3, 5)),
    (3, 1, 1, (1, 7)),
    (0, 1, 2, (2, 2, 2)),
]


def channels_last(x):
    return x.movedim(1, -1).contiguous().movedim(-1, 1)


LAYOUTS = {
    "contiguous": (torch.Tensor.contiguous,) * 3,  # features, grad_out, flow
    "channels_last": (channels_last,) * 3,
    "features channels_last": (channels_last, *(torch.Tensor.contiguous,) * 2),
    "amid NaN": (amid_nan,) * 3,
    "every other": (every_other,) * 3,
}


@functools.cache
def case(shape, padding_mode):
    """features, flow, grad_out, float64 numbers that every type holds, and the oracle's answer."""
    n, flows, c, size = shape
    g = torch.Generator().manual_seed(sum(size))

    def numbers(*shape, bound, step):
        steps = round(bound / step)
        return step * torch.randint(-steps, steps + 1, shape, generator=g).double()

    features = numbers(n, c, *size, bound=4, step=1 / 16)
    flow = numbers(n * flows, len(size), *size, bound=max(size) / 2 + 1, step=1 / 64)
    flow = torch.where(torch.rand(flow.shape, generator=g) < 0.25, flow.round(), flow)
    grad_out = numbers(n * flows, c, *size, bound=1, step=1 / 16)
    return features, flow, grad_out, warp_oracle.warp_any(features, flow, padding_mode, grad_out)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_warp_of_any_axes(kernels, dtype, layout):
    small = torch.float64 if dtype == torch.float64 else torch.float32
    by_features, by_grad, by_flow = LAYOUTS[layout]
    for shape, padding_mode in itertools.product(CASES, PADDINGS):
        features, flow, grad_out, answer = case(shape, padding_mode)
        features, flow = by_features(features.to(dtype)), by_flow(flow.to(small))
        out = kernels.warp(features, flow, padding_mode)
        if layout in ("contiguous", "channels_last"):
            assert out.stride() == by_features(out).stride() or 1 in out.shape[1:], shape
        grad_out = by_grad(grad_out.to(dtype))
        for wanted in ([True, True], [True, False], [False, True]):
            by = kernels.warp_backward(grad_out, features, flow, padding_mode, wanted)
            results = {"out": out}
            for name, asked, gradient in zip(("features", "flow"), wanted, by, strict=True):
                if asked:
                    results[name] = gradient
                else:
                    assert gradient.shape == (0,)
            assert_correct(results, answer, (shape, padding_mode))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e38, -3e9])
def test_coordinates_that_are_not_finite_or_huge(kernels, value):
    for axis, padding_mode in itertools.product(range(3), ("zeros", "reflection")):
        if padding_mode == "reflection" and abs(value) < float("inf"):
            continue
        features, flow = torch.randn(1, 2, 3, 4, 5), torch.zeros(1, 3, 3, 4, 5)
        flow[:, axis] = value
        assert not kernels.warp(features, flow, padding_mode).any()
        gradients = kernels.warp_backward(features, features, flow, padding_mode, [True, True])
        assert not any(gradient.any() for gradient in gradients)


# The user's function


@pytest.mark.parametrize("kernels", ["torch", "compiled"], indirect=True)
@pytest.mark.parametrize("padding_mode", PADDINGS)
@pytest.mark.parametrize("size", [(4, 5), (3, 4, 5)])
def test_several_flows_are_as_many_calls(kernels, padding_mode, size):
    features = torch.randn(2, 3, *size, dtype=torch.float64, requires_grad=True)
    flow = torch.randn(2, 4, len(size), *size, dtype=torch.float64).mul(3).requires_grad_()
    out = warp(features, flow, padding_mode)
    one_by_one = torch.stack([warp(features, flow[:, k], padding_mode) for k in range(4)], 1)
    torch.testing.assert_close(out, one_by_one)
    weights = torch.randn_like(out)
    for mine, theirs in zip(
        torch.autograd.grad(out, [features, flow], weights),
        torch.autograd.grad(one_by_one, [features, flow], weights),
        strict=True,
    ):
        torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize("kernels", ["torch", "compiled"], indirect=True)
@pytest.mark.parametrize("padding_mode", PADDINGS)
def test_volumes_are_those_of_grid_sample(kernels, padding_mode):
    features = torch.randn(2, 3, 4, 5, 6, dtype=torch.float64)
    flow = torch.randn(2, 3, 4, 5, 6, dtype=torch.float64) * 4
    pixels = torch.meshgrid(*(torch.arange(s).double() for s in (4, 5, 6)), indexing="ij")
    position = flow + torch.stack(pixels[::-1])
    grid = position.movedim(1, -1) * 2 / (torch.tensor([6, 5, 4]) - 1) - 1
    expected = F.grid_sample(features, grid, padding_mode=padding_mode, align_corners=True)
    torch.testing.assert_close(warp(features, flow, padding_mode), expected)
    torch.testing.assert_close(by_grid_sample(features, flow, padding_mode), expected)
    twice = torch.stack([flow, -flow], 1).flatten(0, 1)
    torch.testing.assert_close(
        by_grid_sample(features, twice, padding_mode),
        torch.ops.rfwarp.warp(features, twice, padding_mode),
    )


@pytest.mark.parametrize("size", [(4, 5), (2, 3, 4)])
def test_gradcheck_opcheck_compile_and_export(size):
    features = torch.randn(2, 2, *size, dtype=torch.float64, requires_grad=True)
    flow = torch.randn(2, 2, len(size), *size, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(warp, (features, flow))
    flat = flow.detach().flatten(0, 1)
    torch.library.opcheck(torch.ops.rfwarp.warp.default, (features, flat, "border"))
    grad_out = torch.randn(4, 2, *size, dtype=torch.float64)
    call = (grad_out, features.detach(), flat, "border", [True, True])
    torch.library.opcheck(torch.ops.rfwarp.warp_backward.default, call)

    class Warp(torch.nn.Module):
        def forward(self, features, flow):
            return warp(features, flow, "reflection")

    expected = Warp()(features, flow)
    compiled = torch.compile(Warp(), fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(features, flow), expected)
    program = torch.export.export(Warp(), (features, flow)).module()
    with use_backend("torch"):
        torch.testing.assert_close(program(features, flow), expected)


def test_nothing_is_copied_for_several_flows():
    features = torch.randn(1, 64, 128, 128)
    flow = torch.zeros(1, 8, 2, 128, 128)
    with torch.profiler.profile(profile_memory=True) as profile, torch.no_grad():
        warp(features, flow)
    allocated = sum(max(0, event.self_cpu_memory_usage) for event in profile.key_averages())
    assert allocated < 1.1 * 8 * features.numel() * 4  # the output


def test_refusals():
    features = torch.zeros(2, 3, 4, 5)
    with pytest.raises(ValueError, match=r"flow must be \(2, 7, 2, 4, 5\).*got \(2, 7, 3, 4, 5\)"):
        warp(features, torch.zeros(2, 7, 3, 4, 5))
    with pytest.raises(ValueError, match=r"flow must be \(2, 2, 4, 5\).*got \(2, 0, 2, 4, 5\)"):
        warp(features, torch.zeros(2, 0, 2, 4, 5))
    with pytest.raises(ValueError, match=r"flow must be \(2, 3, 6, 4, 5\).*got \(2, 2, 6, 4, 5\)"):
        warp(torch.zeros(2, 3, 6, 4, 5), torch.zeros(2, 2, 6, 4, 5))


@pytest.mark.parametrize("kernels", ["compiled"], indirect=True)
def test_kernels_refuse_flows_that_do_not_go_with_the_samples(kernels):
    for samples in (0, 1, 3):
        with pytest.raises(RuntimeError, match="the shape of flow"):
            kernels.warp(torch.zeros(2, 3, 4, 5), torch.zeros(samples, 2, 4, 5), "zeros")


@pytest.mark.parametrize("kernels", ["compiled"], indirect=True)
def test_threads_change_nothing(kernels):
    """To the bit: a thread owns channels of a source, or rows."""
    before, results = torch.get_num_threads(), []
    image = torch.randn(1, 7, 33, 41), torch.randn(5, 2, 33, 41) * 5, torch.randn(5, 7, 33, 41)
    volume = torch.randn(2, 3, 6, 17, 19), torch.randn(2, 3, 6, 17, 19) * 4
    try:
        for threads in (1, 2, 2):
            torch.set_num_threads(threads)
            results.append([])
            for features, flow, grad in (image, (*volume, volume[0])):
                results[-1].append(kernels.warp(features, flow, "reflection"))
                call = (grad, features, flow, "reflection", [True, True])
                results[-1] += kernels.warp_backward(*call)
    finally:
        torch.set_num_threads(before)
    for alone, shared, again in zip(*results, strict=True):
        assert torch.equal(alone, shared)
        assert torch.equal(shared, again)
