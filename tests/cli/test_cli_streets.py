"""``rfwarp render-streets``, and what reads its folders."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from rfwarp import Generator
from rfwarp.cli import main
from rfwarp.data import write_street_folder

Refused = Callable[..., str]


@pytest.fixture(scope="module")
def moving(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An untrained model that takes camera motion, with the streets' camera."""
    torch.manual_seed(0)
    generator = Generator(
        pose_channels=6,
        pose_kind="camera",
        image_size=32,
        width=0.125,
        flow_model="depth",
        focal=3.8237,
    )
    return str(generator.save_pretrained(tmp_path_factory.mktemp("models") / "moving"))


def test_render_streets_writes_what_the_dataset_kitti_reads(
    tmp_path: Path, moving: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--count", "2", "--first-seed", "900001", "--size", "16", "--frames", "10"]
    out = tmp_path / "cli"
    assert main(["render-streets", "-o", str(out), *given]) == 0
    assert "wrote 2 streets to" in capsys.readouterr().out
    write_street_folder(tmp_path / "api", 2, 16, 900_001, 10)
    written, expected = (
        {path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()}
        for root in (out, tmp_path / "api")
    )
    assert written == expected
    assert len(written) == 2 * (10 + 2 + 1) + 2

    assert main(["prepare", "kitti", "--root", str(out), "--decode"]) == 0
    assert "10 test frames" in capsys.readouterr().out
    report = tmp_path / "scores.json"
    given = ["-w", moving, "--dataset", "kitti", "--root", str(out), "--sets", "2"]
    assert main(["evaluate", *given, "--sources", "2", "--json", str(report)]) == 0
    assert json.loads(report.read_text())["dataset"]["name"] == "kitti"


def test_streets_are_evaluated_with_their_truth(tmp_path: Path, moving: str) -> None:
    report = tmp_path / "scores.json"
    given = ["-w", moving, "--dataset", "streets", "--count", "1", "--sets", "2"]
    assert main(["evaluate", *given, "--sources", "1", "2", "--json", str(report)]) == 0
    scores = json.loads(report.read_text())
    assert scores["dataset"]["name"] == "streets"
    assert scores["dataset"]["first_seed"] == 900_000
    for result in scores["results"]:
        assert result["warped_by_truth"]["psnr"] > result["model"]["psnr"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--count", "0"], "--count must lie in 1..100"),
        (["--count", "101"], "--count must lie in 1..100"),
        (["--size", "0"], "--size must lie in 1..4096, got 0"),
        (["--frames", "9"], "--frames must lie in 10..64, got 9"),
        (["--first-seed", "-1"], "--first-seed be at least 0"),
    ],
)
def test_render_streets_refuses_bad_arguments(
    arguments: list[str], message: str, tmp_path: Path, refused: Refused
) -> None:
    assert message in refused("render-streets", "--out", tmp_path / "out", *arguments)
    assert list(tmp_path.iterdir()) == []


def test_render_streets_needs_a_folder(tmp_path: Path, refused: Refused) -> None:
    (tmp_path / "file").write_text("")
    message = refused("render-streets", "--out", tmp_path / "file", status=1)
    assert "exists and is no folder" in message
