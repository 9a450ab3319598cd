"""``rfwarp pose``, with a stand-in for the networks that takes what is dark for people."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import get_args, get_type_hints

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from rfwarp.cli import main
from rfwarp.cli.pose import FACES, Pose
from rfwarp.poses import FaceLandmarks, Keypoints, face_detection, parse_pose, read_annotations
from rfwarp.poses.alignment import FACE_HEIGHT
from rfwarp.poses.body_detection import BACKENDS, THRESHOLD

Refused = Callable[..., str]
Array = npt.NDArray[np.float64]


def dark_people(image: Image.Image) -> list[Array]:
    """A person for each of two colours, its joints on the diagonal of the colour's box."""
    pixels, people = np.array(image), []
    for channel in (0, 1):
        rows, columns = np.nonzero(pixels[..., channel] < 128)
        if len(rows):
            x, y = (np.linspace(c.min(), c.max(), 17) for c in (columns, rows))
            people.append(np.stack([x, y, np.linspace(0.2, 1, 17)], axis=1))
    return people


@pytest.fixture(autouse=True)
def backend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BACKENDS, "rtmpose", lambda device, weights: dark_people)


def scene(*boxes: tuple[int, int, int, int], size: tuple[int, int] = (64, 48)) -> Image.Image:
    """White, with a cyan box and a magenta one."""
    image = Image.new("RGB", size, "white")
    for colour, box in zip(("cyan", "magenta"), boxes, strict=False):
        image.paste(colour, box)
    return image


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """One person, none, and two of whom the second is larger."""
    folder = tmp_path / "photos"
    folder.mkdir()
    scene((4, 8, 21, 41)).save(folder / "a.png")
    scene().save(folder / "b.jpg")
    scene((1, 1, 6, 6), (20, 10, 60, 40), size=(80, 60)).save(folder / "c.png")
    (folder / "notes.txt").write_text("")
    return folder


def test_a_table_of_the_largest_people(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "keypoints.csv"
    assert main(["pose", str(photos), "-o", str(out)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "a.png: 1 person, 16 of 18 joints",
        "b.jpg: nobody",
        "c.png: 2 people, 16, 16 of 18 joints",
        f"wrote {out}",
    ]
    assert list(read_annotations(out, 48, 64)) == ["a.png", "c.png"]
    for name, box in (("a.png", (4, 8, 20, 40)), ("c.png", (20, 10, 59, 39))):
        pose = parse_pose(f"{out}:{name}", image=photos / name)
        assert isinstance(pose, Keypoints)
        here = pose.points[pose.points[:, 2] > 0, :2]
        # The nose is the first of COCO's points, the right ankle the last.
        assert pose.points[10, :2].tolist() == list(box[2:])
        assert (here >= box[:2]).all()
        assert not pose.has(0)


def test_files_of_openpose(photos: Path, tmp_path: Path) -> None:
    given = ["pose", str(photos / "a.png"), str(photos / "c.png"), "--threshold", "0"]
    assert main([*given, "-o", str(tmp_path / "one")]) == 0
    assert main([*given, "-o", str(tmp_path / "all"), "--everybody"]) == 0
    assert sorted(p.name for p in (tmp_path / "one").iterdir()) == ["a.json", "c.json"]
    largest = Keypoints.from_openpose(tmp_path / "all" / "c.json", 60, 80, person=0)
    assert Keypoints.from_openpose(tmp_path / "one" / "c.json", 60, 80) == largest
    assert largest.points[0].tolist() == [20, 10, 1]
    second = Keypoints.from_openpose(tmp_path / "all" / "c.json", 60, 80, person=1)
    assert second.points[0].tolist() == [1, 1, 1]
    with pytest.raises(ValueError, match="1 people, so there is no person 1"):
        Keypoints.from_openpose(tmp_path / "one" / "c.json", 60, 80, person=1)


def test_drawings(photos: Path, tmp_path: Path) -> None:
    given = ["pose", str(photos), "-o", str(tmp_path / "k.csv"), "--draw"]
    assert main([*given, str(tmp_path / "drawn")]) == 0
    assert sorted(p.name for p in (tmp_path / "drawn").iterdir()) == ["a.png", "c.png"]
    with Image.open(tmp_path / "drawn" / "c.png") as drawn:
        assert drawn.size == (80, 60)
        assert drawn.getpixel((59, 39)) == (60, 60, 60)
        assert drawn.getpixel((5, 50)) == (255, 255, 255)
    assert main([*given, str(tmp_path / "sheet.png")]) == 0
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (2 * 260 + 4, 260 + 4)


@pytest.fixture
def dark_faces(monkeypatch: pytest.MonkeyPatch) -> None:
    """FaceMesh finds a face where something is dark."""

    def detect(image: Image.Image) -> list[Array]:
        return [np.resize(person[:, :2], (68, 2)) for person in dark_people(image)]

    monkeypatch.setitem(face_detection.BACKENDS, "facemesh", lambda device, weights: detect)


@pytest.mark.usefixtures("dark_faces")
def test_faces_beside_their_images(
    photos: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Those of two people in one image: the larger one is written."""
    other = tmp_path / "other"
    other.mkdir()
    scene((10, 10, 21, 21)).save(other / "a.png")  # called as one in the other folder
    before = {path: path.read_bytes() for path in photos.iterdir()}
    given = ["pose", str(photos), str(other), "--backend", "facemesh", "--beside"]
    assert main([*given, "--draw", str(tmp_path / "sheet.png")]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "a.png: 1 face",
        "b.jpg: nobody",
        "c.png: 2 faces",
        "a.png: 1 face",
        "wrote 3 files",
        f"wrote {tmp_path / 'sheet.png'}",
    ]
    assert {path for path in photos.iterdir() if path not in before} == {
        photos / "a.npy",
        photos / "c.npy",
    }
    assert {path: path.read_bytes() for path in before} == before
    pose = parse_pose(str(photos / "c.npy"), image=photos / "c.png")
    assert isinstance(pose, FaceLandmarks)
    assert pose.points[0].tolist() == [20, 10]
    assert (other / "a.npy").is_file()
    assert main(["pose", str(photos), "--beside"]) == 0
    person = Keypoints.from_openpose(photos / "c.json", 60, 80)
    assert person.points[10].tolist() == [59, 39, 1]  # the ankle


@pytest.mark.usefixtures("dark_faces")
def test_faces_are_cut_out(
    photos: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Into folders named as those of the photographs: of one person each, as a folder has them."""
    one = tmp_path / "me.smiling.png"
    scene((10, 10, 21, 21)).save(one)
    given = ["pose", str(photos), str(one), "--backend", "facemesh", "--cut", str(tmp_path / "cut")]
    assert main(given) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"wrote {tmp_path / 'cut'}"
    written = sorted(
        p.relative_to(tmp_path / "cut").as_posix() for p in tmp_path.glob("cut/**/*.*")
    )
    folder = photos.name
    faces = (f"{folder}/a", f"{folder}/c", "me.smiling")
    assert written == sorted(f"{face}{ending}" for face in faces for ending in (".npy", ".png"))
    with Image.open(tmp_path / "cut" / "me.smiling.png") as image:
        assert image.size == (256, 256)
    pose = parse_pose(f"{tmp_path}/cut/me.smiling.npy", image=tmp_path / "cut" / "me.smiling.png")
    assert isinstance(pose, FaceLandmarks)
    low, high = pose.points.min(axis=0), pose.points.max(axis=0)
    assert (high - low)[1] == pytest.approx(256 * FACE_HEIGHT, abs=0.01)


@pytest.mark.parametrize(
    ("backends", "name", "shape"),
    [(BACKENDS, "rtmpose", (17, 3)), (face_detection.BACKENDS, "face-alignment", (68, 2))],
)
def test_the_detector_is_the_one_asked_for(
    backends: dict[str, object],
    name: str,
    shape: tuple[int, int],
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[tuple[str, Path | None]] = []

    def opened(device: str, weights: Path | None) -> Callable[[Image.Image], list[Array]]:
        made.append((device, weights))
        return lambda image: [np.ones(shape)]

    monkeypatch.setitem(backends, name, opened)
    given = ["pose", str(photos), "--backend", name, "--weights", str(tmp_path / "files")]
    assert main([*given, "--device", "cuda:1", "-o", str(tmp_path / "poses")]) == 0
    assert made == [("cuda:1", tmp_path / "files")]


def test_nobody_anywhere_is_an_error(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "k.csv"
    assert main(["pose", str(photos / "b.jpg"), "-o", str(out)]) == 1
    assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a.png", "-o", "k.json"], "-o must be a .csv table or a folder, got k.json"),
        (["a.png", "-o", "k.csv", "--threshold", "2"], "--threshold must lie in 0..1, got 2.0"),
        (["a.png", "-o", "k.csv", "--everybody"], "--everybody needs a folder"),
        (["a.png", "-o", "k.csv", "--smooth"], "--smooth is for a video"),
        (["a.mp4", "-o", "k", "--smooth", "--everybody"], "not with --everybody"),
        (["a.mp4", "b.mp4", "-o", "k.csv"], "a video is read alone, got 2 paths"),
        (["a.png"], "one of -o TABLE.csv|FOLDER, --beside and --cut FOLDER is needed"),
        (
            ["a.png", "-o", "k", "--beside"],
            "one of -o TABLE.csv|FOLDER, --beside and --cut FOLDER is needed",
        ),
        (["a.png", "-o", "k", "--cut", "c"], "one of -o TABLE.csv|FOLDER, --beside and --cut"),
        (["a.png", "--cut", "c"], "--cut is for faces, by --backend face-alignment or facemesh"),
        (["b/a.jpg", "b/a.png", "--backend", "facemesh", "--cut", "c"], "2 images are called a"),
        (["a.png", "--backend", "facemesh", "--cut", "."], "a.png is to be read, and --cut would"),
        (["a.mp4", "--beside"], "--beside and --cut are for images"),
        (["a.png", "a.jpg", "--beside"], "2 images are called a, and would share"),
        (["a.png", "--backend", "facemesh", "-o", "k.csv"], "no .csv, --everybody or --smooth"),
        (["a.png", "--backend", "facemesh", "--beside", "--everybody"], "no .csv, --everybody"),
        (["-o", "k.csv"], "an image, a folder of images or a video is needed"),
        (["a.png", "b/a.jpg", "-o", "k.csv"], "2 images are called a, and would share"),
        (["a.png", "-o", "k.csv", "--draw", "a.png"], "a.png is to be read, and --draw would"),
        (["b/a.png", "-o", "k.csv", "--draw", "b"], "a.png is to be read, and --draw would"),
        (["a.png", "-o", "k.csv", "--draw", "a.txt"], "images can be written to .png"),
    ],
)
def test_bad_arguments(
    arguments: list[str],
    message: str,
    refused: Refused,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert message in refused("pose", *arguments)
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_read(tmp_path: Path, refused: Refused) -> None:
    out = ("-o", tmp_path / "k.csv")
    # Also where the detector's own files are missing: it is not looked for first.
    missing = [tmp_path / "none.png", *out, "--weights", tmp_path / "no weights"]
    assert "no image file at" in refused("pose", *missing, status=1)
    assert "has no images (.png" in refused("pose", tmp_path, *out, status=1)


def test_an_unreadable_image_costs_nothing_that_was_found(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (photos / "d.png").write_bytes((photos / "c.png").read_bytes()[:60])
    for out in ("k.csv", "folder"):
        assert main(["pose", str(photos), "-o", str(tmp_path / out)]) == 1
        assert "d.png cannot be read" in capsys.readouterr().err
    assert list(read_annotations(tmp_path / "k.csv", 48, 64)) == ["a.png", "c.png"]
    assert sorted(p.name for p in (tmp_path / "folder").iterdir()) == ["a.json", "c.json"]


@pytest.mark.parametrize(
    ("options", "status", "message"),
    [
        (["-o", "file"], 1, "file: File exists"),
        (["-o", "file/new"], 1, "file/new: Not a directory"),
        (["-o", "file/k.csv"], 1, "file: File exists"),
        (["-o", "folder.csv"], 2, "a file is to be written, but folder.csv is a folder"),
        (["-o", "k.csv", "--draw", "file/sheet.png"], 1, "file: File exists"),
        (["--backend", "facemesh", "--cut", "file"], 1, "file: File exists"),
    ],
)
def test_unusable_places_are_an_error_before_any_work(
    options: list[str],
    status: int,
    message: str,
    photos: Path,
    tmp_path: Path,
    refused: Refused,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.csv").mkdir()

    def unexpected(device: str, weights: Path | None) -> None:
        raise AssertionError("networks were loaded")

    monkeypatch.setitem(BACKENDS, "rtmpose", unexpected)
    monkeypatch.setitem(face_detection.BACKENDS, "facemesh", unexpected)
    assert message in refused("pose", photos, *options, status=status)


def test_options_are_those_of_the_detector() -> None:
    assert get_args(get_type_hints(Pose)["backend"]) == (*BACKENDS, *face_detection.BACKENDS)
    assert tuple(face_detection.BACKENDS) == FACES
    assert Pose.threshold == THRESHOLD


def test_a_video(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    av = pytest.importorskip("av", reason="videos need rfwarp[video]")
    path = tmp_path / "walk.mp4"
    with av.open(str(path), "w") as video:
        stream = video.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for left in (8, 12, 16, 12, 8):
            frame = av.VideoFrame.from_image(scene((left, 8, left + 20, 40)))
            video.mux(stream.encode(frame))
        video.mux(stream.encode())
    tables = {}
    for name, options in (("raw", []), ("smooth", ["--smooth"])):
        out = tmp_path / name
        assert main(["pose", str(path), "-o", str(out), *options]) == 0
        assert "walk_000004.png: 1 person" in capsys.readouterr().out
        files = [out / f"walk_{number:06d}.json" for number in range(5)]
        assert sorted(out.iterdir()) == files
        tables[name] = [Keypoints.from_openpose(f, 48, 64).points[1, 0] for f in files]
    assert np.abs(np.diff(tables["smooth"])).sum() < 0.9 * np.abs(np.diff(tables["raw"])).sum()
    assert tables["smooth"][0] == tables["raw"][0]
    monkeypatch.setitem(sys.modules, "av", None)
    assert main(["pose", str(path), "-o", str(tmp_path / "k.csv")]) == 1
    assert 'pip install "rfwarp[video]"' in capsys.readouterr().err
