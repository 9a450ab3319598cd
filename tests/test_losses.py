"""The losses against loops in float64."""

import math

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from rfwarp.training.features import FEATURE_SETS, OrientedPyramid
from rfwarp.training.losses import (
    affine_regularisation,
    best_match,
    gaussian_sample,
    perceptual,
    sampling_correctness,
)


def randn(*shape: int, seed: int = 0) -> Tensor:
    g = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=g, dtype=torch.float64)


def sample_by_loops(features: Tensor, flow: Tensor) -> Tensor:
    """4 x 4 Gaussian window, sigma 2, around every position; indices clamped."""
    n, _, h, w = features.shape
    out = torch.zeros_like(features)
    for b in range(n):
        for row in range(h):
            for column in range(w):
                x = column + flow[b, 0, row, column].item()
                y = row + flow[b, 1, row, column].item()
                total = 0.0
                value = torch.zeros(features.shape[1], dtype=torch.float64)
                for ty in range(math.floor(y) - 1, math.floor(y) + 3):
                    for tx in range(math.floor(x) - 1, math.floor(x) + 3):
                        weight = math.exp(-((tx - x) ** 2 + (ty - y) ** 2) / (2 * 2.0**2))
                        total += weight
                        value += (
                            weight * features[b, :, min(max(ty, 0), h - 1), min(max(tx, 0), w - 1)]
                        )
                out[b, :, row, column] = value / total
    return out


@pytest.mark.parametrize("scale", [0.7, 20.0])  # within the image; far outside it
def test_gaussian_sampling(scale):
    features, flow = randn(2, 3, 5, 6), scale * randn(2, 2, 5, 6, seed=1)
    assert_close(gaussian_sample(features, flow), sample_by_loops(features, flow))


def test_gaussian_sampling_of_a_constant_is_the_constant():
    features = torch.full((1, 2, 5, 6), 3.0, dtype=torch.float64)
    assert_close(gaussian_sample(features, 9 * randn(1, 2, 5, 6)), features)


def test_gaussian_sampling_differentiates_by_the_flow():
    features = randn(1, 2, 4, 5)
    flow = (0.3 + 0.1 * randn(1, 2, 4, 5, seed=1)).requires_grad_()
    assert torch.autograd.gradcheck(lambda f: gaussian_sample(features, f), (flow,))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 1e30])
def test_gaussian_sampling_of_bad_flows_stays_in_bounds(bad):
    flow = torch.zeros(1, 2, 4, 5)
    flow[0, 0, 1, 2] = bad
    out = gaussian_sample(randn(1, 2, 4, 5).float(), flow)
    assert out[0, :, 1, 2].isfinite().all() == math.isfinite(bad)
    assert out[0, :, 0].isfinite().all()


def cosine_by_loops(a: Tensor, b: Tensor) -> float:
    dot = sum(x * y for x, y in zip(a.tolist(), b.tolist(), strict=True))
    norms = [math.sqrt(sum(x * x for x in v.tolist())) + 1e-8 for v in (a, b)]
    return dot / (norms[0] * norms[1])


@pytest.mark.parametrize("chunk", [1, 7, 12, 1024])
def test_best_match_whatever_the_chunk(chunk):
    source, target = randn(2, 5, 3, 4), randn(2, 5, 3, 4, seed=1)
    s, t = source.flatten(2), target.flatten(2)
    expected = [
        [max(cosine_by_loops(s[b, :, i], t[b, :, j]) for i in range(12)) for j in range(12)]
        for b in range(2)
    ]
    result = best_match(source, target, chunk)
    assert_close(result, torch.tensor(expected, dtype=torch.float64))


def test_sampling_correctness():
    source, target = randn(2, 5, 3, 4).abs(), randn(2, 5, 3, 4, seed=1).abs()
    flow = 0.8 * randn(2, 2, 3, 4, seed=2)
    warped = sample_by_loops(source, flow).flatten(2)
    s, t = source.flatten(2), target.flatten(2)
    costs = []
    for b in range(2):
        for j in range(12):
            mu = max(cosine_by_loops(s[b, :, i], t[b, :, j]) for i in range(12))
            costs.append(math.exp(-cosine_by_loops(warped[b, :, j], t[b, :, j]) / (mu + 1e-8)))
    expected = sum(costs) / len(costs) - 1 / math.e
    assert sampling_correctness(source, target, flow).item() == pytest.approx(expected, rel=1e-10)


def test_sampling_correctness_is_zero_where_all_is_found():
    constant = torch.ones(1, 3, 4, 4, dtype=torch.float64)
    assert sampling_correctness(constant, constant, torch.zeros(1, 2, 4, 4).double()) < 1e-7


def test_sampling_correctness_moves_the_flow_only():
    source, target = (randn(1, 3, 6, 6, seed=i).abs().requires_grad_() for i in (0, 1))
    flow = (0.3 + 0.1 * randn(1, 2, 6, 6, seed=2)).requires_grad_()
    sampling_correctness(source, target, flow).backward()
    assert source.grad is None
    assert target.grad is None
    assert flow.grad.abs().min() > 0
    assert torch.autograd.gradcheck(
        lambda f: sampling_correctness(source.detach(), target.detach(), f), (flow,)
    )


def test_sampling_correctness_falls_towards_the_true_flow():
    image = randn(1, 1, 12, 12).abs()
    smooth = torch.nn.functional.avg_pool2d(image, 5, 1, 2)
    features = torch.cat([smooth, smooth.square(), torch.ones_like(smooth)], 1)
    moved = features.roll(2, dims=3)  # target(x) = source(x - 2)
    costs = []
    for dx in (-2.0, -1.0, 0.0, 2.0):
        flow = torch.zeros(1, 2, 12, 12, dtype=torch.float64)
        flow[:, 0] = dx
        costs.append(sampling_correctness(features, moved, flow).item())
    assert min(costs) == costs[0]


@pytest.mark.parametrize("size", [3, 5])
def test_affine_regularisation_is_the_least_squares_residual(size):
    flow = randn(2, 2, 7, 6)
    total, count = 0.0, 0
    for b in range(2):
        for top in range(7 - size + 1):
            for left in range(6 - size + 1):
                a, coordinates = [], []
                for i in range(top, top + size):
                    for j in range(left, left + size):
                        a.append([i, j, 1])
                        x, y = flow[b, :, i, j].tolist()
                        coordinates.append([j + x, i + y])
                a, coordinates = (torch.tensor(v, dtype=torch.float64) for v in (a, coordinates))
                fit = torch.linalg.lstsq(a, coordinates).solution
                total += (coordinates - a @ fit).square().sum().item()
                count += 1
    assert affine_regularisation(flow, size).item() == pytest.approx(total / count, rel=1e-9)


@pytest.mark.parametrize("size", [3, 5])
def test_affine_flows_cost_nothing(size):
    i, j = torch.meshgrid(torch.arange(9.0), torch.arange(8.0), indexing="ij")
    i, j = i.double(), j.double()
    flow = torch.stack([0.3 * i - 2 * j + 1, 1.5 * i + 0.1 * j - 7])[None]
    assert affine_regularisation(flow, size).item() < 1e-20
    assert affine_regularisation(flow + 0.01 * i * j, size).item() > 1e-6


def test_a_level_smaller_than_the_window_costs_nothing_but_keeps_the_graph():
    flow = randn(1, 2, 4, 9).requires_grad_()
    cost = affine_regularisation(flow, 5)
    cost.backward()
    assert cost.item() == 0
    assert not flow.grad.any()


def test_perceptual():
    generated = [randn(1, 2, 3, 4), randn(1, 5, 2, 2, seed=1)]
    real = [randn(1, 2, 3, 4, seed=2), randn(1, 5, 2, 2, seed=3)]
    expected = 0.0
    for g, r in zip(generated, real, strict=True):
        differences = [
            abs(x - y) for x, y in zip(g.flatten().tolist(), r.flatten().tolist(), strict=True)
        ]
        expected += sum(differences) / len(differences)
    assert perceptual(generated, real).item() == pytest.approx(expected, rel=1e-12)
    leaf = randn(1, 2, 3, 4).requires_grad_()
    other = randn(1, 2, 3, 4, seed=2).requires_grad_()
    perceptual([leaf], [other]).backward()
    assert leaf.grad is not None
    assert other.grad is None


class TestOrientedPyramid:
    features = OrientedPyramid().double()

    def test_is_found_by_its_name(self):
        assert FEATURE_SETS["oriented-pyramid"] is OrientedPyramid

    def test_has_nothing_to_learn_or_to_save(self):
        assert not list(self.features.parameters())
        assert not self.features.state_dict()

    def test_derivatives_of_a_constant_are_zero(self):
        constant = torch.full((1, 3, 9, 8), 0.7, dtype=torch.float64)
        assert self.features.derivatives(constant).abs().max() < 1e-7

    def test_filters_answer_to_their_orientation(self):
        ramp = torch.arange(9.0).double().expand(1, 3, 9, 9)  # grows to the right
        inner = self.features.derivatives(ramp)[0, :5, 2:-2, 2:-2]
        assert inner[0].abs().min() > 0.1
        assert inner[1:].abs().max() < 1e-6
        turned = self.features.derivatives(ramp.transpose(2, 3))[0, :5, 2:-2, 2:-2]
        assert turned[1].abs().min() > 0.1
        assert turned[0].abs().max() < 1e-6

    def test_shapes(self):
        image = randn(2, 3, 64, 32)
        maps = self.features.perceptual(image)
        assert [tuple(m.shape) for m in maps] == [(2, 15, 64, 32), (2, 15, 32, 16), (2, 15, 16, 8)]
        for stride in (8, 4):
            assert self.features.matching(image, stride).shape == (
                2,
                36,
                64 // stride,
                32 // stride,
            )

    def test_descriptors_give_no_negative_cosine(self):
        assert self.features.matching(randn(1, 3, 32, 32), 8).min() >= 0

    def test_descriptors_move_with_the_image(self):
        image = randn(1, 3, 64, 64)
        for stride in (8, 4):
            moved = self.features.matching(image.roll(stride, 3), stride)
            expected = self.features.matching(image, stride).roll(1, 3)
            assert_close(moved[..., 2:-2, 3:-2], expected[..., 2:-2, 3:-2])
