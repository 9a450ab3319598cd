"""VoxCeleb2, on small videos in the form that it is read in."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from rfwarp.data import preparation
from rfwarp.data.catalog import DataConfig, open_dataset
from rfwarp.data.preparation import Options, prepare
from rfwarp.data.voxceleb import FRAMES, VoxCelebVideos
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
    return tmp_path


def test_samples(root):
    dataset = open_dataset(DataConfig("voxceleb2", root=root, size=96), "train")
    assert (dataset.pose_kind, dataset.height, dataset.max_sources) == ("landmarks", 96, 7)
    rows = dataset.draw(0, 0, 40, 7)
    assert {row[-1] // FRAMES for row in rows} == {0, 1}
    assert all(sorted(row) == sorted(range(min(row), min(row) + FRAMES)) for row in rows)
    sample = dataset.load(rows[0])
    frame, video = rows[0][-1] % FRAMES, 2 * (rows[0][-1] // FRAMES)
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
    with pytest.raises(FileNotFoundError, match=r"no folder .*nowhere"):
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


class Detector:
    """Stands in for the networks: sees a face wherever there is some red."""

    def __init__(self, device: str) -> None:
        self.device = device

    def detect(self, path: Path) -> list[FaceLandmarks]:
        red = np.array(Image.open(path))[0, 0, 0]
        return [FaceLandmarks(points(int(red)), 64, 64)] if red > 9 else []


def test_prepare_detects_landmarks(tmp_path, monkeypatch):
    for split in ("train", "test"):
        write_videos(tmp_path, split, landmarks=False)
    monkeypatch.setattr(preparation, "FaceDetector", Detector)
    report = prepare("voxceleb2", tmp_path, Options(decode=True))
    # The first frames are black: 9 frames are left of the longest video, 7 of the other one.
    assert report.usable == {"train videos": 1, "test videos": 1}
    assert sum("shows no face" in problem for problem in report.problems) == 6
    assert report.unusable == []
    assert not list(tmp_path.rglob("*.tmp"))
    assert VoxCelebVideos(tmp_path, "train", 64).load((0, 1)).target.shape == (3, 64, 64)


def test_prepare_without_weights(tmp_path, monkeypatch):
    pytest.importorskip("face_alignment")
    write_videos(tmp_path, "train", landmarks=False)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    report = prepare("voxceleb2", tmp_path, Options())
    assert "hub/checkpoints lacks s3fd" in report.unusable[0]
