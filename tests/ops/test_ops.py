"""The specification of rfwarp.ops, through its user functions, on every implementation."""

import itertools
import math

import pytest
import torch
import torch.nn.functional as F
import warp_oracle
from warp_cases import NAMES, PADDINGS, assert_correct

from rfwarp.ops import warp, warp_fuse

pytestmark = pytest.mark.usefixtures("kernels")


def make_inputs(n=2, k=3, c=4, h=5, w=6, seed=0, dtype=torch.float64):
    """The six tensors of warp_fuse, with a good part of the positions outside of the image."""
    g = torch.Generator().manual_seed(seed)

    def normal(*size, std=1.0):
        return std * torch.randn(*size, generator=g, dtype=torch.float64).to(dtype)

    return {
        "features": normal(n, k, c, h, w),
        "flow": normal(n, k, 2, h, w, std=2.0),
        "residual": normal(n, k, 2, h, w),
        "occlusion": normal(n, k, 1, h, w),
        "attention": normal(n, k, 1, h, w),
        "target": normal(n, c, h, w),
    }


def grid_sample(features, flow, padding_mode):
    height, width = features.shape[-2:]
    x = torch.arange(width, dtype=flow.dtype) + flow[:, 0]
    y = torch.arange(height, dtype=flow.dtype)[:, None] + flow[:, 1]
    grid = torch.stack([2 * x / (width - 1) - 1, 2 * y / (height - 1) - 1], dim=-1)
    return F.grid_sample(features, grid, padding_mode=padding_mode, align_corners=True)


def gradients(inputs, mask=None, padding_mode="zeros"):
    leaves = {k: v.detach().clone().requires_grad_() for k, v in inputs.items()}
    out = warp_fuse(**leaves, present=mask, padding_mode=padding_mode)
    weights = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view_as(out)
    return dict(zip(NAMES, torch.autograd.grad(out, list(leaves.values()), weights), strict=True))


# The definition


@pytest.mark.parametrize("padding_mode", PADDINGS)
@pytest.mark.parametrize("with_residual", [True, False])
@pytest.mark.parametrize("with_mask", [True, False])
def test_warp_fuse_is_equation_6(padding_mode, with_residual, with_mask):
    inputs = make_inputs()
    if not with_residual:
        inputs["residual"] = None
    mask = torch.tensor([[True, False, True], [False, True, False]]) if with_mask else None
    leaves = [x if x is None else x.requires_grad_() for x in inputs.values()]
    out = warp_fuse(*leaves, present=mask, padding_mode=padding_mode)
    grad_out = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view_as(out)
    wanted = [x for x in leaves if x is not None]
    by = dict(
        zip(
            [name for name in NAMES if inputs[name] is not None],
            torch.autograd.grad(out, wanted, grad_out),
            strict=True,
        )
    )
    if with_residual:
        assert torch.equal(by.pop("residual"), by["flow"])
    exact = [x if x is None else x.detach() for x in leaves]
    answer = warp_oracle.warp_fuse(*exact, mask, padding_mode, grad_out)
    assert_correct({"out": out.detach(), **by}, answer)


@pytest.mark.parametrize("padding_mode", PADDINGS)
def test_warp_is_grid_sample(padding_mode):
    x = make_inputs(h=7, w=9)
    leaves = [x["features"][:, 0].requires_grad_(), x["flow"][:, 0].requires_grad_()]
    out, expected = warp(*leaves, padding_mode), grid_sample(*leaves, padding_mode)
    torch.testing.assert_close(out, expected, rtol=0, atol=1e-13)
    g = torch.randn_like(out)
    for mine, theirs in zip(
        torch.autograd.grad(out, leaves, g), torch.autograd.grad(expected, leaves, g), strict=True
    ):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-12)


def test_flow_moves_x_before_y_and_fetches_from_there():
    features = torch.arange(12.0).view(1, 1, 3, 4)
    flow = torch.zeros(1, 2, 3, 4)
    flow[:, 0] = 1  # everything comes from one pixel to the right
    expected = F.pad(features[..., 1:], (0, 1))
    assert torch.equal(warp(features, flow), expected)


@pytest.mark.parametrize("padding_mode", PADDINGS)
def test_zero_flow_is_the_identity_to_the_bit(padding_mode):
    features = torch.randn(2, 3, 37, 41)
    assert torch.equal(warp(features, torch.zeros(2, 2, 37, 41), padding_mode), features)


@pytest.mark.parametrize("padding_mode", PADDINGS)
@pytest.mark.parametrize("with_residual", [True, False])
@pytest.mark.parametrize("with_mask", [True, False])
def test_gradcheck(padding_mode, with_residual, with_mask):
    x = make_inputs(n=2, k=2, c=2, h=2, w=3, seed=1)
    if not with_residual:
        x["residual"] = None
    mask = torch.tensor([[True, True], [True, False]]) if with_mask else None
    position = x["flow"] + (0 if x["residual"] is None else x["residual"])
    assert (position - position.round()).abs().min() > 1e-4  # no kink within the step
    leaves = [v if v is None else v.requires_grad_() for v in x.values()]
    assert torch.autograd.gradcheck(lambda *t: warp_fuse(*t, mask, padding_mode), leaves)


@pytest.mark.parametrize("padding_mode", PADDINGS)
def test_gradcheck_warp(padding_mode):
    x = make_inputs(h=3, w=4, seed=1)
    leaves = [x["features"][:, 0].requires_grad_(), x["flow"][:, 0].requires_grad_()]
    assert torch.autograd.gradcheck(lambda *t: warp(*t, padding_mode), leaves)


# Sources: permutation, absence, occlusion


def test_order_of_sources_does_not_matter():
    x = make_inputs()
    mask = torch.tensor([[True, False, True], [True, True, True]])
    order = [2, 0, 1]
    permuted = {k: v if k == "target" else v[:, order] for k, v in x.items()}
    torch.testing.assert_close(
        warp_fuse(**permuted, present=mask[:, order]),
        warp_fuse(**x, present=mask),
        rtol=0,
        atol=1e-14,
    )


def test_sample_without_sources_is_refused_on_cpu_and_zero_in_the_operator():
    x = make_inputs()
    mask = torch.tensor([[True, True, True], [False, False, False]])
    with pytest.raises(ValueError, match=r"samples \[1\] have none"):
        warp_fuse(**x, present=mask)
    leaves = [v.requires_grad_() for v in x.values()]
    out = torch.ops.rfwarp.warp_fuse(*leaves, mask, "zeros")
    assert out[0].abs().min() > 0
    assert torch.equal(out[1], torch.zeros_like(out[1]))
    for gradient in torch.autograd.grad(out.sum(), leaves):
        assert torch.equal(gradient[1], torch.zeros_like(gradient[1]))


def test_infinite_occlusion_logits_switch_exactly():
    x = make_inputs(k=1)
    visible = torch.full_like(x["occlusion"], -math.inf)
    warped = warp((x["features"])[:, 0], (x["flow"] + x["residual"])[:, 0])
    assert torch.equal(warp_fuse(**{**x, "occlusion": visible}), warped)
    assert torch.equal(warp_fuse(**{**x, "occlusion": -visible}), x["target"])
    for logits in (visible, -visible):
        for gradient in gradients({**x, "occlusion": logits}).values():
            assert gradient.isfinite().all()


def test_attention_logit_of_minus_infinity_drops_a_source():
    x = make_inputs()
    x["attention"][:, 1] = -math.inf
    mask = torch.tensor([True, False, True]).expand(2, 3)
    torch.testing.assert_close(warp_fuse(**x), warp_fuse(**x, present=mask), rtol=0, atol=1e-15)


# Coordinates


HUGE = (math.nan, math.inf, -math.inf, 1e38, -1e38, 3e9, -3e9)


@pytest.mark.parametrize(
    ("padding_mode", "value"),
    [
        (padding_mode, value)
        for padding_mode, value in itertools.product(PADDINGS, HUGE)
        if padding_mode != "reflection" or not math.isfinite(value)  # which brings huge ones back
    ],
)
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_non_finite_and_huge_coordinates(padding_mode, value, axis, dtype):
    features = torch.randn(1, 2, 4, 5, dtype=dtype).requires_grad_()
    flow = torch.zeros(1, 2, 4, 5, dtype=dtype)
    flow[:, axis] = value
    flow.requires_grad_()
    out = warp(features, flow, padding_mode)
    expected = torch.zeros_like(out)
    if padding_mode == "border" and not math.isnan(value):
        dim = 3 - axis
        edge = features.shape[dim] - 1 if value > 0 else 0
        expected = features.detach().narrow(dim, edge, 1).expand_as(out)
    assert torch.equal(out.detach(), expected)
    by_features, by_flow = torch.autograd.grad(out.sum(), [features, flow])
    assert torch.equal(by_flow[:, axis], torch.zeros_like(by_flow[:, axis]))
    assert by_features.sum().item() == expected.ne(0).sum().item()


# Types, layouts, sizes


@pytest.mark.parametrize("padding_mode", PADDINGS)
def test_float32_at_any_coordinate(padding_mode):
    """The sum of pixel, flow and residual rounds, which moves the position."""
    x = make_inputs(c=8, h=16, w=16, dtype=torch.float32)
    exact = [v.double() for v in x.values()]
    answer = warp_oracle.warp_fuse(*exact, None, padding_mode, torch.zeros_like(exact[-1]))
    eps = torch.finfo(torch.float32).eps
    moved = eps * (16 + 2 * max(x["flow"].abs().max(), x["residual"].abs().max()))
    steepest = 4 * x["features"].abs().max()  # by x and y, across one pixel
    tolerance = answer.tolerance("out", eps) + moved * steepest
    assert (
        (warp_fuse(**x, padding_mode=padding_mode) - answer.value["out"]).abs() <= tolerance
    ).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_autocast_changes_nothing(dtype):
    x = make_inputs(c=8, h=16, w=16, dtype=torch.float32)
    x["features"], x["target"] = x["features"].to(dtype), x["target"].to(dtype)
    out, by = warp_fuse(**x), gradients(x)
    with torch.autocast("cpu", dtype=dtype):
        assert torch.equal(warp_fuse(**x), out)
        for name, gradient in gradients(x).items():
            assert gradient.dtype == x[name].dtype
            assert torch.equal(gradient, by[name]), name


def test_logits_and_flow_may_have_other_types_and_get_their_gradients():
    x = {k: v.to(torch.bfloat16) for k, v in make_inputs().items()}
    x["residual"] = x["residual"].double()
    x["attention"] = x["attention"].half()
    assert warp_fuse(**x).dtype == torch.bfloat16
    assert {k: g.dtype for k, g in gradients(x).items()} == {k: v.dtype for k, v in x.items()}


def test_batch_expanded_from_one_set_of_sources():
    x = make_inputs(n=3)
    one = x["features"][:1].clone().requires_grad_()
    expanded = one.expand(3, -1, -1, -1, -1)
    assert expanded.stride(0) == 0
    full = expanded.detach().clone().requires_grad_()
    out = warp_fuse(**{**x, "features": expanded})
    assert torch.equal(out, warp_fuse(**{**x, "features": full}))
    (by_one,) = torch.autograd.grad(out.square().sum(), one)
    copied = warp_fuse(**{**x, "features": full})
    (by_full,) = torch.autograd.grad(copied.square().sum(), full)
    torch.testing.assert_close(by_one, by_full.sum(0, keepdim=True), rtol=0, atol=1e-12)


def test_empty_batch():
    x = make_inputs()
    empty = {k: v[:0] for k, v in x.items()}
    assert warp_fuse(**empty).shape == (0, 4, 5, 6)
    assert all(g.shape == empty[k].shape for k, g in gradients(empty).items())
    assert warp(empty["target"], empty["flow"][:, 0]).shape == (0, 4, 5, 6)


@pytest.mark.parametrize("name", NAMES)
def test_the_gradient_of_one_input_alone(name):
    x = make_inputs()
    expected = gradients(x)[name]
    x[name].requires_grad_()
    out = warp_fuse(**x)
    weights = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view_as(out)
    (gradient,) = torch.autograd.grad(out, x[name], weights)
    torch.testing.assert_close(gradient, expected, rtol=0, atol=1e-13)


def test_deterministic_algorithms_are_enough():
    x = make_inputs(h=32, w=32, dtype=torch.float32)
    torch.use_deterministic_algorithms(True)
    try:
        first, second = gradients(x), gradients(x)
    finally:
        torch.use_deterministic_algorithms(False)
    for name in NAMES:
        assert torch.equal(first[name], second[name])
