"""The other losses against loops in float64."""

import math

import pytest
import torch
from torch import Tensor

from rfwarp.training.losses import (
    adversarial_discriminator,
    adversarial_generator,
    affine_regularisation,
    gram,
    perceptual,
    style,
)


def randn(*shape: int, seed: int = 0) -> Tensor:
    g = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=g, dtype=torch.float64)


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


def test_a_flow_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"\(N, 2, H, W\), got \(2, 9, 9\)"):
        affine_regularisation(torch.zeros(2, 9, 9), 3)


def gram_by_loops(features: Tensor) -> list[list[float]]:
    """Gram matrix of one image (C, H, W)."""
    c, h, w = features.shape
    planes = [plane.flatten().tolist() for plane in features]
    return [
        [sum(a * b for a, b in zip(p, q, strict=True)) / (c * h * w) for q in planes]
        for p in planes
    ]


def test_style():
    generated = [randn(2, 3, 4, 5), randn(2, 4, 2, 3, seed=1)]
    real = [randn(2, 3, 4, 5, seed=2), randn(2, 4, 2, 3, seed=3)]
    expected = 0.0
    for g, r in zip(generated, real, strict=True):
        differences = [
            abs(x - y)
            for b in range(2)
            for row_g, row_r in zip(gram_by_loops(g[b]), gram_by_loops(r[b]), strict=True)
            for x, y in zip(row_g, row_r, strict=True)
        ]
        expected += sum(differences) / len(differences)
    assert style(generated, real).item() == pytest.approx(expected, rel=1e-12)


def test_style_knows_no_places():
    maps = randn(1, 3, 4, 6)
    shuffled = maps.flatten(2)[..., torch.randperm(24, generator=torch.Generator().manual_seed(0))]
    assert style([maps], [shuffled.view_as(maps)]).item() < 1e-15
    assert style([maps], [2 * maps]).item() == pytest.approx(3 * gram(maps).abs().mean().item())


@pytest.mark.parametrize("loss", [perceptual, style])
def test_what_is_generated_alone_gets_a_gradient(loss):
    generated = randn(1, 2, 3, 4).requires_grad_()
    real = randn(1, 2, 3, 4, seed=2).requires_grad_()
    loss([generated], [real]).backward()
    assert generated.grad.abs().min() > 0
    assert real.grad is None
    assert torch.autograd.gradcheck(lambda g: loss([g], [real]), (generated,))


@pytest.mark.parametrize("loss", [perceptual, style])
@pytest.mark.parametrize("value", [0.0, 0.7])
def test_equal_maps_cost_nothing(loss, value):
    maps = [torch.full((2, 3, 4, 4), value, requires_grad=True)]
    cost = loss(maps, maps)
    cost.backward()
    assert cost.item() == 0
    assert not maps[0].grad.any()


@pytest.mark.parametrize("loss", [perceptual, style])
@pytest.mark.parametrize(
    ("generated", "real"),
    [([], []), ([(1, 2, 3, 4)], []), ([(1, 2, 3, 4)], [(1, 1, 3, 4)]), ([(2, 3)], [(2, 3)])],
)
def test_maps_that_do_not_pair_are_refused(loss, generated, real):
    with pytest.raises(ValueError, match=r"same maps \(N, C, H, W\)"):
        loss([torch.zeros(s) for s in generated], [torch.zeros(s) for s in real])


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def test_the_log_loss_is_equation_11():
    real, fake = randn(2, 1, 3, 4), randn(2, 1, 3, 4, seed=1)
    of_real, of_fake = (
        [1 / (1 + math.exp(-logit)) for logit in x.flatten().tolist()] for x in (real, fake)
    )
    expected = -mean([math.log(d) for d in of_real]) - mean([math.log(1 - d) for d in of_fake])
    assert adversarial_discriminator(real, fake).item() == pytest.approx(expected, rel=1e-12)
    expected = -mean([math.log(d) for d in of_fake])
    assert adversarial_generator(fake, "log").item() == pytest.approx(expected, rel=1e-12)


def test_least_squares():
    real, fake = randn(2, 1, 3, 4), randn(2, 1, 3, 4, seed=1)
    of_real, of_fake = real.flatten().tolist(), fake.flatten().tolist()
    expected = mean([(d - 1) ** 2 for d in of_real]) + mean([d**2 for d in of_fake])
    result = adversarial_discriminator(real, fake, "least-squares")
    assert result.item() == pytest.approx(expected, rel=1e-12)
    expected = mean([(d - 1) ** 2 for d in of_fake])
    assert adversarial_generator(fake, "least-squares").item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("kind", ["log", "least-squares"])
def test_both_sides_pull_at_the_logits(kind):
    real, fake = (torch.tensor([0.5], requires_grad=True) for _ in range(2))
    adversarial_discriminator(real, fake, kind).backward()
    assert real.grad < 0 < fake.grad  # lower cost: real up, fake down
    fake.grad = None
    adversarial_generator(fake, kind).backward()
    assert fake.grad < 0


def test_the_log_loss_neither_overflows_nor_saturates():
    sure = torch.tensor([-200.0], requires_grad=True)  # log(1 - D) is flat here
    cost = adversarial_generator(sure)
    cost.backward()
    assert cost.item() == 200
    assert sure.grad.item() == -1
    assert adversarial_discriminator(-sure, sure).item() == 0
    assert adversarial_discriminator(sure, -sure).item() == 400


def test_an_unknown_adversarial_loss_is_refused():
    with pytest.raises(ValueError, match=r"'log', 'least-squares'.*got 'hinge'"):
        adversarial_generator(torch.zeros(1), "hinge")
    with pytest.raises(ValueError, match="got 'hinge'"):
        adversarial_discriminator(torch.zeros(1), torch.zeros(1), "hinge")
