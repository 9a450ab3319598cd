"""VGG-19 read from a file in torchvision's format: keys, shapes, failures and activations."""

import logging
import math
from collections import OrderedDict

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor
from torch.testing import assert_close

from rfwarp.nn import GeneratorConfig
from rfwarp.published_weights import read_tensors
from rfwarp.training.config import TrainConfig
from rfwarp.training.features import make_features
from rfwarp.training.losses import perceptual, style
from rfwarp.training.stages import FlowObjective
from rfwarp.training.vgg import LAYERS, Vgg19

# Configuration E of Simonyan & Zisserman: channels of the convolutions, M for a pooling.
CONFIGURATION_E = "64 64 M 128 128 M 256 256 256 256 M 512 512 512 512 M 512 512 512 512 M"


def published(channels: str = CONFIGURATION_E) -> "OrderedDict[str, Tensor]":
    """A random state dict with torchvision's keys; of the classifier only the keys are true."""
    g = torch.Generator().manual_seed(0)
    state, index, width = OrderedDict(), 0, 3
    for entry in channels.split():
        if entry == "M":
            index += 1
            continue
        out = int(entry)
        weight = torch.randn(out, width, 3, 3, generator=g) * math.sqrt(2 / (9 * width))
        state[f"features.{index}.weight"] = weight
        state[f"features.{index}.bias"] = 0.1 * torch.randn(out, generator=g)
        index, width = index + 2, out
    for index in (0, 3, 6):
        state[f"classifier.{index}.weight"] = torch.zeros(2, 2)
        state[f"classifier.{index}.bias"] = torch.zeros(2)
    return state


def activations(state: dict[str, Tensor], image: Tensor) -> dict[str, Tensor]:
    """Every ReLU by name, in float64."""
    mean = torch.tensor([0.485, 0.456, 0.406], dtype=torch.float64)[:, None, None]
    std = torch.tensor([0.229, 0.224, 0.225], dtype=torch.float64)[:, None, None]
    x = (image.double() * 0.5 + 0.5 - mean) / std
    found, index, block, number = {}, 0, 1, 1
    for entry in CONFIGURATION_E.split():
        if entry == "M":
            x = F.max_pool2d(x, 2, 2)
            index, block, number = index + 1, block + 1, 1
            continue
        weight, bias = (state[f"features.{index}.{n}"].double() for n in ("weight", "bias"))
        x = F.conv2d(x, weight, bias, padding=1).clamp(min=0)
        found[f"relu{block}_{number}"] = x
        index, number = index + 2, number + 1
    return found


def matching(vgg: Vgg19, image: Tensor) -> list[Tensor]:
    return vgg.maps(image, ["matching"])["matching"]


@pytest.fixture(scope="module")
def state():
    return published()


@pytest.fixture(scope="module")
def path(state, tmp_path_factory):
    """The published file is of 2017: no zip archive, but the format before."""
    path = tmp_path_factory.mktemp("vgg") / "vgg19-dcbb9e9d.pth"
    torch.save(state, path, _use_new_zipfile_serialization=False)
    return path


@pytest.fixture(scope="module")
def vgg(path):
    return Vgg19(path)


@pytest.fixture(scope="module")
def image():
    return torch.rand(2, 3, 32, 48, generator=torch.Generator().manual_seed(1)) * 2 - 1


@pytest.fixture(scope="module")
def expected(state, image):
    return activations(state, image)


def test_activations_are_those_of_the_published_network(vgg, image, expected):
    assert len(vgg.outputs) == 14  # relu1_1 to relu5_2
    for name, found in zip(vgg.outputs, vgg(image, list(vgg.outputs)), strict=True):
        assert_close(found.double(), expected[name], rtol=1e-4, atol=1e-4)


def test_layers_come_in_the_order_asked_for(vgg, image, expected):
    names = ["relu3_1", "relu1_2", "relu3_1"]
    for name, found in zip(names, vgg(image, names), strict=True):
        assert_close(found.double(), expected[name], rtol=1e-4, atol=1e-4)


def test_what_each_loss_compares(vgg, image, expected):
    assert LAYERS["perceptual"] == ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
    assert LAYERS["style"] == ("relu2_2", "relu3_4", "relu4_4", "relu5_2")
    maps = vgg.maps(image, ["perceptual", "style", "matching"])
    for use, found in maps.items():
        for name, activation in zip(LAYERS[use], found, strict=True):
            assert_close(activation.double(), expected[name], rtol=1e-4, atol=1e-4)
    for stride, channels, found in zip((8, 4), (512, 256), maps["matching"], strict=True):
        assert found.shape == (2, channels, 32 // stride, 48 // stride)
        assert found.min() >= 0


def test_all_uses_take_one_pass_no_deeper_than_asked_for(vgg, image):
    ran = []
    hooks = [
        layer.register_forward_hook(lambda *_, i=i: ran.append(i))
        for i, layer in enumerate(vgg.features)
    ]
    vgg.maps(image, ["matching"])
    assert ran == list(range(21))  # relu4_1 is features.20
    ran.clear()
    vgg.maps(image, ["matching", "perceptual", "style"])
    assert ran == list(range(32))  # relu5_2 is features.31
    for hook in hooks:
        hook.remove()


def test_it_is_frozen_and_differentiates_by_the_image(vgg, image):
    assert not any(p.requires_grad for p in vgg.parameters())
    image = image[:, :, :16, :16].clone().requires_grad_()
    other = torch.zeros_like(image)
    for use, loss in (("perceptual", perceptual), ("style", style)):
        generated, real = (vgg.maps(x, [use])[use] for x in (image, other))
        (gradient,) = torch.autograd.grad(loss(generated, real), image)
        assert gradient.isfinite().all()
        assert gradient.abs().max() > 0
    assert all(p.grad is None for p in vgg.parameters())
    assert_close(matching(vgg.train(), image), matching(vgg.eval(), image))


def test_the_flow_losses_run_on_it(vgg, image, tmp_path):
    flows = [torch.zeros(2, 1, 2, 32 // s, 48 // s, requires_grad=True) for s in (8, 4)]
    objective = FlowObjective(GeneratorConfig(pose_channels=21), TrainConfig(out=tmp_path))
    terms = objective(matching(vgg, image.flip(0)), matching(vgg, image), flows)
    sum(terms.values()).backward()
    assert terms["correctness"] > 0
    assert all(flow.grad.abs().max() > 0 for flow in flows)


def test_zip_archives_safetensors_and_half_precision_are_read_too(state, vgg, image, tmp_path):
    kept = {name: tensor for name, tensor in state.items() if name.startswith("features.")}
    save_file(kept, tmp_path / "vgg.safetensors")
    torch.save({name: tensor.half() for name, tensor in state.items()}, tmp_path / "half.pth")
    from_safetensors, from_half = (Vgg19(tmp_path / n) for n in ("vgg.safetensors", "half.pth"))
    assert_close(matching(from_safetensors, image), matching(vgg, image), rtol=0, atol=0)
    assert matching(from_half, image)[1].dtype == torch.float32
    assert_close(matching(from_half, image)[1], matching(vgg, image)[1], rtol=1e-2, atol=1e-2)


def test_weights_outlive_their_file(state, image, tmp_path):
    path = tmp_path / "vgg.safetensors"
    save_file({name: t for name, t in state.items() if name.startswith("features.")}, path)
    vgg = Vgg19(path)
    before = matching(vgg, image)
    path.write_bytes(bytes(path.stat().st_size))
    assert_close(matching(vgg, image), before, rtol=0, atol=0)


def test_it_is_found_in_the_cache_of_the_hub(path, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    cached = tmp_path / "hub" / "checkpoints" / "vgg19-dcbb9e9d.pth"
    with pytest.raises(FileNotFoundError) as missing:
        make_features("vgg19", None)
    for part in (cached, "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth", "548 MB"):
        assert str(part) in str(missing.value)
    cached.parent.mkdir(parents=True)
    cached.symlink_to(path)
    with caplog.at_level(logging.INFO, logger="rfwarp"):
        assert isinstance(make_features("vgg19", None), Vgg19)
    assert str(cached) in caplog.text


def test_a_path_that_is_no_file_is_not_replaced_by_the_cache(path, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / path.name).symlink_to(path)
    for wrong in (tmp_path / "absent.pth", tmp_path):
        with pytest.raises(FileNotFoundError, match=f"{wrong} is no file"):
            make_features("vgg19", wrong)


@pytest.mark.parametrize("kind", ["legacy", "zip", "safetensors"])
@pytest.mark.parametrize("keep", [0, 7, 300, 0.5, -1])
def test_cut_files_are_errors(kind, keep, tmp_path):
    path = tmp_path / ("vgg.safetensors" if kind == "safetensors" else "vgg.pth")
    small = {"features.0.weight": torch.randn(64, 3, 3, 3), "features.0.bias": torch.zeros(64)}
    if kind == "safetensors":
        save_file(small, path)
    else:
        torch.save(small, path, _use_new_zipfile_serialization=kind == "zip")
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep) if isinstance(keep, float) else keep])
    with pytest.raises(ValueError, match=f"{path} is damaged"):
        Vgg19(path)


def test_what_cannot_be_opened_is_not_called_damaged(tmp_path):
    with pytest.raises(OSError, match=str(tmp_path)):
        read_tensors(tmp_path)  # a folder


class Bomb:
    def __reduce__(self):
        return (exec, ("raise SystemExit('code in a file of weights ran')",))


@pytest.mark.parametrize("content", [Bomb(), [torch.zeros(2)], {"state_dict": {}}])
def test_files_of_something_else_are_errors(content, tmp_path):
    torch.save(content, tmp_path / "vgg.pth")
    with pytest.raises(
        ValueError, match=r"damaged|a dict of tensors|no tensor features\.0\.weight"
    ):
        Vgg19(tmp_path / "vgg.pth")


WEIGHT, BIAS = torch.zeros(64, 3, 3, 3), torch.zeros(64)


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        (
            {"0.weight": WEIGHT[:, :1], "0.bias": BIAS},
            r"0\.weight .*\(64, 3, 3, 3\).*\(64, 1, 3, 3",
        ),
        ({"0.weight": WEIGHT, "0.bias": BIAS[:3]}, r"0\.bias .*\(64,\), got torch\.float32 \(3,\)"),
        ({"0.weight": WEIGHT.int(), "0.bias": BIAS}, r"0\.weight .*floating.*got torch\.int32"),
        ({"0.weight": WEIGHT, "0.bias": BIAS / 0}, r"0\.bias has values that are not finite"),
        ({"0.weight": WEIGHT}, r"no tensor features\.0\.bias"),
        ({"0.weight": WEIGHT, "0.bias": 3}, r"no tensor features\.0\.bias"),
    ],
)
def test_the_tensor_that_does_not_fit_is_named(tensors, message, tmp_path):
    path = tmp_path / "vgg.pth"
    torch.save({f"features.{name}": tensor for name, tensor in tensors.items()}, path)
    with pytest.raises(ValueError, match=message):
        Vgg19(path)


def test_another_network_of_the_family_is_an_error(tmp_path):
    vgg16 = "64 64 M 128 128 M 256 256 256 M 512 512 512 M 512 512 512 M"
    torch.save(published(vgg16), tmp_path / "vgg16.pth")
    with pytest.raises(
        ValueError, match=r"no file of VGG-19: it has no tensor features\.16\.weight"
    ):
        Vgg19(tmp_path / "vgg16.pth")


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 1, 32, 32), (1, 3, 24, 32), (1, 3, 0, 32)])
def test_images_that_do_not_halve_four_times_are_refused(vgg, shape):
    with pytest.raises(ValueError, match=r"multiples of 16, got \("):
        vgg.maps(torch.zeros(shape), ["perceptual"])


def test_unknown_layers_are_refused(vgg, image):
    with pytest.raises(ValueError, match=r"relu5_3.*relu1_1, relu1_2"):
        vgg(image, ["relu1_1", "relu5_3"])
