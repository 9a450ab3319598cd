"""Configurations as YAML files: what they may say, and that the examples say it."""

from pathlib import Path

import pytest

from rfwarp.data.catalog import DATASETS, DataConfig
from rfwarp.nn import NetworkConfig
from rfwarp.training import LossWeights, TrainConfig
from rfwarp.training.config_file import load_config

pytest.importorskip("accelerate")
from rfwarp.training.experiment import ExperimentConfig

EXAMPLES = Path(__file__).parents[2] / "examples" / "configs"
ABLATIONS = sorted(EXAMPLES.glob("ablation-*.yaml"))
PAPER = {
    "deepfashion": (256, 5),
    "market1501": ((128, 64), 8),
    "shapenet-chairs": (256, 5),
    "kitti": (256, 5),
    "voxceleb2": (224, 5),
}


def load(tmp_path: Path, text: str) -> TrainConfig:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    return load_config(path, TrainConfig, out=Path("run"))


def test_values_of_every_type(tmp_path):
    text = """
data: {name: chairs, cache: some/folder, size: 128, count: 7}
network: {width: 1, attention: false}  # an integer where a number is expected
lr: 1e-4            # YAML 1.1 takes this for text
discriminator_lr: 2.5E-05
betas: [0.5, 0.9]
sources: [2]
feature_weights: null
weights: {l1: 3, style: 0}
"""
    assert load(tmp_path, text) == TrainConfig(
        out=Path("run"),
        data=DataConfig("chairs", cache=Path("some/folder"), size=128, count=7),
        network=NetworkConfig(width=1.0, attention=False),
        lr=1e-4,
        discriminator_lr=2.5e-5,
        betas=(0.5, 0.9),
        sources=(2,),
        weights=LossWeights(l1=3.0, style=0.0),
    )


FLAT = """
data: {name: chairs, count: 7, truth: true}
width: 0.5
levels: [8, 4, 2, 1]
flow_model: depth
focal: 3.2
attention: false
weights: {attention: 1}
"""
NESTED = """
data: {name: chairs, count: 7, truth: true}
network: {width: 0.5, levels: [8, 4, 2, 1], flow_model: depth, focal: 3.2, attention: false}
weights: {attention: 1}
"""


def test_files_from_before_the_network_was_nested(tmp_path):
    old, new = load(tmp_path, FLAT), load(tmp_path, NESTED)
    assert old == new
    assert new.network.width == 0.5
    both = "width: 0.5\nnetwork: {focal: 3.2, flow_model: depth}"
    assert load(tmp_path, both).network == NetworkConfig(width=0.5, focal=3.2, flow_model="depth")


def test_experiments_from_before_the_network_was_nested():
    def runs(train, variant):
        return list(ExperimentConfig(train, {"a": variant}).runs(Path()))

    old = runs({"width": 0.5, "attention": False}, {"attention": True, "occlusion": False})
    changes = {"network": {"attention": True, "occlusion": False}}
    assert old == runs({"network": {"width": 0.5, "attention": False}}, changes)
    assert old[0].config.network == NetworkConfig(width=0.5, occlusion=False)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("width: 1\nnetwork: {width: 1}", "width belong in network, which is there too"),
        (
            "batchsize: 3",
            r"unknown field batchsize; the fields are out, data, .*, batch_size",
        ),
        ("weights: {lpips: 1}", r"unknown field weights\.lpips; the fields are weights\.correct"),
        ("lr: fast", "lr must be a valid number, got 'fast'"),
        ("lr: true", "lr must be a valid number, got True"),
        ("steps: 1.5", r"steps must be a valid integer, got 1\.5"),
        ("steps: '5'", "steps must be a valid integer, got '5'"),
        ("network: {attention: 1}", r"network\.attention must be a valid boolean, got 1"),
        (
            "features: VGG",
            "features must be 'vgg19', 'efficientnet-lite0' or 'oriented-pyramid', got 'VGG'",
        ),
        ("sources: 3", "sources must be a valid array, got 3"),
        ("sources: [1, two]", r"sources\[1\] must be a valid integer, got 'two'"),
        ("betas: [0.9]", r"field betas\[1\] is missing"),
        (
            "data: {size: big}",
            r"data\.size must be a valid integer or a valid array, got 'big'",
        ),
        ("data: chairs", "data must be an object, got 'chairs'"),
        ("feature_weights: 3", "feature_weights must be a valid string, got 3"),
        ("clip: -1", "clip must be greater than 0, got -1"),
        ("seed: 2026-01-01", "seed must be a valid integer, got '2026-01-01'"),
        ("lr: 0\nsteps: 0", "steps must be .*; lr must be greater than 0, got 0"),
        ("lr: 1\nlr: 2", "'lr' is there twice"),
        ("data: {size: 64, size: 128}", "'size' is there twice"),
        ("weights: &w {l1: 1}\nnetwork: {<<: *w, width: 1, width: 2}", "'width' is there twice"),
        ("weights: &w {l1: 1}\ndata: {<<: *w, <<: *w}", "'<<' is there twice"),
        ("- lr", "expected fields and their values"),
        ("", "expected fields and their values, got None"),
        ("lr: [", "while parsing"),
        ("lr: !!python/object/apply:os.getcwd []", "could not determine a constructor"),
    ],
)
def test_what_is_refused(tmp_path, text, message):
    with pytest.raises(ValueError, match=rf"(?s)config\.yaml: .*{message}"):
        load(tmp_path, text)


def test_mappings_may_be_merged(tmp_path):
    """What stands beside << goes before what it merges, also where that was merged itself."""
    path = tmp_path / "config.yaml"
    path.write_text("""
train: {steps: 5}
variants:
  plain: &plain {lr: 1e-3, clip: 2.0}
  slow: &slow {<<: *plain, lr: 1e-4}
  slower: {<<: [*slow, *plain], clip: 1.0}
""")
    assert load_config(path, ExperimentConfig).variants == {
        "plain": {"lr": 1e-3, "clip": 2.0},
        "slow": {"lr": 1e-4, "clip": 2.0},
        "slower": {"lr": 1e-4, "clip": 1.0},
    }


def test_a_missing_field_or_file(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("lr: 1")
    with pytest.raises(ValueError, match="field out is missing"):
        load_config(path, TrainConfig)
    with pytest.raises(FileNotFoundError):
        load_config(tmp_path / "none.yaml", TrainConfig)
    path.write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(ValueError, match=r"config\.yaml: .*decode"):
        load_config(path, TrainConfig)


@pytest.mark.parametrize("path", sorted(set(EXAMPLES.glob("*.yaml")) - {*ABLATIONS}), ids=str)
def test_examples_of_training(path):
    config = load_config(path, TrainConfig, out=Path("run"))
    # A folder of one's own has no name of its own.
    assert path.stem.startswith("own-" if config.data.name == "folder" else config.data.name)
    assert f"rfwarp train --config examples/configs/{path.name}" in path.read_text()
    if config.data.name in PAPER:
        assert (config.data.size, config.batch_size) == PAPER[config.data.name]
        assert config.weights == LossWeights()
        assert (config.lr, config.betas) == (1e-4, (0.9, 0.999))
        assert (config.features, config.sampler, config.adversarial) == ("vgg19", "gaussian", "log")
        assert config.network == NetworkConfig()


@pytest.mark.parametrize("name", DATASETS)
def test_every_dataset_has_an_example(name):
    configs = set(EXAMPLES.glob("*.yaml")) - {*ABLATIONS}
    out = Path("run")
    assert name in {load_config(path, TrainConfig, out=out).data.name for path in configs}
