"""Shift-tolerant LPIPS against the code of the package that its weights come from."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import import_module
from types import ModuleType
from unittest.mock import MagicMock

import pytest
import torch
from torch import Tensor, nn

from rfwarp.images import from_uint8, to_uint8
from rfwarp.metrics import EvaluationConfig, ImageMetrics, MetricNetworks, StLpips
from rfwarp.metrics import st_lpips as module

pytest.importorskip("stlpips_pytorch")


def images(n: int, seed: int, size: int = 64) -> Tensor:
    g = torch.Generator().manual_seed(seed)
    coarse = torch.rand(n, 3, size // 4, size // 4, generator=g) * 2 - 1
    return nn.functional.interpolate(coarse, size=(size, size), mode="bilinear")


@pytest.fixture
def authors(monkeypatch: pytest.MonkeyPatch) -> Iterator[nn.Module]:
    """The package's own network; what it imports beyond torch, it does not need for this."""
    for name in ("torchvision", "torchvision.models", "IPython", "torchsummary"):
        monkeypatch.setitem(sys.modules, name, MagicMock(spec=ModuleType(name), name=name))
        sys.modules[name].models = sys.modules[name].embed = sys.modules[name].summary = None
    before = set(sys.modules)
    stlpips = import_module("stlpips_pytorch.stlpips")
    yield stlpips.LPIPS(net="alex", variant="shift_tolerant", verbose=False)
    for name in set(sys.modules) - before:
        if name.startswith("stlpips_pytorch"):
            del sys.modules[name]


@pytest.mark.parametrize("size", [32, 64, 100])
def test_it_equals_the_authors_code(authors: nn.Module, size: int) -> None:
    a, b = images(3, 0, size), images(3, 1, size)
    with torch.no_grad():
        expected = authors(a, b).flatten()
    torch.testing.assert_close(StLpips()(a, b), expected, rtol=1e-5, atol=1e-7)
    assert expected.min() > 0.01


def test_a_shift_hardly_counts() -> None:
    a = images(4, 0)
    distance = StLpips()
    assert distance(a, a).abs().max() == 0
    assert distance(a, a.roll(1, dims=3)).mean() < 0.2 * distance(a, images(4, 1)).mean()


def test_it_is_gathered() -> None:
    tolerant = StLpips()
    ours, targets = (from_uint8(to_uint8(images(2, seed))) for seed in (0, 1))
    metrics = ImageMetrics(64, 64, MetricNetworks(st_lpips=tolerant))
    metrics.update(targets, {"a": targets, "b": ours})
    scores = metrics.compute()
    assert scores["a"].st_lpips == 0
    assert scores["b"].st_lpips == pytest.approx(float(tolerant(ours, targets).mean()), 1e-5)
    assert scores["b"].lpips is None


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    message = "in the package stlpips_pytorch, which is not installed: pip install --no-deps"
    with pytest.raises(FileNotFoundError, match=message):
        StLpips()


def test_without_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FILE", "weights/none.pth")
    with pytest.raises(FileNotFoundError, match=r"none\.pth is no file; install anew: pip install"):
        StLpips()


def test_options_of_lpips_are_not_for_it() -> None:
    assert EvaluationConfig(metrics=("st-lpips",)).facts()["metrics"] == ["st-lpips"]
    with pytest.raises(ValueError, match="lpips_net is for the metric lpips, got"):
        EvaluationConfig(metrics=("st-lpips",), lpips_net="vgg")
