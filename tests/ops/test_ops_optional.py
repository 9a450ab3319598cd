"""What warp_fuse computes without occlusion, attention or target, and from visibilities."""

import functools
import itertools

import pytest
import torch
import warp_oracle
from warp_cases import DTYPES, NAMES, OUTPUTS, PADDINGS, Case, assert_correct, by_name, case

from rfwarp.ops import use_backend, warp, warp_fuse
from rfwarp.ops.grid_sample import warp_fuse as by_grid_sample

OPTIONAL = ("occlusion", "attention", "target")
ABSENT = [x for size in (1, 2, 3) for x in itertools.combinations(OPTIONAL, size)]
FORMS = [(), ("target",), ("attention",), ("attention", "target")]  # with visibilities
SHAPES = [(2, 3, 5, 3, 4), (1, 1, 16, 2, 5), (1, 2, 70, 1, 3)]


@functools.cache
def exact_case(absent, visibility, shape, padding_mode):
    """`case` with some inputs left out, and visibilities that are exact in every type."""
    given = case(shape, padding_mode, "some")
    inputs = dict(zip(NAMES, given.inputs, strict=True))
    if visibility:
        inputs["occlusion"] = inputs["occlusion"].add(4).div(8)
        assert 0 <= inputs["occlusion"].min() <= inputs["occlusion"].max() <= 1
    whole = Case(tuple(inputs.values()), given.mask, padding_mode, given.grad_out, given.answer)
    inputs.update(dict.fromkeys(absent))
    call = (*inputs.values(), given.mask, padding_mode, given.grad_out)
    return whole, warp_oracle.warp_fuse(*call, visibility)


def some_case(dtype, absent, visibility, shape, padding_mode, layout="contiguous"):
    """grad_out, the inputs, the mask, and the oracle's answer."""
    whole, answer = exact_case(absent, visibility, shape, padding_mode)
    grad_out, inputs = whole.arguments(dtype, layout)
    inputs = [None if name in absent else x for name, x in zip(NAMES, inputs, strict=True)]
    return grad_out, inputs, whole.mask, answer


@pytest.mark.parametrize("layout", ["contiguous", "channels_last", "features channels_last"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("absent", "visibility"), [*((x, False) for x in ABSENT), *((x, True) for x in FORMS)], ids=str
)
def test_absent_inputs(kernels, absent, visibility, dtype, layout):
    for shape, padding_mode in zip(SHAPES, itertools.cycle(PADDINGS), strict=False):
        grad_out, inputs, mask, answer = some_case(
            dtype, absent, visibility, shape, padding_mode, layout
        )
        out = kernels.warp_fuse(*inputs, mask, padding_mode, visibility)
        like = inputs[0][:, 0] if inputs[-1] is None else inputs[-1]
        assert out.dtype == like.dtype
        assert out.stride() == torch.empty_like(like).stride()
        wanted = [name not in absent for name in OUTPUTS[1:]]
        gradients = kernels.warp_fuse_backward(
            grad_out, *inputs, mask, padding_mode, wanted, visibility
        )
        results = by_name(out, gradients)
        for name in absent:
            assert results.pop(name).shape == (0,)
        assert_correct(results, answer, (shape, padding_mode))


@pytest.mark.parametrize("kernels", ["torch", "compiled"], indirect=True)
@pytest.mark.parametrize("absent", [*FORMS, ("occlusion", "target"), OPTIONAL], ids=str)
def test_autograd(kernels, absent):
    grad_out, inputs, mask, answer = some_case(
        torch.float64, absent, True, (2, 3, 5, 3, 4), "zeros"
    )
    leaves = [None if x is None else x.clone().requires_grad_() for x in inputs]
    out = warp_fuse(*leaves, mask, occlusion_as="visibility")
    out.backward(grad_out)
    results = {"out": out.detach()}
    for name, leaf in zip(NAMES, leaves, strict=True):
        if leaf is not None:
            results["flow" if name == "residual" else name] = leaf.grad
    assert_correct(results, answer)


@pytest.mark.parametrize("kernels", ["torch", "compiled"], indirect=True)
def test_probabilities_of_0_and_1_are_exact(kernels):
    _, (features, flow, *_, target), *_ = some_case(
        torch.float32, (), True, (1, 1, 5, 6, 7), "zeros"
    )
    seen = torch.arange(7.0).remainder(2).expand(1, 1, 1, 6, 7)
    out = warp_fuse(features, flow, occlusion=seen, target=target, occlusion_as="visibility")
    expected = torch.where(seen[:, 0] == 1, warp(features[:, 0], flow[:, 0]), target)
    assert torch.equal(out, expected)


@pytest.mark.parametrize("kernels", ["torch", "compiled"], indirect=True)
def test_one_source_alone_is_warp_and_several_are_their_mean(kernels):
    _, (features, flow, *_), *_ = some_case(torch.float64, (), True, (2, 3, 5, 6, 7), "border")
    one = warp_fuse(features[:, :1], flow[:, :1], padding_mode="border")
    assert torch.equal(one, warp(features[:, 0], flow[:, 0], "border"))
    all_of_them = [warp(features[:, k], flow[:, k], "border") for k in range(3)]
    torch.testing.assert_close(
        warp_fuse(features, flow, padding_mode="border"), torch.stack(all_of_them).mean(0)
    )


@pytest.mark.parametrize("visibility", [False, True])
@pytest.mark.parametrize("absent", ABSENT, ids=" ".join)
def test_the_form_for_other_runtimes(absent, visibility):
    _, inputs, mask, answer = some_case(
        torch.float64, absent, visibility, (2, 3, 5, 3, 4), "border"
    )
    out = by_grid_sample(*inputs, mask, "border", visibility)
    torch.testing.assert_close(out, answer.value["out"])


@pytest.mark.parametrize("absent", [("target",), OPTIONAL], ids=" ".join)
def test_opcheck(absent):
    grad_out, inputs, mask, _ = some_case(torch.float32, absent, True, (2, 3, 5, 3, 4), "zeros")
    operators = torch.ops.rfwarp
    leaves = [None if x is None else x.clone().requires_grad_() for x in inputs]
    torch.library.opcheck(operators.warp_fuse.default, (*leaves, mask, "zeros", True))
    wanted = [name not in absent for name in OUTPUTS[1:]]
    for backward in (
        operators.warp_fuse_backward.default,
        operators.warp_fuse_backward_deterministic.default,
    ):
        torch.library.opcheck(backward, (grad_out, *inputs, mask, "zeros", wanted, True))


def test_compile_and_export(tmp_path):
    _, (features, flow, _, occlusion, _, target), *_ = some_case(
        torch.float32, (), True, (2, 3, 5, 3, 4), "zeros"
    )

    class Deform(torch.nn.Module):
        def forward(self, features, flow, occlusion, target):
            seen = warp_fuse(features, flow, occlusion=occlusion, occlusion_as="visibility")
            return seen + warp_fuse(features, flow, None, occlusion, target=target)

    call = (features, flow, occlusion, target)
    expected = Deform()(*call)
    compiled = torch.compile(Deform(), fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(*call), expected)
    program = torch.export.export(Deform(), call)
    torch.export.save(program, tmp_path / "program.pt2")
    loaded = torch.export.load(tmp_path / "program.pt2").module()
    with use_backend("torch"):
        torch.testing.assert_close(loaded(*call), expected)
    assert torch.equal(loaded(*call), expected)


def test_calls_of_before():
    """A program exported before occlusion_as existed states no value for it."""
    _, inputs, mask, _ = some_case(torch.float32, (), True, (2, 3, 5, 3, 4), "zeros")

    class Before(torch.nn.Module):
        def forward(self, *given):
            return torch.ops.rfwarp.warp_fuse(*given, "zeros")

    program = torch.export.export(Before(), (*inputs, mask))
    (node,) = (n for n in program.graph.nodes if n.op == "call_function")
    assert len(node.args) == 8
    expected = torch.ops.rfwarp.warp_fuse(*inputs, mask, "zeros", False)
    assert torch.equal(program.module()(*inputs, mask), expected)


def test_refusals(kernels):
    _, inputs, *_ = some_case(torch.float32, (), True, (2, 3, 5, 3, 4), "zeros")
    features, flow, _, occlusion, _, target = inputs
    with pytest.raises(ValueError, match="give occlusion too"):
        warp_fuse(features, flow, target=target)
    with pytest.raises(ValueError, match="must be 'logits' or 'visibility', got 'probability'"):
        warp_fuse(features, flow, occlusion=occlusion, occlusion_as="probability")


@pytest.mark.parametrize("kernels", ["compiled"], indirect=True)
@pytest.mark.parametrize("name", OPTIONAL)
def test_kernels_refuse_gradients_of_what_is_absent(kernels, name):
    grad_out, inputs, mask, _ = some_case(torch.float32, (name,), True, (2, 3, 5, 3, 4), "zeros")
    with pytest.raises(RuntimeError, match=f"gradient of {name}, which is not given"):
        kernels.warp_fuse_backward(grad_out, *inputs, mask, "zeros", [True] * 5)
