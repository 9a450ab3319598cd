"""The Frechet distance on EfficientNet-Lite0: features by another package's code, the distance by
another formula, and what a report says of it."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from rfwarp import Generator
from rfwarp.cli import main
from rfwarp.data import ChairTuples, ProceduralChairs
from rfwarp.efficientnet import FILE_NAME, PACKAGE
from rfwarp.images import from_uint8, to_uint8
from rfwarp.metrics import (
    EvaluationConfig,
    ImageMetrics,
    MetricNetworks,
    PooledEfficientNet,
    evaluate,
)
from rfwarp.published_weights import read_tensors

pytest.importorskip(PACKAGE)
KEY, TITLE = "frechet_efficientnet_lite0", "Frechet (EfficientNet-lite0)"


@pytest.fixture(scope="module")
def network() -> PooledEfficientNet:
    return PooledEfficientNet()


def images(n: int, seed: int, size: int = 64) -> Tensor:
    """Of 8 bits."""
    g = torch.Generator().manual_seed(seed)
    coarse = torch.rand(n, 3, size // 4, size // 4, generator=g) * 2 - 1
    return from_uint8(to_uint8(F.interpolate(coarse, size=(size, size), mode="bilinear")))


@pytest.mark.parametrize("size", [64, 224, 320])
def test_features_are_those_of_the_published_network(
    network: PooledEfficientNet, size: int
) -> None:
    """In float64, by the code of another package."""
    package = pytest.importorskip("efficientnet_lite_pytorch")
    published = package.EfficientNet.from_name("efficientnet-lite0").eval()
    published.load_state_dict(dict(read_tensors(network.path)))
    shown = images(2, 0, size)
    resized = F.interpolate(shown.double(), (224, 224), mode="bilinear", antialias=True)
    with torch.no_grad():
        maps = published.double().extract_features(((resized + 1) * 127.5 - 127) / 128)
    expected = maps.flatten(2).sum(2) / 49
    assert expected.shape == (2, 1280)
    torch.testing.assert_close(network(shown).double(), expected, rtol=1e-3, atol=1e-4)


def frechet_in_float64(made: Tensor, real: Tensor) -> float:
    """The trace of the covariances' root is the nuclear norm of the centred features' product,
    however few images there are."""
    made, real = made.double(), real.double()
    a, b = ((x - x.mean(0)) / (len(x) - 1) ** 0.5 for x in (made, real))
    root = torch.linalg.matrix_norm(a @ b.T, "nuc")
    means = (made.mean(0) - real.mean(0)).square().sum()
    return float(means + a.square().sum() + b.square().sum() - 2 * root)


def test_distance_of_images_to_the_targets(network: PooledEfficientNet) -> None:
    targets, ours = images(5, 0), images(5, 1)
    metrics = ImageMetrics(64, 64, MetricNetworks(efficientnet=network))
    turned = {"shuffled": ours.flip(0), "same": targets.roll(2, 0)}
    for part in (slice(0, 2), slice(2, 5)):
        made = {"ours": ours, **turned}
        metrics.update(targets[part], {method: x[part] for method, x in made.items()})
    found = {name: scores.frechet_efficientnet_lite0 for name, scores in metrics.compute().items()}
    expected = frechet_in_float64(network(ours), network(targets))
    assert expected > 1
    assert found["ours"] == pytest.approx(expected, rel=1e-4)
    assert found["shuffled"] == pytest.approx(found["ours"], rel=1e-4)
    assert found["same"] == pytest.approx(0, abs=1e-3)


def chairs() -> ChairTuples:
    return ChairTuples(ProceduralChairs(900_000, 1, 64))


def test_baselines_are_scored_and_few_images_warned_of(
    network: PooledEfficientNet, caplog: pytest.LogCaptureFixture
) -> None:
    generator = Generator(pose_channels=21, width=1 / 64).eval()
    networks = MetricNetworks(efficientnet=network)
    (result,) = evaluate(generator, chairs(), EvaluationConfig((1,), sets=2), networks=networks)
    assert result.model.fid is None
    for scores in (result.model, result.nearest_source, result.mean_source):
        assert scores.frechet_efficientnet_lite0 is not None
        assert scores.frechet_efficientnet_lite0 > 0
    assert f"{TITLE} of 2 images is higher than of many" in caplog.text
    with pytest.raises(ValueError, match=r"Frechet \(EfficientNet-lite0\) needs at least 2 sets"):
        evaluate(generator, chairs(), EvaluationConfig((1,), sets=1), networks=networks)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A report, a table and a card have it like other scores, and say how it was computed."""
    model = Generator(pose_channels=21, pose_kind="viewpoint", image_size=64, width=1 / 64)
    card = tmp_path / "model" / "README.md"
    model.save_pretrained(card.parent, "# A model\n\n## Held-out results\n\n## Limits\n\nNone.\n")
    given = ["-w", str(card.parent), "--count", "1", "--sets", "2", "--sources", "1"]
    report, table = tmp_path / "r.json", tmp_path / "t.md"
    out = ["--json", str(report), "--table", str(table), "--card"]
    assert main(["evaluate", *given, "--metrics", "frechet-efficientnet", *out]) == 0
    assert TITLE in capsys.readouterr().out
    written = json.loads(report.read_text())
    assert written["networks"][KEY]["file"] == FILE_NAME
    assert written["networks"][KEY]["real"] == "the targets"
    score = written["results"][0]["model"][KEY]
    for text in (table.read_text(), card.read_text()):
        assert f" {TITLE} (lower is better) |" in text
        assert f" {score:.3f} |" in text
        assert f"{TITLE} by {FILE_NAME}, bilinear, antialiased, to 224 x 224" in text
        assert "FID" not in text
    assert f"type: {KEY}" in card.read_text()


def test_without_the_package_nothing_is_evaluated(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=rf'{PACKAGE}.* pip install "rfwarp\[features\]"'):
        PooledEfficientNet()
    given = ["--count", "1", "--sets", "2", "--metrics", "frechet-efficientnet"]
    assert main(["evaluate", *given]) == 1
    captured = capsys.readouterr()
    assert 'pip install "rfwarp[features]"' in captured.err.splitlines()[-1]
    assert captured.out == ""


def test_options_of_fid_are_not_for_it(tmp_path: Path) -> None:
    config = EvaluationConfig(metrics=("frechet-efficientnet",))
    assert config.facts()["metrics"] == ["frechet-efficientnet"]
    with pytest.raises(ValueError, match="fid_real is for the metric fid, got"):
        EvaluationConfig(metrics=("frechet-efficientnet",), fid_real=tmp_path)
