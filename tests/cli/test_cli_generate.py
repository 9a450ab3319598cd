"""``rfwarp generate``: new pictures, and every way to ask for them wrongly."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rfwarp import Generator
from rfwarp.cli import main
from rfwarp.poses import Keypoints, Viewpoint
from rfwarp.viz import enlarge

Refused = Callable[..., str]


def test_generate_equals_the_python_api(model: Path, sources: list[str], tmp_path: Path) -> None:
    out = tmp_path / "new" / "view.png"
    given = ["-s", sources[0], "-s", *sources[1:3], "-w", str(model), "-t", "40:10"]
    assert main(["generate", *given, "-o", str(out)]) == 0
    poses = [Viewpoint(0, 10), Viewpoint(100, 0), Viewpoint(200, 20)]
    generator = Generator.from_pretrained(model).optimize()
    expected = generator.generate(sources[:3], poses, Viewpoint(40, 10))
    with Image.open(out) as written:
        assert np.array_equal(written, expected)
    assert [path.name for path in out.parent.iterdir()] == ["view.png"]


def test_generate_takes_poses_in_order(model: Path, sources: list[str], tmp_path: Path) -> None:
    written = []
    for number, poses in enumerate((["0:10", "460:0"], ["100:0", "0:10"])):
        out = tmp_path / f"{number}.png"
        given = ["-s", *sources[:2], "-p", *poses, "-t", "40:10", "-w", str(model)]
        assert main(["generate", *given, "-o", str(out)]) == 0
        written.append(out.read_bytes())
    named = tmp_path / "named.png"  # poses from the names of the files
    given = ["-s", *sources[:2], "-t", "40:10", "-w", str(model)]
    assert main(["generate", *given, "-o", str(named)]) == 0
    assert named.read_bytes() == written[0] != written[1]


def test_generate_takes_arrays_as_poses(model: Path, sources: list[str], tmp_path: Path) -> None:
    np.save(tmp_path / "source.npy", Viewpoint(0, 10).code().numpy())
    np.save(tmp_path / "target.npy", Viewpoint(40, 10).encode(64, 64).numpy())
    common = ["generate", "-s", sources[0], "-w", str(model)]
    arrays = ["-p", str(tmp_path / "source.npy"), "-t", str(tmp_path / "target.npy")]
    assert main([*common, *arrays, "-o", str(tmp_path / "a.png")]) == 0
    assert main([*common, "-t", "40:10", "-o", str(tmp_path / "b.png")]) == 0
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_generate_takes_keypoints(tmp_path: Path) -> None:
    """Of OpenPose, in pixels of the pictures as they are, also in a table of jobs."""
    people = Generator(pose_channels=18, pose_kind="keypoints", image_size=64, width=0.125)
    people.save_pretrained(tmp_path / "people")
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (96, 96, 3), np.uint8)).save(tmp_path / "a.png")
    poses = []
    for name in ("source", "target"):
        joints = np.column_stack([rng.uniform(0, 96, (18, 2)), np.ones(18)])
        person = {"pose_keypoints_2d": joints.ravel().tolist()}
        (tmp_path / f"{name}.json").write_text(json.dumps({"people": [person]}))
        poses.append(Keypoints(joints, 96, 96))
    files = [str(tmp_path / name) for name in ("a.png", "source.json", "target.json", "out.png")]
    given = ["-s", files[0], "-p", files[1], "-t", files[2], "-w", str(tmp_path / "people")]
    assert main(["generate", *given, "-o", files[3]]) == 0
    (tmp_path / "jobs.csv").write_text(
        "source_0,pose_0,target,out\na.png,source.json,target.json,b.png\n"
    )
    table = ["--jobs", str(tmp_path / "jobs.csv"), "--workers", "0", "-w", str(tmp_path / "people")]
    assert main(["generate", *table, "-o", str(tmp_path / "jobs")]) == 0
    generator = Generator.from_pretrained(tmp_path / "people").optimize()
    expected = generator.generate([files[0]], poses[:1], poses[1])
    for written in (tmp_path / "out.png", tmp_path / "jobs" / "b.png"):
        with Image.open(written) as picture:
            assert np.array_equal(picture, expected)


def test_generate_turns_the_table(model: Path, sources: list[str], tmp_path: Path) -> None:
    common = ["generate", "-s", *sources, "-w", str(model), "--turntable", "--scale", "2"]
    assert main([*common, "-o", str(tmp_path / "turn.gif")]) == 0
    with Image.open(tmp_path / "turn.gif") as gif:
        assert (gif.n_frames, gif.size) == (18, (128, 128))
    assert main([*common, "--elevation", "20", "-o", str(tmp_path / "turn.png")]) == 0
    with Image.open(tmp_path / "turn.png") as sheet:
        assert sheet.size == (6 * 132 + 4, 3 * 132 + 4)
        corner = sheet.crop((4, 4, 132, 132))
    first = ["-s", *sources, "-w", str(model), "-t", "0:20", "--scale", "2"]
    assert main(["generate", *first, "-o", str(tmp_path / "first.png")]) == 0
    with Image.open(tmp_path / "first.png") as picture:
        assert np.array_equal(corner, picture)


def test_generate_draws_maps(model: Path, sources: list[str], tmp_path: Path) -> None:
    maps = tmp_path / "maps.png"
    given = ["-s", *sources[:2], "-w", str(model), "-t", "40:10", "--maps", str(maps)]
    assert main(["generate", *given, "-o", str(tmp_path / "x.png")]) == 0
    with Image.open(maps) as sheet, Image.open(tmp_path / "x.png") as picture:
        corner = sheet.width - 2 * 132, sheet.height - 2 * 132  # beside it, where pixels came from
        drawn = sheet.crop((*corner, corner[0] + 128, corner[1] + 128))
        assert np.array_equal(drawn, enlarge(picture, 2))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (["-p", "0:10"], "2 source pictures need 2 poses, got 1"),
        (["-p", "0:10", "front"], "AZIMUTH:ELEVATION in degrees, as 120:10, got 'front'"),
        (["-p", "0:10", "5:-91"], "viewpoint '5:-91': elevation must lie in"),
        (["-t", "40:91"], "elevation must lie in -90..90 degrees, got 91"),
        (["--turntable"], "either --target POSE or --turntable"),
        (["--scale", "0"], "--scale must lie in 1..16"),
        (["-o", "view.tiff"], "can be written to .png"),
        (["--maps", "maps"], "can be written to .png"),
        (["--device", "abacus"], "device 'abacus' cannot be used"),
        (["--device", "meta"], "device 'meta' cannot be used"),
    ],
)
def test_generate_refuses_bad_arguments(
    changed: list[str],
    message: str,
    model: Path,
    sources: list[str],
    tmp_path: Path,
    refused: Refused,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    given = ["-s", *sources[:2], "-w", str(model), "-t", "40:10", "-o", "x.png"]
    # a repeated option overrides
    assert message in refused("generate", *given, *changed)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("options", [["--target", "40:10", "-s"], ["--target", "40:10"]])
def test_generate_needs_a_source(options: list[str], refused: Refused) -> None:
    assert "at least one source picture" in refused("generate", "-o", "x.png", *options)


def test_generate_needs_a_target(refused: Refused) -> None:
    message = refused("generate", "-s", "a_000_10.png", "-o", "x.png")
    assert "either --target POSE or --turntable" in message


def test_generate_needs_poses(refused: Refused) -> None:
    message = refused("generate", "-s", "chair.png", "-t", "40:10", "-o", "x.png")
    assert "the name of chair.png does not end in _AZIMUTH_ELEVATION" in message


def write_pictures(folder: Path) -> None:
    """What should be a picture and is none that can be used."""
    (folder / "empty.png").write_bytes(b"")
    (folder / "text.png").write_text("no picture")
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)).save(
        folder / "whole.png"
    )
    (folder / "cut.png").write_bytes((folder / "whole.png").read_bytes()[:5000])
    Image.new("L", (9000, 9000)).save(folder / "huge.png")
    Image.new("RGB", (64, 32)).save(folder / "wide.png")
    (folder / "folder.png").mkdir()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none.png", "no image file at"),
        ("folder.png", "no image file at"),
        ("empty.png", "cannot be read as an image"),
        ("text.png", "cannot be read as an image"),
        ("cut.png", "cannot be read as an image"),
        ("huge.png", "9000 x 9000 pixels, more than"),
        ("wide.png", "would be distorted"),
    ],
)
def test_generate_refuses_bad_pictures(
    name: str, message: str, model: Path, sources: list[str], tmp_path: Path, refused: Refused
) -> None:
    write_pictures(tmp_path)
    given = ["-s", sources[0], tmp_path / name, "-p", "0:10", "100:0", "-t", "40:10", "-w", model]
    out = tmp_path / "x.png"
    assert message in refused("generate", *given, "-o", out, status=1)
    assert not out.exists()


def write_arrays(folder: Path) -> None:
    np.save(folder / "short.npy", np.zeros(18, np.float32))
    np.save(folder / "nan.npy", np.full(21, np.nan))
    np.save(folder / "text.npy", np.array(["a"] * 21))
    np.save(folder / "objects.npy", np.array([{}] * 21), allow_pickle=True)
    (folder / "empty.npy").write_bytes(b"")
    (folder / "cut.npy").write_bytes((folder / "nan.npy").read_bytes()[:-8])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none.npy", "No such file"),
        ("short.npy", "got (18,)"),
        ("nan.npy", "non-finite"),
        ("text.npy", "real numbers"),
        ("objects.npy", "cannot be read as an array"),
        ("empty.npy", "cannot be read as an array"),
        ("cut.npy", "cannot be read as an array"),
    ],
)
def test_generate_refuses_bad_arrays(
    name: str, message: str, model: Path, sources: list[str], tmp_path: Path, refused: Refused
) -> None:
    write_arrays(tmp_path)
    given = ["-s", sources[0], "-w", model, "-t", tmp_path / name, "-o", tmp_path / "x.png"]
    assert message in refused("generate", *given, status=1)


def test_generate_refuses_bad_models(
    model: Path, sources: list[str], tmp_path: Path, refused: Refused
) -> None:
    given = ["-s", sources[0], "-t", "40:10", "-o", tmp_path / "x.png"]
    assert "no model 'nothing'" in refused("generate", *given, "-w", "nothing", status=1)
    (tmp_path / "config.json").write_bytes((model / "config.json").read_bytes())
    (tmp_path / "model.safetensors").write_bytes(b"damaged")
    assert "model.safetensors is damaged" in refused("generate", *given, "-w", tmp_path, status=1)
    body = Generator(pose_channels=18, pose_kind="body", width=0.125)
    other = body.save_pretrained(tmp_path / "body")
    assert "this model takes a body" in refused("generate", *given, "-w", other, status=1)


def test_generate_cannot_write_into_a_file(
    model: Path, sources: list[str], tmp_path: Path, refused: Refused
) -> None:
    (tmp_path / "file").write_text("")
    given = ["-s", sources[0], "-t", "40:10", "-w", model, "-o", tmp_path / "file" / "x.png"]
    assert str(tmp_path / "file") in refused("generate", *given, status=1)
