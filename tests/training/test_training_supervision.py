"""Losses against the truth in closed form, and who is taught."""

import math
from pathlib import Path

import pytest
import torch

pytest.importorskip("accelerate")

from rfwarp.data.catalog import DataConfig, open_dataset
from rfwarp.data.truth import LevelTruth, Truth, pool
from rfwarp.data.tuples import Sample
from rfwarp.nn import GeneratorConfig
from rfwarp.nn.flow import FlowConfidence
from rfwarp.training import LossWeights, TrainConfig
from rfwarp.training.batches import TupleBatches, split, truth_of
from rfwarp.training.supervision import SMOOTH, Supervision, level_truths, taught_flows

LEVELS = (8, 4, 2, 1)
FOCAL = 3.2
NETWORK = GeneratorConfig(
    pose_channels=21, pose_kind="viewpoint", levels=LEVELS, flow_model="depth", focal=FOCAL
)


def truth_at(size: int, n: int = 2, k: int = 3) -> Truth:
    """The same at any size: smooth flows in fractions of the image, a disc in two halves."""
    place = (torch.arange(size) + 0.5) / size * 2 - 1
    x, y = place.expand(size, size), place[:, None].expand(size, size)
    scale = torch.arange(1, n * k + 1).view(n, k, 1, 1) / 20 * size
    flow = torch.stack([scale * (x + 0.2 * y), scale * (y - 0.3)], dim=2)
    foreground = (x.abs() < 0.5) & (y.abs() < 0.75)
    visible = (foreground & (x > 0)).expand(n, k, size, size)
    depth = torch.where(foreground, 1 + 0.2 * x, 0.0)
    return Truth(
        flow * foreground,
        visible,
        foreground.expand(n, size, size),
        depth.expand(n, size, size).contiguous(),
    )


def perfect(truths: list[LevelTruth]) -> list[FlowConfidence]:
    """Predictions that equal the truth, with garbage where it is unknown."""
    garbage = torch.tensor(1e3)
    return [
        FlowConfidence(
            torch.where(t.seen > 0, t.flow, garbage),
            torch.zeros_like(t.seen),
            -t.visible.logit(1e-6) * 3,
            torch.where(t.foreground[:, 0] > 0, t.depth, garbage),
            t.foreground[:, 0].logit(1e-6) * 3,
        )
        for t in truths
    ]


def losses(weights: dict[str, float], predictions, truths, size=64, corrected=None):
    supervision = Supervision(NETWORK, LossWeights(**weights))
    terms = supervision(predictions, truths, size, corrected)
    return {name: float(term) for name, term in terms.items()}


@pytest.fixture(scope="module")
def truths() -> list[LevelTruth]:
    return level_truths(truth_at(64), LEVELS)


def test_perfect_predictions_cost_the_least(truths):
    found = losses(
        {"flow": 2.0, "visibility": 1.0, "depth": 1.0, "silhouette": 1.0}, perfect(truths), truths
    )
    assert found["flow"] == pytest.approx(2 * 4 * SMOOTH, rel=1e-4)
    # Where a cell is partly visible or partly of the object, no share costs nothing; here none is.
    assert found["visibility"] == pytest.approx(0, abs=1e-3)
    assert found["silhouette"] == pytest.approx(0, abs=1e-3)
    assert found["depth"] == pytest.approx(0, abs=1e-5)


def test_terms_are_those_with_a_weight_and_a_prediction(truths):
    assert losses({}, perfect(truths), truths) == {}
    assert set(losses({"flow": 1.0, "depth": 1.0}, perfect(truths), truths)) == {"flow", "depth"}
    every = {"flow": 1.0, "visibility": 1.0, "depth": 1.0, "silhouette": 1.0}
    free = [p._replace(occlusion=None, depth=None, foreground=None) for p in perfect(truths)]
    assert set(losses(every, free, truths)) == {"flow"}
    blind = [t._replace(depth=None) for t in truths]
    assert "depth" not in losses(every, perfect(truths), blind)


@pytest.mark.parametrize("size", [64, 128])
def test_errors_of_flow_are_relative_to_the_image(size):
    """An offset of 3 and 4 percent of the height costs the same at every level and size."""
    truths = level_truths(truth_at(size), LEVELS)
    moved = [
        p._replace(flow=p.flow + torch.tensor([0.03, 0.04]).view(2, 1, 1) * size / stride)
        for p, stride in zip(perfect(truths), LEVELS, strict=True)
    ]
    one = math.hypot(0.05 * 8, SMOOTH)
    assert losses({"flow": 1.0}, moved, truths, size)["flow"] == pytest.approx(4 * one, rel=1e-4)
    # Corrected flows count as much again; a level without any counts once.
    corrected = [None, *(p.flow for p in perfect(truths)[1:])]
    both = losses({"flow": 1.0}, moved, truths, size, corrected)["flow"]
    assert both == pytest.approx(4 * one + 3 * SMOOTH, rel=1e-4)


def test_flows_count_by_the_share_that_is_seen():
    truth = level_truths(truth_at(64, n=1, k=1), (8,))[0]
    seen = torch.zeros_like(truth.seen)
    seen[0, 0, 0, 2, 3], seen[0, 0, 0, 5, 5] = 1.0, 0.25
    flow = truth.flow.clone()
    flow[..., 2, 3] += torch.tensor([2.0, 0.0])
    flow[..., 5, 5] += torch.tensor([0.0, -1.0])
    flow[..., 0, 0] = 1e6
    prediction = FlowConfidence(flow, None, None)
    network = GeneratorConfig(pose_channels=5, levels=(8,))
    found = Supervision(network, LossWeights(flow=1.0))(
        [prediction], [truth._replace(seen=seen)], 64
    )
    expected = (math.hypot(2, SMOOTH) + 0.25 * math.hypot(1, SMOOTH)) / 1.25
    assert float(found["flow"]) == pytest.approx(expected, rel=1e-5)


def test_nothing_seen_costs_nothing(truths):
    nowhere = [
        t._replace(
            **{
                x: torch.zeros_like(getattr(t, x))
                for x in ("seen", "visible", "foreground", "depth")
            }
        )
        for t in truths
    ]
    found = losses({"flow": 1.0, "depth": 1.0}, perfect(truths), nowhere)
    assert found == {"flow": 0.0, "depth": 0.0}
    coarse = Supervision(GeneratorConfig(pose_channels=5, levels=(8,)), LossWeights(visibility=1.0))
    assert float(coarse(perfect(truths)[:1], nowhere[:1], 64)["visibility"]) == 0


def test_at_the_image_level_no_background_is_visible():
    truth = level_truths(truth_at(64, n=1, k=2), (1,))[0]
    occlusion = torch.randn(1, 2, 1, 64, 64, generator=torch.manual_seed(0))
    network = GeneratorConfig(pose_channels=5, levels=(8, 1))
    unseen = torch.full((1, 2, 1, 8, 8), 100.0)
    predictions = [FlowConfidence(torch.zeros(1, 2, 2, 8, 8), None, unseen)]
    predictions.append(FlowConfidence(truth.flow, None, occlusion))
    nothing = level_truths(truth_at(64, n=1, k=2), (8,))[0]
    nothing = nothing._replace(foreground=torch.zeros_like(nothing.foreground))
    found = Supervision(network, LossWeights(visibility=1.0))(predictions, [nothing, truth], 64)
    hidden = occlusion.double().sigmoid()
    right = torch.where(truth.visible > 0, 1 - hidden, hidden)
    object_ = (truth.foreground > 0).expand_as(right)
    expected = -right[object_].log().mean() - right[~object_].log().mean()
    assert float(found["visibility"]) == pytest.approx(float(expected), rel=1e-5)


def test_visibility_and_silhouette_are_cross_entropies():
    truth = level_truths(truth_at(64, n=1, k=2), (8,))[0]
    g = torch.Generator().manual_seed(0)
    occlusion, shown = torch.randn(1, 2, 1, 8, 8, generator=g), torch.randn(1, 1, 8, 8, generator=g)
    visible = torch.rand(1, 2, 1, 8, 8, generator=g)
    foreground = torch.rand(1, 1, 1, 8, 8, generator=g)
    truth = truth._replace(visible=visible, foreground=foreground)
    prediction = FlowConfidence(truth.flow, None, occlusion, None, shown)
    supervision = Supervision(
        GeneratorConfig(pose_channels=5, levels=(8,)), LossWeights(visibility=0.5, silhouette=2.0)
    )
    found = supervision([prediction], [truth], 64)

    def entropy(share, p):
        return -(share * p.log() + (1 - share) * (1 - p).log())

    sees = 1 - occlusion.double().sigmoid()
    each = entropy(visible.double(), sees) * foreground.double()
    expected = 0.5 * each.sum() / (2 * foreground.double().sum())
    assert float(found["visibility"]) == pytest.approx(float(expected), rel=1e-5)
    expected = 2 * entropy(foreground[:, 0].double(), shown.double().sigmoid()).mean()
    assert float(found["silhouette"]) == pytest.approx(float(expected), rel=1e-5)


def test_attention_chooses_flows_that_are_right():
    """The expected error of flows, in units of 8 px, where some source sees most of a cell."""
    truth = level_truths(truth_at(64, n=1, k=2), (8,))[0]
    visible, off = torch.zeros(1, 2, 1, 8, 8), torch.zeros(1, 2, 2, 8, 8)
    visible[0, :, 0, 0, 0] = torch.tensor([1.0, 0.0])  # seen by one, which is half a unit off
    off[0, 0, :, 0, 0] = torch.tensor([0.3, 0.4])
    visible[0, :, 0, 3, 4] = torch.tensor([0.75, 1.0])  # partly seen, rightly; far off
    off[0, 1, :, 3, 4] = torch.tensor([0.0, -7.0])
    visible[0, :, 0, 5, 5] = torch.tensor([0.5, 0.25])  # not most of it
    truth = truth._replace(visible=visible, seen=(visible > 0).float())
    attention = torch.randn(1, 2, 1, 8, 8, generator=torch.manual_seed(0))
    share = attention.double().softmax(1)[0, :, 0]
    supervision = Supervision(
        GeneratorConfig(pose_channels=5, levels=(8,)), LossWeights(attention=3.0)
    )
    prediction = FlowConfidence(truth.flow + off, attention, None)
    first = 0.5 * share[0, 0, 0] + share[1, 0, 0]
    for corrected, error in ((None, 1.0), ([truth.flow], 0.0), ([None], 1.0)):
        found = supervision([prediction], [truth], 64, corrected)
        start = first if error else share[1, 0, 0]
        second = 0.25 * share[0, 3, 4] + error * share[1, 3, 4]
        expected = 3 * (start + second) / 2
        assert float(found["attention"]) == pytest.approx(float(expected), rel=1e-5)
    nowhere = truth._replace(visible=torch.zeros_like(visible))
    assert float(supervision([prediction], [nowhere], 64)["attention"]) == 0


def test_errors_of_depth(truths):
    """By their ratio, either way: of 1 percent as a flow of 4 focal lengths times 1 percent."""
    for factor in (1.01, 1 / 1.01):
        off = [p._replace(depth=p.depth * factor) for p in perfect(truths)]
        found = losses({"depth": 3.0}, off, truths)["depth"]
        assert found == pytest.approx(3 * 4 * 4 * FOCAL * math.log(1.01), rel=1e-3)


def test_taught_flows_are_true_where_truth_is_known(truths):
    g = torch.Generator().manual_seed(1)
    predictions = [p._replace(flow=torch.randn(p.flow.shape, generator=g)) for p in perfect(truths)]
    used = taught_flows(predictions, truths, torch.tensor([False, True]))
    for u, p, t in zip(used, predictions, truths, strict=True):
        assert torch.equal(u.flow[0], p.flow[0])
        known = (t.seen[1] > 0).expand_as(t.flow[1])
        assert known.any()
        assert not known.all()
        assert torch.equal(u.flow[1][known], t.flow[1][known])
        assert torch.equal(u.flow[1][~known], p.flow[1][~known])
        assert u._replace(flow=p.flow) == p


def test_gradients_of_taught_samples_reach_the_flow_by_its_loss_alone(truths):
    flows = [p.flow.clone().requires_grad_() for p in perfect(truths)]
    predictions = [p._replace(flow=f) for p, f in zip(perfect(truths), flows, strict=True)]
    used = taught_flows(predictions, truths, torch.ones(2, dtype=torch.bool))
    sum((u.flow * (t.seen > 0)).sum() for u, t in zip(used, truths, strict=True)).backward()
    assert not any(f.grad.any() for f in flows)


# ------------------------------------------------------------------ batches


class Told:
    """Images of 2 x 2 pixels with a truth that names its row."""

    pose_kind, height, width, max_sources = "viewpoint", 2, 2, 8

    def draw(self, seed, step, batch_size, sources):
        return [(1000 * step + i, *range(sources)) for i in range(batch_size)]

    def load(self, row):
        k, mark = len(row) - 1, torch.full((1, 1, 1, 1), float(row[0]))
        image = torch.zeros(k + 1, 3, 2, 2, dtype=torch.uint8)
        code = torch.zeros(k + 1, 21)
        seen = torch.ones(k, 2, 2, dtype=torch.bool)
        truth = Truth(mark.expand(k, 2, 2, 2), seen, seen[0])
        return Sample(image[:-1], code[:-1], image[-1], code[-1], truth)


def config(**changes) -> TrainConfig:
    settings = {"data": DataConfig(truth=True), "sources": (2,), "flow_steps": 10}
    return TrainConfig(out=Path("run"), **settings | changes)


def taught(step: int, **changes) -> torch.Tensor:
    c = config(batch_size=500, teacher_steps=20, **changes)
    return TupleBatches(Told(), c, 100)[step]["taught"]


def test_the_share_of_taught_samples_falls_from_all_to_none():
    assert taught(10).all()
    for step, share in ((14, 0.8), (20, 0.5), (27, 0.15)):
        assert float(taught(step).float().mean()) == pytest.approx(share, abs=0.07)
    for step in (30, 31, 99):
        assert not taught(step).any()
    assert not TupleBatches(Told(), config(), 100)[10]["taught"].any()


def test_who_is_taught_is_a_function_of_seed_and_step():
    assert torch.equal(taught(20), taught(20))
    assert not torch.equal(taught(20), taught(21))
    assert not torch.equal(taught(20), taught(20, seed=1))


def test_processes_and_parts_share_the_truth_of_one_batch():
    whole = TupleBatches(Told(), config(batch_size=12, teacher_steps=20), 50)[20]
    pieces = split(whole, 3)
    halves = [
        TupleBatches(Told(), config(batch_size=3, accumulate=2, teacher_steps=20), 50, p, 2)[20]
        for p in range(2)
    ]
    assert set(whole["taught"].tolist()) == {True, False}
    for parts in (pieces, halves):
        for name, value in whole.items():
            assert torch.equal(torch.cat([part[name] for part in parts]), value), name
    assert truth_of(whole).depth is None
    assert whole["flow"][:, 0, 0, 0, 0].tolist() == [20_000 + i for i in range(12)]


@pytest.mark.parametrize("name", ["chairs", "people"])
def test_batches_hold_the_truth_of_their_samples(name):
    data = DataConfig(name, size=64, count=2, truth=True)
    dataset = open_dataset(data, "train")
    c = config(data=data, batch_size=2, sources=(1, 2))
    batch = TupleBatches(dataset, c, 5)[3]
    k = batch["sources"].shape[1]
    truth = truth_of(batch)
    for i, row in enumerate(dataset.draw(0, 3, 2, k)):
        sample = dataset.load(row)
        assert torch.equal(batch["target"][i], sample.target)
        for ours, theirs in zip(truth, sample.truth, strict=True):
            assert (ours is None) == (theirs is None)
            assert ours is None or torch.equal(ours[i], theirs)
    assert torch.equal(pool(truth, 1).flow, truth.flow * truth.visible[:, :, None])
    plain = config(data=DataConfig(name, size=64, count=2), batch_size=2, sources=(1, 2))
    without = TupleBatches(open_dataset(plain.data, "train"), plain, 5)[3]
    assert truth_of(without) is None
    assert torch.equal(without["target"], batch["target"])  # the same images
