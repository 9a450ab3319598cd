"""Training with the truth: the whole loop, tiny; where it starts from; its settings."""

import re
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

pytest.importorskip("accelerate")

from test_training import Crash, checkpoint, crash, log, same_run, stop_after
from test_training import config as settings

from rfwarp import Generator
from rfwarp.data.catalog import DataConfig
from rfwarp.nn import NetworkConfig
from rfwarp.poses import (
    POSE_KINDS,
    Keypoints,
    Viewpoint,
    depth_flow,
    foreground_on_white,
    hull_depth,
    keypoint_flow,
    orbiting_cameras,
)
from rfwarp.training import LossWeights, TrainConfig
from rfwarp.training.config_file import load_config
from rfwarp.training.networks import Networks
from rfwarp.training.trainer import Trainer

SUPERVISED = {"flow": 1.0, "visibility": 0.1, "depth": 1.0, "silhouette": 0.1}
WEIGHTS = LossWeights(correctness=0.0, adversarial=0.0, perceptual=0.0, style=0.0, **SUPERVISED)
NETWORK = NetworkConfig(
    width=1 / 64,
    levels=(8, 4, 2, 1),
    coarse_to_fine=True,
    flow_model="depth",
    focal=3.2,
    residual_limit=2.0,
)
FIELDS = {
    "network": NETWORK,
    "data": DataConfig("chairs", size=64, count=2, truth=True),
    "weights": WEIGHTS,
    "flow_steps": 2,
    "steps": 4,
    "teacher_steps": 3,
    "flow_lr": 3e-3,
    "batch_size": 1,
    "accumulate": 2,
    "checkpoint_every": 2,
    "log_every": 1,
    "sources": (1, 2),
}


def config(out: Path, **changes) -> TrainConfig:
    return settings(out, **{**FIELDS, **changes})


@pytest.fixture(autouse=True)
def _no_curves(monkeypatch):
    monkeypatch.setattr("rfwarp.training.journal.plot_losses", lambda log, out: None)


def test_a_crashed_run_resumes_exactly(tmp_path, monkeypatch):
    """To the bit, with truth, a teacher (who is still there) and two learning rates."""
    straight, broken = tmp_path / "straight", tmp_path / "broken"
    Trainer(config(straight)).train(progress=False)
    with monkeypatch.context() as patch:
        stop_after(patch, 5, crash)
        with pytest.raises(Crash):
            Trainer(config(broken)).train(progress=False)
    assert checkpoint(broken)["step"] == 4
    Trainer(config(broken)).train(progress=False)
    assert same_run(straight, broken)
    entries = log(straight)
    assert [entry["stage"] for entry in entries] == ["flow"] * 2 + ["full"] * 4
    for entry in entries:
        names = entry.keys() & {*SUPERVISED, "l1", "correctness", "affine"}
        assert names >= {*SUPERVISED, "affine"}
        assert entry["loss"] == pytest.approx(sum(entry[name] for name in names), rel=1e-5)
    trained = Generator.from_pretrained(straight / "model").config
    assert trained == replace(trained, **asdict(NETWORK))


def test_keypoints_start_the_flow_of_people(tmp_path):
    network = replace(NETWORK, flow_model="free", focal=None, flow_prior="keypoints")
    people = DataConfig("people", size=64, count=2, truth=True)
    out = tmp_path / "run"
    Trainer(config(out, network=network, data=people, flow_steps=1, steps=1)).train(progress=False)
    assert {"flow", "visibility"} <= log(out)[-1].keys()
    assert not {"depth", "silhouette"} & log(out)[-1].keys()  # of depth flows alone
    assert Generator.from_pretrained(out / "model").config.flow_prior == "keypoints"


def test_the_teacher_changes_what_is_generated(tmp_path):
    entries = []
    for steps in (0, 3):
        out = tmp_path / str(steps)
        Trainer(config(out, teacher_steps=steps, flow_steps=0, steps=1)).train(progress=False)
        entries.append(log(out)[0])
    # The losses of the same predictions are the same.
    assert entries[0]["visibility"] == entries[1]["visibility"]
    assert entries[0]["depth"] == entries[1]["depth"]
    assert entries[0]["l1"] != entries[1]["l1"]


def test_the_flow_network_may_learn_at_its_own_rate(tmp_path):
    trainer = Trainer(config(tmp_path / "run", weights=replace(WEIGHTS, adversarial=1.0)))
    flow_stage, full_stage = (stage for stage, _ in trainer.stages)
    (alone,) = trainer._prepare(flow_stage, 0)
    assert alone.peaks == [3e-3]
    generator, discriminator = trainer._prepare(full_stage, 0)
    assert (generator.peaks, discriminator.peaks) == ([1e-3, 3e-3], [1e-5])
    others, own = (group["params"] for group in generator._adam.param_groups)
    flow = {id(p) for p in trainer.networks.generator.flow.parameters()}
    assert {id(p) for p in own} == flow
    every = {id(p) for p in trainer.networks.generator.parameters()}
    assert {id(p) for p in others} == every - flow

    def halved(stage, part):
        return {"loss": sum(p.square().sum() for p in stage.parameters())}

    generator.step([0], halved, 0.5)
    assert [group["lr"] for group in generator._adam.param_groups] == [5e-4, 1.5e-3]


# ------------------------------------------------------------------ weights to start from


class Chairs:
    """The attributes of a dataset that networks read."""

    pose_kind = "viewpoint"

    def __init__(self, size: int) -> None:
        self.height = self.width = size


class Drives(Chairs):
    pose_kind = "camera"


class Bodies(Chairs):
    pose_kind = "keypoints"


def networks(size: int = 64, dataset=Chairs, **changes) -> Networks:
    return Networks(config(Path("run"), **changes), dataset(size), torch.device("cpu"))


@pytest.mark.parametrize("size", [64, 128])
def test_a_run_may_start_from_weights_of_any_size(tmp_path, size):
    given = networks(seed=7).generator
    folder = given.save_pretrained(tmp_path / "model")
    started = networks(size, init=str(folder))
    assert started.generator.config.image_size == size
    for network in (started.generator, started.average):
        for name, value in network.state_dict().items():
            assert torch.equal(value, given.state_dict()[name])
    fresh = networks(size).generator.state_dict()
    assert any(not torch.equal(x, fresh[n]) for n, x in started.generator.state_dict().items())


def test_a_run_may_add_parts_that_change_nothing_at_first(tmp_path):
    given = networks(seed=7).generator
    folder = str(given.save_pretrained(tmp_path / "model"))
    larger = networks(
        init=folder, network=replace(NETWORK, alignment=True, refinement=True)
    ).generator
    assert larger.config.alignment
    state = larger.state_dict()
    for name, value in given.state_dict().items():
        assert torch.equal(state[name], value)
    assert len(state) > len(given.state_dict())


def hull_of(sources: Tensor, codes: Tensor) -> Tensor:
    """The flow (1, 2, 2, 64, 64) by the visual hull: from the last viewpoint to the others."""
    cameras = orbiting_cameras(codes[None, :2], codes[2:])
    hull = hull_depth(foreground_on_white(sources), cameras, 3.2, (64, 64))
    return depth_flow(hull.depth, cameras, 3.2, (64, 64))


def keypoints_of(sources: Tensor, codes: Tensor) -> Tensor:
    return keypoint_flow(codes[2:], codes[None, :2], 64, 64)


VIEWS = [Viewpoint(azimuth, 20) for azimuth in (0, 60, 100)]
POSES = [Keypoints(np.random.default_rng(i).uniform(8, 56, (18, 2)), 64, 64) for i in range(3)]


@pytest.mark.parametrize(
    ("dataset", "name", "poses", "prior"),
    [(Chairs, "hull", VIEWS, hull_of), (Bodies, "keypoints", POSES, keypoints_of)],
)
def test_a_run_that_gains_a_prior_starts_from_its_flows(tmp_path, dataset, name, poses, prior):
    """And predicts of visibility what the weights did that had none."""
    network = NETWORK if dataset is Chairs else replace(NETWORK, flow_model="free", focal=None)
    given = networks(seed=7, dataset=dataset, network=network).generator.eval()
    init = str(given.save_pretrained(tmp_path / "model"))
    network = replace(network, flow_prior=name)
    started = networks(init=init, dataset=dataset, network=network).generator.eval()
    codes = torch.stack([pose.code() for pose in poses])
    maps = POSE_KINDS[dataset.pose_kind].expand(codes, 64, 64)
    sources = torch.ones(1, 2, 3, 64, 64)
    sources[..., 20:50, 16:44] = torch.rand(1, 2, 3, 30, 28) - 0.5
    with torch.no_grad():
        before, after = (
            g.flow(g.flow.encode(sources, maps[None, :2]), maps[2:]) for g in (given, started)
        )
        flow = prior(sources, codes)
    torch.testing.assert_close(after[-1].flow, flow, rtol=1e-3, atol=0.05)
    assert (before[-1].flow - flow).abs().mean() > 1
    for level, of_given in zip(after, before, strict=True):
        torch.testing.assert_close(level.occlusion, of_given.occlusion)


def test_a_run_may_start_from_weights_for_another_kind_of_pose(tmp_path):
    given = networks(seed=7).generator
    folder = str(given.save_pretrained(tmp_path / "model"))
    moved = {"dataset": Drives, "network": replace(NETWORK, focal=3.8)}
    started = networks(init=folder, **moved).generator
    assert (started.config.pose_kind, started.config.focal) == ("camera", 3.8)
    fresh = networks(**moved).generator.state_dict()
    anew = {"flow.down.0.conv1", "flow.down.0.shortcut"}
    anew |= {"predictor.encode_pose.0.conv1", "predictor.encode_pose.0.shortcut"}
    for name, value in started.state_dict().items():
        reads_poses = name.endswith(".weight") and name.removesuffix(".weight") in anew
        assert torch.equal(value, (fresh if reads_poses else given.state_dict())[name])
    with pytest.raises(ValueError, match=r"cannot start from .*: levels is \[8, 4, 2, 1\] there, "):
        networks(init=folder, dataset=Drives, network=replace(NETWORK, levels=(8, 4)))


def test_a_run_does_not_start_from_another_network(tmp_path):
    given = networks(seed=7, network=replace(NETWORK, alignment=True)).generator
    folder = str(given.save_pretrained(tmp_path / "model"))
    with pytest.raises(ValueError, match="alignment is True there, False here"):
        networks(init=folder)
    given = networks(seed=7).generator
    folder = str(given.save_pretrained(tmp_path / "model"))
    with pytest.raises(ValueError, match=r"cannot start from .*: levels is \[8, 4, 2, 1\] there, "):
        networks(init=folder, network=replace(NETWORK, levels=(8, 4)))
    message = r"focal is 3\.2 there, 2\.0 here, residual_limit is 2\.0 there, None here"
    with pytest.raises(ValueError, match=message):
        networks(init=folder, network=replace(NETWORK, focal=2.0, residual_limit=None))
    optimized = given.optimize().save_pretrained(tmp_path / "optimized")
    with pytest.raises(ValueError, match="they are of the optimized form"):
        networks(init=str(optimized))
    with pytest.raises(FileNotFoundError):
        networks(init=str(tmp_path / "nowhere"))


def test_a_run_that_started_from_weights_resumes(tmp_path, monkeypatch):
    folder = str(networks(seed=7).generator.save_pretrained(tmp_path / "model"))
    run = {"init": folder, "flow_steps": 0, "steps": 2, "checkpoint_every": 1}
    outs = [tmp_path / "straight", tmp_path / "broken"]
    Trainer(config(outs[0], **run)).train(progress=False)
    with monkeypatch.context() as patch:
        stop_after(patch, 1, crash)
        with pytest.raises(Crash):
            Trainer(config(outs[1], **run)).train(progress=False)
    shutil.rmtree(folder)  # nor are they needed any more
    Trainer(config(outs[1], **run)).train(progress=False)
    assert same_run(*outs)
    with pytest.raises(ValueError, match=r"other settings: init was .*model', now None"):
        Trainer(config(outs[1], **{**run, "init": None}))


# ------------------------------------------------------------------ settings


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        *(
            ({"weights": LossWeights(**{name: 1.0})}, "need true correspondences: data.truth is")
            for name in SUPERVISED
        ),
        ({"teacher_steps": 5}, "teacher_steps need true correspondences: data.truth is false"),
        ({"teacher_steps": -1}, "teacher_steps must be greater than or equal to 0, got -1"),
        ({"flow_lr": 0.0}, "flow_lr must be greater than 0, got 0.0"),
    ],
)
def test_bad_settings(changes, message):
    with pytest.raises(ValueError, match=re.escape(message) if "(" not in message else message):
        TrainConfig(out=Path("run"), **changes)


def test_truth_is_for_what_is_procedural(tmp_path):
    data = DataConfig("kitti", root=tmp_path, truth=True)
    with pytest.raises(ValueError, match="kitti has no truth; its options are"):
        Trainer(TrainConfig(out=tmp_path / "run", data=data))


def test_fields_in_a_file(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(
        """
data: {name: chairs, size: 64, count: 2, truth: true}
network:
  levels: [8, 4, 2, 1]
  coarse_to_fine: true
  coordinates: true
  flow_model: depth
  focal: 3.2
  flow_prior: none
  residual_limit: 2
  padding_mode: border
init: chairs-64
teacher_steps: 100
flow_lr: 5e-4
weights: {flow: 1, visibility: 0.1, depth: 1, silhouette: 0.1}
"""
    )
    assert load_config(path, TrainConfig, out=Path("run")) == TrainConfig(
        out=Path("run"),
        data=DataConfig("chairs", size=64, count=2, truth=True),
        network=NetworkConfig(
            levels=(8, 4, 2, 1),
            coarse_to_fine=True,
            coordinates=True,
            flow_model="depth",
            focal=3.2,
            residual_limit=2.0,
            padding_mode="border",
        ),
        init="chairs-64",
        teacher_steps=100,
        flow_lr=5e-4,
        weights=LossWeights(**SUPERVISED),
    )
