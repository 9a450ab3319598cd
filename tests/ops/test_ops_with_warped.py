"""warp_fuse_with_warped: the blend and the warped features, and the gradients of both."""

import pytest
import torch
import warp_oracle
from warp_cases import DTYPES, LAYOUTS, NAMES, PADDINGS, assert_correct, case, channels_last

from rfwarp.ops import use_backend, warp, warp_fuse, warp_fuse_with_warped

SHAPES = [(2, 3, 5, 6, 7), (1, 1, 17, 3, 19), (1, 2, 70, 2, 3), (0, 2, 4, 3, 3), (1, 10, 16, 2, 2)]


def warped_by_oracle(given):
    """W(f, w + r) of every source, and the bound of its rounding errors, by the oracle of warp."""
    features, flow, residual, *_ = given.inputs
    n, k, *_ = features.shape
    call = (features.flatten(0, 1), (flow + residual).flatten(0, 1), given.padding_mode)
    answer = warp_oracle.warp_any(*call, torch.zeros_like(call[0]))
    absent = torch.zeros(n, k, dtype=torch.bool) if given.mask is None else ~given.mask
    absent = absent[:, :, None, None, None]
    for sums in (answer.value, answer.size):
        sums["out"] = sums["out"].unflatten(0, (n, k)).masked_fill(absent, 0)
    return answer


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_both_results(kernels, dtype, layout):
    for i, shape in enumerate(SHAPES):
        given = case(shape, PADDINGS[i % 3], "some")
        _, inputs = given.arguments(dtype, layout)
        out, warped = kernels.warp_fuse_with_warped(*inputs, given.mask, given.padding_mode)
        assert_correct({"out": out}, given.answer, shape)
        assert_correct({"out": warped}, warped_by_oracle(given), shape)
        for result, like in ((out, inputs[-1]), (warped, inputs[0])):
            assert result.dtype == dtype
            assert result.stride() == torch.empty_like(like).stride()


def leaves_of(given):
    _, inputs = given.arguments(torch.float64)
    return [x.clone().requires_grad_() for x in inputs]


@pytest.mark.parametrize("kernels", ["torch", "compiled"], indirect=True)
@pytest.mark.parametrize("used", ["both", "fused", "warped"])
@pytest.mark.parametrize("padding_mode", PADDINGS)
def test_gradients(kernels, padding_mode, used):
    given = case((2, 3, 5, 4, 5), padding_mode, "some")
    mine, theirs = leaves_of(given), leaves_of(given)
    out, warped = warp_fuse_with_warped(*mine, given.mask, padding_mode)
    features, flow, residual, *_ = theirs
    moved = (flow + residual).flatten(0, 1)
    present = given.mask[:, :, None, None, None]
    apart = warp(features.flatten(0, 1), moved, padding_mode).view_as(features) * present
    fused = warp_fuse(*theirs, given.mask, padding_mode)
    torch.testing.assert_close(warped, apart)
    g = torch.Generator().manual_seed(0)
    weights = [torch.randn(x.shape, generator=g, dtype=x.dtype) for x in (out, warped)]
    kept = {"both": (0, 1), "fused": (0,), "warped": (1,)}[used]
    sum((((out, warped)[i] * weights[i]).sum() for i in kept), torch.zeros(())).backward()
    sum((((fused, apart)[i] * weights[i]).sum() for i in kept), torch.zeros(())).backward()
    for name, leaf, other in zip(NAMES, mine, theirs, strict=True):
        assert (leaf.grad is None) == (other.grad is None), name
        if leaf.grad is not None:
            torch.testing.assert_close(leaf.grad, other.grad, msg=name)


@pytest.mark.parametrize("kernels", ["torch", "compiled"], indirect=True)
def test_absent_sources_may_hold_nan(kernels):
    given = case((2, 3, 5, 4, 5), "border", "some")
    leaves = leaves_of(given)
    with torch.no_grad():
        for leaf in leaves[:-1]:
            leaf[~given.mask] = torch.nan
    out, warped = warp_fuse_with_warped(*leaves, given.mask, "border")
    (out.sum() + warped.square().sum()).backward()
    assert not warped[~given.mask].any()
    for leaf in leaves[:-1]:
        assert leaf.grad.isfinite().all()
        assert not leaf.grad[~given.mask].any()


def test_without_anything_else_one_source_is_both():
    features, flow = torch.randn(1, 1, 3, 4, 5), torch.randn(1, 1, 2, 4, 5)
    fused, warped = warp_fuse_with_warped(channels_last(features), flow)
    assert torch.equal(fused, warped[:, 0])


def test_opcheck_compile_and_export():
    given = case((2, 3, 5, 4, 5), "zeros", "some")
    leaves = leaves_of(given)
    torch.library.opcheck(
        torch.ops.rfwarp.warp_fuse_with_warped.default, (*leaves, given.mask, "zeros")
    )

    class Both(torch.nn.Module):
        def forward(self, *given):
            fused, warped = warp_fuse_with_warped(*given)
            return fused + warped.sum(1)

    call = [x.detach() for x in leaves]
    expected = Both()(*call)
    compiled = torch.compile(Both(), fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(*call), expected)
    compiled(*leaves).sum().backward()
    assert all(leaf.grad.isfinite().all() for leaf in leaves)
    program = torch.export.export(Both(), tuple(call)).module()
    with use_backend("torch"):
        torch.testing.assert_close(program(*call), expected)
