"""examples/novel_view.py, run as people run it, and its pictures."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from rfwarp import Generator
from rfwarp.data import HELD_OUT_FIRST_SEED, ChairFolder, render_views
from rfwarp.poses import Viewpoint

EXAMPLE = Path(__file__).parents[1] / "examples" / "novel_view.py"
ASSETS = ChairFolder(EXAMPLE.parent / "assets")


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(EXAMPLE), *map(str, arguments)], capture_output=True, text=True
    )


def test_it_draws_a_sheet_and_a_turntable(tmp_path: Path) -> None:
    torch.manual_seed(0)
    generator = Generator(pose_channels=21, pose_kind="viewpoint", image_size=64, width=0.125)
    model, out = generator.save_pretrained(tmp_path / "model"), tmp_path / "out"
    done = run("--weights", model, "--out", out)
    assert done.returncode == 0, done.stderr
    assert str(out / "novel_view.png") in done.stdout
    assert str(out / "turntable.gif") in done.stdout
    with Image.open(out / "novel_view.png") as sheet:
        assert sheet.width == 8 * 132 + 4
        assert sheet.height > 6 * 132
        truth = sheet.crop((7 * 132 + 4, sheet.height - 132, 8 * 132, sheet.height - 4))
    with Image.open(EXAMPLE.parent / "assets" / "900013_060_10.png") as expected:
        large = expected.resize((128, 128), Image.Resampling.LANCZOS)
        assert np.array_equal(truth, large)
    with Image.open(out / "turntable.gif") as gif:
        assert (gif.n_frames, gif.size) == (18, (6 * 132 + 4, 136))


def test_it_explains_itself() -> None:
    done = run("--help")
    assert done.returncode == 0
    assert "--weights" in done.stdout


def test_a_wrong_model_is_one_line() -> None:
    done = run("--weights", "nothing")
    assert done.returncode == 1
    assert done.stderr.startswith("novel_view.py: error: no model 'nothing'")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("number", range(ASSETS.count))
def test_its_chairs_are_held_out_and_rendered_by_this_version(number: int) -> None:
    seed = int(ASSETS.chairs[number])
    assert seed >= HELD_OUT_FIRST_SEED
    rendered = render_views(seed, [Viewpoint.from_index(i) for i in ASSETS.available], ASSETS.size)
    difference = (rendered.float() - ASSETS.views(number, ASSETS.available).float()).abs()
    assert float(difference.mean()) < 0.05  # of 255: another machine may round differently
