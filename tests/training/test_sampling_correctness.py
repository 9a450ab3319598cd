"""The sampling-correctness loss and its Gaussian sampler against loops in float64."""

import math

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode

from rfwarp.ops import warp
from rfwarp.training import losses
from rfwarp.training.features import OrientedPyramid
from rfwarp.training.gaussian import gaussian_sample
from rfwarp.training.losses import affine_regularisation, best_match, sampling_correctness


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


def test_gaussian_sampling_is_off_by_a_third_of_a_pixel_at_whole_ones():
    ramp = torch.arange(12.0).double().expand(1, 1, 12, 12)
    for fraction, off in ((0.0, 0.36), (0.5, 0.0), (1 - 1e-9, -0.36)):
        flow = torch.full((1, 2, 12, 12), fraction, dtype=torch.float64)
        found = gaussian_sample(ramp, flow) - ramp - fraction
        assert_close(found[..., 3:-3], torch.full_like(found, off)[..., 3:-3], atol=2e-3, rtol=0)


def test_gaussian_sampling_differentiates():
    features = randn(2, 3, 4, 5).requires_grad_()
    flow = (0.3 + 0.1 * randn(2, 2, 4, 5, seed=1)).requires_grad_()
    assert torch.autograd.gradcheck(gaussian_sample, (features, flow))


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


@pytest.mark.parametrize("sampler", ["gaussian", "bilinear"])
def test_what_no_source_shows_costs_the_most_and_moves_nothing(sampler):
    zero, some = torch.zeros(1, 3, 6, 6), randn(1, 3, 6, 6).abs().float()
    for source, target in ((zero, some), (some, zero), (zero, zero)):
        flow = (0.3 * randn(1, 2, 6, 6, seed=1).float()).requires_grad_()
        cost = sampling_correctness(source, target, flow, sampler)
        cost.backward()
        assert cost.item() == pytest.approx(1 - 1 / math.e, abs=1e-6)
        assert not flow.grad.any()


@pytest.mark.parametrize("sampler", ["gaussian", "bilinear"])
def test_constant_images_match_everywhere(sampler):
    constant = torch.full((2, 3, 6, 6), 0.2)
    flow = torch.zeros(2, 2, 6, 6, requires_grad=True)
    cost = sampling_correctness(constant, constant, flow, sampler)
    cost.backward()
    assert cost.item() == pytest.approx(0, abs=1e-6)
    assert flow.grad.abs().max() < 1e-6


def test_the_bilinear_sampler_is_the_warp_of_the_network():
    source, target = randn(2, 5, 4, 4).abs(), randn(2, 5, 4, 4, seed=1).abs()
    flow = 0.8 * randn(2, 2, 4, 4, seed=2)
    warped = warp(source, flow)
    mu = best_match(source, target)
    costs = [
        math.exp(
            -cosine_by_loops(warped[b, :, i, j], target[b, :, i, j])
            / (mu[b, 4 * i + j].item() + 1e-8)
        )
        for b in range(2)
        for i in range(4)
        for j in range(4)
    ]
    expected = sum(costs) / len(costs) - 1 / math.e
    result = sampling_correctness(source, target, flow, "bilinear").item()
    assert result == pytest.approx(expected, rel=1e-10)
    assert result != pytest.approx(sampling_correctness(source, target, flow).item(), rel=1e-3)


def test_the_bilinear_sampler_differentiates_by_the_flow():
    source, target = randn(1, 3, 5, 5).abs(), randn(1, 3, 5, 5, seed=1).abs()
    flow = (0.3 + 0.1 * randn(1, 2, 5, 5, seed=2)).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda f: sampling_correctness(source, target, f, "bilinear"), (flow,)
    )


class LargestResult(TorchDispatchMode):
    """Bytes of the largest tensor that any operator inside returns."""

    nbytes = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if isinstance(result, Tensor):
            self.nbytes = max(self.nbytes, result.nbytes)
        return result


def test_the_similarities_stay_within_their_bytes(monkeypatch):
    source, target = randn(2, 3, 16, 16).float(), randn(2, 3, 16, 16, seed=1).float()
    with LargestResult() as whole:
        expected = best_match(source, target)
    assert whole.nbytes == 2 * 256 * 256 * 4
    monkeypatch.setattr(losses, "SIMILARITY_BYTES", 20_000)
    with LargestResult() as chunked:
        result = best_match(source, target)
    assert 10_000 < chunked.nbytes <= 20_000
    assert_close(result, expected)


def test_the_loss_does_not_depend_on_the_chunk():
    source, target = randn(2, 5, 6, 7).abs(), randn(2, 5, 6, 7, seed=1).abs()
    flow = (0.8 * randn(2, 2, 6, 7, seed=2)).requires_grad_()
    results = []
    for chunk in (1, 5, None):
        cost = sampling_correctness(source, target, flow, chunk=chunk)
        results.append((cost, *torch.autograd.grad(cost, flow)))
    for other in results[1:]:
        assert_close(other, results[0], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(
    ("source", "target", "flow", "sampler", "message"),
    [
        ((1, 3, 4, 5), (1, 3, 4, 5), (1, 2, 4, 5), "nearest", "gaussian, bilinear, got 'nearest'"),
        ((1, 3, 4, 5), (1, 3, 5, 4), (1, 2, 4, 5), "gaussian", r"\(1, 3, 5, 4\)"),
        ((3, 4, 5), (3, 4, 5), (1, 2, 4, 5), "gaussian", r"\(N, C, H, W\), got \(3, 4, 5\)"),
        ((1, 3, 4, 5), (1, 3, 4, 5), (1, 3, 4, 5), "gaussian", r"flow must be \(1, 2, 4, 5\)"),
    ],
)
def test_what_does_not_fit_is_refused(source, target, flow, sampler, message):
    with pytest.raises(ValueError, match=message):
        sampling_correctness(torch.ones(source), torch.ones(target), torch.zeros(flow), sampler)


def waves(dx: float, dy: float) -> Tensor:
    """A smooth image (1, 3, 128, 128), moved by dx, dy: sums of sines of 32 pixels and more."""
    frequency, phase = randn(3, 6, 2).clamp(-2, 2) / 64, randn(3, 6, seed=1)
    y, x = torch.meshgrid(torch.arange(128.0) - dy, torch.arange(128.0) - dx, indexing="ij")
    at = torch.stack([x, y]).double()
    angles = torch.einsum("cfd,dhw->cfhw", frequency, at) + phase[..., None, None]
    return torch.sin(2 * math.pi * angles).mean(dim=1).float()[None]


def test_what_fetches_nothing_has_no_gradient():
    """The network's own sampler finds zeros outside: at a whole pixel, exactly zero."""
    source = randn(1, 4, 4, 4).abs()
    target = randn(1, 4, 4, 4, seed=1).abs()
    flow = torch.zeros(1, 2, 4, 4, dtype=torch.float64)
    flow[:, 0, :, -1] = 1  # one column further, where there is none
    flow.requires_grad_()
    sampling_correctness(source, target, flow, "bilinear").backward()
    assert (flow.grad[..., -1] == 0).all()
    assert 0 < flow.grad.abs().max() < 10


@pytest.mark.parametrize("sampler", ["gaussian", "bilinear"])
@pytest.mark.parametrize(("dx", "dy"), [(6.0, -3.0), (-8.0, 10.0)])
def test_descending_the_loss_finds_a_translation(sampler, dx, dy):
    features = OrientedPyramid()
    source, target = features.matching(waves(0, 0), 4), features.matching(waves(dx, dy), 4)
    truth = torch.tensor([-dx / 4, -dy / 4]).view(1, 2, 1, 1)

    def error(flow: Tensor) -> float:  # where the border plays no part
        return (flow.detach() - truth).norm(dim=1)[..., 4:-4, 4:-4].mean().item()

    flow = torch.zeros(1, 2, 32, 32, requires_grad=True)
    optimizer = torch.optim.Adam([flow], lr=0.1)
    before = error(flow)
    for _ in range(60):
        cost = 2.5 * sampling_correctness(source, target, flow, sampler)
        cost = cost + 0.001 * affine_regularisation(flow, 5)  # weighted as in Eq. 7
        optimizer.zero_grad()
        cost.backward()
        optimizer.step()
    assert error(flow) < before / 4
