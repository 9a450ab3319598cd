"""Gradients under torch.use_deterministic_algorithms. What CUDA does with them: tests/gpu."""

import itertools

import pytest
import torch
from warp_cases import assert_correct, case

from rfwarp.ops import schema
from rfwarp.ops.schema import operators


@pytest.fixture
def deterministic():
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_warp_fuse_backward_deterministic(dtype):
    given = case((3, 4, 16, 4, 5), "zeros", "some")
    grad_out, inputs = given.arguments(dtype)
    rest = (given.mask, given.padding_mode)
    names = ("features", "flow", "occlusion", "attention", "target")
    for wanted in itertools.product([False, True], repeat=5):
        gradients = operators.warp_fuse_backward_deterministic(grad_out, *inputs, *rest, wanted)
        results = dict(zip(names, gradients, strict=True))
        for name, asked in zip(names, wanted, strict=True):
            if not asked:
                assert results.pop(name).shape == (0,)
        assert_correct(results, given.answer, wanted)


def test_warp_backward_deterministic():
    given = case((3, 1, 16, 4, 5), "border")
    grad_out, (features, flow, *_) = given.arguments(torch.float32)
    arguments = (grad_out, features[:, 0], flow[:, 0], "border", [True, True])
    results = operators.warp_backward_deterministic(*arguments)
    for result, expected in zip(results, operators.warp_backward(*arguments), strict=True):
        torch.testing.assert_close(result, expected)
    torch.library.opcheck(operators.warp_backward_deterministic.default, arguments)


def test_opcheck():
    given = case((3, 4, 16, 4, 5), "zeros", "some")
    grad_out, inputs = given.arguments(torch.float32)
    arguments = (grad_out, *inputs, given.mask, "zeros", [True] * 5)
    torch.library.opcheck(operators.warp_fuse_backward_deterministic.default, arguments)


@pytest.mark.parametrize("name", ["warp_backward", "warp_fuse_backward"])
def test_only_the_gradient_of_features_on_cuda_needs_another_operator(name, deterministic):
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    plain, repeatable = getattr(operators, name), getattr(operators, f"{name}_deterministic")
    assert schema._backward(name, cuda, True) == repeatable
    assert schema._backward(name, cuda, False) == plain
    assert schema._backward(name, cpu, True) == plain
    torch.use_deterministic_algorithms(False)
    assert schema._backward(name, cuda, True) == plain
