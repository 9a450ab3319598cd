"""Fine detail against a convolution in loops, and images whose scores are known."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from rfwarp.metrics.sharpness import DetailSums, high_pass, inside


def noise_image(seed: int = 0, size: int = 40) -> Tensor:
    g = torch.Generator().manual_seed(seed)
    return torch.rand(2, 3, size, size, generator=g, dtype=torch.float64) * 2 - 1


def test_high_pass_equals_loops() -> None:
    image = noise_image(size=9)[:1, :1]
    line = [math.exp(-(i**2) / (2 * 1.5**2)) for i in range(-5, 6)]
    for y in range(9):
        for x in range(9):
            blurred = 0.0
            for i in range(11):
                for j in range(11):
                    v, u = (min(8, max(0, at - 5)) for at in (y + i, x + j))
                    blurred += line[i] * line[j] * float(image[0, 0, v, u])
            expected = float(image[0, 0, y, x]) - blurred / sum(line) ** 2
            assert float(high_pass(image)[0, 0, y, x]) == pytest.approx(expected, abs=1e-12)


def test_a_constant_has_no_detail() -> None:
    assert high_pass(torch.full((1, 3, 20, 20), 0.7)).abs().max() < 1e-6


def test_inside_leaves_out_what_touches_the_background() -> None:
    foreground = torch.rand(2, 12, 15, generator=torch.Generator().manual_seed(0)) < 0.9
    found = inside(foreground)
    for n, y, x in torch.ones_like(foreground).nonzero().tolist():
        around = foreground[n, max(0, y - 1) : y + 2, max(0, x - 1) : x + 2]
        assert found[n, y, x] == around.all()
    assert found.any()


def scores(images: Tensor, targets: Tensor) -> tuple[float, float]:
    sums = DetailSums()
    foreground = torch.ones(len(images), *images.shape[2:], dtype=torch.bool)
    foreground[:, :5] = False
    for i in range(len(images)):
        sums.add(images[i : i + 1], targets[i : i + 1], foreground[i : i + 1])
    assert sums.sharpness is not None
    assert sums.hp_r2 is not None
    return sums.sharpness, sums.hp_r2


def test_images_of_known_scores() -> None:
    target = noise_image()
    blurred = target - high_pass(target)
    assert scores(target, target) == (1, 1)
    assert scores(torch.zeros_like(target), target) == pytest.approx((0, 0), abs=1e-12)
    sharpness, r2 = scores(blurred - high_pass(blurred), target)
    assert 0 < sharpness < 0.01
    assert abs(r2) < 0.1
    # Half of the detail: a quarter of its energy, and 1 - (1/2)^2 of it right.
    assert scores(target / 2, target) == pytest.approx((0.25, 0.75), abs=1e-12)
    # Detail of something else, as sharp: wrong twice.
    sharpness, r2 = scores(noise_image(1), target)
    assert sharpness == pytest.approx(1, abs=0.1)
    assert r2 == pytest.approx(-1, abs=0.15)


def test_what_is_outside_does_not_count() -> None:
    target = noise_image()
    image = target.clone()
    foreground = torch.zeros(2, 40, 40, dtype=torch.bool)
    foreground[:, 10:30, 10:30] = True
    image[:, :, :4] = 0  # farther than the blur reaches
    sums = DetailSums()
    sums.add(image, target, foreground)
    assert (sums.sharpness, sums.hp_r2) == (1, 1)


def test_without_detail_there_is_no_score() -> None:
    sums = DetailSums()
    assert sums.sharpness is None
    sums.add(noise_image(), noise_image(), torch.zeros(2, 40, 40, dtype=torch.bool))
    assert (sums.sharpness, sums.hp_r2) == (None, None)
