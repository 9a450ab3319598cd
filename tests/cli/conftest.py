"""A model, chairs, and a command that fails, for the tests of ``rfwarp``."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from rfwarp import Generator
from rfwarp.cli import main


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained model that takes viewpoints."""
    torch.manual_seed(0)
    generator = Generator(pose_channels=21, pose_kind="viewpoint", image_size=64, width=0.125)
    return generator.save_pretrained(tmp_path_factory.mktemp("models") / "viewpoints")


@pytest.fixture(scope="session")
def chairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two chairs, each from four viewpoints."""
    folder = tmp_path_factory.mktemp("chairs")
    views = ["0:10", "100:0", "200:20", "300:10"]
    arguments = ["--count", "2", "--first-seed", "900003", "--size", "64", "--views", *views]
    assert main(["render-chairs", "--out", str(folder), *arguments]) == 0
    return folder


@pytest.fixture
def sources(chairs: Path) -> list[str]:
    return sorted(str(path) for path in chairs.glob("900003_*.png"))


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs a command that must fail in one line on stderr; returns that line."""

    def run(*arguments: object, status: int = 2) -> str:
        capsys.readouterr()
        assert main(list(map(str, arguments))) == status
        captured = capsys.readouterr()
        assert captured.out == ""
        lines = captured.err.splitlines()
        assert len(lines) == 1
        assert lines[0].startswith("rfwarp: error: ")
        return lines[0]

    return run
