"""LPIPS and FID, on random weights in the published files' exact formats."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from scipy.linalg import sqrtm
from torch import Tensor, nn

from rfwarp import Generator
from rfwarp.cli import main
from rfwarp.data import ChairTuples, ProceduralChairs, ProceduralPeople
from rfwarp.images import from_uint8, to_uint8
from rfwarp.metrics import (
    EvaluationConfig,
    ImageMetrics,
    Inception,
    Lpips,
    MetricNetworks,
    evaluate,
    person_mask,
)
from rfwarp.metrics.fid import ImageFolder, feature_statistics, frechet_distance
from rfwarp.metrics.inception import FILE_NAME as INCEPTION_FILE
from rfwarp.metrics.inception import _layers
from rfwarp.metrics.lpips import BACKBONES, heads_file
from rfwarp.metrics.masks import mask_of_target
from rfwarp.poses.keypoints import LIMBS

# Place in torchvision's features: channels in, channels out, size, stride, padding.
CONVOLUTIONS = {
    "alex": {
        0: (3, 64, 11, 4, 2),
        3: (64, 192, 5, 1, 2),
        6: (192, 384, 3, 1, 1),
        8: (384, 256, 3, 1, 1),
        10: (256, 256, 3, 1, 1),
    },
    "vgg": {
        place: (i, o, 3, 1, 1)
        for place, i, o in (
            *((0, 3, 64), (2, 64, 64), (5, 64, 128), (7, 128, 128), (10, 128, 256)),
            *((12, 256, 256), (14, 256, 256), (17, 256, 512), (19, 512, 512), (21, 512, 512)),
            *((24, 512, 512), (26, 512, 512), (28, 512, 512)),
        )
    },
}
POOLS = {"alex": {2: 3, 5: 3}, "vgg": {4: 2, 9: 2, 16: 2, 23: 2}}  # place: size, all of stride 2
COMPARED = {"alex": (1, 4, 7, 9, 11), "vgg": (3, 8, 15, 22, 29)}


def backbone_state(net: str) -> dict[str, Tensor]:
    g = torch.Generator().manual_seed(0)
    state = {}
    for place, (i, o, size, _, _) in CONVOLUTIONS[net].items():
        scale = (2 / (i * size**2)) ** 0.5
        state[f"features.{place}.weight"] = scale * torch.randn(o, i, size, size, generator=g)
        state[f"features.{place}.bias"] = 0.1 * torch.randn(o, generator=g)
    return state | {"classifier.1.weight": torch.zeros(2, 2)}


def inception_state() -> dict[str, Tensor]:
    torch.manual_seed(0)
    state = _layers().state_dict()
    for name, tensor in state.items():  # of a trained network's size
        if name.endswith(("running_var", "bn.weight")):
            tensor.uniform_(0.5, 2)
        elif name.endswith(("running_mean", "bias")):
            tensor.normal_(0, 0.1)
    # What ports made with newer versions of PyTorch have, too.
    state["Conv2d_1a_3x3.bn.num_batches_tracked"] = torch.tensor(0)
    return state | {"fc.weight": torch.zeros(1008, 2048), "fc.bias": torch.zeros(1008)}


@pytest.fixture(scope="module")
def hub(tmp_path_factory) -> Path:
    """A hub folder with all three files."""
    folder = tmp_path_factory.mktemp("hub") / "checkpoints"
    folder.mkdir()
    for net, backbone in BACKBONES.items():
        torch.save(backbone_state(net), folder / backbone.file_name)
    torch.save(inception_state(), folder / INCEPTION_FILE)
    return folder.parent


@pytest.fixture
def cached(hub, monkeypatch) -> Path:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(hub))
    return hub


def images(n: int, seed: int, size: int = 64) -> Tensor:
    g = torch.Generator().manual_seed(seed)
    return torch.rand(n, 3, size, size, generator=g) * 2 - 1


def lpips_in_float64(net: str, a: Tensor, b: Tensor) -> Tensor:
    """The formula of the paper, layer by layer."""
    state = {name: tensor.double() for name, tensor in backbone_state(net).items()}
    heads = torch.load(heads_file(net), map_location="cpu", weights_only=True)
    shift = torch.tensor([-0.030, -0.088, -0.188]).double()[:, None, None]
    scale = torch.tensor([0.458, 0.448, 0.450]).double()[:, None, None]
    x, y = ((image.double() - shift) / scale for image in (a, b))
    total, level = torch.zeros(len(a), dtype=torch.float64), 0
    for place in range(COMPARED[net][-1] + 1):
        if place in CONVOLUTIONS[net]:
            *_, stride, padding = CONVOLUTIONS[net][place]
            weight, bias = state[f"features.{place}.weight"], state[f"features.{place}.bias"]
            x, y = (F.conv2d(z, weight, bias, stride, padding) for z in (x, y))
        elif place in POOLS[net]:
            x, y = (F.max_pool2d(z, POOLS[net][place], 2) for z in (x, y))
        else:
            x, y = (z.clamp(min=0) for z in (x, y))
        if place in COMPARED[net]:
            unit = [z / z.norm(dim=1, keepdim=True).clamp(min=1e-9) for z in (x, y)]
            linear = heads[f"lin{level}.model.1.weight"].double()
            total += F.conv2d((unit[0] - unit[1]) ** 2, linear).mean((1, 2, 3))
            level += 1
    assert level == 5
    return total


@pytest.mark.parametrize("net", ["alex", "vgg"])
def test_lpips_is_its_formula(cached, net):
    lpips = Lpips(net=net)
    a, b = images(2, 0, 40), images(2, 1, 40)
    expected = lpips_in_float64(net, a, b)
    torch.testing.assert_close(lpips(a, b).double(), expected, rtol=1e-4, atol=1e-6)
    assert expected.min() > 0.01
    assert lpips(a, a).abs().max() == 0
    torch.testing.assert_close(lpips(a, b), lpips(b, a))


def test_lpips_by_path(hub):
    path = hub / "checkpoints" / BACKBONES["vgg"].file_name
    assert Lpips(path, "vgg").path == path
    with pytest.raises(ValueError, match=r"features.0.weight must be floating point \(64, 3, 11"):
        Lpips(path)  # VGG-16 is no AlexNet
    with pytest.raises(ValueError, match="net must be one of alex, vgg, got 'squeeze'"):
        Lpips(path, "squeeze")


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


def test_features_of_images(cached):
    inception = Inception()
    features = inception(images(2, 0, 40))
    assert features.shape == (2, 2048)
    larger = F.interpolate(images(2, 0, 40), (299, 299), mode="bilinear", align_corners=False)
    torch.testing.assert_close(inception(larger), features)


def test_torchvisions_own_inception_is_refused(tmp_path):
    """Its tensors have the same names, and but for the classifier the same shapes."""
    state = inception_state()
    state |= {"fc.weight": torch.zeros(1000, 2048), "fc.bias": torch.zeros(1000)}
    torch.save(state, tmp_path / "inception_v3_google-0cc3c7bd.pth")
    with pytest.raises(
        ValueError, match=r"fc.weight must be .* \(1008, 2048\), got .*\(1000, 2048"
    ):
        Inception(tmp_path / "inception_v3_google-0cc3c7bd.pth")


def formula_of_fid(ours: np.ndarray, real: np.ndarray) -> float:
    covariances = np.cov(ours, rowvar=False), np.cov(real, rowvar=False)
    root = sqrtm(covariances[0] @ covariances[1]).real
    means = ours.mean(0) - real.mean(0)
    return float((means**2).sum() + np.trace(sum(covariances) - 2 * root))


def test_frechet_distance_is_its_formula():
    rng = np.random.default_rng(0)
    ours, real = rng.normal(size=(300, 2048)), rng.normal(0.1, 1.2, (200, 2048))
    ours[:, 8:] = real[:, 8:] = 0  # eight features that vary, so that the root is exact
    generated, images = feature_statistics(2048), feature_statistics(2048)
    for batch in np.split(ours, 3):
        generated.update(torch.from_numpy(batch), real=False)
    for batch in np.split(real, 4):
        images.update(torch.from_numpy(batch), real=True)
    expected = formula_of_fid(ours[:, :8], real[:, :8])
    assert frechet_distance(generated, images) == pytest.approx(expected, rel=1e-5)


# ---------------------------------------------------------------- masks


def body(seed: int, height: int, width: int) -> Tensor:
    g = torch.Generator().manual_seed(seed)
    keypoints = torch.rand(18, 3, generator=g) * torch.tensor([width, height, 1.0])
    keypoints[:, 2] = (keypoints[:, 2] > 0.3).float()
    return keypoints * keypoints[:, 2:]


def belongs(x: int, y: int, keypoints: Tensor, height: int) -> bool:
    """The definition, for one pixel."""
    joints = {j: (a, b) for j, (a, b, present) in enumerate(keypoints.tolist()) if present}
    ends = [(joints[a], joints[b]) for a, b in LIMBS if a in joints and b in joints]
    ends += [(joint, joint) for joint in joints.values()]
    for (ax, ay), (bx, by) in ends:
        length = (bx - ax) ** 2 + (by - ay) ** 2
        t = ((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / length if length else 0.0
        t = min(1.0, max(0.0, t))
        if np.hypot(x - ax - t * (bx - ax), y - ay - t * (by - ay)) <= height / 15:
            return True
    head = [joints[j] for j in (0, 14, 15, 16, 17) if j in joints]
    centre = np.mean(head, axis=0) if head else (np.inf, np.inf)
    return bool(np.hypot(x - centre[0], y - centre[1]) <= height / 10)


def test_masks_are_capsules_and_a_disc():
    keypoints = torch.stack([body(seed, 48, 32) for seed in range(3)])
    keypoints[1, [0, 14, 15, 16, 17]] = 0  # no head
    masks = person_mask(keypoints, 48, 32)
    assert masks.shape == (3, 48, 32)
    for mask, joints in zip(masks, keypoints, strict=True):
        expected = [[belongs(x, y, joints, 48) for x in range(32)] for y in range(48)]
        assert torch.equal(mask, torch.tensor(expected))
        assert 0 < mask.float().mean() < 1
    assert not person_mask(torch.zeros(1, 18, 3), 48, 32).any()  # nobody


def test_masks_cover_people():
    """Procedural ones at K = 1, on a background of one colour: hardly any of theirs is cut off but
    skirts and coats, and most of the image is."""
    people = ProceduralPeople(900_000, 4, 64)
    for row in people.evaluation_rows(0, 8, 1):
        sample = people.load(row)
        mask = mask_of_target(row, sample)
        person = (sample.target != sample.target[:, :1, :1]).any(0)
        assert (mask & person).sum() > 0.7 * person.sum()
        assert (mask & ~person).sum() < 0.2 * (~person).sum()


# ---------------------------------------------------------------- gathered scores


class Eight(nn.Module):
    """A stand-in for Inception: eight features that are means of an image's parts."""

    num_features = 8

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(
            torch.randn(8, 3 * 16, generator=torch.Generator().manual_seed(0))
        )
        self.seen = 0

    def forward(self, images: Tensor) -> Tensor:
        self.seen += len(images)
        return F.adaptive_avg_pool2d(images, 4).flatten(1) @ self.weight.T


@pytest.fixture
def eight() -> Eight:
    return Eight().requires_grad_(False)


def saved(images: Tensor) -> Tensor:
    """The images after rounding to 8 bits."""
    return from_uint8(to_uint8(images))


def test_fid_of_images_as_saved_to_the_targets_or_to_others(eight):
    targets, ours, real = (images(n, seed, 16) for n, seed in ((20, 0), (20, 1), (30, 2)))
    targets, real = saved(targets), to_uint8(real)
    for others in (None, [real[:13], real[13:]]):
        metrics = ImageMetrics(16, 16, MetricNetworks(inception=eight, real=others))
        for part in range(0, 20, 8):
            batch = targets[part : part + 8]
            metrics.update(batch, {"a": ours[part : part + 8], "b": batch})
        scores = metrics.compute()
        features = eight(targets if others is None else from_uint8(real)).double().numpy()
        expected = formula_of_fid(eight(saved(ours)).double().numpy(), features)
        assert scores["a"].fid == pytest.approx(expected, rel=1e-4)
        if others is None:
            assert scores["b"].fid == pytest.approx(0, abs=1e-6)


def test_features_of_targets_are_computed_once(eight):
    generator = Generator(pose_channels=21, width=1 / 64).eval()
    chairs = ChairTuples(ProceduralChairs(900_000, 2, 64))
    (one, two) = evaluate(
        generator,
        chairs,
        EvaluationConfig((1, 2), sets=3),
        networks=MetricNetworks(inception=eight),
    )
    assert eight.seen == 3 * (1 + 2 * 3)  # targets; for two K model, nearest and mean
    assert one.nearest_source.fid == one.mean_source.fid != two.mean_source.fid
    assert one.sets == 3


def test_few_images_are_warned_of_and_one_is_refused(eight, caplog):
    generator = Generator(pose_channels=21, width=1 / 64).eval()
    chairs = ChairTuples(ProceduralChairs(900_000, 1, 64))
    with pytest.raises(ValueError, match="FID needs at least 2 sets, got 1"):
        evaluate(
            generator,
            chairs,
            EvaluationConfig((1,), sets=1),
            networks=MetricNetworks(inception=eight),
        )
    evaluate(
        generator, chairs, EvaluationConfig((1,), sets=2), networks=MetricNetworks(inception=eight)
    )
    assert "FID of 2 images is higher than of many" in caplog.text


def test_the_background_does_not_count(cached):
    """Masked LPIPS is LPIPS of images that are black outside of the mask."""
    lpips = Lpips()
    targets, ours = saved(images(2, 0)), saved(images(2, 1))
    masks = torch.zeros(2, 64, 64, dtype=torch.bool)
    masks[:, 10:50, 20:40] = True
    metrics = ImageMetrics(64, 64, MetricNetworks(lpips, mask_of_target))
    inside = torch.where(masks[:, None], targets, ours)
    metrics.update(targets, {"a": ours, "inside": inside}, masks)
    scores = metrics.compute()
    black = [torch.where(masks[:, None], x, -1.0) for x in (ours, targets)]
    assert scores["a"].lpips == pytest.approx(float(lpips(ours, targets).mean()))
    assert scores["a"].mask_lpips == pytest.approx(float(lpips(*black).mean()))
    assert scores["inside"].mask_lpips == 0 < scores["inside"].lpips


def test_a_mask_of_ones_own(cached):
    generator = Generator(pose_channels=21, width=1 / 64).eval()
    chairs = ChairTuples(ProceduralChairs(900_000, 2, 64))
    rows = []

    def everything(row, sample) -> Tensor:
        rows.append(row)
        return torch.ones(64, 64, dtype=torch.bool)

    (result,) = evaluate(
        generator,
        chairs,
        EvaluationConfig((1,), sets=2),
        networks=MetricNetworks(Lpips(), everything),
    )
    assert rows == chairs.evaluation_rows(0, 2, 1)
    assert result.model.mask_lpips == result.model.lpips
    wrong = MetricNetworks(Lpips(), lambda row, sample: torch.ones(64, 64))
    with pytest.raises(ValueError, match=r"mask must be bool \(64, 64\), got torch.float32"):
        evaluate(generator, chairs, EvaluationConfig((1,), sets=2), networks=wrong)
    with pytest.raises(ValueError, match="people posed by keypoints, or a mask of your own"):
        evaluate(
            generator,
            chairs,
            EvaluationConfig((1,), sets=2),
            networks=MetricNetworks(Lpips(), mask_of_target),
        )


def test_scores_that_lack_their_network():
    with pytest.raises(ValueError, match="masked LPIPS needs the network of LPIPS"):
        MetricNetworks(mask=mask_of_target)
    with pytest.raises(ValueError, match="real images are for FID"):
        MetricNetworks(real=[])


def numbered(folder: Path, sizes: list[tuple[int, int]]) -> Iterator[Tensor]:
    for n, (height, width) in enumerate(sizes):
        pixels = np.random.default_rng(n).integers(0, 256, (height, width, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{n}.png")
        yield torch.from_numpy(pixels).permute(2, 0, 1)


def test_folders_of_real_images(tmp_path, eight):
    expected = torch.stack(list(numbered(tmp_path, [(6, 4)] * 5)))
    (tmp_path / "notes.txt").write_text("no image")
    folder = ImageFolder(tmp_path, 6, 4, batch_size=2)
    assert [len(batch) for batch in folder] == [2, 2, 1]
    assert torch.equal(torch.cat(list(folder)), expected)
    with pytest.raises(ValueError, match=r"real images must be uint8 \(N, 3, 8, 8\)"):
        ImageMetrics(8, 8, MetricNetworks(inception=eight, real=folder))
    with pytest.raises(ValueError, match="at least two real images"):
        ImageMetrics(6, 4, MetricNetworks(inception=eight, real=[expected[:1]]))
    list(numbered(tmp_path, [(6, 4), (6, 5)]))
    with pytest.raises(ValueError, match=r"1.png is 6 x 5 \(H x W\), but the results are 6 x 4"):
        list(folder)
    with pytest.raises(FileNotFoundError, match="no folder of real images"):
        ImageFolder(tmp_path / "none", 6, 4)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="has no images"):
        ImageFolder(tmp_path / "empty", 6, 4)


# ---------------------------------------------------------------- files


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


@pytest.mark.slow
def test_the_command(cached, tmp_path, capsys):
    """On people: both kinds of LPIPS and FID, a report, a table, a card and a sheet."""
    model = Generator(pose_channels=18, pose_kind="keypoints", image_size=64, width=1 / 64)
    card = tmp_path / "model" / "README.md"
    model.save_pretrained(card.parent, "# A model\n\n## Held-out results\n\n## Limits\n\nNone.\n")
    given = ["-w", str(tmp_path / "model"), "--dataset", "people", "--count", "2", "--sets", "3"]
    metrics = ["--metrics", "lpips", "mask-lpips", "fid", "--sources", "1"]
    report, table, images = tmp_path / "r.json", tmp_path / "new" / "t.md", tmp_path / "drawn"
    out = ["--json", str(report), "--table", str(table), "--save", str(images)]
    assert main(["evaluate", *given, *metrics, *out, "--card"]) == 0
    shown = capsys.readouterr().out
    assert re.search(r"PSNR dB +SSIM +L1 +LPIPS +MLPIPS +FID", shown)
    written = json.loads(report.read_text())
    assert written["networks"]["lpips"]["net"] == "alex"
    assert written["networks"]["fid"]["file"] == INCEPTION_FILE
    scores = written["results"][0]["model"]
    row = f"| 1 | model | {scores['psnr']:.2f} | {scores['ssim']:.4f} | {scores['l1']:.4f} | "
    row += f"{scores['lpips']:.4f} | {scores['mask_lpips']:.4f} | {scores['fid']:.3f} |"
    for written in (table.read_text(), card.read_text()):
        assert any(line.startswith(row) for line in written.splitlines())
        assert "LPIPS by alex (alexnet-owt-7be5be79.pth)" in written
        assert f"FID by {INCEPTION_FILE}, bilinear, not antialiased, to 299 x 299" in written
        assert "real images: the targets" in written
    with Image.open(images / "results.png") as sheet:  # source, pose, result, truth; three rows
        assert sheet.width == 4 + 4 * (2 * 64 + 4)
        assert sheet.height >= 4 + 3 * (2 * 64 + 4)


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--metrics", "mask-lpips"], 1, "people posed by keypoints"),
        (["--metrics", "lpips", "--lpips-weights", "no.pth"], 1, "no.pth is no file. Download"),
        (["--metrics", "fid", "--fid-weights", "no.pth"], 1, "no.pth is no file. Download"),
        (["--metrics", "fid", "--fid-real", "nowhere"], 1, "no folder of real images"),
        (["--metrics", "fid", "--sets", "1"], 1, "FID needs at least 2 sets, got 1"),
        (["--metrics", "fid", "--lpips-net", "vgg"], 2, "lpips_net is for the metric lpips"),
        (["--fid-real", "."], 2, "fid_real is for the metric fid"),
        (["--table", "."], 2, "--table must name a file"),
        (["--save", __file__], 2, "--save must name a folder"),
        (["--save-sets", "0"], 2, "--save-sets must be at least 1"),
    ],
)
def test_the_command_refuses(cached, capsys, arguments, status, message):
    assert main(["evaluate", "--count", "2", "--sets", "2", *arguments]) == status
    captured = capsys.readouterr()
    assert message in captured.err.splitlines()[-1]
    assert captured.out == ""


# ---------------------------------------------------------------- options


def test_options_that_no_metric_needs_are_refused(tmp_path):
    for options in ({"lpips_net": "vgg"}, {"fid_real": tmp_path}, {"fid_weights": tmp_path}):
        with pytest.raises(ValueError, match=f"{next(iter(options))} is for the metric"):
            EvaluationConfig(**options)
    with pytest.raises(ValueError, match=r"lpips_weights is for the metric lpips, got \('fid',\)"):
        EvaluationConfig(metrics=("fid",), lpips_weights=tmp_path)


@pytest.mark.slow
def test_experiments_are_judged_by_networks_too(hub, tmp_path, monkeypatch):
    pytest.importorskip("accelerate")
    from rfwarp.training.experiment import ExperimentConfig, run_experiment

    train = {
        "data": {"name": "chairs", "size": 64, "count": 2},
        "width": 0.0625,
        "batch_size": 1,
        "sources": [1],
        "flow_steps": 1,
        "steps": 1,
        "features": "oriented-pyramid",
        "weights": {"style": 0, "adversarial": 0},
        "precision": "float32",
        "device": "cpu",
        "workers": 0,
        "sample_every": 0,
    }
    evaluation = EvaluationConfig((1,), sets=2, metrics=("lpips", "fid"))
    experiment = ExperimentConfig(train, {"full": {}}, (0,), evaluation)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(FileNotFoundError, match="no AlexNet weights"):
        run_experiment(experiment, tmp_path / "out", progress=False)
    assert not (tmp_path / "out" / "full-0" / "log.jsonl").exists()  # before any work
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(hub))
    report = json.loads(run_experiment(experiment, tmp_path / "out", progress=False).read_text())
    (run,) = report["runs"]
    assert {"psnr", "ssim", "l1", "lpips", "fid"} < set(run["results"][0]["model"])
    assert run["settings"]["evaluation"]["metrics"] == ["lpips", "fid"]
    assert run["networks"]["lpips"]["net"] == "alex"
    assert "FID (lower is better)" in (tmp_path / "out" / "table.md").read_text()
