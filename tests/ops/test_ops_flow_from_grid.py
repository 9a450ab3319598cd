"""Code written for F.grid_sample, and the same with rfwarp.ops on the flows of its grids."""

import re

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from rfwarp.ops import flow_from_grid, warp, warp_fuse

both_corners = pytest.mark.parametrize("align_corners", [True, False])
both_paddings = pytest.mark.parametrize("padding_mode", ["zeros", "border"])


def make_grid(*batch, h, w, seed=0):
    """Positions within the image, in the bands around its border, and far beyond them."""
    g = torch.Generator().manual_seed(seed)
    band = 1 + (torch.rand(*batch, h, w, 2, generator=g, dtype=torch.float64) - 0.5) * 4 / max(h, w)
    side = torch.randint(-1, 2, band.shape, generator=g)
    inside = torch.rand(*batch, h, w, 2, generator=g, dtype=torch.float64) * 2 - 1
    grid = torch.where(side == 0, inside, band * side)
    grid[..., 0, 0, :] = 7.5
    return grid.requires_grad_()


def normal(*shape, seed=0):
    g = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=g, dtype=torch.float64).requires_grad_()


def assert_same_gradients(mine, theirs, leaves):
    g = torch.linspace(-1, 1, theirs.numel(), dtype=theirs.dtype).view_as(theirs)
    by_mine, by_theirs = (torch.autograd.grad(out, leaves, g) for out in (mine, theirs))
    for one, other in zip(by_mine, by_theirs, strict=True):
        assert_close(one, other, rtol=1e-12, atol=1e-12)


@both_corners
@both_paddings
@pytest.mark.parametrize("size", [(7, 9), (1, 6), (6, 1), (1, 1)])
def test_warp_is_grid_sample(align_corners, padding_mode, size):
    features, grid = normal(2, 3, *size), make_grid(2, h=size[0], w=size[1])
    expected = F.grid_sample(features, grid, "bilinear", padding_mode, align_corners)
    out = warp(features, flow_from_grid(grid, align_corners), padding_mode)
    assert_close(out, expected, rtol=0, atol=1e-13)
    assert_same_gradients(out, expected, [features, grid])


@both_corners
@both_paddings
def test_warp_fuse_is_warp_occlusion_and_blend_around_grid_sample(align_corners, padding_mode):
    n, k, c, h, w = 2, 3, 4, 6, 5
    features, grid = normal(n, k, c, h, w), make_grid(n, k, h=h, w=w, seed=1)
    occlusion, attention = normal(n, k, 1, h, w, seed=2), normal(n, k, 1, h, w, seed=3)
    target = normal(n, c, h, w, seed=4)

    warped = F.grid_sample(
        features.flatten(0, 1), grid.flatten(0, 1), "bilinear", padding_mode, align_corners
    ).view(n, k, c, h, w)
    mask = torch.sigmoid(occlusion)
    refined = warped * (1 - mask) + target[:, None] * mask
    expected = (torch.softmax(attention, dim=1) * refined).sum(1)

    flow = flow_from_grid(grid, align_corners)
    out = warp_fuse(features, flow, None, occlusion, attention, target, padding_mode=padding_mode)
    assert_close(out, expected, rtol=0, atol=1e-13)
    assert_same_gradients(out, expected, [features, grid, occlusion, attention, target])


@both_corners
def test_the_identity_grid_is_no_flow(align_corners):
    identity = torch.eye(2, 3, dtype=torch.float64).expand(2, 2, 3)
    grid = F.affine_grid(identity, [2, 1, 5, 8], align_corners=align_corners)
    flow = flow_from_grid(grid, align_corners)
    assert_close(flow, torch.zeros(2, 2, 5, 8, dtype=torch.float64), rtol=0, atol=1e-14)


@both_corners
def test_flow_is_float32_or_float64(align_corners):
    grid = make_grid(1, h=3, w=4).detach()
    assert flow_from_grid(grid, align_corners).dtype == torch.float64
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        flow = flow_from_grid(grid.to(dtype), align_corners)
        assert flow.dtype == torch.float32
        expected = flow_from_grid(grid.to(dtype).double(), align_corners)
        assert_close(flow.double(), expected, rtol=0, atol=1e-5)


def test_grid_of_another_size_than_the_features_is_refused():
    flow = flow_from_grid(torch.zeros(1, 8, 8, 2), align_corners=False)
    with pytest.raises(ValueError, match=r"flow must be \(1, 2, 4, 4\).*got \(1, 2, 8, 8\)"):
        warp(torch.zeros(1, 3, 4, 4), flow)


@pytest.mark.parametrize("shape", [(2, 5, 6), (2, 2, 5, 6), (2, 3, 4, 5, 6, 2), (2, 0, 6, 2)])
def test_shape_is_refused(shape):
    with pytest.raises(
        ValueError, match=r"grid must be \(N, H, W, 2\).*got " + re.escape(str(shape))
    ):
        flow_from_grid(torch.zeros(shape), align_corners=True)


def test_types_are_refused():
    with pytest.raises(TypeError, match="grid must be a tensor, got list"):
        flow_from_grid([0.0], align_corners=True)
    with pytest.raises(TypeError, match=r"grid must be float16.*got torch.int64"):
        flow_from_grid(torch.zeros(1, 2, 2, 2, dtype=torch.int64), align_corners=True)
    with pytest.raises(TypeError, match="align_corners must be True or False, got None"):
        flow_from_grid(torch.zeros(1, 2, 2, 2), align_corners=None)


@both_corners
def test_it_compiles_in_one_graph(align_corners):
    compiled = torch.compile(flow_from_grid, fullgraph=True, backend="aot_eager")
    grid = make_grid(2, h=4, w=5)
    assert torch.equal(compiled(grid, align_corners), flow_from_grid(grid, align_corners))
