"""Measures of the warp against loops in float64, closed forms and hand-made maps."""

from __future__ import annotations

from dataclasses import replace
from statistics import median_low

import numpy as np
import pytest
import torch

from rfwarp.data.truth import Truth
from rfwarp.metrics import WarpMeasures, auc, end_point_error
from rfwarp.metrics.flow import ErrorSums, to_image
from rfwarp.nn.results import LevelMaps


def random_truth(n: int, k: int, height: int, width: int, seed: int = 0) -> Truth:
    g = torch.Generator().manual_seed(seed)
    foreground = torch.rand(n, height, width, generator=g) < 0.7
    visible = (torch.rand(n, k, height, width, generator=g) < 0.6) & foreground[:, None]
    flow = 5 * torch.randn(n, k, 2, height, width, generator=g) * foreground[:, None, None]
    return Truth(flow, visible, foreground)


def random_maps(stride: int, n: int, k: int, height: int, width: int, seed: int = 1) -> LevelMaps:
    g = torch.Generator().manual_seed(seed)
    h, w = -(-height // stride), -(-width // stride)
    flow, residual = torch.randn(2, n, k, 2, h, w, generator=g)
    attention = torch.rand(n, k, 1, h, w, generator=g)
    occlusion = torch.randint(0, 5, (n, k, 1, h, w), generator=g) / 5  # ties
    return LevelMaps(stride, flow, residual, attention.softmax(1), occlusion)


def of_truth(truth: Truth, stride: int) -> LevelMaps:
    """Maps that say the truth, which is the same within each cell."""
    true = truth.flow[..., ::stride, ::stride] / stride
    visible = truth.visible[:, :, None, ::stride, ::stride].float()
    attention = visible / visible.sum(1, keepdim=True).clamp_min(1)
    return LevelMaps(stride, true, torch.zeros_like(true), attention, 1 - visible)


def pixel(maps: LevelMaps, y: int, x: int) -> tuple[int, int]:
    return y // maps.stride, x // maps.stride


@pytest.mark.parametrize("stride", [1, 2, 4, 8])
def test_errors_equal_loops(stride: int) -> None:
    n, k, height, width = 2, 3, 20, 12  # at 8 the last cells are in parts
    truth = random_truth(n, k, height, width)
    maps = random_maps(stride, n, k, height, width)
    measures = WarpMeasures(height)
    for i in range(n):  # batch by batch
        part = LevelMaps(
            stride,
            *(x[i : i + 1] for x in (maps.flow, maps.residual, maps.attention)),
            maps.occlusion[i : i + 1],
        )
        measures.add([part], Truth(*(x[i : i + 1] for x in truth[:3])))
    (level,) = measures.scores().levels
    errors: dict[str, list[float]] = {"flow": [], "refined": [], "pooled_truth": [], "zero": []}
    for i, j, y, x in truth.visible.nonzero().tolist():
        true = truth.flow[i, j, :, y, x].double().numpy()
        v, u = pixel(maps, y, x)
        w = maps.flow[i, j, :, v, u].double().numpy() * stride
        r = maps.residual[i, j, :, v, u].double().numpy() * stride
        down, across = (slice(at * stride, (at + 1) * stride) for at in (v, u))
        seen = truth.visible[i, j, down, across]
        pooled = truth.flow[i, j, :, down, across].double()[:, seen].mean(1).numpy()
        given = {"flow": w, "refined": w + r, "pooled_truth": pooled, "zero": 0 * true}
        for name, flow in given.items():
            errors[name].append(float(np.hypot(*(flow - true))))
    for name, values in errors.items():
        found = getattr(level, name)
        assert found.mean == pytest.approx(np.mean(values), abs=2e-6)
        assert found.median == pytest.approx(median_low(values), abs=0.00501)
        near = np.mean(np.array(values) < 1.5 * height / 64)
        assert found.near == pytest.approx(near, abs=1e-12)


def brute_force_auc(scores: list[float], labels: list[bool]) -> float:
    wins = [
        1.0 if a > b else 0.5 if a == b else 0.0
        for a, p in zip(scores, labels, strict=True)
        for b, q in zip(scores, labels, strict=True)
        if p and not q
    ]
    return sum(wins) / len(wins)


def test_auc_counts_pairs() -> None:
    g = torch.Generator().manual_seed(0)
    for values in (3, 20, 10**6):  # many ties, some, none
        scores = torch.randint(0, values, (7, 13), generator=g) / values
        labels = torch.rand(7, 13, generator=g) < 0.3
        expected = brute_force_auc(scores.flatten().tolist(), labels.flatten().tolist())
        assert auc(scores, labels) == pytest.approx(expected, abs=1e-15)


def test_auc_of_special_cases() -> None:
    labels = torch.tensor([True, False, True, False, False])
    assert auc(torch.zeros(5), labels) == 0.5
    assert auc(labels.float(), labels) == 1
    assert auc(-labels.float(), labels) == 0
    assert auc(torch.rand(5), torch.ones(5, dtype=torch.bool)) is None
    assert auc(torch.rand(0), torch.ones(0, dtype=torch.bool)) is None
    with pytest.raises(ValueError, match=r"labels must be bool \(5,\) as scores are, got"):
        auc(torch.rand(5), labels[:4])
    with pytest.raises(ValueError, match="labels must be on cpu as scores are, got meta"):
        auc(torch.rand(5), labels.to("meta"))


def test_auc_is_computed_where_the_scores_are() -> None:
    scores, labels = torch.tensor([0.9, 0.4, 0.6, 0.1]), torch.tensor([True, True, False, False])
    with torch.device("meta"):  # the device of tensors that are told none
        assert auc(scores, labels) == 0.75


@pytest.mark.parametrize("stride", [1, 4, 8])
def test_visibility_and_attention_equal_loops(stride: int) -> None:
    n, k, height, width = 2, 3, 12, 20
    truth = random_truth(n, k, height, width)
    maps = random_maps(stride, n, k, height, width)
    measures = WarpMeasures(height)
    measures.add([maps], truth)
    (level,) = measures.scores().levels
    scores, labels, attended, uniform = [], [], [], []
    for i, y, x in truth.foreground.nonzero().tolist():
        v, u = pixel(maps, y, x)
        seen = truth.visible[i, :, y, x]
        scores += (1 - maps.occlusion[i, :, 0, v, u]).tolist()
        labels += seen.tolist()
        if seen.any():
            attended.append(float(maps.attention[i, seen, 0, v, u].double().sum()))
            uniform.append(float(seen.double().mean()))
    assert level.visibility_auc == pytest.approx(brute_force_auc(scores, labels), abs=1e-12)
    assert level.visible_attention == pytest.approx(np.mean(attended), abs=1e-6)
    assert level.uniform_attention == pytest.approx(np.mean(uniform), abs=1e-12)


def test_the_truth_has_no_error() -> None:
    """Shifts that are the same within each cell of eight: exact at every level."""
    g = torch.Generator().manual_seed(0)
    flow = torch.randint(-9, 9, (2, 3, 2, 4, 4), generator=g).float()
    visible = torch.rand(2, 3, 4, 4, generator=g) < 0.5
    foreground = torch.ones(2, 4, 4, dtype=torch.bool)
    truth = Truth(*(to_image(x, 8, 32, 32) for x in (flow, visible, foreground)))
    measures = WarpMeasures(32)
    measures.add([of_truth(truth, stride) for stride in (8, 4, 2, 1)], truth)
    scores = measures.scores()
    assert [level.stride for level in scores.levels] == [8, 4, 2, 1]
    assert scores.flow_epe == 0
    assert scores.visibility_auc == 1
    shift = flow.norm(dim=2)[visible].mean()
    assert scores.flow_epe_zero == pytest.approx(float(shift), rel=1e-6)
    for level in scores.levels:
        for errors in (level.flow, level.refined, level.pooled_truth):
            assert errors is not None
            assert (errors.mean, errors.median, errors.near) == (0, 0, 1)
        assert level.visible_attention == pytest.approx(1, abs=1e-6)
        assert level.uniform_attention < 1


def test_the_finest_level_counts() -> None:
    truth = random_truth(1, 2, 16, 16)
    coarse, fine = (random_maps(s, 1, 2, 16, 16) for s in (8, 4))
    without = replace(fine, occlusion=torch.zeros_like(fine.occlusion))
    measures = WarpMeasures(16)
    measures.add([coarse, without], truth)
    scores = measures.scores()
    assert scores.flow_epe == scores.levels[1].refined.mean != scores.levels[0].refined.mean
    assert scores.levels[1].visibility_auc is None  # no occlusion maps there
    assert scores.visibility_auc == scores.levels[0].visibility_auc is not None


def test_constant_occlusion_tells_nothing() -> None:
    maps = random_maps(4, 1, 2, 16, 16)
    measures = WarpMeasures(16)
    measures.add(
        [replace(maps, occlusion=torch.full_like(maps.occlusion, 0.3))],
        random_truth(1, 2, 16, 16),
    )
    assert measures.scores().visibility_auc == 0.5


def test_what_cannot_be_judged_is_none() -> None:
    truth = random_truth(1, 1, 16, 16)
    hidden = truth._replace(visible=torch.zeros_like(truth.visible))
    measures = WarpMeasures(16)
    measures.add([random_maps(4, 1, 1, 16, 16)], hidden)
    scores = measures.scores()
    (level,) = scores.levels
    assert (scores.flow_epe, scores.flow_epe_zero, scores.visibility_auc) == (None, None, None)
    assert (level.flow, level.zero, level.visible_attention) == (None, None, None)
    with pytest.raises(ValueError, match="no maps were measured"):
        WarpMeasures(16).scores()


def test_maps_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match=r"must be \(1, 2, 2, 4, 4\) for true flow .*, got \(1, 1"):
        WarpMeasures(16).add([random_maps(4, 1, 1, 16, 16)], random_truth(1, 2, 16, 16))


def test_half_precision_maps() -> None:
    truth, maps = random_truth(1, 2, 16, 16), random_maps(4, 1, 2, 16, 16)
    values = []
    for dtype in (torch.float32, torch.bfloat16):
        measures = WarpMeasures(16)
        plain = (maps.flow, maps.residual, maps.attention, maps.occlusion)
        measures.add([LevelMaps(4, *(x.to(dtype) for x in plain))], truth)
        values.append(measures.scores().flow_epe)
    assert values[1] == pytest.approx(values[0], rel=0.01)


def test_medians_of_wild_errors() -> None:
    sums = ErrorSums(1.0)
    for part in ([0.0, 0.5], [3.004], [1e9, float("inf")]):
        sums.add(torch.tensor(part))
    summary = sums.summary()
    assert summary is not None
    assert summary.median == pytest.approx(3.0)
    assert summary.near == 0.4
    assert ErrorSums(1.0).summary() is None


def test_end_point_error_is_a_distance() -> None:
    flow = torch.zeros(1, 2, 2, 3, dtype=torch.float64)
    flow[0, 0], flow[0, 1] = 3, -4
    error = end_point_error(flow, torch.zeros_like(flow))
    assert torch.equal(error, torch.full((1, 2, 3), 5.0, dtype=torch.float64))
