"""The examples, run as people run them, and their images."""

import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from rfwarp import Generator
from rfwarp.data import (
    HELD_OUT_FIRST_SEED,
    ChairFolder,
    render_person,
    render_views,
    write_chair_folder,
)
from rfwarp.data.faces import render_face
from rfwarp.poses import Viewpoint
from rfwarp.video import VideoReader
from rfwarp.viz import enlarge, write_image

EXAMPLES = Path(__file__).parents[1] / "examples"
MODELS = ["novel_view.py", "new_pose.py", "new_expression.py", "new_place.py"]
ASSETS = ChairFolder(EXAMPLES / "assets")


def run(example: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(EXAMPLES / example), *map(str, arguments)],
        capture_output=True,
        text=True,
    )


def test_it_draws_a_sheet_and_a_turntable(tmp_path: Path) -> None:
    torch.manual_seed(0)
    generator = Generator(pose_channels=21, pose_kind="viewpoint", image_size=64, width=0.125)
    model, out = generator.save_pretrained(tmp_path / "model"), tmp_path / "out"
    done = run("novel_view.py", "--weights", model, "--out", out)
    assert done.returncode == 0, done.stderr
    assert str(out / "novel_view.png") in done.stdout
    assert str(out / "turntable.gif") in done.stdout
    with Image.open(out / "novel_view.png") as sheet:
        assert sheet.width == 8 * 132 + 4
        assert sheet.height > 6 * 132
        truth = sheet.crop((7 * 132 + 4, sheet.height - 132, 8 * 132, sheet.height - 4))
    with Image.open(EXAMPLES / "assets" / "900013_060_10.png") as expected:
        small = expected.resize((64, 64), Image.Resampling.LANCZOS)
        large = small.resize((128, 128), Image.Resampling.LANCZOS)
        assert np.array_equal(truth, large)
    with Image.open(out / "novel_view_maps.png") as flows:
        assert flows.width > 4 * 128
    with Image.open(out / "turntable.gif") as gif:
        assert (gif.n_frames, gif.size) == (18, (6 * 132 + 4, 136))


def test_people_in_new_poses(tmp_path: Path) -> None:
    torch.manual_seed(0)
    generator = Generator(pose_channels=18, pose_kind="keypoints", image_size=64, width=0.125)
    model, out = generator.save_pretrained(tmp_path / "model"), tmp_path / "out"
    done = run("new_pose.py", "--weights", model, "--out", out)
    assert done.returncode == 0, done.stderr
    for name in ("new_pose.png", "new_pose_maps.png", "walk.gif"):
        assert str(out / name) in done.stdout
    with Image.open(out / "new_pose.png") as sheet:
        assert sheet.width == 9 * 132 + 4
        truth = sheet.crop((8 * 132 + 4, sheet.height - 132, 9 * 132, sheet.height - 4))
    expected = render_person(900_013, [4], 64).images[0].permute(1, 2, 0).numpy()
    assert np.array_equal(truth, enlarge(Image.fromarray(expected), 2))
    with Image.open(out / "walk.gif") as gif:
        assert (gif.n_frames, gif.size) == (24, (6 * 132 + 4, 2 * 132 + 4))


@pytest.mark.slow
def test_faces_with_new_expressions(tmp_path: Path) -> None:
    torch.manual_seed(0)
    generator = Generator(pose_channels=3, pose_kind="landmarks", image_size=32, width=0.125)
    model, out = generator.save_pretrained(tmp_path / "model"), tmp_path / "out"
    done = run("new_expression.py", "--weights", model, "--out", out)
    assert done.returncode == 0, done.stderr
    for name in ("new_expression.png", "new_expression_maps.png", "smile.gif"):
        assert str(out / name) in done.stdout
    with Image.open(out / "new_expression.png") as sheet:
        assert sheet.width == 9 * 132 + 4
        truth = sheet.crop((8 * 132 + 4, sheet.height - 132, 9 * 132, sheet.height - 4))
    expected = render_face(900_013, [4], 32).images[0].permute(1, 2, 0).numpy()
    assert np.array_equal(truth, enlarge(Image.fromarray(expected), 4))
    with Image.open(out / "smile.gif") as gif:
        assert (gif.n_frames, gif.size) == (24, (6 * 36 + 4, 2 * 36 + 4))


@pytest.mark.slow
def test_streets_from_new_places(tmp_path: Path) -> None:
    pytest.importorskip("av", reason="videos need rfwarp[video]")
    torch.manual_seed(0)
    generator = Generator(pose_channels=6, pose_kind="camera", image_size=32, width=0.125)
    model, out = generator.save_pretrained(tmp_path / "model"), tmp_path / "out"
    done = run("new_place.py", "--weights", model, "--out", out)
    assert done.returncode == 0, done.stderr
    for name in ("new_place.png", "new_place_maps.png", "drive.mp4"):
        assert str(out / name) in done.stdout
    with Image.open(out / "new_place.png") as sheet:
        assert sheet.width == 9 * 132 + 4
    frames = [frame.image for frame in VideoReader(out / "drive.mp4")]
    assert len(frames) == 24
    above, below = (
        np.array([frame.crop((4, top, 36, top + 32)) for frame in frames], float) for top in (4, 40)
    )
    apart = np.abs(above - below).mean(axis=(1, 2, 3))
    assert (apart[[0, 8, 16]] < 6).all()  # the given frames are the truth, but for the codec
    assert (np.delete(apart, [0, 8, 16]) > 10).all()  # ours, untrained


@pytest.mark.slow
def test_an_object_of_one_s_own(tmp_path: Path) -> None:
    pytest.importorskip("accelerate")
    views = [Viewpoint(azimuth, 10) for azimuth in range(0, 360, 40)]
    write_chair_folder(tmp_path / "own", 1, 96, 900_008, [view.index for view in views])
    done = run("own_object.py", tmp_path / "own", "--steps", 1, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert [line.split(":")[0] for line in done.stdout.splitlines()[:4]] == [
        f"{name}, {count} sources" for name in ("before", "after") for count in (1, 4)
    ]
    with Image.open(tmp_path / "out/own_object.gif") as gif:
        assert (gif.n_frames, gif.size) == (36, (256, 256))
    assert (tmp_path / "out/own_object.png").is_file()


def test_photographs_of_others_handled_as_one_s_own(tmp_path: Path) -> None:
    """Of ETH-80, by its names: elevation 24 is given, what is far above it is neither."""
    pytest.importorskip("accelerate")
    polar, azimuths = ("022", "066", "090"), ("000", "090", "180")
    names = [f"cup8-{angle}-{azimuth}.png" for angle in polar for azimuth in azimuths]
    for name in names:
        write_image(tmp_path / "cup" / name, Image.new("RGB", (40, 40)))
    done = run("own_object.py", tmp_path / "cup", "--eth80", "--weights", "no", "--out", tmp_path)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("own_object.py: error: ")
    table = (tmp_path / "photographs/folder.csv").read_text().splitlines()[1:]
    assert [line.split(",")[0] for line in table] == names[3:]
    assert [line.split(",")[2] for line in table] == ["train"] * 3 + ["test"] * 3
    assert table[0].endswith(",270:24")


def exit_of(monkeypatch: pytest.MonkeyPatch, example: str, *arguments: str) -> object:
    """What an example exits with, in this process, which need not import torch anew."""
    path = str(EXAMPLES / example)
    monkeypatch.setattr(sys, "argv", [path, *arguments])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(path, run_name="__main__")
    return ended.value.code


@pytest.mark.parametrize("example", MODELS)
def test_they_explain_themselves(
    example: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_of(monkeypatch, example, "--help") == 0
    assert "--weights" in capsys.readouterr().out


@pytest.mark.parametrize("example", MODELS)
def test_a_wrong_model_is_one_line(
    example: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    line = exit_of(monkeypatch, example, "--weights", "nothing")
    assert isinstance(line, str)  # which Python writes to stderr, with exit status 1
    assert line.startswith(f"{example}: error: no model 'nothing'")
    assert "\n" not in line
    assert capsys.readouterr().err == ""


def test_a_wrong_model_is_all_that_a_process_says() -> None:
    done = run("novel_view.py", "--weights", "nothing")
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


def test_their_sheets_need_no_extra() -> None:
    """`make demo` installs what draws, not what scores."""
    code = "import sys; sys.modules['torchmetrics'] = None; import rfwarp.sheets"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.slow
def test_people_and_faces_warped_by_their_poses(tmp_path: Path) -> None:
    done = run("pose_flow.py", "--pairs", 3, "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    for kind in ("keypoint", "landmark"):
        path = tmp_path / f"{kind}_flow.png"
        assert str(path) in done.stdout
        assert f"flow from {kind}s: mean" in done.stdout
        with Image.open(path) as sheet:
            assert sheet.width == 5 * 132 + 4
            truth = sheet.crop((4 * 132 + 4, sheet.height - 132, 5 * 132, sheet.height - 4))
        assert len(np.unique(np.asarray(truth).reshape(-1, 3), axis=0)) > 10
