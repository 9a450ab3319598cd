"""Camera motions, against rotations composed in float64."""

import numpy as np
import pytest
import torch

from rfwarp.poses import POSE_KINDS, CameraMotion, read_kitti_poses
from rfwarp.poses.kinds import CAMERA_DEPTH, rotation_matrices


def turn(axis: int, angle: float) -> np.ndarray:
    a, b = [i for i in range(3) if i != axis]
    if axis == 1:
        a, b = b, a
    rotation = np.eye(3)
    rotation[a, a] = rotation[b, b] = np.cos(angle)
    rotation[a, b], rotation[b, a] = -np.sin(angle), np.sin(angle)
    return rotation


def random_motion(seed: int) -> CameraMotion:
    random = np.random.default_rng(seed)
    x, z = random.uniform(-np.pi, np.pi, 2)
    return CameraMotion((x, random.uniform(-1.5, 1.5), z), tuple(random.normal(size=3)))


def test_convention():
    """Angles turn about x first, then y, then z; each is right-handed."""
    motion = CameraMotion((0.3, -0.4, 1.1), (1, 2, 3))
    expected = turn(2, 1.1) @ turn(1, -0.4) @ turn(0, 0.3)
    np.testing.assert_allclose(motion.to_matrix()[:, :3], expected, atol=1e-15)
    assert motion.to_matrix()[:, 3].tolist() == [1, 2, 3]
    np.testing.assert_allclose(turn(1, np.pi / 2) @ [0, 0, 1], [1, 0, 0], atol=1e-15)  # z to x


@pytest.mark.parametrize("seed", range(8))
def test_round_trip(seed):
    motion = random_motion(seed)
    back = CameraMotion.from_matrix(motion.to_matrix())
    np.testing.assert_allclose(back.rotation, motion.rotation, atol=1e-12)
    assert back.translation == motion.translation


@pytest.mark.parametrize("y", [np.pi / 2, -np.pi / 2])
def test_gimbal_lock(y):
    matrix = CameraMotion((0.7, y, 0.2), (0, 0, 0)).to_matrix()
    locked = CameraMotion.from_matrix(matrix)
    assert locked.rotation[2] == 0
    np.testing.assert_allclose(locked.to_matrix(), matrix, rtol=0, atol=1e-15)


@pytest.mark.parametrize("off", [10.0**-n for n in range(2, 16)])
@pytest.mark.parametrize("side", [1, -1])
def test_near_gimbal_lock(off, side):
    """Even if x and z are almost one axis, the matrix comes back to the last digits."""
    for seed in range(8):
        x, z = np.random.default_rng(seed).uniform(-np.pi, np.pi, 2)
        matrix = CameraMotion((x, side * (np.pi / 2 - off), z), (0, 0, 0)).to_matrix()
        back = CameraMotion.from_matrix(matrix).to_matrix()
        np.testing.assert_allclose(back, matrix, rtol=0, atol=2e-12)


@pytest.mark.parametrize("seed", range(4))
def test_relative(seed):
    """A point of the view, taken to the reference in one step or by way of the third frame."""
    pose, reference = (random_motion(seed + i).to_matrix() for i in (0, 10))
    relative = CameraMotion.relative(pose, reference).to_matrix()
    point = np.array([0.3, -2.0, 5.0])
    world = pose[:, :3] @ point + pose[:, 3]
    expected = np.linalg.solve(reference[:, :3], world - reference[:, 3])
    np.testing.assert_allclose(relative[:, :3] @ point + relative[:, 3], expected, atol=1e-12)
    assert CameraMotion.relative(pose, pose).translation == pytest.approx((0, 0, 0))


def test_codes_are_tiled():
    motion = random_motion(1)
    assert motion.code().tolist() == pytest.approx([*motion.rotation, *motion.translation])
    maps = POSE_KINDS["camera"].expand(motion.code()[None], 4, 5)
    assert torch.equal(maps[0], motion.encode(4, 5))
    assert maps.shape == (1, 6, 4, 5)


def test_distance_is_translation_and_angle():
    angles = torch.tensor([[0.2, 0.1, -0.3]], dtype=torch.float64)
    matrix = rotation_matrices(angles)[0].numpy()
    np.testing.assert_allclose(
        matrix, CameraMotion((0.2, 0.1, -0.3), (0, 0, 0)).to_matrix()[:, :3], atol=1e-15
    )
    origin = torch.zeros(6)
    moved = torch.tensor([0.0, 0.25, 0.0, 3.0, 0.0, 4.0])
    distance = POSE_KINDS["camera"].distance(origin, moved)
    assert distance.item() == pytest.approx(5 + CAMERA_DEPTH * 0.25, rel=1e-6)


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (np.eye(3), r"\(3, 4\), or \(4, 4\) with 0 0 0 1 below, got \(3, 3\)"),
        (2 * np.eye(4)[:3], "no rotation: off by 3"),
        (np.diag([1.0, 1, -1, 1])[:3], "no rotation"),
        (np.full((3, 4), np.nan), "not finite"),
    ],
)
def test_no_pose(matrix, message):
    with pytest.raises(ValueError, match=message):
        CameraMotion.from_matrix(matrix)


def test_no_motion():
    with pytest.raises(ValueError, match="translation must be three finite numbers"):
        CameraMotion((0, 0, 0), (0, float("nan"), 0))


def line(seed: int) -> str:
    return " ".join(f"{value:.6e}" for value in random_motion(seed).to_matrix().ravel())


def test_kitti_poses(tmp_path):
    """As odometry's files are written: twelve numbers in six digits."""
    path = tmp_path / "00.txt"
    path.write_text("\n".join(line(i) for i in range(3)) + "\n")
    poses = read_kitti_poses(path)
    assert poses.shape == (3, 3, 4)
    np.testing.assert_allclose(poses[1], random_motion(1).to_matrix(), atol=1e-5)


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ("1 0 0 0 0 1 0 0 0 0 1", "line 2: expected 12 numbers, got 11"),
        ("1 0 0 0 0 1 0 0 0 0 x 0", "line 2: could not convert string to float"),
        ("1 0 0 0 0 1 0 0 0 0 9 0", "line 2: its first three columns are no rotation"),
    ],
)
def test_wrong_kitti_poses(tmp_path, second, message):
    path = tmp_path / "00.txt"
    path.write_text(f"{line(0)}\n{second}\n")
    with pytest.raises(ValueError, match=message):
        read_kitti_poses(path)
    path.write_text("")
    with pytest.raises(ValueError, match="is empty"):
        read_kitti_poses(path)
