"""LPIPS and FID, on random weights in the published files' exact formats."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.linalg import sqrtm
from torch import Tensor

from rfwarp.cli import main
from rfwarp.metrics import Inception, Lpips, person_mask
from rfwarp.metrics.evaluation import frechet_distance
from rfwarp.metrics.inception import FILE_NAME as INCEPTION_FILE
from rfwarp.metrics.inception import _layers
from rfwarp.metrics.lpips import FILE_NAME as ALEXNET_FILE
from rfwarp.metrics.lpips import _heads_file

ALEXNET = {0: (64, 3, 11), 3: (192, 64, 5), 6: (384, 192, 3), 8: (256, 384, 3), 10: (256, 256, 3)}


def alexnet_state() -> dict[str, Tensor]:
    g = torch.Generator().manual_seed(0)
    state = {}
    for index, (o, i, size) in ALEXNET.items():
        scale = (2 / (i * size**2)) ** 0.5
        state[f"features.{index}.weight"] = scale * torch.randn(o, i, size, size, generator=g)
        state[f"features.{index}.bias"] = 0.1 * torch.randn(o, generator=g)
    return state | {"classifier.1.weight": torch.zeros(2, 2)}


@pytest.fixture(scope="module")
def hub(tmp_path_factory) -> Path:
    """A hub folder with both files."""
    folder = tmp_path_factory.mktemp("hub") / "checkpoints"
    folder.mkdir()
    torch.save(alexnet_state(), folder / ALEXNET_FILE)
    torch.manual_seed(0)
    state = _layers().state_dict()
    for name, tensor in state.items():  # of a trained network's size
        if name.endswith(("running_var", "bn.weight")):
            tensor.uniform_(0.5, 2)
        elif name.endswith(("running_mean", "bias")):
            tensor.normal_(0, 0.1)
    # What ports made with newer versions of PyTorch have, too.
    state["Conv2d_1a_3x3.bn.num_batches_tracked"] = torch.tensor(0)
    state |= {"fc.weight": torch.zeros(1008, 2048), "fc.bias": torch.zeros(1008)}
    torch.save(state, folder / INCEPTION_FILE)
    return folder.parent


@pytest.fixture
def cached(hub, monkeypatch) -> Path:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(hub))
    return hub


def images(n: int, seed: int, size: int = 64) -> Tensor:
    g = torch.Generator().manual_seed(seed)
    return torch.rand(n, 3, size, size, generator=g) * 2 - 1


def lpips_in_float64(a: Tensor, b: Tensor) -> Tensor:
    """The formula of the paper, layer by layer."""
    state = {name: tensor.double() for name, tensor in alexnet_state().items()}
    heads = torch.load(_heads_file(), map_location="cpu", weights_only=True)
    shift = torch.tensor([-0.030, -0.088, -0.188]).double()[:, None, None]
    scale = torch.tensor([0.458, 0.448, 0.450]).double()[:, None, None]
    x, y = ((image.double() - shift) / scale for image in (a, b))
    total = torch.zeros(len(a), dtype=torch.float64)
    for level, index in enumerate(ALEXNET):
        if index in (3, 6):
            x, y = (F.max_pool2d(z, 3, 2) for z in (x, y))
        stride, padding = (4, 2) if index == 0 else (1, ALEXNET[index][2] // 2)
        weight, bias = state[f"features.{index}.weight"], state[f"features.{index}.bias"]
        x, y = (F.relu(F.conv2d(z, weight, bias, stride, padding)) for z in (x, y))
        unit = [z / z.norm(dim=1, keepdim=True).clamp(min=1e-9) for z in (x, y)]
        linear = heads[f"lin{level}.model.1.weight"].double()
        total += F.conv2d((unit[0] - unit[1]) ** 2, linear).mean((1, 2, 3))
    return total


def test_lpips_is_its_formula(cached):
    lpips = Lpips()
    a, b = images(3, 0), images(3, 1)
    expected = lpips_in_float64(a, b)
    torch.testing.assert_close(lpips(a, b).double(), expected, rtol=1e-4, atol=1e-6)
    assert expected.min() > 0.01
    assert lpips(a, a).abs().max() == 0
    torch.testing.assert_close(lpips(a, b), lpips(b, a))


def test_inception_has_the_published_tensors(cached):
    """Names and shapes of some that every port of the 2015 network has."""
    state = Inception().layers.state_dict()
    assert len(state) == 94 * 5  # convolutions, each with four tensors of its normalisation
    shapes = {
        "Conv2d_1a_3x3.conv.weight": (32, 3, 3, 3),
        "Conv2d_4a_3x3.bn.running_var": (192,),
        "Mixed_5b.branch5x5_2.conv.weight": (64, 48, 5, 5),
        "Mixed_6a.branch3x3dbl_3.conv.weight": (96, 96, 3, 3),
        "Mixed_6e.branch7x7dbl_4.conv.weight": (192, 192, 7, 1),
        "Mixed_7a.branch7x7x3_2.conv.weight": (192, 192, 1, 7),
        "Mixed_7c.branch3x3dbl_3b.conv.weight": (384, 384, 3, 1),
        "Mixed_7c.branch_pool.conv.weight": (192, 2048, 1, 1),
    }
    for name, shape in shapes.items():
        assert tuple(state[name].shape) == shape


def conv(state: dict[str, Tensor], name: str, x: Tensor, stride: int = 1, pad=(0, 0)) -> Tensor:
    s = {k.removeprefix(f"{name}."): v.double() for k, v in state.items() if k.startswith(name)}
    x = F.conv2d(x, s["conv.weight"], None, stride, pad)
    mean, var = s["bn.running_mean"], s["bn.running_var"]
    x = (x - mean[:, None, None]) / (var[:, None, None] + 1e-3).sqrt()
    return F.relu(x * s["bn.weight"][:, None, None] + s["bn.bias"][:, None, None])


def test_inception_blocks_in_float64(cached):
    """One block of each kind of pool, against the convolutions written out."""
    inception = Inception()
    state = {name: v.double() for name, v in inception.layers.state_dict().items()}
    layers = {name: layer.double() for name, layer in inception.layers.named_children()}
    x = torch.rand(1, 192, 9, 9, dtype=torch.float64)
    n = "Mixed_5b"
    five = conv(state, f"{n}.branch5x5_2", conv(state, f"{n}.branch5x5_1", x), pad=(2, 2))
    double = conv(state, f"{n}.branch3x3dbl_1", x)
    for i in (2, 3):
        double = conv(state, f"{n}.branch3x3dbl_{i}", double, pad=(1, 1))
    pooled = F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
    expected = [conv(state, f"{n}.branch1x1", x), five, double]
    expected.append(conv(state, f"{n}.branch_pool", pooled))
    torch.testing.assert_close(layers[n](x), torch.cat(expected, dim=1))

    x = torch.rand(1, 2048, 4, 4, dtype=torch.float64)
    n = "Mixed_7c"
    three = conv(state, f"{n}.branch3x3_1", x)
    double = conv(state, f"{n}.branch3x3dbl_1", x)
    double = conv(state, f"{n}.branch3x3dbl_2", double, pad=(1, 1))
    expected = [
        conv(state, f"{n}.branch1x1", x),
        conv(state, f"{n}.branch3x3_2a", three, pad=(0, 1)),
        conv(state, f"{n}.branch3x3_2b", three, pad=(1, 0)),
        conv(state, f"{n}.branch3x3dbl_3a", double, pad=(0, 1)),
        conv(state, f"{n}.branch3x3dbl_3b", double, pad=(1, 0)),
        conv(state, f"{n}.branch_pool", F.max_pool2d(x, 3, 1, 1)),
    ]
    torch.testing.assert_close(layers[n](x), torch.cat(expected, dim=1))


def test_features_of_pictures(cached):
    inception = Inception()
    features = inception(images(2, 0, 40))
    assert features.shape == (2, 2048)
    larger = F.interpolate(images(2, 0, 40), (299, 299), mode="bilinear", align_corners=False)
    torch.testing.assert_close(inception(larger), features)


def test_frechet_distance_is_its_formula():
    rng = np.random.default_rng(0)
    ours, real = rng.normal(size=(300, 2048)), rng.normal(0.1, 1.2, (300, 2048))
    ours[:, 8:] = real[:, 8:] = 0  # eight features that vary, so that the root is exact
    batches = [
        (torch.from_numpy(a).float(), torch.from_numpy(b).float())
        for a, b in zip(np.split(ours, 3), np.split(real, 3), strict=True)
    ]
    a, b = ours[:, :8], real[:, :8]
    covariances = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = sqrtm(covariances[0] @ covariances[1]).real
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(sum(covariances) - 2 * root)
    assert frechet_distance(batches) == pytest.approx(expected, rel=1e-3)
    assert frechet_distance([]) is None


def test_masks_are_capsules_around_limbs():
    keypoints = torch.zeros(2, 18, 3)
    keypoints[0, 2] = torch.tensor([10.0, 20.0, 1.0])  # right shoulder to elbow
    keypoints[0, 3] = torch.tensor([40.0, 20.0, 1.0])
    mask = person_mask(keypoints, 60, 64)
    assert mask.shape == (2, 1, 60, 64)
    assert mask[1].sum() == 0  # nobody
    column = mask[0, 0, :, 25].nonzero().flatten()
    assert (int(column.min()), int(column.max())) == (15, 25)  # 60 / 15 = 4, and one for the edge
    assert mask[0, 0, 20, 5] == 1
    assert mask[0, 0, 20, 3] == 0


@pytest.mark.parametrize("network", [Lpips, Inception])
def test_missing_weights_say_how_to_get_them(network, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"weights: .*checkpoints/.* is no file. Download"):
        network()
    with pytest.raises(FileNotFoundError, match=re.escape(f"{tmp_path / 'mine.pth'} is no file")):
        network(tmp_path / "mine.pth")


@pytest.mark.parametrize("network", [Lpips, Inception])
def test_damaged_weights(network, tmp_path):
    path = tmp_path / "weights.pth"
    path.write_bytes(b"no weights")
    with pytest.raises(ValueError, match="is damaged"):
        network(path)
    torch.save({"features.0.weight": torch.zeros(1)}, path)
    with pytest.raises(ValueError, match=r"has no tensor|must be floating point \(64, 3, 11, 11\)"):
        network(path)


def test_lpips_refuses_other_shapes(cached):
    with pytest.raises(ValueError, match=r"H and W >= 32, got \(1, 3, 16, 16\)"):
        Lpips()(images(1, 0, 16), images(1, 0, 16))


def test_the_command(cached, tmp_path, capsys):
    """On people of both kinds of LPIPS, and FID."""
    from rfwarp import Generator

    model = Generator(pose_channels=18, pose_kind="keypoints", image_size=64, width=1 / 64)
    model.save_pretrained(tmp_path / "model")
    given = ["-w", str(tmp_path / "model"), "--dataset", "people", "--count", "2", "--sets", "3"]
    metrics = ["--metrics", "lpips", "mask-lpips", "fid", "--sources", "1"]
    assert main(["evaluate", *given, *metrics, "--json", str(tmp_path / "r.json")]) == 0
    shown = capsys.readouterr().out
    assert re.search(r"PSNR dB +SSIM +L1 +LPIPS +MLPIPS +FID", shown)
    assert '"mask_lpips"' in (tmp_path / "r.json").read_text()
    assert main(["evaluate", "--count", "2", "--sets", "2", "--metrics", "mask-lpips"]) == 1
    assert "people posed by keypoints" in capsys.readouterr().err
