"""Viewpoints, and poses as arrays."""

import math

import numpy as np
import pytest
import torch

from rfwarp.poses import POSE_KINDS, CameraMotion, FaceLandmarks, Keypoints, Pose, Viewpoint
from rfwarp.poses.encoding import encode_pose
from rfwarp.poses.viewpoint import angles


def test_grid_is_the_protocol():
    grid = list(Viewpoint.grid())
    assert len(set(grid)) == 54
    assert [v.index for v in grid] == list(range(54))
    assert [Viewpoint.from_index(i) for i in range(54)] == grid
    assert grid[:4] == [Viewpoint(0, 0), Viewpoint(0, 10), Viewpoint(0, 20), Viewpoint(20, 0)]
    assert grid[-1] == Viewpoint(340, 20)


@pytest.mark.parametrize("index", range(54))
def test_code_is_two_one_hots(index):
    view = Viewpoint.from_index(index)
    expected = torch.zeros(21)
    expected[view.azimuth // 20] = 1
    expected[18 + view.elevation // 10] = 1
    assert torch.equal(view.code(), expected)
    encoded = view.encode(2, 3)
    assert encoded.shape == (21, 2, 3)
    assert torch.equal(encoded, expected[:, None, None].repeat(1, 2, 3))


@pytest.mark.parametrize(
    ("azimuth", "elevation", "azimuths", "elevations"),
    [
        (25, 0, {1: 0.75, 2: 0.25}, (1, 0, 0)),
        (355, 15, {17: 0.25, 0: 0.75}, (0, 0.5, 0.5)),
        (40.5, 2.5, {2: 0.975, 3: 0.025}, (0.75, 0.25, 0)),
        (0, 24, {0: 1}, (0, -4 / 70, 74 / 70)),
        (0, 90, {0: 1}, (0, -1, 2)),
        (0, -45, {0: 1}, (1.5, -0.5, 0)),
    ],
)
def test_vector_between_and_beyond(azimuth, elevation, azimuths, elevations):
    expected = torch.zeros(21)
    for number, weight in azimuths.items():
        expected[number] = weight
    expected[18:] = torch.tensor(elevations)
    torch.testing.assert_close(Viewpoint(azimuth, elevation).code(), expected)


def test_angles_of_vectors():
    """Exact on the grid; of others to rounding, also on the seams of both angles."""
    on_grid = torch.stack(angles(Viewpoint.codes()), dim=-1)
    assert on_grid.tolist() == [[v.azimuth, v.elevation] for v in Viewpoint.grid()]
    given = [(a, e) for a in (0, 7, 19.5, 30, 153, 350, 359.9) for e in range(-90, 91, 6)]
    found = torch.stack(angles(torch.stack([Viewpoint(*x).code() for x in given])), dim=-1)
    error = (found - torch.tensor(given) + 180).remainder(360) - 180
    assert error.abs().max() < 1e-4


def test_distances_between_and_beyond():
    """The angle between lines of sight."""
    one = torch.stack([Viewpoint(*x).code() for x in ((153, 24), (7, 90), (350, -30), (0, 45))])
    two = torch.stack([Viewpoint(*x).code() for x in ((153, 68), (99, 45), (5, -30), (180, 45))])
    level = 2 * math.degrees(math.asin(math.cos(math.radians(30)) * math.sin(math.radians(7.5))))
    expected = torch.tensor([44, 45, level, 90]).double()
    found = POSE_KINDS["viewpoint"].distance(one, two)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


def test_azimuth_wraps_and_whole_numbers_become_integers():
    assert Viewpoint(380, 10) == Viewpoint(20, 10) == Viewpoint(-340, 10)
    assert type(Viewpoint(np.int64(40), 10.0).azimuth) is int
    assert hash(Viewpoint(360, 0)) == hash(Viewpoint(0, 0)) == hash(Viewpoint(-1e-20, 0))
    assert (Viewpoint(-337.5, 0).azimuth, Viewpoint(0, -1.5).elevation) == (22.5, -1.5)


@pytest.mark.parametrize(
    ("azimuth", "elevation", "message"),
    [
        (0, 91, r"elevation must lie in -90\.\.90 degrees, got 91"),
        (0, -370, "elevation must lie in"),
        (float("nan"), 0, "azimuth must be finite, got nan"),
        (0, float("inf"), "elevation must be finite, got inf"),
    ],
)
def test_angles_that_are_none(azimuth, elevation, message):
    with pytest.raises(ValueError, match=message):
        Viewpoint(azimuth, elevation)


@pytest.mark.parametrize(
    ("azimuth", "elevation", "message"),
    [
        (30, 0, "azimuth must be one of 0, 20, .* 340 degrees, got 30"),
        (0, 30, "elevation must be one of 0, 10, 20 degrees, got 30"),
        (10.5, 0, r"azimuth must be .* got 10\.5"),
    ],
)
def test_views_that_are_not_of_the_protocol(azimuth, elevation, message):
    with pytest.raises(ValueError, match=message):
        _ = Viewpoint(azimuth, elevation).index


@pytest.mark.parametrize("angle", ["20", None, [], 1j])
def test_angles_that_are_no_numbers(angle):
    with pytest.raises(TypeError, match="azimuth must be a number of degrees, got"):
        Viewpoint(angle, 0)
    with pytest.raises(TypeError, match="elevation must be a number of degrees, got"):
        Viewpoint(0, angle)


@pytest.mark.parametrize("index", [-1, 54])
def test_bad_index(index):
    with pytest.raises(ValueError, match=rf"must lie in 0\.\.53, got {index}"):
        Viewpoint.from_index(index)


def test_viewpoint_is_a_pose_and_a_string_is_not():
    assert isinstance(Viewpoint(0, 0), Pose)
    assert not isinstance("front", Pose)  # though str has a method `encode`


@pytest.mark.parametrize(
    "pose",
    [
        np.arange(3),
        np.arange(3, dtype=np.float16),
        np.arange(3)[::-1][::-1],
        torch.arange(3),
        torch.arange(3.0, requires_grad=True),
        torch.arange(3.0)[:, None, None].expand(3, 2, 4),
        np.arange(3.0)[:, None, None].repeat(2, 1).repeat(4, 2),
    ],
)
def test_arrays_and_tensors_are_encoded(pose):
    encoded = encode_pose("pose", pose, 3, 2, 4)
    assert encoded.dtype == torch.float32
    assert not encoded.requires_grad
    assert torch.equal(encoded, torch.arange(3.0)[:, None, None].expand(3, 2, 4))


@pytest.mark.parametrize(
    ("pose", "error", "message"),
    [
        ("front", TypeError, "pose must be a pose of rfwarp.poses, an array or a tensor, got str"),
        ([0.0, 1.0, 2.0], TypeError, "got list"),
        (None, TypeError, "got NoneType"),
        (np.array(["a", "b", "c"]), TypeError, "must hold real numbers, got <U1"),
        (np.zeros(3, dtype=complex), TypeError, "must hold real numbers, got complex128"),
        (torch.zeros(3, dtype=torch.complex64), TypeError, "must hold real numbers"),
        (np.zeros(4), ValueError, r"map \(3, 2, 4\) or a vector \(3,\), got \(4,\)"),
        (np.zeros((3, 4, 2)), ValueError, r"got \(3, 4, 2\)"),
        (np.zeros(()), ValueError, r"got \(\)"),
        (Viewpoint(0, 0), ValueError, r"got \(21, 2, 4\)"),
        (np.array([0, np.nan, 0]), ValueError, "pose has non-finite values"),
        (torch.tensor([0, 1, float("inf")]), ValueError, "pose has non-finite values"),
    ],
)
def test_bad_poses(pose, error, message):
    with pytest.raises(error, match=message):
        encode_pose("pose", pose, 3, 2, 4)


POINTS = np.random.default_rng(0).uniform(0, 64, (68, 2))
EVERY_POSE = (
    Viewpoint(40, 10),
    Keypoints(POINTS[:18], 64, 48),
    CameraMotion((0.1, -0.2, 0.3), (1.0, 2.0, 3.0)),
    FaceLandmarks(POINTS, 64, 48),
)


@pytest.mark.parametrize("pose", EVERY_POSE, ids=lambda pose: pose.kind)
def test_codes_of_a_batch_become_the_maps_of_its_poses(pose):
    """Whatever the kind of pose, ``code()`` is what its `PoseKind` takes."""
    kind = POSE_KINDS[pose.kind]
    assert kind.channels == pose.channels
    maps = kind.expand(torch.stack([pose.code(), pose.code()]), 64, 48)
    # `encode` scales keypoints, here by 1: half a pixel is added and taken away again.
    torch.testing.assert_close(maps, pose.encode(64, 48).expand(2, -1, -1, -1))


def test_there_is_an_example_of_every_kind():
    assert [pose.kind for pose in EVERY_POSE] == list(POSE_KINDS)


@pytest.mark.parametrize("pose", [Viewpoint(40, 10), CameraMotion((0, 0, 1), (1, 2, 3))])
def test_the_former_name_of_code_still_works(pose):
    with pytest.deprecated_call(match="vector is called code now") as warned:
        assert torch.equal(pose.vector(), pose.code())
    assert warned[0].filename == __file__
