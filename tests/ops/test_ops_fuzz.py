"""Any shapes, strides, types and coordinates: every implementation against the reference."""

import math

import fuzz_contract
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from warp_cases import (
    DTYPES,
    LAYOUTS,
    NAMES,
    PADDINGS,
    answer_of_reference,
    assert_correct,
    by_name,
    exact_inputs,
)

WILD = (math.nan, math.inf, -math.inf, 1e38, -1e38, 3e9, -3e9, 2.0**31, -(2.0**31), -1.0, -2.0)
layouts = st.sampled_from(list(dict.fromkeys(layout for row in LAYOUTS.values() for layout in row)))


@st.composite
def calls(draw):
    """grad_out, the six inputs, mask, padding mode."""
    n, k = draw(st.integers(1, 3)), draw(st.integers(1, 6))
    c = draw(st.one_of(st.integers(1, 9), st.integers(10, 70)))
    h, w = draw(st.integers(1, 12)), draw(st.one_of(st.integers(1, 12), st.integers(13, 40)))
    g = torch.Generator().manual_seed(draw(st.integers(0, 2**16)))
    exact = exact_inputs(n, k, c, h, w, g)
    padding_mode = draw(st.sampled_from(PADDINGS))
    # Reflection brings huge numbers back, with the rounding that adding the pixel did to them.
    wild = [x for x in WILD if padding_mode != "reflection" or not 2 < abs(x) < math.inf]
    for name in ("flow", "residual"):
        numbers = exact[name].view(-1)
        places = st.integers(0, numbers.numel() - 1)
        for place, value in draw(st.lists(st.tuples(places, st.sampled_from(wild)), max_size=8)):
            numbers[place] = value
    if draw(st.booleans()):
        exact["features"] = exact["features"][:1].expand_as(exact["features"])
    dtype = draw(st.sampled_from(DTYPES))
    small = torch.float64 if dtype == torch.float64 else torch.float32
    for name, x in exact.items():
        wide = name in ("features", "target", "grad_out")
        shared = x.stride(0) == 0
        x = x[:1] if shared else x
        x = draw(layouts)(x.to(dtype if wide else small))
        exact[name] = x.expand(n, *x.shape[1:]) if shared else x
    grad_out = exact.pop("grad_out")
    if draw(st.booleans()):
        exact["residual"] = None
    mask = None
    if draw(st.booleans()):
        mask = torch.rand(n, k, generator=g) < 0.6
    return grad_out, [exact[name] for name in NAMES], mask, padding_mode


# The fixture only chooses what computes, which examples may share.
@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(call=calls())
def test_any_call(kernels, call):
    grad_out, inputs, mask, padding_mode = call
    answer = answer_of_reference(inputs, mask, padding_mode, grad_out)
    out = kernels.warp_fuse(*inputs, mask, padding_mode)
    gradients = kernels.warp_fuse_backward(grad_out, *inputs, mask, padding_mode, [True] * 5)
    note = [(tuple(x.shape), x.stride(), x.dtype) for x in (grad_out, *inputs) if x is not None]
    assert_correct(by_name(out, gradients), answer, note)


@pytest.mark.parametrize("kernels", ["baseline", "avx2", "avx512"], indirect=True)
def test_slice_of_the_contract(kernels):
    """``python tests/ops/fuzz_contract.py`` runs any number of cases."""
    for number in range(150):
        fuzz_contract.check(0, number)
