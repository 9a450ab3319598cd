"""``rfwarp render-chairs`` and ``rfwarp evaluate``."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from rfwarp import Generator
from rfwarp.cli import main
from rfwarp.data import ChairFolder, render_views
from rfwarp.model_card import with_results
from rfwarp.poses import Viewpoint
from rfwarp.precision import fast_dtype
from rfwarp.training.config import TrainConfig
from rfwarp.training.provenance import trained_card

Refused = Callable[..., str]


def test_render_chairs_writes_what_the_dataset_reads(chairs: Path) -> None:
    folder = ChairFolder(chairs)
    views = [Viewpoint(0, 10), Viewpoint(100, 0), Viewpoint(200, 20), Viewpoint(300, 10)]
    assert folder.available == tuple(view.index for view in views)
    for number, seed in enumerate((900_003, 900_004)):
        expected = render_views(seed, views, 64)
        assert torch.equal(folder.views(number, folder.available), expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--count", "0"], "--count must be at least 1"),
        (["--size", "0"], "--size must lie in 1..4096, got 0"),
        (["--size", "999999"], "--size must lie in 1..4096"),
        (["--first-seed", "-1"], "--first-seed at least 0"),
        (["--views", "7:10"], "azimuth must be one of"),
    ],
)
def test_render_chairs_refuses_bad_arguments(
    arguments: list[str], message: str, tmp_path: Path, refused: Refused
) -> None:
    assert message in refused("render-chairs", "--out", tmp_path / "out", *arguments)
    assert list(tmp_path.iterdir()) == []


def test_render_chairs_needs_a_folder(tmp_path: Path, refused: Refused) -> None:
    (tmp_path / "file").write_text("")
    message = refused("render-chairs", "--out", tmp_path / "file", status=1)
    assert "exists and is no folder" in message


def test_evaluate_writes_the_same_numbers_again(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--weights", str(model), "--count", "2", "--sets", "4", "--sources", "1", "2"]
    first, second, other = (tmp_path / name for name in ("a.json", "new/b.json", "c.json"))
    assert main(["evaluate", *given, "--json", str(first)]) == 0
    shown = capsys.readouterr().out
    assert main(["evaluate", *given, "--json", str(second)]) == 0
    assert main(["evaluate", *given, "--seed", "1", "--json", str(other)]) == 0
    assert first.read_bytes() == second.read_bytes()
    report = json.loads(first.read_text())
    assert json.loads(other.read_text())["results"] != report["results"]
    expected = {"name": "chairs", "count": 2, "size": 64, "first_seed": 900_000}
    assert (report["weights"], report["dataset"]) == (str(model), expected)
    assert (report["sets"], report["seed"], report["device"]) == (4, 0, "cpu")
    assert report["versions"]["torch"] == torch.__version__
    assert [result["sources"] for result in report["results"]] == [1, 2]
    for result in report["results"]:
        for method in ("model", "nearest_source", "mean_source"):
            names = set(result[method]) - {"levels"}
            assert {"psnr", "ssim", "l1", "sharpness", "hp_r2"} <= names
            assert ("flow_epe" in names) == (method == "model")
            assert f"{result[method]['psnr']:.2f}" in shown
    assert report["results"][0]["nearest_source"] == report["results"][0]["mean_source"]


def test_evaluate_reports_the_precision_that_auto_takes(model: Path, tmp_path: Path) -> None:
    given = ["--weights", str(model), "--count", "1", "--sets", "1", "--sources", "1"]
    given += ["--device", "cpu", "--precision", "auto", "--json", str(tmp_path / "a.json")]
    assert main(["evaluate", *given]) == 0
    taken = str(fast_dtype(torch.device("cpu"))).removeprefix("torch.")
    assert json.loads((tmp_path / "a.json").read_text())["precision"] == taken


def test_evaluate_reads_a_folder(model: Path, chairs: Path, tmp_path: Path) -> None:
    given = ["--weights", str(model), "--dataset", str(chairs), "--sets", "3", "--sources", "3"]
    assert main(["evaluate", *given, "--json", str(tmp_path / "a.json")]) == 0
    report = json.loads((tmp_path / "a.json").read_text())
    assert report["dataset"] == {"name": str(chairs), "size": 64}
    assert len(report["results"]) == 1


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--sources", "0"], 2, "error: sources[0] must be greater than or equal to 1, got 0"),
        (["--sources", "54"], 1, "sources must be at most 53 of procedural chairs"),
        (["--sources"], 2, "sources must have at least 1 item, got ()"),
        (["--sets", "0"], 2, "sets must be greater than or equal to 1"),
        (["--batch-size", "0"], 2, "batch_size must be greater than or equal to 1"),
        (["--count", "-1"], 2, "--count must be at least 1"),
        (["--size", "99999"], 2, "--size must lie in"),
        (["--json", "."], 2, "is a folder"),
        (["--first-seed", "899999"], 1, "mix training chairs with held-out"),
        (["--dataset", "sofas"], 1, "no dataset 'sofas'"),
        (["--dataset", "."], 1, "poses.csv"),
        (["--dataset", ".", "--size", "64"], 2, "--size is not for a folder of chairs"),
        (["--dataset", ".", "--align"], 2, "--align is not for a folder of chairs"),
        (
            ["--dataset", "kitti", "--size", "64"],
            2,
            "--size is not for kitti, whose images have their own",
        ),
        (["--dataset", "kitti", "--count", "2"], 2, "--count is not for kitti, which has no seeds"),
        (["--dataset", "market1501", "--first-seed", "0"], 2, "--first-seed is not for market1501"),
        (["--dataset", ".", "--count", "2"], 2, "--count is not for a folder of chairs"),
        (["--weights", "nothing"], 1, "no model 'nothing'"),
        (["--card"], 1, "a model card has the headings '## Held-out results'"),
        (["--weights", "chairs-64", "--card"], 2, "--card needs weights in a folder"),
    ],
)
def test_evaluate_refuses_bad_arguments(
    arguments: list[str], status: int, message: str, model: Path, refused: Refused
) -> None:
    given = ["evaluate", "--weights", model, "--sets", "2"]
    assert message in refused(*given, *arguments, status=status)


def test_evaluate_completes_the_model_card(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = Path(shutil.copytree(model, tmp_path / "model"))
    card = trained_card({}, TrainConfig(out=tmp_path), (64, 64), {})
    (copy / "README.md").write_text(card)
    given = ["--weights", str(copy), "--count", "2", "--sets", "2", "--sources", "1"]
    assert main(["evaluate", *given, "--json", str(tmp_path / "a.json"), "--card"]) == 0
    report = json.loads((tmp_path / "a.json").read_text())
    assert (copy / "README.md").read_text() == with_results(card, report)


def test_evaluate_needs_a_size(tmp_path: Path, refused: Refused) -> None:
    model = Generator(pose_channels=21, width=0.125).save_pretrained(tmp_path / "model")
    assert "does not say which --size" in refused("evaluate", "--weights", model)
