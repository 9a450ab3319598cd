"""Eq. 7 and 8 as a whole: the terms of both stages against the losses, pair by pair and level by
level, in float64."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from rfwarp import Generator
from rfwarp.images import from_uint8
from rfwarp.nn import NetworkConfig
from rfwarp.poses import POSE_KINDS, Viewpoint
from rfwarp.training import LossWeights, OrientedPyramid, TrainConfig, losses
from rfwarp.training.batches import Batch
from rfwarp.training.stages import FlowObjective, FlowStage, FullStage

N, K, SIZE = 2, 3, 64
LEVELS = (8, 4, 2, 1)
WINDOWS = {8: 3, 4: 5, 2: 5}
WEIGHTS = LossWeights(correctness=2.0, affine=0.5, l1=3.0, perceptual=0.7, style=90.0)


def config(sampler: str) -> TrainConfig:
    network = NetworkConfig(width=1 / 64, levels=LEVELS)
    return TrainConfig(Path("run"), network=network, weights=WEIGHTS, sampler=sampler)


def flow_losses(
    sources: list[Tensor], targets: list[Tensor], flows: list[Tensor], sampler: str
) -> dict[str, float]:
    """Eq. 7 of features (N, K, C, h, w) and (N, C, h, w) at strides 8 and 4, and of all flows."""
    correctness = affine = 0.0
    for s, t, flow in zip(sources, targets, flows, strict=False):
        for n in range(N):
            for k in range(K):
                given = (x[None].double() for x in (s[n, k], t[n], flow[n, k]))
                correctness += losses.sampling_correctness(*given, sampler).item() / (N * K)
    for stride, flow in zip(LEVELS, flows, strict=True):
        if stride in WINDOWS:
            for of_pair in flow.flatten(0, 1).double():
                affine += losses.affine_regularisation(of_pair[None], WINDOWS[stride]).item()
    return {"correctness": 2.0 * correctness, "affine": 0.5 * affine / (N * K)}


def check(terms: dict[str, Tensor], expected: dict[str, float]) -> None:
    assert {name: term.item() for name, term in terms.items()} == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("sampler", ["gaussian", "bilinear"])
def test_the_flow_losses_are_means_over_pairs_summed_over_levels(sampler):
    g = torch.Generator().manual_seed(0)
    sides = [SIZE // stride for stride in LEVELS]
    sources = [torch.rand(N, K, 6, side, side, generator=g) for side in sides[:2]]
    targets = [torch.rand(N, 6, side, side, generator=g) for side in sides[:2]]
    flows = [2 * torch.randn(N, K, 2, side, side, generator=g) for side in sides]
    c = config(sampler)
    terms = FlowObjective(c.network, c)([s.flatten(0, 1) for s in sources], targets, flows)
    check(terms, flow_losses(sources, targets, flows, sampler))


@pytest.mark.parametrize("sampler", ["gaussian", "bilinear"])
@pytest.mark.parametrize("stage", [FlowStage, FullStage])
def test_the_losses_of_a_stage(stage, sampler):
    torch.manual_seed(0)
    c, kind, features = config(sampler), POSE_KINDS["viewpoint"], OrientedPyramid()
    generator = Generator(
        pose_channels=21, pose_kind="viewpoint", image_size=SIZE, width=1 / 64, levels=LEVELS
    )
    images = torch.randint(0, 256, (N, K + 1, 3, SIZE, SIZE), dtype=torch.uint8)
    codes = Viewpoint.codes()[: N * (K + 1)].unflatten(0, (N, K + 1))
    batch: Batch = {
        "sources": images[:, :-1],
        "poses": codes[:, :-1],
        "target": images[:, -1],
        "target_pose": codes[:, -1],
    }
    with torch.no_grad():
        terms, image = stage(generator, kind, features, c)(batch)
        real, poses = from_uint8(images), kind.expand(codes, SIZE, SIZE)
        expected, maps = generator(real[:, :-1], poses[:, :-1], poses[:, -1], return_maps=True)
        of_images = [features.maps(x, ["matching"])["matching"] for x in real.unbind(1)]
    *sources, target = of_images
    pairs = [torch.stack(level, dim=1) for level in zip(*sources, strict=True)]
    wanted_terms = flow_losses(pairs, target, [level.flow for level in maps], sampler)
    if stage is FlowStage:
        assert image is None
    else:
        torch.testing.assert_close(image, expected)
        made, wanted = (
            features.maps(x.double(), ["perceptual", "style"]) for x in (image, real[:, -1])
        )
        wanted_terms |= {
            "l1": 3.0 * (image - real[:, -1]).abs().mean().item(),
            "perceptual": 0.7 * losses.perceptual(made["perceptual"], wanted["perceptual"]).item(),
            "style": 90.0 * losses.style(made["style"], wanted["style"]).item(),
        }
    check(terms, wanted_terms)
