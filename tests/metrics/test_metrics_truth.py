"""The evaluation with true correspondences: a textured image, shifted by known flows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from rfwarp import Generator
from rfwarp.cli import main
from rfwarp.data.truth import Truth
from rfwarp.data.tuples import Row, Sample
from rfwarp.images import from_uint8
from rfwarp.metrics import EvaluationConfig, evaluate
from rfwarp.metrics.baselines import warped_by_truth
from rfwarp.metrics.tables import (
    level_markdown_table,
    level_text_table,
    score_lines,
    text_table,
)
from rfwarp.nn.results import LevelMaps
from rfwarp.poses import Viewpoint

SIZE, ROOM = 64, 16
SHIFTS = torch.tensor([[8, 0], [-8, 8], [0, -16], [-16, -8]])  # x, y: what q - p is
NAMES = {"psnr", "ssim", "l1", "sharpness", "hp_r2"}
WARP = {"flow_epe", "flow_epe_zero", "visibility_auc", "levels"}


class Shifted:
    """Sources are parts of a texture, each shifted against the target; it shows the object but for
    its last rows."""

    pose_kind, height, width, max_sources = Viewpoint.kind, SIZE, SIZE, 4

    def __init__(self, truths: int = 100) -> None:
        g = torch.Generator().manual_seed(0)
        side = SIZE + 2 * ROOM
        self.texture = torch.randint(0, 256, (3, side, side), generator=g, dtype=torch.uint8)
        self.truths = truths

    def evaluation_rows(self, seed: int, count: int, sources: int) -> list[Row]:
        return [(*range(number, number + sources), number + 4) for number in range(count)]

    def draw(self, seed: int, step: int, batch_size: int, sources: int) -> list[Row]:
        raise NotImplementedError

    def load(self, row: Row) -> Sample:
        k = len(row) - 1
        shifts = SHIFTS[[i % 4 for i in row[:-1]]]
        sources = torch.stack([self._part(*(-shift).tolist()) for shift in shifts])
        codes = Viewpoint.codes()[list(row)]
        flow = shifts[:, :, None, None].float().expand(-1, -1, SIZE, SIZE)
        y, x = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
        q = torch.stack([x, y]) + shifts[:, :, None, None]
        foreground = y < SIZE - 8
        visible = ((q >= 0) & (q < SIZE)).all(1) & foreground
        truth = Truth(flow * foreground, visible, foreground) if row[-1] - 4 < self.truths else None
        return Sample(sources, codes[:k], self._part(0, 0), codes[-1], truth)

    def _part(self, x: int, y: int) -> Tensor:
        """A point at p in the target is at p + shift in the part at -shift."""
        return self.texture[:, ROOM + y : ROOM + y + SIZE, ROOM + x : ROOM + x + SIZE]


@pytest.fixture(scope="module")
def generator() -> Generator:
    torch.manual_seed(0)
    return Generator(pose_channels=21, pose_kind="viewpoint", image_size=64, width=1 / 16).eval()


def test_the_oracle_is_exact_where_a_source_shows_the_point() -> None:
    sample = Shifted().load((0, 1, 2, 3, 4))
    assert sample.truth is not None
    truth = Truth(*(x[None] for x in sample.truth[:3]))
    sources, target = from_uint8(sample.sources)[None], from_uint8(sample.target)[None]
    elsewhere = torch.full_like(target, 7.0)
    image = warped_by_truth(sources, truth, elsewhere)
    seen = truth.visible.any(1)[:, None].expand_as(image)
    assert 0.5 < seen.float().mean() < 1
    torch.testing.assert_close(image[seen], target[seen], rtol=0, atol=1e-6)
    assert (image[~seen] == 7).all()
    two = torch.stack([sources[0, :1], sources[0, :1] + 2], dim=1)  # both show it: their mean
    twice = Truth(truth.flow[:, [0, 0]], truth.visible[:, [0, 0]], truth.foreground)
    own = truth.visible[:, :1].expand_as(target)
    mean = warped_by_truth(two, twice, elsewhere)
    torch.testing.assert_close(mean[own], target[own] + 1, rtol=0, atol=1e-6)


def test_a_perfect_model(generator: Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that knows the truth, at levels of three strides."""
    data = Shifted()
    sample = data.load((0, 1, 2, 3, 4))
    assert sample.truth is not None
    truth = sample.truth

    def forward(sources: Tensor, *poses: Tensor, return_maps: bool) -> tuple[Tensor, Any]:
        assert return_maps
        k = sources.shape[1]
        levels = []
        for stride in (8, 4, 1):
            flow, visible = truth.flow[None, :k], truth.visible[None, :k, None].float()
            half = flow[..., ::stride, ::stride] / stride / 2
            seen = visible[..., ::stride, ::stride]
            attention = seen / seen.sum(1, keepdim=True).clamp_min(1)
            levels.append(LevelMaps(stride, half, half, attention, 1 - seen))
        return from_uint8(sample.target)[None], levels

    monkeypatch.setattr(generator, "forward", forward)
    for result in evaluate(generator, data, EvaluationConfig((1, 4), sets=1)):
        assert result.warp is not None
        assert result.warp.flow_epe == 0 < result.warp.flow_epe_zero
        assert result.warp.visibility_auc == 1
        assert (result.model.sharpness, result.model.hp_r2) == (1, 1)
        assert result.warped_by_truth is not None
        assert result.warped_by_truth.hp_r2 == pytest.approx(1, abs=1e-6)
        for level in result.warp.levels:
            assert level.flow.mean == pytest.approx(result.warp.flow_epe_zero / 2)
            wanted = None if result.sources == 1 else pytest.approx(1, abs=1e-6)
            assert level.visible_attention == wanted


def test_names_and_tables(generator: Generator) -> None:
    results = evaluate(generator, Shifted(), EvaluationConfig((1, 2), sets=3, batch_size=2))
    for result in results:
        values = result.to_dict()
        assert set(values["model"]) == NAMES | WARP
        for method in ("nearest_source", "mean_source", "warped_by_truth"):
            assert set(values[method]) == NAMES
        assert [level["stride"] for level in values["model"]["levels"]] == [8, 4]
        assert set(values["model"]["levels"][0]["refined"]) == {"mean", "median", "near"}
        assert json.loads(json.dumps(values, allow_nan=False)) == json.loads(json.dumps(values))
        assert values["model"]["hp_r2"] < 0.5 < values["warped_by_truth"]["hp_r2"]
    report = [result.to_dict() for result in results]
    lines = text_table(score_lines(report)).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert [line.split()[1:3] for line in lines[1:]] == [
        *(["model", lines[1].split()[2]], ["nearest", "source"], ["mean", "source"]),
        *(["warped", "by"], ["model", lines[5].split()[2]], ["nearest", "source"]),
        *(["mean", "source"], ["warped", "by"]),
    ]
    levels = level_text_table(report).splitlines()
    assert len({len(line) for line in levels}) == 1
    assert [line.split()[:2] for line in levels[1:]] == [
        *(["1", "8"], ["1", "4"], ["2", "8"], ["2", "4"])
    ]
    assert level_markdown_table(report).count("\n") == 2 + 4


def test_batches_do_not_matter(generator: Generator) -> None:
    one, five = (
        evaluate(generator, Shifted(), EvaluationConfig((2,), 5, batch_size=n))[0].warp
        for n in (1, 5)
    )
    assert one is not None
    assert five is not None
    assert one.flow_epe == pytest.approx(five.flow_epe, rel=1e-5)
    assert one.visibility_auc == pytest.approx(five.visibility_auc, rel=1e-3)


def test_without_truth_nothing_changes(generator: Generator) -> None:
    (result,) = evaluate(generator, Shifted(truths=0), EvaluationConfig((2,), sets=2))
    assert (result.warp, result.warped_by_truth) == (None, None)
    assert set(result.to_dict()["model"]) == {"psnr", "ssim", "l1"}
    report = [result.to_dict()]
    assert level_text_table(report) == level_markdown_table(report) == ""
    with_truth = evaluate(generator, Shifted(), EvaluationConfig((2,), sets=2))[0].model
    assert (result.model.psnr, result.model.l1) == (with_truth.psnr, with_truth.l1)


@pytest.mark.parametrize("batch_size", [1, 2])
def test_truth_of_some_sets_only_is_refused(generator: Generator, batch_size: int) -> None:
    with pytest.raises(ValueError, match="only 1 of 2 sets have truth"):
        evaluate(
            generator, Shifted(truths=1), EvaluationConfig((2,), sets=2, batch_size=batch_size)
        )


def test_a_model_without_occlusion_has_no_auc() -> None:
    model = Generator(pose_channels=21, width=1 / 64, occlusion=False).eval()
    (result,) = evaluate(model, Shifted(), EvaluationConfig((2,), sets=2))
    assert result.to_dict()["model"]["visibility_auc"] is None
    assert "vis. AUC" not in text_table(score_lines([result.to_dict()]))


@pytest.mark.parametrize("dataset", ["chairs", "people"])
def test_the_command(dataset: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kind, channels = ("viewpoint", 21) if dataset == "chairs" else ("keypoints", 18)
    model = Generator(pose_channels=channels, pose_kind=kind, image_size=64, width=1 / 64)
    model.save_pretrained(tmp_path / "model")
    given = ["-w", str(tmp_path / "model"), "--dataset", dataset, "--count", "2", "--sets", "2"]
    out = ["--json", str(tmp_path / "r.json"), "--table", str(tmp_path / "t.md")]
    assert main(["evaluate", *given, "--sources", "1", "2", *out]) == 0
    shown = capsys.readouterr().out
    assert "warped by truth" in shown
    assert "pooled truth" in shown
    for result in json.loads((tmp_path / "r.json").read_text())["results"]:
        assert set(result["model"]) == NAMES | WARP
        assert set(result["warped_by_truth"]) == NAMES
        epe = result["model"]["flow_epe"]
        assert 0 < result["model"]["levels"][1]["pooled_truth"]["mean"] < epe
        assert f" {epe:.2f} " in shown
        assert f" {epe:.2f} |" in (tmp_path / "t.md").read_text()
