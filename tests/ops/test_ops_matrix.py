"""Every implementation x type x layout x padding x mask x K x odd shape, against the oracle."""

import functools
import importlib
import itertools
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
import warp_oracle
from warp_cases import (
    DTYPES,
    LAYOUTS,
    OUTPUTS,
    PADDINGS,
    answer_of_reference,
    assert_correct,
    by_name,
    case,
    channels_last,
)

from rfwarp.ops import backend

CSRC = Path(__file__).parents[2] / "csrc"
SHAPES = [  # N, K, C, H, W
    (2, 1, 1, 1, 1),
    (1, 2, 3, 1, 7),
    (2, 3, 5, 6, 1),
    (1, 4, 16, 5, 6),
    (2, 5, 17, 3, 4),
    (1, 10, 4, 4, 5),
    (1, 2, 100, 3, 3),
    (3, 2, 8, 5, 9),
    (1, 3, 33, 2, 19),
    (1, 1, 64, 4, 4),
    (1, 1, 3, 9, 17),
    (0, 2, 4, 3, 3),
    (2, 7, 2, 3, 3),
]
CALLS = [  # padding mode, which sources are present
    ("zeros", "all"),
    ("border", "all"),
    ("zeros", "some"),
    ("border", "one"),
    ("reflection", "some"),
]
FEW = [(1, 3, 5, 6, 7), (3, 4, 16, 4, 5)]


def run(kernels, given, dtype, layout="contiguous", output_mask=(True,) * 5):
    """The inputs, the output and the gradients."""
    grad_out, inputs = given.arguments(dtype, layout)
    rest = (given.mask, given.padding_mode)
    out = kernels.warp_fuse(*inputs, *rest)
    return inputs, out, kernels.warp_fuse_backward(grad_out, *inputs, *rest, output_mask)


def test_compiled_kernels_are_not_left_out(monkeypatch):
    """Without them the tests here skip; where they can be built, that is not to pass unnoticed."""
    if backend().name == "torch":
        pytest.skip(backend().cpu.reason)
    monkeypatch.syspath_prepend(CSRC)
    toolchain = importlib.import_module("kernel_build.toolchain")
    try:
        toolchain.find_toolchain("cpu")
    except toolchain.Missing as missing:
        pytest.skip(f"they cannot be built here: {missing}")
    hint = "install rfwarp again, or test with RFWARP_BACKEND=torch"
    assert backend().cpu.kind == "compiled", f"{backend().cpu.reason}; {hint}"


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_warp_fuse(kernels, dtype, layout):
    for shape, (padding_mode, present) in itertools.product(SHAPES, CALLS):
        given = case(shape, padding_mode, present)
        inputs, out, gradients = run(kernels, given, dtype, layout)
        assert_correct(by_name(out, gradients), given.answer, (shape, padding_mode, present))
        features, flow, _, occlusion, attention, target = inputs
        likes = (target, features, flow, occlusion, attention, target)
        for name, result, like in zip(OUTPUTS, (out, *gradients), likes, strict=True):
            assert result.dtype == like.dtype, name
            assert result.stride() == torch.empty_like(like).stride(), (name, shape)


@pytest.mark.parametrize("layout", ["contiguous", "channels_last", "channels_last amid NaN"])
@pytest.mark.parametrize("shared", ["batch", "sources"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_batch_or_sources_of_stride_0(kernels, dtype, shared, layout):
    for shape, padding_mode, present in itertools.product(FEW, PADDINGS, ["all", "some"]):
        given = case(shape, padding_mode, present, shared)
        inputs, out, gradients = run(kernels, given, dtype, layout)
        dimension = 0 if shared == "batch" else 1
        assert shape[dimension] == 1 or inputs[0].stride(dimension) == 0
        assert_correct(by_name(out, gradients), given.answer, (shape, padding_mode, present))


@pytest.mark.parametrize("axis", [-3, -2, -1])
@pytest.mark.parametrize("dtype", DTYPES)
def test_channels_rows_or_columns_of_stride_0(kernels, dtype, axis):
    """As grad_out has after ``out.sum().backward()``."""
    given = case((2, 3, 17, 6, 7), "zeros")
    grad_out, inputs = given.arguments(dtype)
    grad_out, *inputs = (x.narrow(axis, 0, 1).expand_as(x) for x in (grad_out, *inputs))
    answer = answer_of_reference(inputs, None, "zeros", grad_out)
    out = kernels.warp_fuse(*inputs, None, "zeros")
    gradients = kernels.warp_fuse_backward(grad_out, *inputs, None, "zeros", [True] * 5)
    assert_correct(by_name(out, gradients), answer)


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_without_residual(kernels, dtype, layout):
    for padding_mode in PADDINGS:
        given = case(FEW[0], padding_mode, with_residual=False)
        _, out, gradients = run(kernels, given, dtype, layout)
        assert_correct(by_name(out, gradients), given.answer, padding_mode)


@pytest.mark.parametrize("dtype", DTYPES)
def test_sample_without_sources_is_zero(kernels, dtype):
    given = case((3, 4, 16, 4, 5), "zeros", "none")
    _, out, gradients = run(kernels, given, dtype)
    assert_correct(by_name(out, gradients), given.answer)
    assert not any(result[0].any() for result in (out, *gradients))


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_every_subset_of_the_gradients(kernels, dtype, layout):
    given = case((3, 4, 16, 4, 5), "zeros", "some")
    empty = torch.empty(0)
    for wanted in itertools.product([False, True], repeat=5):
        _, out, gradients = run(kernels, given, dtype, layout, wanted)
        results = by_name(out, gradients)
        for name, asked in zip(OUTPUTS[1:], wanted, strict=True):
            if not asked:
                assert results.pop(name).shape == empty.shape, (name, wanted)
        assert_correct(results, given.answer, wanted)


def test_mask_of_any_strides(kernels):
    given = case((3, 4, 16, 4, 5), "zeros", "some")
    grad_out, inputs = given.arguments(torch.float32)
    wide = torch.ones(6, 9, dtype=torch.bool)
    sliced = wide[1:4, 1::2].copy_(given.mask)
    for mask in (given.mask.t().contiguous().t(), sliced):
        out = kernels.warp_fuse(*inputs, mask, "zeros")
        gradients = kernels.warp_fuse_backward(grad_out, *inputs, mask, "zeros", [True] * 5)
        assert_correct(by_name(out, gradients), given.answer, mask.stride())


@functools.cache
def answer_of_warp(shape, padding_mode):
    given = case(shape, padding_mode)
    features, flow = (x[:, 0] for x in given.inputs[:2])
    return warp_oracle.warp(features, flow, padding_mode, given.grad_out)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_warp(kernels, dtype, layout):
    for shape, padding_mode in itertools.product(SHAPES, PADDINGS):
        given = case(shape, padding_mode)
        grad_out, (features, flow, *_) = given.arguments(dtype, layout)
        features, flow = features[:, 0], flow[:, 0]
        out = kernels.warp(features, flow, padding_mode)
        assert out.stride() == torch.empty_like(features).stride(), shape
        for wanted in ([True, True], [True, False], [False, True]):
            gradients = kernels.warp_backward(grad_out, features, flow, padding_mode, wanted)
            results = {"out": out, "features": gradients[0], "flow": gradients[1]}
            for name, asked in zip(("features", "flow"), wanted, strict=True):
                if not asked:
                    assert results.pop(name).shape == (0,)
            answer = answer_of_warp(shape, padding_mode)
            assert_correct(results, answer, (shape, padding_mode, wanted))


@pytest.mark.parametrize("channels", [1, 5, 32])
@pytest.mark.parametrize("layout", [torch.Tensor.contiguous, channels_last])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_every_half_precision_number_is_read_and_rounded_right(kernels, dtype, layout, channels):
    patterns = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16).view(dtype)
    numbers = patterns[patterns.isfinite()].sort().values
    numbers = numbers[: numbers.numel() // channels * channels].view(1, channels, 1, -1)
    features, flow = layout(numbers), torch.zeros(1, 2, 1, numbers.shape[-1])
    assert torch.equal(kernels.warp(features, flow, "zeros"), numbers)
    # Half way between neighbours: ties, which go to the even one.
    flow[:, 0] = 0.5
    expected = numbers.float() / 2 + numbers.float().roll(-1, -1) / 2
    expected[..., -1] = numbers[..., -1]
    assert torch.equal(kernels.warp(features, flow, "border"), expected.to(dtype))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_no_worse_than_pytorchs_own(kernels, dtype):
    given = case((2, 3, 16, 8, 8), "border")
    inputs, out, _ = run(kernels, given, dtype)
    features, flow, residual, occlusion, attention, target = (x.to(dtype) for x in inputs)
    n, k, c, h, w = features.shape
    position = (flow + residual).movedim(2, -1).flatten(0, 1)
    pixels = torch.stack(torch.meshgrid(torch.arange(w), torch.arange(h), indexing="xy"), dim=-1)
    grid = (position + pixels) / (torch.tensor([w - 1, h - 1], dtype=dtype) / 2) - 1
    warped = F.grid_sample(
        features.flatten(0, 1), grid, padding_mode="border", align_corners=True
    ).view(n, k, c, h, w)
    m = occlusion.sigmoid()
    eager = (attention.softmax(1) * (warped * (1 - m) + target[:, None] * m)).sum(1)
    ours, theirs = ((x.double() - given.answer.value["out"]).abs() for x in (out, eager))
    assert ours.max() <= theirs.max()
    assert ours.mean() <= theirs.mean()
