"""``rfwarp generate``: new images, and every way to ask for them wrongly."""

import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from rfwarp import Generator
from rfwarp.cli import main
from rfwarp.data import render_person
from rfwarp.data.faces import FacePose, render_expressions
from rfwarp.poses import FaceLandmarks, FaceSquare, Keypoints, Viewpoint, align_person
from rfwarp.viz import enlarge

Refused = Callable[..., str]


def test_generate_equals_the_python_api(model: Path, sources: list[str], tmp_path: Path) -> None:
    out = tmp_path / "new" / "view.png"
    given = ["-s", sources[0], "-s", *sources[1:3], "-w", str(model), "-t", "40:10"]
    assert main(["generate", *given, "-o", str(out)]) == 0
    poses = [Viewpoint(0, 10), Viewpoint(100, 0), Viewpoint(200, 20)]
    generator = Generator.from_pretrained(model).optimize("auto")
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
    """OpenPose files, in pixels of the images as they are, also in a table of jobs."""
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
    generator = Generator.from_pretrained(tmp_path / "people").optimize("auto")
    expected = generator.generate([files[0]], poses[:1], poses[1])
    for written in (tmp_path / "out.png", tmp_path / "jobs" / "b.png"):
        with Image.open(written) as image:
            assert np.array_equal(image, expected)


def test_generate_aligns_people(tmp_path: Path, model: Path, refused: Refused) -> None:
    """As the paper evaluates: the sources' people scaled and moved onto the target's."""
    people = Generator(pose_channels=18, pose_kind="keypoints", image_size=64, width=0.125)
    people.save_pretrained(tmp_path / "people")
    render = render_person(0, [0, 1], 64)
    source = Keypoints(render.keypoints[0], 64, 64)
    points = source.points * [0.5, 0.5, 1] + [30, 8, 0]  # half as large, and elsewhere
    target = Keypoints(points, 64, 64)
    Image.fromarray(render.images[0].permute(1, 2, 0).numpy()).save(tmp_path / "a.png")
    for name, pose in (("source", source), ("target", target), ("handstand", source)):
        joints = pose.points.copy()
        if name == "handstand":
            joints[:, 1] = 63 - joints[:, 1]
        person = {"pose_keypoints_2d": joints.ravel().tolist()}
        (tmp_path / f"{name}.json").write_text(json.dumps({"people": [person]}))
    given = ["-s", tmp_path / "a.png", "-t", tmp_path / "target.json", "-w", tmp_path / "people"]
    aligned = [*given, "-o", tmp_path / "new.png", "--align", "-p"]
    assert main(["generate", *map(str, aligned), str(tmp_path / "source.json")]) == 0
    with Image.open(tmp_path / "a.png") as image:
        moved = align_person(image, source, target, fill="edge")
    expected = people.optimize("auto").generate([moved[0]], [moved[1]], target)
    with Image.open(tmp_path / "new.png") as image:
        assert np.array_equal(image, expected)
    message = refused("generate", *aligned, tmp_path / "handstand.json", status=1)
    assert "a.png: alignment needs an upright person" in message
    chairs = ["-s", tmp_path / "a.png", "-p", "0:10", "-t", "40:10", "-w", model, "--align"]
    assert "--align is for keypoints" in refused("generate", *chairs, "-o", tmp_path / "b.png")


def test_generate_cuts_faces_out(tmp_path: Path, refused: Refused) -> None:
    """Faces that are small in their photographs are shown as procedural ones are."""
    faces = Generator(pose_channels=3, pose_kind="landmarks", image_size=64, width=0.125)
    faces.save_pretrained(tmp_path / "faces")
    expressions = [FacePose({}, scale=0.5), FacePose({}, scale=0.4, shift=(0.1, 0.0))]
    render = render_expressions(0, expressions, 160)
    landmarks = [FaceLandmarks(points, 160, 160) for points in render.landmarks.numpy()]
    photo = Image.fromarray(render.images[0].permute(1, 2, 0).numpy())
    photo.save(tmp_path / "a.png")
    for name, face in zip(("source", "target"), landmarks, strict=True):
        face.write(tmp_path / f"{name}.npy")
    np.save(tmp_path / "outside.npy", landmarks[0].points + 500)
    given = ["-s", tmp_path / "a.png", "-w", tmp_path / "faces", "-o", tmp_path / "new.png"]
    posed = [*given, "--align", "-p", tmp_path / "source.npy", "-t"]
    assert main(["generate", *map(str, posed), str(tmp_path / "target.npy")]) == 0
    squares = [FaceSquare.around(face) for face in landmarks]
    source, target = (s.move(face, 64) for s, face in zip(squares, landmarks, strict=True))
    expected = faces.optimize("auto").generate([squares[0].cut(photo, 64)], [source], target)
    with Image.open(tmp_path / "new.png") as image:
        assert np.array_equal(image, expected)
    message = refused("generate", *posed, tmp_path / "outside.npy", status=1)
    assert "outside.npy: there is no face in the image of 160 x 160 pixels" in message
    wrong = [*given, "--align", "-p", tmp_path / "outside.npy", "-t", tmp_path / "target.npy"]
    assert "a.png: there is no face in the image" in refused("generate", *wrong, status=1)


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
    with Image.open(tmp_path / "first.png") as image:
        assert np.array_equal(corner, image)


def test_generate_draws_maps(model: Path, sources: list[str], tmp_path: Path) -> None:
    maps = tmp_path / "maps.png"
    given = ["-s", *sources[:2], "-w", str(model), "-t", "40:10", "--maps", str(maps)]
    assert main(["generate", *given, "-o", str(tmp_path / "x.png")]) == 0
    with Image.open(maps) as sheet, Image.open(tmp_path / "x.png") as image:
        corner = sheet.width - 2 * 132, sheet.height - 2 * 132  # beside it, where pixels came from
        drawn = sheet.crop((*corner, corner[0] + 128, corner[1] + 128))
        assert np.array_equal(drawn, enlarge(image, 2))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (["-p", "0:10"], "2 source images need 2 poses, got 1"),
        (["-p", "0:10", "front"], "a .csv of keypoints, a .npy; got 'front'"),
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


def test_generate_replaces_no_source(
    model: Path, sources: list[str], tmp_path: Path, refused: Refused
) -> None:
    """Neither by its name nor through a link; a link itself may be replaced."""
    photo, folder, link = tmp_path / "a_000_10.png", tmp_path / "linked", tmp_path / "b_000_10.png"
    photo.write_bytes(Path(sources[0]).read_bytes())
    folder.symlink_to(tmp_path)
    link.symlink_to(photo)
    before = photo.read_bytes()
    common = ["-w", model, "-t", "40:10"]
    for source, out in ((photo, photo), (photo, folder / photo.name), (link, photo)):
        message = refused("generate", *common, "-s", source, "-o", out)
        assert f"{out} is a source, and would be replaced by the output" in message
    other = ["-s", photo, "-o", tmp_path / "x.png", "--maps"]
    assert "is a source" in refused("generate", *common, *other, photo)
    assert "-o and --maps are both" in refused("generate", *common, *other, folder / "x.png")
    assert photo.read_bytes() == before
    assert not (tmp_path / "x.png").exists()
    table = tmp_path / "jobs.csv"
    table.write_text(f"source_0,target,out\n{link.name},40:10,{photo.name}\n")
    for out in (tmp_path, folder):
        message = refused("generate", "--jobs", table, "-w", model, "-o", out, status=1)
        assert "would replace a source" in message


@pytest.mark.parametrize("maps", [False, True])
def test_generate_writes_no_image_of_non_finite_values(
    maps: bool, model: Path, sources: list[str], tmp_path: Path, refused: Refused
) -> None:
    generator = Generator.from_pretrained(model)
    with torch.no_grad():
        generator.predictor.to_rgb.bias[0] = torch.nan
    broken = generator.save_pretrained(tmp_path / "broken")
    given = ["-s", sources[0], "-t", "40:10", "-w", broken, "-o", tmp_path / "x.png"]
    given += ["--maps", tmp_path / "m.png"] if maps else []
    assert "the network gave non-finite values" in refused("generate", *given, status=1)
    assert not (tmp_path / "x.png").exists()


def test_generate_without_memory_is_one_line(
    model: Path, sources: list[str], tmp_path: Path, refused: Refused, monkeypatch
) -> None:
    def decode(*_arguments: object) -> None:
        torch.empty(2**60)

    monkeypatch.setattr(Generator, "decode", decode)
    given = ["-s", sources[0], "-t", "40:10", "-w", model, "-o", tmp_path / "x.png"]
    message = refused("generate", *given, status=1)
    assert message.startswith("rfwarp: error: out of memory: ")


def test_generate_refuses_poses_outside(tmp_path: Path, refused: Refused) -> None:
    torch.manual_seed(0)
    network = Generator(pose_channels=18, pose_kind="keypoints", image_size=64, width=0.125)
    network.save_pretrained(tmp_path / "people")
    Image.new("RGB", (64, 64)).save(tmp_path / "a.png")
    for name, joints in (("none", [0.0] * 54), ("outside", [70.0, 5.0, 1.0] * 18)):
        content = json.dumps({"people": [{"pose_keypoints_2d": joints}]})
        (tmp_path / f"{name}.json").write_text(content)
        pose, common = tmp_path / f"{name}.json", ["-w", tmp_path / "people"]
        given = ["-s", tmp_path / "a.png", "-p", pose, "-t", pose, "-o", tmp_path / "x.png"]
        message = refused("generate", *common, *given, status=1)
        assert "has no joint inside its image, of 64 x 64 pixels" in message
        table = tmp_path / "jobs.csv"
        table.write_text(f"source_0,pose_0,target\na.png,{name}.json,{name}.json\n")
        given = ["--jobs", table, "--workers", "0", "-o", tmp_path / name]
        assert main(["generate", *map(str, [*common, *given])]) == 1
        assert "no joint inside" in (tmp_path / name / "jobs-log-0.jsonl").read_text()


def test_generate_in_a_pipe(
    model: Path,
    sources: list[str],
    tmp_path: Path,
    refused: Refused,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    common = ["generate", "-w", str(model), "-t", "40:10", "-p", "100:0"]
    assert main([*common, "-s", sources[1], "-o", str(tmp_path / "x.png")]) == 0
    piped = [*common, "-s", "-", "-o", "-"]
    command = [sys.executable, "-m", "rfwarp", *piped]
    with open(sources[1], "rb") as file:
        run = subprocess.run(command, stdin=file, capture_output=True, check=True)
    assert run.stderr == b""
    with Image.open(io.BytesIO(run.stdout)) as image, Image.open(tmp_path / "x.png") as expected:
        assert np.array_equal(image, expected)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"no image")))
    assert "standard input cannot be read as an image" in refused(*piped, status=1)


def test_generate_at_another_size_in_lower_precision(
    model: Path, sources: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    common = ["generate", "-w", str(model), "-t", "40:10", "-s", sources[1]]
    assert main([*common, "--size", "128", "--precision", "bfloat16"]) == 0
    with Image.open("new.png") as image:  # what it is called if no name is given
        assert image.size == (128, 128)
    generator = Generator.from_pretrained(model).optimize(torch.bfloat16)
    expected = generator.generate([sources[1]], [Viewpoint(100, 0)], Viewpoint(40, 10), size=128)
    with Image.open("new.png") as image:
        assert np.array_equal(image, expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--no-overwrite"], "new.png is there already, and --no-overwrite was given"),
        (["-s", "-", "-"], "standard input, -s -, can only be read once"),
        (["-s", "-"], "the pose of an image from standard input must be given"),
        (["--maps", "-"], "--maps must be a file"),
        (["--size", "0"], "--size must lie in 1..4096, got 0"),
        (["--jobs", "jobs.csv"], "--jobs needs a folder for its images: -o FOLDER"),
        (["--jobs", "jobs.csv", "-o", "x", "--no-overwrite"], "--no-overwrite is for a single im"),
    ],
)
def test_generate_refuses_what_does_not_go_together(
    options: list[str],
    message: str,
    model: Path,
    tmp_path: Path,
    refused: Refused,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("new.png").touch()
    given = [] if "--jobs" in options else ["-t", "40:10"]
    given += [] if "-s" in options or "--jobs" in options else ["-s", "a_000_10.png"]
    assert message in refused("generate", "-w", model, *given, *options)
    assert Path("new.png").read_bytes() == b""


@pytest.mark.parametrize("options", [["--target", "40:10", "-s"], ["--target", "40:10"]])
def test_generate_needs_a_source(options: list[str], refused: Refused) -> None:
    assert "at least one source image" in refused("generate", "-o", "x.png", *options)


def test_generate_needs_a_target(refused: Refused) -> None:
    message = refused("generate", "-s", "a_000_10.png", "-o", "x.png")
    assert "either --target POSE or --turntable" in message


def test_generate_needs_poses(refused: Refused) -> None:
    message = refused("generate", "-s", "chair.png", "-t", "40:10", "-o", "x.png")
    assert "the name of chair.png does not end in _AZIMUTH_ELEVATION" in message


def write_images(folder: Path) -> None:
    """Write files that should be images, but cannot be used as such."""
    (folder / "empty.png").write_bytes(b"")
    (folder / "text.png").write_text("no image")
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
def test_generate_refuses_bad_images(
    name: str, message: str, model: Path, sources: list[str], tmp_path: Path, refused: Refused
) -> None:
    write_images(tmp_path)
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
