"""Values and gradients of rfwarp.ops, in float64 against Eq. 6 in plain loops and F.grid_sample."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rfwarp.ops import warp, warp_fuse

PADDINGS = ("zeros", "border")
NAMES = ("features", "flow", "residual", "occlusion", "attention", "target")


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


def sample_in_loops(image, x, y, padding_mode):
    """One (C, H, W) image at one position, as a list of C numbers."""
    channels, height, width = image.shape
    if math.isnan(x) or math.isnan(y):
        return [0.0] * channels
    if padding_mode == "border":
        x, y = min(max(x, 0.0), width - 1.0), min(max(y, 0.0), height - 1.0)
    if not (-1 <= x < width and -1 <= y < height):
        return [0.0] * channels
    out = [0.0] * channels
    for j in (math.floor(y), math.floor(y) + 1):
        for i in (math.floor(x), math.floor(x) + 1):
            if 0 <= i < width and 0 <= j < height:
                for c in range(channels):
                    out[c] += (1 - abs(x - i)) * (1 - abs(y - j)) * image[c, j, i].item()
    return out


def fuse_in_loops(features, flow, residual, occlusion, attention, target, mask, padding_mode):
    """Eq. 5 and 6, as written."""
    n, k, channels, height, width = features.shape
    out = torch.zeros(n, channels, height, width, dtype=torch.float64)
    for b in range(n):
        present = [s for s in range(k) if mask is None or mask[b, s]]
        for y in range(height):
            for x in range(width):
                scores = {s: math.exp(attention[b, s, 0, y, x]) for s in present}
                for s in present:
                    dx, dy = flow[b, s, :, y, x].tolist()
                    if residual is not None:
                        dx += residual[b, s, 0, y, x].item()
                        dy += residual[b, s, 1, y, x].item()
                    warped = sample_in_loops(features[b, s], x + dx, y + dy, padding_mode)
                    a = scores[s] / sum(scores.values())
                    m = 1 / (1 + math.exp(-occlusion[b, s, 0, y, x]))
                    for c in range(channels):
                        own = target[b, c, y, x].item()
                        out[b, c, y, x] += a * (warped[c] * (1 - m) + own * m)
    return out


def grid_sample(features, flow, padding_mode):
    height, width = features.shape[-2:]
    x = torch.arange(width, dtype=flow.dtype) + flow[:, 0]
    y = torch.arange(height, dtype=flow.dtype)[:, None] + flow[:, 1]
    grid = torch.stack([2 * x / (width - 1) - 1, 2 * y / (height - 1) - 1], dim=-1)
    return F.grid_sample(features, grid, padding_mode=padding_mode, align_corners=True)


def gradients(inputs, mask=None, padding_mode="zeros"):
    leaves = {k: v.detach().clone().requires_grad_() for k, v in inputs.items()}
    out = warp_fuse(**leaves, mask=mask, padding_mode=padding_mode)
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
    expected = fuse_in_loops(**inputs, mask=mask, padding_mode=padding_mode)
    torch.testing.assert_close(
        warp_fuse(**inputs, mask=mask, padding_mode=padding_mode), expected, rtol=0, atol=1e-13
    )


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
    x = make_inputs(n=2, k=2, c=2, h=3, w=4, seed=1)
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
        warp_fuse(**permuted, mask=mask[:, order]), warp_fuse(**x, mask=mask), rtol=0, atol=1e-14
    )


@pytest.mark.parametrize("poison", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("padding_mode", PADDINGS)
def test_absent_source_contributes_nothing_whatever_it_holds(poison, padding_mode):
    x = make_inputs()
    mask = torch.tensor([[True, True, False], [True, True, False]])
    rest = {k: v if k == "target" else v[:, :2] for k, v in x.items()}
    for name in NAMES[:-1]:
        x[name][:, 2] = poison
    torch.testing.assert_close(
        warp_fuse(**x, mask=mask, padding_mode=padding_mode),
        warp_fuse(**rest, padding_mode=padding_mode),
        rtol=0,
        atol=1e-14,
    )
    expected = gradients(rest, padding_mode=padding_mode)
    for name, gradient in gradients(x, mask, padding_mode).items():
        if name != "target":
            assert torch.equal(gradient[:, 2], torch.zeros_like(gradient[:, 2])), name
            gradient = gradient[:, :2]
        torch.testing.assert_close(gradient, expected[name], rtol=0, atol=1e-13)


def test_sample_without_sources_is_refused_on_cpu_and_zero_in_the_operator():
    x = make_inputs()
    mask = torch.tensor([[True, True, True], [False, False, False]])
    with pytest.raises(ValueError, match=r"samples \[1\] have none"):
        warp_fuse(**x, mask=mask)
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
    torch.testing.assert_close(warp_fuse(**x), warp_fuse(**x, mask=mask), rtol=0, atol=1e-15)


def test_infinite_features_follow_ieee():
    x = make_inputs(k=1)
    x["features"].fill_(math.inf)
    x["flow"].zero_()
    x["residual"].fill_(0.5)
    x["occlusion"].fill_(math.inf)
    assert warp_fuse(**x).isnan().all()


# Coordinates


HUGE = (math.nan, math.inf, -math.inf, 1e38, -1e38, 3e9, -3e9)


@pytest.mark.parametrize("padding_mode", PADDINGS)
@pytest.mark.parametrize("value", HUGE)
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


@settings(
    max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
@given(data=st.data())
def test_any_shape_and_any_coordinates(data):
    n, k, c, h, w = (data.draw(st.integers(1, 3)) for _ in range(5))
    padding_mode = data.draw(st.sampled_from(PADDINGS))
    x = make_inputs(n, k, c, h, w, seed=data.draw(st.integers(0, 99)))
    size = x["flow"].numel()
    wild = st.one_of(st.floats(-4, 4), st.integers(-4, 4).map(float), st.sampled_from(HUGE))
    for name in ("flow", "residual"):
        values = data.draw(st.lists(wild, min_size=size, max_size=size))
        x[name] = torch.tensor(values, dtype=torch.float64).view_as(x[name])
    mask = torch.tensor(data.draw(st.lists(st.booleans(), min_size=n * k, max_size=n * k)))
    mask = mask.view(n, k)
    mask[:, 0] |= ~mask.any(1)
    expected = fuse_in_loops(**x, mask=mask, padding_mode=padding_mode)
    out = warp_fuse(**x, mask=mask, padding_mode=padding_mode)
    torch.testing.assert_close(out, expected, rtol=0, atol=1e-12)
    for gradient in gradients(x, mask, padding_mode).values():
        assert gradient.isfinite().all()


# Types, layouts, sizes


def bits(dtype):
    return torch.finfo(dtype).eps


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("autocast", [False, True])
def test_half_features_are_computed_in_float32(dtype, autocast):
    x = make_inputs(c=8, h=16, w=16, dtype=torch.float32)
    x["features"], x["target"] = x["features"].to(dtype), x["target"].to(dtype)
    exact = {k: v.double() for k, v in x.items()}
    with torch.autocast("cpu", dtype=dtype, enabled=autocast):
        out, by = warp_fuse(**x), gradients(x)
    assert out.dtype == dtype
    # Within one rounding of the output type (half a unit), plus what float32 loses.
    torch.testing.assert_close(out.double(), warp_fuse(**exact), rtol=bits(dtype) / 2, atol=1e-5)
    leaves = [v.requires_grad_() for v in exact.values()]
    expected = warp_fuse(*leaves)
    # The same upstream gradient, which the half-precision run rounds to its own type.
    weights = torch.linspace(-1, 1, out.numel(), dtype=dtype).view_as(out).double()
    for name, truth in zip(NAMES, torch.autograd.grad(expected, leaves, weights), strict=True):
        assert by[name].dtype == x[name].dtype
        rtol = bits(dtype) / 2 if x[name].dtype == dtype else 1e-5
        torch.testing.assert_close(by[name].double(), truth, rtol=rtol, atol=1e-4)


def test_float32_against_float64():
    x = make_inputs(c=8, h=16, w=16, dtype=torch.float32)
    exact = {k: v.double() for k, v in x.items()}
    torch.testing.assert_close(warp_fuse(**x).double(), warp_fuse(**exact), rtol=1e-5, atol=1e-5)


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


def test_memory_format_of_the_output_is_the_targets():
    x = make_inputs()
    expected = warp_fuse(**x)
    last = torch.channels_last
    x["target"] = x["target"].to(memory_format=last)
    x["features"] = x["features"].flatten(0, 1).to(memory_format=last).unflatten(0, (2, 3))
    out = warp_fuse(**x)
    assert out.is_contiguous(memory_format=last)
    assert torch.equal(out, expected)
    features = x["features"][:, 0].contiguous(memory_format=last)
    assert warp(features, x["flow"][:, 0]).is_contiguous(memory_format=last)


def test_strided_views_are_read_right():
    x = make_inputs(n=2, k=4, c=4, h=6, w=6)
    views = {k: v.flip(-1).transpose(-1, -2).flip(-1)[..., ::2, 1::2] for k, v in x.items()}
    views["features"] = x["features"].transpose(1, 2)[..., ::2, 1::2]
    dense = {k: v.clone(memory_format=torch.contiguous_format) for k, v in views.items()}
    assert torch.equal(warp_fuse(**views), warp_fuse(**dense))


def test_empty_batch_and_single_pixel():
    x = make_inputs()
    empty = {k: v[:0] for k, v in x.items()}
    assert warp_fuse(**empty).shape == (0, 4, 5, 6)
    assert all(g.shape == empty[k].shape for k, g in gradients(empty).items())
    assert warp(empty["target"], empty["flow"][:, 0]).shape == (0, 4, 5, 6)
    x = make_inputs(h=1, w=1)
    for padding_mode in PADDINGS:
        expected = fuse_in_loops(**x, mask=None, padding_mode=padding_mode)
        out = warp_fuse(**x, padding_mode=padding_mode)
        torch.testing.assert_close(out, expected, rtol=0, atol=1e-14)


def test_only_asked_for_gradients_are_computed():
    x = make_inputs()
    fixed = torch.ones_like(x["target"])
    out = torch.ops.rfwarp.warp_fuse_backward(
        fixed, *x.values(), None, "zeros", [False, True, False, False, True]
    )
    expected = gradients(x)
    assert [tuple(g.shape) for g in out[::2]] == [(0,), (0,), x["target"].shape]
    assert [tuple(g.shape) for g in out[1::2]] == [x["flow"].shape, (0,)]
    assert torch.equal(expected["flow"], expected["residual"])


def test_deterministic_algorithms_are_enough():
    x = make_inputs(h=32, w=32, dtype=torch.float32)
    torch.use_deterministic_algorithms(True)
    try:
        first, second = gradients(x), gradients(x)
    finally:
        torch.use_deterministic_algorithms(False)
    for name in NAMES:
        assert torch.equal(first[name], second[name])
