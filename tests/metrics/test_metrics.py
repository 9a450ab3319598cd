"""Scores against formulas in float64, baselines against brute force, and the whole evaluation."""

import subprocess
import sys
from math import acos, asin, cos, degrees, radians, sin

import numpy as np
import pytest
import torch
from torch import Tensor

from rfwarp import Generator
from rfwarp.data import ChairTuples, ProceduralChairs, sample_view_sets
from rfwarp.metrics import (
    MAX_PSNR,
    EvaluationConfig,
    evaluate,
    mean_source,
    nearest_source,
    score_images,
)
from rfwarp.poses import POSE_KINDS, Viewpoint


@pytest.fixture
def pairs() -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(0)
    truth = torch.rand(3, 3, 20, 25, generator=rng) * 2 - 1
    noise = (
        torch.randn(truth.shape, generator=rng)
        * torch.tensor([0.01, 0.2, 1.0])[:, None, None, None]
    )
    return truth + noise, truth  # the noisiest leaves [-1, 1] and is clipped


def unit(image: Tensor) -> np.ndarray:
    return np.clip((image.double().numpy() + 1) / 2, 0, 1)


def ssim(a: np.ndarray, b: np.ndarray) -> float:
    """Wang et al. (2004) as plain loops over windows; a and b are (3, H, W) in [0, 1]."""
    offsets = np.arange(11) - 5
    line = np.exp(-(offsets**2) / (2 * 1.5**2))
    window = np.outer(line, line) / line.sum() ** 2
    values = []
    for x, y in zip(a, b, strict=True):
        for top in range(x.shape[0] - 10):
            for left in range(x.shape[1] - 10):
                p, q = (z[top : top + 11, left : left + 11] for z in (x, y))
                mp, mq = (window * p).sum(), (window * q).sum()
                vp, vq = (window * (p - mp) ** 2).sum(), (window * (q - mq) ** 2).sum()
                cov = (window * (p - mp) * (q - mq)).sum()
                c1, c2 = 0.01**2, 0.03**2
                values.append(
                    (2 * mp * mq + c1) * (2 * cov + c2) / ((mp**2 + mq**2 + c1) * (vp + vq + c2))
                )
    return float(np.mean(values))


def test_scores_equal_their_formulas(pairs: tuple[Tensor, Tensor]) -> None:
    scores = score_images(*pairs)
    for n, (image, truth) in enumerate(zip(*map(unit, pairs), strict=True)):
        psnr = -10 * np.log10(((image - truth) ** 2).mean())
        # torchmetrics keeps the data range in float32
        assert float(scores.psnr[n]) == pytest.approx(psnr, rel=1e-6)
        assert float(scores.ssim[n]) == pytest.approx(ssim(image, truth), abs=1e-6)
        assert float(scores.l1[n]) == pytest.approx(np.abs(image - truth).mean(), rel=1e-12)
    assert all(values.dtype == torch.float64 and values.shape == (3,) for values in scores)


def test_equal_images_get_the_best_scores(pairs: tuple[Tensor, Tensor]) -> None:
    scores = score_images(pairs[1][:1], pairs[1][:1])
    assert (float(scores.psnr), float(scores.l1)) == (MAX_PSNR, 0.0)
    assert float(scores.ssim) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("shape", [(3, 20, 20), (1, 3, 10, 20), (2, 3, 20, 20)])
def test_scores_refuse_other_shapes(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="images and references must both be"):
        score_images(torch.zeros(shape), torch.zeros(shape) if shape[0] != 2 else torch.zeros(3))


KIND, CODES = POSE_KINDS["viewpoint"], Viewpoint.codes()


def test_angles_equal_the_haversine_formula() -> None:
    angles = KIND.distance(CODES[:, None], CODES)
    for i, a in enumerate(Viewpoint.grid()):
        for j, b in enumerate(Viewpoint.grid()):
            up, around = radians(a.elevation - b.elevation), radians(a.azimuth - b.azimuth)
            h = sin(up / 2) ** 2 + (
                cos(radians(a.elevation)) * cos(radians(b.elevation)) * sin(around / 2) ** 2
            )
            expected = degrees(2 * asin(min(1, h**0.5)))
            assert float(angles[i, j]) == pytest.approx(expected, abs=2e-3)
    torch.testing.assert_close(angles, angles.T)


def direction(view: Viewpoint) -> tuple[float, float, float]:
    a, e = radians(view.azimuth), radians(view.elevation)
    return cos(a) * cos(e), sin(a) * cos(e), sin(e)


def test_nearest_source_equals_brute_force() -> None:
    sets = sample_view_sets(5, 0, 200, 4, 3, range(54))
    sources = torch.arange(800.0).view(200, 4, 1, 1, 1).expand(-1, -1, 3, 2, 2)
    chosen = nearest_source(sources, KIND, CODES[sets.sources], CODES[sets.targets])
    for n in range(200):
        target = direction(Viewpoint.from_index(int(sets.targets[n])))
        best, best_angle = 0, 999.0
        for k in range(4):
            source = direction(Viewpoint.from_index(int(sets.sources[n, k])))
            dot = sum(x * y for x, y in zip(source, target, strict=True))
            angle = degrees(acos(max(-1, min(1, dot))))
            if angle < best_angle - 1e-3:
                best, best_angle = k, angle
        assert torch.equal(chosen[n], sources[n, best])


@pytest.mark.parametrize("turn", [-20, 20])
def test_nearest_source_takes_the_first_of_equals(turn: int) -> None:
    for target in Viewpoint.grid():
        sides = [Viewpoint(target.azimuth + s, target.elevation).index for s in (turn, -turn)]
        sources = torch.tensor([0.0, 1.0]).view(1, 2, 1, 1, 1).expand(-1, -1, 3, 2, 2)
        chosen = nearest_source(sources, KIND, CODES[sides][None], CODES[target.index][None])
        assert float(chosen.max()) == 0


def test_mean_source() -> None:
    sources = torch.rand(2, 3, 3, 4, 4, dtype=torch.float64)
    expected = (sources[:, 0] + sources[:, 1] + sources[:, 2]) / 3
    torch.testing.assert_close(mean_source(sources), expected, rtol=1e-14, atol=1e-14)


# ---------------------------------------------------------------- the evaluation


@pytest.fixture(scope="module")
def generator() -> Generator:
    torch.manual_seed(0)
    return Generator(pose_channels=21, pose_kind="viewpoint", image_size=64, width=0.125).eval()


@pytest.fixture(scope="module")
def chairs() -> ChairTuples:
    return ChairTuples(ProceduralChairs(900_000, 2, 64))


def test_evaluation_equals_one_set_at_a_time(generator: Generator, chairs: ChairTuples) -> None:
    (result,) = evaluate(
        generator, chairs, EvaluationConfig(sources=(2,), sets=5, seed=3, batch_size=2)
    )
    sets = sample_view_sets(3, 0, 5, 2, 2, range(54))
    model, nearest, mean = [], [], []
    for chair, sources, target in zip(*sets, strict=True):
        seen = chairs.views.views(int(chair), sources).double() / 127.5 - 1
        truth = chairs.views.views(int(chair), [int(target)]).double() / 127.5 - 1
        ours = generator(
            seen[None].float(),
            torch.stack([Viewpoint.from_index(int(i)).encode(64, 64) for i in sources])[None],
            Viewpoint.from_index(int(target)).encode(64, 64)[None],
        )
        angles = KIND.distance(CODES[sources], CODES[target]).round(decimals=3)
        close = seen[:1] if angles[0] <= angles[1] else seen[1:]
        model.append(score_images(ours, truth))
        nearest.append(score_images(close, truth))
        mean.append(score_images(seen.mean(0, keepdim=True), truth))
    for given, expected in (
        (result.model, model),
        (result.nearest_source, nearest),
        (result.mean_source, mean),
    ):
        for name in ("psnr", "ssim", "l1"):
            wanted = np.mean([float(getattr(scores, name)) for scores in expected])
            assert getattr(given, name) == pytest.approx(wanted, rel=2e-5)


def test_numbers_of_sources_do_not_depend_on_each_other(
    generator: Generator, chairs: ChairTuples
) -> None:
    together = evaluate(generator, chairs, EvaluationConfig(sources=(1, 3), sets=3))
    assert [result.sources for result in together] == [1, 3]
    assert evaluate(generator, chairs, EvaluationConfig(sources=(3,), sets=3)) == together[1:]
    assert (
        evaluate(generator, chairs, EvaluationConfig(sources=(1,), sets=3, seed=1))[0]
        != together[0]
    )
    assert together[0].nearest_source == together[0].mean_source


def test_evaluation_reports_progress(generator: Generator, chairs: ChairTuples) -> None:
    seen: list[tuple[int, int]] = []
    config = EvaluationConfig((1,), sets=3, batch_size=2)
    evaluate(generator, chairs, config, progress=lambda *given: seen.append(given))
    assert seen == [(2, 3), (3, 3)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sources": ()}, r"sources must have at least 1 item, got \(\)"),
        ({"sources": (1, 0)}, r"sources\[1\] must be greater than or equal to 1, got 0"),
        ({"sources": (54,)}, r"must lie in 1\.\.53"),
        ({"sets": 0}, "sets must be greater than or equal to 1, got 0"),
        ({"batch_size": 0}, "batch_size must be greater than or equal to 1, got 0"),
        ({"seed": -1}, "seed must be greater than or equal to 0, got -1"),
    ],
)
def test_evaluation_refuses_bad_numbers(
    generator: Generator, chairs: ChairTuples, arguments: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        evaluate(generator, chairs, EvaluationConfig(**arguments))  # type: ignore[arg-type]


def test_evaluation_refuses_models_of_other_poses(chairs: ChairTuples) -> None:
    with pytest.raises(ValueError, match="posed by viewpoint"):
        evaluate(Generator(pose_channels=18, width=0.125), chairs)


def test_missing_torchmetrics_is_explained() -> None:
    program = "import sys; sys.modules['torchmetrics'] = None; from rfwarp.metrics import evaluate"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert 'pip install "rfwarp[metrics]"' in done.stderr.splitlines()[-1]
