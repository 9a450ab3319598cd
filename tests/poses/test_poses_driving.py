"""Sequences of poses: read, retargeted and held."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from rfwarp.poses import (
    Keypoints,
    Viewpoint,
    read_driving_poses,
    retarget,
    write_annotations,
    write_openpose,
)
from rfwarp.poses.driving import held


def upright(rng: np.random.Generator, size: int = 200) -> Keypoints:
    """Joints at random, but hips below shoulders."""
    points = rng.uniform(20, 180, (18, 3))
    points[[2, 5], 1], points[[8, 11], 1] = rng.uniform(40, 60, 2), rng.uniform(100, 120, 2)
    points[:, 2] = 1
    return Keypoints(points, size, size)


def torso(pose: Keypoints) -> float:
    y = pose.points[:, 1]
    return float(y[[8, 11]].mean() - y[[2, 5]].mean())


def test_retargeting_is_one_similarity_by_medians() -> None:
    rng = np.random.default_rng(0)
    source = upright(rng).scaled(64, 64)
    poses = [upright(rng) for _ in range(7)]
    moved = retarget(poses, source)
    scale = torso(source) / np.median([torso(pose) for pose in poses])
    neck = np.median([pose.points[1, :2] for pose in poses], axis=0)
    for pose, new in zip(poses, moved, strict=True):
        assert (new.height, new.width) == (64, 64)
        expected = source.points[1, :2] + scale * (pose.points[:, :2] - neck)
        assert np.allclose(new.points[:, :2], expected, atol=1e-3)
    assert np.median([torso(pose) for pose in moved]) == pytest.approx(torso(source), rel=1e-4)


def test_a_driver_that_is_the_source_moved_comes_back() -> None:
    rng = np.random.default_rng(1)
    source = upright(rng)
    driver = Keypoints(source.points * (0.5, 0.5, 1) + (30, 10, 0), 300, 400)
    (moved,) = retarget([driver], source)
    assert np.allclose(moved.points, source.points, atol=1e-3)


def test_poses_that_cannot_be_measured_move_along() -> None:
    rng = np.random.default_rng(2)
    source, good = upright(rng), upright(rng)
    bent = good.points.copy()
    bent[[8, 11], 1] = 10  # hips above the shoulders
    without = good.points.copy()
    without[1, 2] = 0
    poses = [good, Keypoints(bent, 200, 200), Keypoints(without, 200, 200)]
    moved = retarget(poses, source)
    assert np.allclose(moved[0].points[1], source.points[1], atol=1e-3)
    assert np.allclose(moved[1].points[0], moved[0].points[0])
    assert not moved[2].has(1)
    with pytest.raises(ValueError, match="no pose of the clip has the neck, both shoulders"):
        retarget(poses[1:], source)
    with pytest.raises(ValueError, match="needs the source's neck"):
        retarget([good], poses[2])
    with pytest.raises(ValueError, match="upright person"):
        retarget([good], poses[1])
    with pytest.raises(ValueError, match=r"of one image size, got \[\(64, 64\), \(200, 200\)\]"):
        retarget([good, good.scaled(64, 64)], source)


def test_a_table(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    poses = [Keypoints(np.rint(upright(rng).points), 200, 200) for _ in range(3)]
    path = tmp_path / "walk.csv"
    write_annotations(path, dict(zip("cab", poses, strict=True)))
    assert read_driving_poses(path, (200, 200)) == poses  # in the order of the rows
    names = ("walk_000003.png", "walk_000004.png", "walk_000007.png")
    write_annotations(path, dict(zip(names, poses, strict=True)))
    assert read_driving_poses(path, (200, 200)) == [*poses[:2], None, None, poses[2]]
    with pytest.raises(ValueError, match=r"size of the images that .*walk.csv is of must be given"):
        read_driving_poses(path)


def test_frames_without_a_joint_have_no_person(tmp_path: Path) -> None:
    nobody = Keypoints(np.zeros((18, 3)), 200, 200)
    pose = Keypoints(np.full((18, 2), 20), 200, 200)
    path = tmp_path / "walk.csv"
    write_annotations(path, {"a_000001.png": nobody, "a_000002.png": pose})
    assert read_driving_poses(path, (200, 200)) == [None, pose]
    write_annotations(path, {"a_000001.png": nobody})
    with pytest.raises(ValueError, match="has no person in it"):
        read_driving_poses(path, (200, 200))


def test_numbers_that_lie_far_apart_are_refused(tmp_path: Path) -> None:
    pose = Keypoints(np.full((18, 2), 20), 64, 64)
    path = tmp_path / "walk.csv"
    write_annotations(path, {"a_000001.png": pose, "a_999999999999.png": pose})
    with pytest.raises(ValueError, match="has only 2 of frames 1 to 999999999999"):
        read_driving_poses(path, (64, 64))


def test_a_folder(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    poses = [upright(rng) for _ in range(2)]
    for name, pose in zip(("b.json", "a.json"), poses, strict=True):
        write_openpose(tmp_path / name, [pose])
    (tmp_path / "c.json").write_text(json.dumps({"people": []}))
    (tmp_path / "notes.txt").touch()
    assert read_driving_poses(tmp_path, (200, 200)) == [poses[1], poses[0], None]
    with pytest.raises(ValueError, match=r"c\.json is no file of OpenPose .* canvas_height"):
        read_driving_poses(tmp_path)
    with pytest.raises(ValueError, match="canvas_height is 200, but the image is 64 x 64"):
        read_driving_poses(tmp_path, (64, 64))
    (tmp_path / "c.json").unlink()
    assert read_driving_poses(tmp_path) == [poses[1], poses[0]]
    assert Keypoints.from_openpose(tmp_path / "a.json") == poses[1]


def test_viewpoints(tmp_path: Path) -> None:
    path = tmp_path / "turn.csv"
    path.write_bytes(b"\xef\xbb\xbfazimuth:elevation\r\n0:10\r\n\r\n-7.5:-5\r\n")
    assert read_driving_poses(path) == [Viewpoint(0, 10), Viewpoint(-7.5, -5)]
    path.write_text("azimuth:elevation\n")
    with pytest.raises(ValueError, match=r"turn\.csv has no viewpoints"):
        read_driving_poses(path)
    path.write_bytes(b"\xff\xfe\x00" * 5000)
    with pytest.raises(ValueError, match="must begin with the line"):
        read_driving_poses(path)
    with pytest.raises(FileNotFoundError):
        read_driving_poses(tmp_path / "none.csv")


def test_holding() -> None:
    assert held([None, None, 1, None, 2, None]) == [1, 1, 1, 1, 2, 2]
    with pytest.raises(ValueError, match="there is no pose"):
        held([None])
