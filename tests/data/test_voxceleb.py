"""VoxCeleb2, on small videos in the form that it is read in."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from rfwarp.data import face_preparation
from rfwarp.data.catalog import DataConfig, open_dataset
from rfwarp.data.preparation import Options, prepare
from rfwarp.data.voxceleb import FRAMES, HEADER, VoxCelebVideos, read_videos, spread
from rfwarp.poses import FaceLandmarks


def points(frame: int) -> np.ndarray:
    return np.random.default_rng(frame).uniform(0, 64, (68, 2)).astype(np.float32)


def write_videos(root: Path, split: str, landmarks: bool = True) -> None:
    """Two videos with enough frames, and one without; red tells the frame, green the video."""
    for video, count in enumerate((10, 3, 8)):
        folder = root / split / "id01" / f"clip{video}"
        folder.mkdir(parents=True)
        for frame in range(count):
            path = folder / f"{frame:04d}.jpg"
            Image.new("RGB", (64, 64), (20 * frame, 80 * video, 0)).save(path, quality=100)
            if landmarks:
                np.save(path.with_suffix(".npy"), points(frame))


@pytest.fixture
def root(tmp_path) -> Path:
    for split in ("train", "test"):
        write_videos(tmp_path, split)
    report = prepare("voxceleb2", tmp_path, Options(decode=True))
    assert report.usable == {"train videos": 2, "test videos": 2}
    assert [p.rpartition("/")[2] for p in report.problems] == [
        "clip1 has 3 frames, 8 are needed"
    ] * 2
    return tmp_path


def test_samples(root):
    dataset = open_dataset(DataConfig("voxceleb2", root=root, size=96), "train")
    assert (dataset.pose_kind, dataset.height, dataset.max_sources) == ("landmarks", 96, 7)
    rows = dataset.draw(0, 0, 40, 7)
    assert {row[-1] // FRAMES for row in rows} == {0, 1}
    assert all(sorted(row) == sorted(range(min(row), min(row) + FRAMES)) for row in rows)
    sample = dataset.load(rows[0])
    video = 2 * (rows[0][-1] // FRAMES)
    frame = ([0, 1, 3, 4, 5, 6, 8, 9] if video == 0 else range(8))[rows[0][-1] % FRAMES]
    assert sample.target[:2, 5, 5].tolist() == pytest.approx([20 * frame, 80 * video], abs=4)
    drawn = FaceLandmarks(points(frame), 64, 64).draw(96, 96)
    assert torch.equal(sample.target_pose, torch.from_numpy(np.array(drawn)).permute(2, 0, 1))
    assert sample.poses.shape == (7, 3, 96, 96)


def test_draws_are_reproducible_and_fewer_sources_a_prefix(root):
    dataset = VoxCelebVideos(root, "test")
    rows = dataset.draw(1, 2, 30, 4)
    assert rows == dataset.draw(1, 2, 30, 4)
    assert dataset.draw(1, 2, 30, 2) == [(*row[:2], row[-1]) for row in rows]


def test_what_is_wrong(root, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"rfwarp prepare voxceleb2 --root .*nowhere"):
        VoxCelebVideos(root / "nowhere", "train")
    dataset = VoxCelebVideos(root, "train", 64)
    np.save(root / "train/id01/clip0/0000.npy", np.zeros((5, 2)))
    with pytest.raises(ValueError, match=r"0000.npy holds no landmarks: points must be \(68, 2\)"):
        dataset.load((0, 1))
    (root / "train/id01/clip0/0000.npy").write_bytes(b"")
    with pytest.raises(ValueError, match=r"0000.npy holds no landmarks"):
        dataset.load((0, 1))
    Image.new("RGB", (64, 32)).save(root / "train/id01/clip0/0001.jpg")
    with pytest.raises(ValueError, match=r"0001.jpg must be square, got 64 x 32"):
        dataset.load((1, 2))
    (root / "train/id01/clip0/0001.jpg").unlink()
    with pytest.raises(ValueError, match=r"0001.jpg is missing"):
        dataset.load((1, 2))


def test_broken_frames_are_replaced_by_others(root):
    (root / "train/id01/clip0/0000.jpg").write_bytes(b"?")
    np.save(root / "train/id01/clip0/0009.npy", np.full((68, 2), np.nan))
    (root / "test/id01/clip2/0003.jpg").write_bytes(b"")
    report = prepare("voxceleb2", root, Options(decode=True))
    assert report.usable == {"train videos": 2, "test videos": 1}
    names = ["0000.jpg", "0009.npy", "clip1", "clip1", "0003.jpg", "clip2 has 7 good frames"]
    assert all(name in problem for name, problem in zip(names, report.problems, strict=True))
    assert read_videos(root, "train")[0][1:] == tuple(f"{i:04d}.jpg" for i in range(1, 9))


def test_frames_are_spread_over_the_video():
    assert spread("abcdefgh", 8) == list("abcdefgh")
    assert spread(range(250)) == [15, 46, 78, 109, 140, 171, 203, 234]
    assert spread("abc") == ["a", "b", "c"]


def test_the_training_split_may_be_called_dev(root):
    rows = read_videos(root, "train")
    (root / "train").rename(root / "dev")
    assert prepare("voxceleb2", root, Options()).unusable == []
    assert [row[0] for row in read_videos(root, "train")] == ["dev/id01/clip0", "dev/id01/clip2"]
    assert [row[1:] for row in read_videos(root, "train")] == [row[1:] for row in rows]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("video,frame\n", "line 1: expected video,frame_0"),
        (",".join(HEADER) + "\na,1,2\n", "line 2: expected a folder and 8 different frames"),
        (",".join(HEADER) + "\na" + ",1.jpg" * 8 + "\n", "line 2: expected a folder and 8"),
        (",".join(HEADER) + "\n", "has no videos"),
    ],
)
def test_wrong_lists(tmp_path, text, message):
    (tmp_path / "voxceleb2-test.csv").write_text(text)
    with pytest.raises(ValueError, match=f"voxceleb2-test.csv,? {message}"):
        VoxCelebVideos(tmp_path, "test")


class Detector:
    """Stands in for the networks: sees a face wherever there is some red."""

    def __init__(self, device: str, *, backend: str) -> None:
        assert (device, backend) == ("cpu", "facemesh")

    def detect(self, path: Path) -> list[FaceLandmarks]:
        red = np.array(Image.open(path))[0, 0, 0]
        return [FaceLandmarks(points(int(red)), 64, 64)] if red > 9 else []


def test_prepare_detects_landmarks(tmp_path, monkeypatch):
    for split in ("train", "test"):
        write_videos(tmp_path, split, landmarks=False)
    monkeypatch.setattr(face_preparation, "FaceDetector", Detector)
    report = prepare("voxceleb2", tmp_path, Options(decode=True, detector="facemesh"))
    # The first frames are black: 9 frames are left of the longest video, 7 of the other one.
    assert report.usable == {"train videos": 1, "test videos": 1}
    assert sum("shows no face" in problem for problem in report.problems) == 4
    assert sum("clip2 has 7 good frames, 8 are" in problem for problem in report.problems) == 2
    # No more are detected than needed.
    assert len(list((tmp_path / "train/id01/clip0").glob("*.npy"))) == 8
    assert not list((tmp_path / "train/id01/clip1").glob("*.npy"))
    assert report.unusable == []
    assert not list(tmp_path.rglob("*.tmp"))
    assert VoxCelebVideos(tmp_path, "train", 64).load((0, 1)).target.shape == (3, 64, 64)


def test_prepare_without_weights(tmp_path, monkeypatch):
    pytest.importorskip("face_alignment")
    write_videos(tmp_path, "train", landmarks=False)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    report = prepare("voxceleb2", tmp_path, Options())
    assert "hub/checkpoints lacks s3fd" in report.unusable[0]
