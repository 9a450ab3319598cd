"""KITTI odometry, on small drives in its format."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rfwarp.data import kitti
from rfwarp.data.catalog import DataConfig, open_dataset
from rfwarp.data.kitti import OFFSETS, KittiFrames
from rfwarp.data.preparation import Options, prepare
from rfwarp.poses import CameraMotion


def write_drive(root: Path, name: str, frames: int, first: int) -> None:
    """A drive straight on and turning right; the red of a frame's middle is its number."""
    folder = root / "sequences" / name / "image_2"
    folder.mkdir(parents=True)
    lines = []
    for frame in range(frames):
        pixels = np.zeros((10, 30, 3), np.uint8)
        pixels[:, 10:20] = first + frame
        Image.fromarray(pixels).save(folder / f"{frame:06d}.png")
        pose = CameraMotion((0, 0.02 * frame, 0), (0.1 * frame, 0, frame)).to_matrix()
        lines.append(" ".join(f"{value:.9e}" for value in pose.ravel()))
    (root / "poses").mkdir(exist_ok=True)
    (root / "poses" / f"{name}.txt").write_text("\n".join(lines) + "\n")


@pytest.fixture
def drives(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr(kitti, "SEQUENCES", {"train": ("00", "01"), "test": ("09",)})
    for name, frames, first in (("00", 25, 0), ("01", 12, 100), ("09", 11, 200)):
        write_drive(tmp_path, name, frames, first)
    return tmp_path


def test_samples(drives):
    dataset = open_dataset(DataConfig("kitti", root=drives, size=64), "train")
    assert (dataset.pose_kind, dataset.height, dataset.width) == ("camera", 64, 64)
    sample = dataset.load((3, 12, 10))
    # The middle square of an image is what is left, so frames are told by their red.
    numbers = [int(p[0, 32, 32]) for p in (*sample.sources, sample.target)]
    assert numbers == [3, 12, 10]
    assert (sample.target[0, 0] == 10).all()
    assert sample.target_pose.abs().max() < 1e-6
    # Where the source's camera was, in the target's axes.
    angle = 0.02 * 10
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    x, z = turn.T @ [0.1 * (3 - 10), 3 - 10]
    assert sample.poses[0, 1].item() == pytest.approx(0.02 * (3 - 10), abs=1e-6)
    assert sample.poses[0, 3:].tolist() == pytest.approx([x, 0, z], abs=1e-5)


def test_sources_are_near_and_never_the_target(drives):
    dataset = KittiFrames(drives, "train")
    rows = dataset.draw(0, 0, 500, dataset.max_sources)
    assert {row[-1] for row in rows} == set(range(37))
    for *sources, target in rows:
        assert len(set(sources)) == dataset.max_sources
        assert {source - target for source in sources} <= set(OFFSETS)
        assert all((source < 25) == (target < 25) for source in sources)  # one drive
    assert {-10, -1, 1, 9} <= {source - row[-1] for row in rows for source in row[:-1]}


def test_draws_are_reproducible_and_fewer_sources_a_prefix(drives):
    dataset = KittiFrames(drives, "train")
    rows = dataset.draw(1, 2, 30, 4)
    assert rows == dataset.draw(1, 2, 30, 4)
    assert dataset.draw(1, 2, 30, 2) == [(*row[:2], row[-1]) for row in rows]
    assert dataset.evaluation_rows(1, 30, 4) == dataset.draw(1, 0, 30, 4)
    with pytest.raises(ValueError, match=r"sources must lie in 1..9, got 10"):
        dataset.draw(0, 0, 1, 10)


def test_prepare(drives):
    report = prepare("kitti", drives, Options(decode=True))
    assert report.usable == {"train frames": 37, "test frames": 11}
    assert (report.problems, report.unusable) == ([], [])


def test_what_is_wrong_is_listed(drives):
    (drives / "sequences" / "00" / "image_2" / "000003.png").unlink()
    (drives / "sequences" / "09" / "image_2" / "000002.png").write_bytes(b"?")
    lines = (drives / "poses" / "01.txt").read_text().splitlines()
    lines[4] = lines[4].rpartition(" ")[0]
    (drives / "poses" / "01.txt").write_text("\n".join(lines))
    report = prepare("kitti", drives, Options(decode=True))
    assert len(report.problems) == 3
    assert "25 poses, so" in report.problems[0]
    assert "it holds 24 images, without 000003.png" in report.problems[0]
    assert "01.txt, line 5: expected 12 numbers, got 11" in report.problems[1]
    assert "000002.png" in report.problems[2]
    assert len(report.unusable) == 2
    with pytest.raises(ValueError, match="it holds 24 images"):
        KittiFrames(drives, "train")


def test_missing_parts(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no folder .*image_2"):
        KittiFrames(tmp_path, "train")
    (tmp_path / "sequences" / "00" / "image_2").mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match=r"no file .*00.txt"):
        KittiFrames(tmp_path, "train")


def test_published_targets(drives):
    (drives / "id_test.txt").write_text("01_000002\n00_000024\n00_000003\n")
    dataset = KittiFrames(drives, "test")
    rows = dataset.draw(0, 0, 60, 9)
    assert {row[-1] for row in rows} == {3, 24, 27}
    assert all((frame < 25) == (row[-1] < 25) for row in rows for frame in row)
    assert {frame for row in rows for frame in row} - {3, 24, 27}  # sources are of no list
    assert prepare("kitti", drives, Options()).unusable == []
    assert len({row[-1] for row in KittiFrames(drives, "train").draw(0, 0, 500, 1)}) == 37


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("00_000001\n0_7\n", "line 2: expected SEQUENCE_FRAME, got '0_7'"),
        ("00_000025\n", "frame 25 of sequence 00, which ends at 24"),
        ("", "is empty"),
    ],
)
def test_wrong_targets(drives, text, message):
    (drives / "id_train.txt").write_text(text)
    with pytest.raises(ValueError, match=rf"id_train.txt.* {message}"):
        KittiFrames(drives, "train")
    assert message in prepare("kitti", drives, Options()).unusable[0]
