"""Configurations as YAML files: what they may say, and that the examples say it."""

from pathlib import Path

import pytest

from rfwarp.data.catalog import DATASETS, DataConfig
from rfwarp.training import LossWeights, TrainConfig
from rfwarp.training.config_file import load_config

EXAMPLES = Path(__file__).parents[1] / "examples" / "configs"
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
width: 1            # an integer where a number is expected
lr: 1e-4            # YAML 1.1 takes this for text
discriminator_lr: 2.5E-05
betas: [0.5, 0.9]
attention: false
sources: [2]
feature_weights: null
weights: {l1: 3, style: 0}
"""
    assert load(tmp_path, text) == TrainConfig(
        out=Path("run"),
        data=DataConfig("chairs", cache=Path("some/folder"), size=128, count=7),
        width=1.0,
        lr=1e-4,
        discriminator_lr=2.5e-5,
        betas=(0.5, 0.9),
        attention=False,
        sources=(2,),
        weights=LossWeights(l1=3.0, style=0.0),
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "batchsize: 3",
            r"unknown field batchsize; the fields are out, data, .*, batch_size",
        ),
        ("weights: {lpips: 1}", r"unknown field weights\.lpips; the fields are weights\.correct"),
        ("lr: fast", "lr must be a number, got 'fast'"),
        ("lr: true", "lr must be a number, got True"),
        ("steps: 1.5", r"steps must be an integer, got 1\.5"),
        ("steps: '5'", "steps must be an integer, got '5'"),
        ("attention: 1", "attention must be true or false, got 1"),
        (
            "features: VGG",
            "features must be one of vgg19, efficientnet-lite0, oriented-pyramid, got 'VGG'",
        ),
        ("sources: 3", "sources must be a list of values, each an integer, got 3"),
        ("sources: [1, two]", r"sources\[1\] must be an integer, got 'two'"),
        ("betas: [0.9]", "betas must be a list of 2 values, each a number, got"),
        (
            "data: {size: big}",
            r"data\.size must be an integer .*or null, got 'big'",
        ),
        ("data: chairs", "data must be fields and their values, got 'chairs'"),
        ("feature_weights: 3", "feature_weights must be a path or null, got 3"),
        ("clip: -1", r"clip must be positive and finite, got -1\.0"),
        ("lr: 1\nlr: 2", "'lr' is there twice"),
        ("data: {size: 64, size: 128}", "'size' is there twice"),
        ("- lr", "expected fields and their values"),
        ("", "expected fields and their values, got None"),
        ("lr: [", "while parsing"),
        ("lr: !!python/object/apply:os.getcwd []", "could not determine a constructor"),
    ],
)
def test_what_is_refused(tmp_path, text, message):
    with pytest.raises(ValueError, match=rf"(?s)config\.yaml: .*{message}"):
        load(tmp_path, text)


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
    assert path.stem.startswith(config.data.name)
    assert f"rfwarp train --config examples/configs/{path.name}" in path.read_text()
    if config.data.name in PAPER:
        assert (config.data.size, config.batch_size) == PAPER[config.data.name]
        assert config.weights == LossWeights()
        assert (config.lr, config.betas, config.width) == (1e-4, (0.9, 0.999), 1.0)
        assert (config.features, config.sampler, config.adversarial) == ("vgg19", "gaussian", "log")
        assert config.residual_flow
        assert config.attention
        assert config.occlusion


@pytest.mark.parametrize("name", DATASETS)
def test_every_dataset_has_an_example(name):
    assert list(EXAMPLES.glob(f"{name}*.yaml"))
