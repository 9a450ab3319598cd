"""Coordinates that are not finite, huge or on a kink; features and logits that are not finite."""

import functools
import itertools
import math

import pytest
import torch
import warp_oracle
from warp_cases import (
    DTYPES,
    NAMES,
    PADDINGS,
    assert_correct,
    by_name,
    case,
    channels_last,
    exact_inputs,
)

HUGE = (1e38, 3e9, 2.0**31, 2.0**24)
LAYOUTS = pytest.mark.parametrize("layout", [torch.Tensor.contiguous, channels_last])


def special_coordinates(size):
    """On, just beside and far from every limit along an axis, as float32 numbers."""
    limits = torch.tensor([-2.0, -1.0, 0.0, 0.5, 1.0, size - 2.0, size - 1.0, float(size)])
    beside = [torch.nextafter(limits, torch.tensor(to)) for to in (-math.inf, math.inf)]
    far = torch.tensor([math.nan, math.inf, -math.inf, *HUGE, *(-x for x in HUGE)])
    return torch.cat([limits, *beside, far])


@functools.cache
def warp_at_special_coordinates(padding_mode):
    """features, flow, grad_out, all float64, and what is right; pixel (0, 0) is special."""
    height, width = 3, 4
    x, y = special_coordinates(width), special_coordinates(height)
    middle = torch.full_like(x, 0.5)
    positions = [
        torch.stack(pair, dim=1)
        for pair in [(x, middle), (middle, y), *((x, y.roll(i)) for i in range(0, len(x), 7))]
    ]
    flow = torch.zeros(sum(map(len, positions)), 2, height, width, dtype=torch.float64)
    flow[:, :, 0, 0] = torch.cat(positions)  # which at that pixel is its flow, to the bit
    inputs = exact_inputs(len(flow), 1, 5, height, width, torch.Generator().manual_seed(0))
    features, grad_out = inputs["features"][:, 0], inputs["grad_out"]
    return features, flow, grad_out, warp_oracle.warp(features, flow, padding_mode, grad_out)


@pytest.mark.parametrize("padding_mode", PADDINGS)
@pytest.mark.parametrize("dtype", DTYPES)
@LAYOUTS
def test_special_coordinates(kernels, dtype, padding_mode, layout):
    features, flow, grad_out, answer = warp_at_special_coordinates(padding_mode)
    flow = layout(flow.to(torch.float64 if dtype == torch.float64 else torch.float32))
    features, grad_out = layout(features.to(dtype)), layout(grad_out.to(dtype))
    out = kernels.warp(features, flow, padding_mode)
    gradients = kernels.warp_backward(grad_out, features, flow, padding_mode, [True, True])
    results = dict(zip(("out", "features", "flow"), (out, *gradients), strict=True))
    assert_correct(results, answer)


@pytest.mark.parametrize("special", [math.nan, math.inf, -math.inf, 3e38])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@LAYOUTS
def test_absent_sources_may_hold_anything(kernels, dtype, special, layout):
    for shape, padding_mode in itertools.product([(2, 3, 5, 6, 7), (3, 4, 16, 4, 5)], PADDINGS):
        given = case(shape, padding_mode, "some")
        absent = ~given.mask
        grad_out, inputs = given.arguments(dtype)
        poisoned = dict(zip(NAMES, (x.clone() for x in inputs), strict=True))
        for name in NAMES[:-1]:
            poisoned[name][absent] = special
        inputs = [layout(x) for x in poisoned.values()]
        out = kernels.warp_fuse(*inputs, given.mask, padding_mode)
        gradients = kernels.warp_fuse_backward(
            grad_out, *inputs, given.mask, padding_mode, [True] * 5
        )
        assert_correct(by_name(out, gradients), given.answer, (shape, padding_mode))
        assert not any(gradient[absent].any() for gradient in gradients[:-1])


@pytest.mark.parametrize("dtype", DTYPES)
@LAYOUTS
def test_features_that_are_not_finite_follow_ieee(kernels, dtype, layout):
    """Also at a weight of zero, which whole coordinates have; never from outside of the image."""
    for padding_mode in PADDINGS:
        given = case((2, 2, 5, 6, 7), padding_mode)
        grad_out, inputs = given.arguments(dtype)
        features = inputs[0].clone()
        g = torch.Generator().manual_seed(0)
        chosen = torch.rand(features.shape, generator=g)
        features[chosen < 0.1], features[chosen < 0.06] = math.inf, -math.inf
        features[chosen < 0.02] = math.nan
        inputs = [features, *inputs[1:]]
        exact = [x.double() for x in (*inputs, grad_out)]
        answer = warp_oracle.warp_fuse(*exact[:-1], None, padding_mode, exact[-1])
        out = kernels.warp_fuse(*(layout(x) for x in inputs), None, padding_mode)
        assert 0 < answer.value["out"].isfinite().sum() < out.numel()
        assert_correct({"out": out}, answer, padding_mode)


SPECIAL_LOGITS = (-math.inf, -3e38, -1e4, -104.0, -88.5, 0.0, 88.5, 104.0, 1e4, 3e38)


@pytest.mark.parametrize("name", ["occlusion", "attention"])
@pytest.mark.parametrize("dtype", DTYPES)
@LAYOUTS
def test_logits_of_any_size(kernels, dtype, name, layout):
    """+inf too for occlusion: m is 1 then. The other attention logit is finite."""
    special = [*SPECIAL_LOGITS, *([math.inf] if name == "occlusion" else [])]
    given = case((1, 2, 3, 1, len(special)), "zeros")
    grad_out, inputs = given.arguments(dtype)
    inputs = dict(zip(NAMES, inputs, strict=True))
    inputs[name] = inputs[name].clone()
    inputs[name][0, 1, 0, 0] = torch.tensor(special)
    exact = [x.double() for x in (*inputs.values(), grad_out)]
    answer = warp_oracle.warp_fuse(*exact[:-1], None, "zeros", exact[-1])
    inputs = [layout(x) for x in inputs.values()]
    out = kernels.warp_fuse(*inputs, None, "zeros")
    gradients = kernels.warp_fuse_backward(grad_out, *inputs, None, "zeros", [True] * 5)
    assert_correct(by_name(out, gradients), answer)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_sigmoid_and_softmax_are_good_to_the_last_bits(kernels, dtype):
    logits = torch.linspace(-80, 80, 4001, dtype=dtype).view(1, 1, 1, 1, -1)
    one, nothing = torch.ones_like(logits), torch.zeros_like(logits)
    expected = (1 / (1 + (-logits.double()).exp())).flatten()
    # m, seen through a target of 1.
    call = (nothing, torch.cat([nothing, nothing], 2), None, logits, nothing, one[:, 0])
    m = kernels.warp_fuse(*call, None, "zeros")
    # Of two sources, the attention of the one with m = 1; their logits differ exactly.
    features, flow = torch.cat([nothing, nothing], 1), nothing.expand(1, 2, 2, 1, -1)
    switch = torch.cat([one, -one], 1) * math.inf
    attention = torch.cat([logits, nothing], 1)
    a = kernels.warp_fuse(features, flow, None, switch, attention, one[:, 0], None, "zeros")
    for result in (m, a):
        error = (result.flatten().double() - expected).abs() / expected
        # Two units for exp, half a one each for the sum and the quotient, with what they amplify.
        assert error.max() <= 4 * torch.finfo(dtype).eps


@pytest.mark.parametrize("name", ["occlusion", "attention"])
@LAYOUTS
def test_nan_logit_spoils_its_own_pixel_only(kernels, name, layout):
    given = case((2, 3, 5, 6, 7), "zeros")
    inputs = dict(zip(NAMES, given.arguments(torch.float32)[1], strict=True))
    inputs[name] = inputs[name].clone()
    inputs[name][1, 2, 0, 3, 4] = math.nan
    out = kernels.warp_fuse(*(layout(x) for x in inputs.values()), None, "zeros")
    spoilt = torch.zeros(2, 1, 6, 7, dtype=torch.bool)
    spoilt[1, 0, 3, 4] = True
    assert torch.equal(out.isnan(), spoilt.expand_as(out))
    expected = given.answer.value["out"].masked_fill(spoilt, math.nan)
    torch.testing.assert_close(out.double(), expected, rtol=1e-5, atol=1e-5, equal_nan=True)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@LAYOUTS
def test_nothing_is_left_of_the_call_before(kernels, dtype, layout):
    """Kernels keep their scratch memory, in which there may be NaN now."""
    spoiling = case((2, 3, 100, 9, 17), "zeros")
    grad_out, (features, flow, residual, *others) = spoiling.arguments(dtype)
    features, grad_out, *others = (
        layout(torch.full_like(x, math.nan)) for x in (features, grad_out, *others)
    )
    spoilt = (features, layout(flow), layout(residual), *others, None, "zeros")
    for shape, present in itertools.product([(2, 3, 5, 6, 7), (3, 4, 16, 4, 5)], ["all", "some"]):
        kernels.warp_fuse(*spoilt)
        kernels.warp_fuse_backward(grad_out, *spoilt, [True] * 5)
        given = case(shape, "zeros", present)
        by_out, inputs = given.arguments(dtype)
        call = (*(layout(x) for x in inputs), given.mask, "zeros")
        gradients = kernels.warp_fuse_backward(layout(by_out), *call, [True] * 5)
        assert_correct(by_name(kernels.warp_fuse(*call), gradients), given.answer, (shape, present))
