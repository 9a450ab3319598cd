"""``rfwarp experiment``: from a file to a table."""

from collections.abc import Callable
from pathlib import Path

import pytest

from rfwarp.cli import main

Refused = Callable[..., str]

FILE = """
train:
  data: {name: chairs, size: 64, count: 2}
  network: {width: 0.0625}
  batch_size: 1
  sources: [1]
  flow_steps: 1
  steps: 1
  features: oriented-pyramid
  weights: {style: 0, adversarial: 0}
  precision: float32
  device: cpu
  workers: 0
  sample_every: 0
variants:
  full: {}
seeds: [3]
evaluation: {sources: [1], sets: 2}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(FILE)
    return path


def test_experiment_runs_once(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    shown = []
    for options in (["--variants", "full"], ["--seeds", "3"]):
        assert main(["experiment", str(file), "--out", str(out), *options]) == 0
        shown.append(capsys.readouterr().out)
    assert shown[0] == shown[1]
    assert (out / "table.md").read_text() in shown[0]
    assert "1 of 1 runs" in shown[0]
    assert f"wrote {out / 'results.json'}" in shown[0]
    files = {path.name for path in out.iterdir()}
    assert files == {"full-3", "results.json", "table.md", "plot.png"}


def test_experiment_refuses(file: Path, tmp_path: Path, refused: Refused) -> None:
    out = tmp_path / "out"
    message = refused("experiment", file, "--out", out, "--seeds", "4", status=1)
    assert "there is no seed 4" in message
    file.write_text(FILE.replace("seeds: [3]", "seeds: [3, x]"))
    message = refused("experiment", file, "--out", out, status=1)
    assert "small.yaml: seeds[1] must be a valid integer, got 'x'" in message
    assert "none.yaml" in refused("experiment", tmp_path / "none.yaml", "--out", out, status=1)
    assert not out.exists()
