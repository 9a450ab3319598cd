"""``rfwarp animate``, with a stand-in for the networks that find people: red blocks."""

from __future__ import annotations

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image

from rfwarp import Generator
from rfwarp.cli import main
from rfwarp.poses import Keypoints, OneEuroFilter, Viewpoint, retarget, write_annotations
from rfwarp.poses.body_detection import BACKENDS, Backend
from rfwarp.poses.keypoints import write_openpose
from rfwarp.video import Frame, VideoReader, write_video
from rfwarp.viz import enlarge

Refused = Callable[..., str]
# Of COCO's 17 joints: x and y in a box of one by one.
COCO = np.array(
    [
        *((0.5, 0.08), (0.55, 0.05), (0.45, 0.05), (0.6, 0.07), (0.4, 0.07), (0.8, 0.2)),
        *((0.2, 0.2), (0.95, 0.35), (0.05, 0.35), (1, 0.5), (0, 0.5), (0.7, 0.55)),
        *((0.3, 0.55), (0.7, 0.75), (0.3, 0.75), (0.75, 1), (0.25, 1)),
    ]
)


def person_in(left: float, top: float, width: float, height: float) -> npt.NDArray[np.float64]:
    """COCO's joints (17, 3) of an upright person in a box."""
    return np.c_[COCO * (width, height) + (left, top), np.ones(17)]


def red_person(image: Image.Image) -> list[npt.NDArray[np.float64]]:
    pixels = np.array(image).astype(int)
    rows, columns = np.nonzero((pixels[..., 0] > 128) & (pixels[..., 1] < 128))
    if not len(rows):
        return []
    left, top = columns.min(), rows.min()
    return [person_in(left, top, columns.max() - left, rows.max() - top)]


@pytest.fixture(autouse=True)
def backend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BACKENDS, "rtmpose", lambda device, weights: red_person)


@pytest.fixture(scope="session")
def people(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An untrained model that takes keypoints."""
    torch.manual_seed(0)
    generator = Generator(pose_channels=18, pose_kind="keypoints", image_size=64, width=0.125)
    return str(generator.save_pretrained(tmp_path_factory.mktemp("models") / "keypoints"))


def scene(box: tuple[int, int, int, int] | None, size: tuple[int, int] = (64, 64)) -> Image.Image:
    image = Image.new("RGB", size, "white")
    if box is not None:
        image.paste((230, 30, 20), box)
    return image


@pytest.fixture
def sources(tmp_path: Path) -> list[str]:
    """Two images of one person."""
    paths = [tmp_path / "a.png", tmp_path / "b.png"]
    for path, box in zip(paths, ((20, 10, 44, 54), (22, 12, 40, 50)), strict=True):
        scene(box).save(path)
    return [str(path) for path in paths]


def pose_in(image: str) -> Keypoints:
    with Image.open(image) as opened:
        (found,) = red_person(opened)
        return Keypoints.from_coco(found, opened.height, opened.width)


def walk(count: int, size: tuple[int, int] = (96, 128)) -> list[Keypoints]:
    """Somebody larger, elsewhere, who sways."""
    height, width = size
    steps = [person_in(10 + 4 * (n % 3), 8, 40, 80) for n in range(count)]
    return [Keypoints.from_coco(np.rint(step), height, width) for step in steps]


@pytest.fixture
def table(tmp_path: Path) -> str:
    path = tmp_path / "walk.csv"
    write_annotations(path, {f"walk_{n:06d}.png": pose for n, pose in enumerate(walk(5))})
    return f"{path}@96x128"


def drawn(
    people: str,
    sources: list[str],
    poses: list[Keypoints],
    source_poses: list[Keypoints],
    dtype: torch.dtype | Literal["auto"] = "auto",
) -> list[Image.Image]:
    generator = Generator.from_pretrained(people).optimize(dtype)
    return generator.generate_many(sources, source_poses, poses)


def frames_of(folder: Path) -> list[Image.Image]:
    return [Image.open(path).copy() for path in sorted(folder.iterdir())]


def assert_same(found: list[Image.Image], expected: list[Image.Image]) -> None:
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        # Batches of other sizes round differently.
        assert np.abs(np.array(one).astype(int) - np.array(other)).max() <= 1


def test_keypoints_are_retargeted(
    people: str,
    sources: list[str],
    table: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "frames"
    given = ["animate", "-s", *sources, "-w", people, "--driving", table]
    assert main([*given, "-o", str(out)]) == 0
    captured = capsys.readouterr()
    assert captured.out.splitlines() == [f"wrote {out}: 5 frames, no sound"]
    assert captured.err == ""
    found = [pose_in(path) for path in sources]
    expected = drawn(people, sources, retarget(walk(5), found[0]), found)
    assert_same(frames_of(out), expected)
    assert not np.array_equal(expected[0], expected[1])


def test_keypoints_stay_where_they_are(
    people: str, sources: list[str], tmp_path: Path, refused: Refused
) -> None:
    path = tmp_path / "walk.csv"
    poses = walk(3, (96, 96))
    write_annotations(path, {str(n): pose for n, pose in enumerate(poses)})
    given = ["animate", "-s", sources[0], "-w", people, "--no-retarget", "--driving"]
    assert main([*given, f"{path}@96x96", "-o", str(tmp_path / "a")]) == 0
    found = [pose_in(sources[0])]
    assert_same(frames_of(tmp_path / "a"), drawn(people, sources[:1], poses, found))
    line = refused(*given, f"{path}@96x128", "-o", tmp_path / "b", status=1)
    assert "the driver's images are 96 x 128 (H x W) and the first source is 64 x 64" in line
    assert not (tmp_path / "b").exists()


def test_sources_of_another_shape_are_fitted(
    people: str, table: str, tmp_path: Path, refused: Refused
) -> None:
    from rfwarp.data.framing import frame_image, frame_pose

    wide = scene((50, 10, 80, 70), (128, 80))
    wide.save(tmp_path / "wide.png")
    given = ["animate", "-s", tmp_path / "wide.png", "-w", people, "--driving", table, "-o"]
    assert "would be distorted" in refused(*given, tmp_path / "a", status=1)
    assert main([*map(str, given), str(tmp_path / "b"), "--fit", "pad"]) == 0
    framed = frame_image(wide, (64, 64), "pad")
    source = frame_pose(pose_in(str(tmp_path / "wide.png")), (64, 64), "pad")
    expected = drawn(people, [framed], retarget(walk(5), source), [source])
    assert_same(frames_of(tmp_path / "b"), expected)


def test_poses_of_the_sources_can_be_given(
    people: str, sources: list[str], table: str, tmp_path: Path
) -> None:
    write_openpose(tmp_path / "a.json", [pose_in(sources[0])])
    given = ["animate", "-s", sources[0], "-w", people, "--driving", table]
    assert main([*given, "-o", str(tmp_path / "found")]) == 0
    assert main([*given, "-p", str(tmp_path / "a.json"), "-o", str(tmp_path / "given")]) == 0
    assert_same(frames_of(tmp_path / "given"), frames_of(tmp_path / "found"))


def test_the_detector_is_the_one_asked_for(
    people: str, sources: list[str], table: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[tuple[str, Path | None]] = []

    def opened(device: str, weights: Path | None) -> Backend:
        made.append((device, weights))
        return red_person

    monkeypatch.setitem(BACKENDS, "blazepose", opened)
    given = ["animate", "-s", sources[0], "-w", people, "--driving", table, "--backend"]
    given += ["blazepose", "--pose-weights", str(tmp_path / "files")]
    assert main([*given, "-o", str(tmp_path / "frames")]) == 0
    assert made == [("cpu", tmp_path / "files")]


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Somebody who walks to the right with a tone; nobody in the third frame."""
    av = pytest.importorskip("av", reason="videos need rfwarp[video]")
    rate = Fraction(30000, 1001)
    boxes = [(8 + 4 * n, 8, 38 + 4 * n, 78) if n != 2 else None for n in range(6)]
    frames = [Frame(scene(box, (128, 96)), n / rate) for n, box in enumerate(boxes)]
    with av.open(str(tmp_path / "tone.mp4"), "w") as output:
        audio = output.add_stream("aac", rate=48000, layout="mono")
        tone = (8000 * np.sin(np.arange(9600) / 10)).astype(np.int16)
        sound = av.AudioFrame.from_ndarray(tone[None], format="s16", layout="mono")
        sound.sample_rate = 48000
        for part in av.AudioResampler("fltp", "mono", 48000).resample(sound):
            output.mux(audio.encode(part))
        output.mux(audio.encode())
    path = tmp_path / "clip.mp4"
    write_video(path, frames, rate, sound=tmp_path / "tone.mp4")
    return path


def test_a_driving_video(
    people: str,
    sources: list[str],
    clip: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "new" / "out.mp4"
    given = ["animate", "-s", sources[0], "-s", sources[1], "-w", people, "--driving", str(clip)]
    given += ["--precision", "float32"]  # of noise, in batches of other sizes, bfloat16 differs
    assert main([*given, "-o", str(out), "--scale", "2"]) == 0
    captured = capsys.readouterr()
    assert captured.out.splitlines() == [
        "1 of 6 frames hold the pose of another: nobody was seen",
        f"wrote {out}: 6 frames, sound",
    ]
    assert captured.err == ""
    video = VideoReader(out)
    assert (video.rate, video.has_sound) == (Fraction(30000, 1001), True)
    frames = list(video)
    assert [frame.time for frame in frames] == [frame.time for frame in VideoReader(clip)]
    assert [path.name for path in out.parent.iterdir()] == ["out.mp4"]

    driver = [red_person(frame.image) for frame in VideoReader(clip)]
    poses = [Keypoints.from_coco(found[0], 96, 128) for found in driver if found]
    found = [pose_in(path) for path in sources]
    moved = retarget(poses, found[0])
    moved.insert(2, moved[1])
    made = drawn(people, sources, moved, found, torch.float32)
    expected = [enlarge(image, 2) for image in made]
    for frame, image in zip(frames, expected, strict=True):
        assert frame.image.size == (128, 128)
        grey = [np.array(x.convert("L")).astype(int) for x in (frame.image, image)]
        assert np.abs(grey[0] - grey[1]).mean() < 5  # of H.264, on noise
    assert main([*given, "-o", str(tmp_path / "frames"), "--scale", "2"]) == 0
    assert_same(frames_of(tmp_path / "frames"), expected)
    capsys.readouterr()

    assert main([*given, "-o", str(tmp_path / "out.gif")]) == 0
    assert capsys.readouterr().out.splitlines()[1].endswith("6 frames, no sound")
    with Image.open(tmp_path / "out.gif") as gif:
        assert gif.n_frames == 6


def test_sources_are_checked_before_a_video_is_searched(
    people: str,
    sources: list[str],
    clip: Path,
    tmp_path: Path,
    refused: Refused,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    searched: list[tuple[int, int]] = []

    def counted(image: Image.Image) -> list[npt.NDArray[np.float64]]:
        searched.append(image.size)
        return red_person(image)

    monkeypatch.setitem(BACKENDS, "rtmpose", lambda device, weights: counted)
    scene((50, 10, 80, 70), (128, 80)).save(tmp_path / "wide.png")
    pose = pose_in(sources[0])
    legless = Keypoints(np.where(np.arange(18)[:, None] == 8, 0, pose.points), 64, 64)
    write_openpose(tmp_path / "legless.json", [legless])
    given = ["animate", "-w", people, "--driving", clip, "-o", tmp_path / "out.mp4", "-s"]
    assert "would be distorted" in refused(*given, tmp_path / "wide.png", status=1)
    line = refused(*given, sources[0], "-p", "0:10")
    assert "--poses must be keypoints, as the driving poses are" in line
    line = refused(*given, sources[0], "-p", "0:10", "--no-retarget", status=1)
    assert "poses[0] is a viewpoint, but this model takes a keypoints" in line
    line = refused(*given, sources[0], "-p", tmp_path / "legless.json", status=1)
    assert "both hips; --no-retarget does without" in line
    line = refused(*given, sources[0], "--no-retarget", status=1)
    assert "the driver's images are 96 x 128 (H x W) and the first source is 64 x 64" in line
    assert searched == [(128, 80), (64, 64)]  # the sources alone


def test_sound_for_a_table(people: str, sources: list[str], table: str, clip: Path) -> None:
    out = clip.with_name("out.mkv")
    given = ["animate", "-s", sources[0], "-w", people, "--driving", table, "--fps", "30000/1001"]
    assert main([*given, "--sound", str(clip), "-o", str(out)]) == 0
    video = VideoReader(out)
    assert (video.rate, video.has_sound, len(list(video))) == (Fraction(30000, 1001), True, 5)


def test_a_gif_has_as_many_frames_as_it_says(
    people: str, sources: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Frames 1 and 3 of 5 come too fast for a GIF; nobody is in frame 1."""
    path, out = tmp_path / "walk.csv", tmp_path / "out.gif"
    poses = {f"walk_{n:06d}.png": pose for n, pose in enumerate(walk(5)) if n != 1}
    write_annotations(path, poses)
    given = ["animate", "-s", sources[0], "-w", people, "--driving", f"{path}@96x128"]
    assert main([*given, "--fps", "100", "-o", str(out)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "1 of 5 frames hold the pose of another: nobody was seen",
        f"wrote {out}: 3 frames, no sound",
    ]
    with Image.open(out) as gif:
        assert gif.n_frames == 3


def test_smoothing(people: str, sources: list[str], table: str, tmp_path: Path) -> None:
    given = ["animate", "-s", sources[0], "-w", people, "--driving", table, "--fps", "50"]
    assert main([*given, "--smooth", "-o", str(tmp_path / "a")]) == 0
    steady, source = OneEuroFilter(), pose_in(sources[0])
    poses = [steady.smooth(pose, n / 50) for n, pose in enumerate(walk(5))]
    expected = drawn(people, sources[:1], retarget(poses, source), [source])
    assert_same(frames_of(tmp_path / "a"), expected)


def test_a_folder_of_openpose(
    people: str, sources: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Frame 12 is left out, nobody is in frame 13, and in frame 15 only beside the image."""
    folder = tmp_path / "openpose"
    folder.mkdir()
    poses = walk(6)
    away = Keypoints(np.c_[poses[5].points[:, :2] + 1000, poses[5].points[:, 2]], 96, 128)
    for number, pose in ((10, poses[0]), (11, poses[1]), (14, poses[4]), (15, away)):
        write_openpose(folder / f"walk_{number:012d}_keypoints.json", [pose])
    nobody = {"people": [], "canvas_height": 96, "canvas_width": 128}
    (folder / "walk_000000000013_keypoints.json").write_text(json.dumps(nobody))
    given = ["animate", "-s", sources[0], "-w", people, "--driving", str(folder)]
    assert main([*given, "-o", str(tmp_path / "frames")]) == 0
    assert capsys.readouterr().out.startswith("3 of 6 frames hold the pose of another")
    source = pose_in(sources[0])
    moved = retarget([poses[0], poses[1], poses[4], away], source)
    expected = drawn(people, sources[:1], [moved[n] for n in (0, 1, 1, 1, 2, 2)], [source])
    assert_same(frames_of(tmp_path / "frames"), expected)


def test_viewpoints(
    model: Path, chairs: Path, tmp_path: Path, refused: Refused, clip: Path
) -> None:
    (tmp_path / "turn.csv").write_text("azimuth:elevation\n0:10\n\n7.5:10\n15:10\n")
    images = sorted(map(str, chairs.glob("900003_*.png")))
    given = ["animate", "-s", *images, "-w", str(model), "--driving"]
    assert main([*given, str(tmp_path / "turn.csv"), "-o", str(tmp_path / "turn")]) == 0
    generator = Generator.from_pretrained(model).optimize("auto")
    poses = [Viewpoint(0, 10), Viewpoint(100, 0), Viewpoint(200, 20), Viewpoint(300, 10)]
    targets = [Viewpoint(azimuth, 10) for azimuth in (0, 7.5, 15)]
    assert_same(frames_of(tmp_path / "turn"), generator.generate_many(images, poses, targets))
    line = refused(*given, clip, "-o", tmp_path / "no.mp4")
    assert line.endswith("takes a viewpoint, and a video gives keypoints")
    line = refused(*given, tmp_path / "turn.csv", "--smooth", "-o", tmp_path / "no.mp4")
    assert "--smooth is for keypoints" in line
    assert not (tmp_path / "no.mp4").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--driving", "a.mp4"], "at least one source image is needed"),
        (["-s", "a.png", "--driving", "a.txt"], "--driving must be a video (.mp4"),
        (["-s", "a.png", "--driving", "a.mp4", "--fps", "25"], "--fps and a size are for tables"),
        (["-s", "a.png", "--driving", "a.mp4@64x64"], "--fps and a size are for tables"),
        (["-s", "a.png", "--driving", "a.csv@0x64"], "must be at least 1 pixel"),
        (["-s", "a.png", "--driving", "a.csv", "--fps", "1/0"], "--fps must be a number such as"),
        (["-s", "a.png", "--driving", "a.csv", "--fps", "1e9"], "--fps must lie in 0.001..1000"),
        (["-s", "a.png", "--driving", "a.csv", "-p", "1:1", "2:2"], "1 source images need 1"),
        (["-s", "a.png", "--driving", "a.csv", "--scale", "0"], "--scale must lie in 1..16"),
        (["-s", "a.png", "--driving", "a.csv", "--size", "0"], "--size must lie in 1..4096"),
        (["-s", "a.png", "--driving", "a.csv", "--threshold", "2"], "--threshold must lie in"),
        (["-s", "a.png", "--driving", "a.csv", "-o", "a.txt"], "videos are written to .mp4"),
        (["-s", "a.png", "--driving", "a.csv", "-o", "a.gif", "--sound", "b.mp4"], "--sound is"),
        (["-s", "a.png", "--driving", "a.mp4", "-o", "a.mp4"], "a.mp4 is to be read, and would"),
        (["-s", "a.gif", "--driving", "a.csv", "-o", "a.gif"], "a.gif is to be read, and would"),
    ],
)
def test_bad_arguments(
    arguments: list[str],
    message: str,
    refused: Refused,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert message in refused("animate", *arguments)
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_used(
    people: str, sources: list[str], tmp_path: Path, refused: Refused, table: str
) -> None:
    def line(driving: object, *more: object, status: int = 1) -> str:
        out = tmp_path / "out.mp4"
        given = ["animate", "-s", sources[0], "-w", people, "--driving", driving, "-o", out]
        text = refused(*given, *more, status=status)
        assert not out.exists()
        return text

    assert "no video file at" in line(tmp_path / "none.mp4")
    assert "none.csv: No such file" in line(tmp_path / "none.csv")
    (tmp_path / "bad.mp4").write_bytes(b"\0" * 1000)
    assert "bad.mp4 cannot be read as a video" in line(tmp_path / "bad.mp4")
    (tmp_path / "bad.csv").write_text("x,y\n")
    assert "bad.csv must begin with the line name:keypoints_y:keypoints_x or azimuth:" in line(
        tmp_path / "bad.csv"
    )
    (tmp_path / "bad.csv").write_text("azimuth:elevation\n10:10\n10,10\n")
    assert "bad.csv, line 3: a viewpoint is AZIMUTH:ELEVATION" in line(tmp_path / "bad.csv")
    (tmp_path / "turn.csv").write_text("azimuth:elevation\n10:10\n")
    assert "is a viewpoint, but this model takes a keypoints" in line(tmp_path / "turn.csv")
    (tmp_path / "empty").mkdir()
    assert "has no .json files of OpenPose" in line(tmp_path / "empty")
    (tmp_path / "empty" / "a.json").write_text('{"people": []}')
    assert "does not say its canvas_height" in line(tmp_path / "empty")
    assert "has no person in it" in line(f"{tmp_path / 'empty'}@64x64")
    pytest.importorskip("av", reason="videos need rfwarp[video]")
    write_video(tmp_path / "white.mp4", [Frame(scene(None), Fraction(0))], 25)
    assert "nobody was found in" in line(tmp_path / "white.mp4")
    assert "white.mp4 has no sound" in line(table, "--sound", tmp_path / "white.mp4")
    scene(None).save(tmp_path / "white.png")
    assert "nobody was found in" in line(table, "-s", tmp_path / "white.png")
    lying = [Keypoints(pose.points[:, [1, 0, 2]], 128, 96) for pose in walk(2)]
    lying = [Keypoints(p.points * (1, 0, 1) + (0, 5, 0), 96, 96) for p in lying]
    write_annotations(tmp_path / "lying.csv", {str(n): pose for n, pose in enumerate(lying)})
    text = line(tmp_path / "lying.csv")
    assert "no pose of the clip has the neck, both shoulders and both hips, upright" in text
    assert "--no-retarget" in text


def test_no_overwrite(
    people: str, sources: list[str], table: str, tmp_path: Path, refused: Refused
) -> None:
    (tmp_path / "out.gif").write_bytes(b"kept")
    given = ["animate", "-s", sources[0], "-w", people, "--driving", table, "-o"]
    assert "out.gif is there already" in refused(*given, tmp_path / "out.gif", "--no-overwrite")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "note.txt").touch()
    assert "full must be a new or empty folder" in refused(*given, tmp_path / "full")
    assert (tmp_path / "out.gif").read_bytes() == b"kept"
