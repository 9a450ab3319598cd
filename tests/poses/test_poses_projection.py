"""Flow of known depth, against points in space projected with matrices of the tests' own."""

import itertools

import numpy as np
import pytest
import torch

from rfwarp.data.catalog import DataConfig, open_dataset
from rfwarp.data.chairs.camera import FOCAL
from rfwarp.poses import CameraMotion, Viewpoint
from rfwarp.poses.projection import (
    NEAREST,
    RelativeCameras,
    depth_flow,
    moving_cameras,
    orbiting_cameras,
)

VIEWS = [Viewpoint(0, 0), Viewpoint(20, 10), Viewpoint(260, 20), Viewpoint(180, 0)]
SAME = RelativeCameras(torch.eye(3)[None, None].double(), torch.zeros(1, 1, 3).double())


def looking_at_the_middle(azimuth: float, elevation: float) -> np.ndarray:
    """(4, 4) from the object's space, z up, to a camera at distance 1: x right, y down, z ahead."""
    a, e = np.deg2rad([azimuth, elevation])
    eye = np.array([np.cos(e) * np.cos(a), np.cos(e) * np.sin(a), np.sin(e)])
    ahead = -eye
    right = np.cross(ahead, [0, 0, 1])
    right /= np.linalg.norm(right)
    rotation = np.stack([right, np.cross(ahead, right), ahead])
    return np.block([[rotation, (-rotation @ eye)[:, None]], [np.zeros(3), 1]])


def motion_matrix(motion: CameraMotion) -> np.ndarray:
    """(4, 4) from the frame of reference to the view."""
    return np.linalg.inv(np.block([[motion.to_matrix()], [np.zeros(3), 1]]))


def expected_flow(depth, target, source, focal, size, stride=1):
    """Pixel by pixel: into space by one camera's matrix, back by the other's."""
    height, width = size
    flow = np.zeros((2, *depth.shape))
    there = source @ np.linalg.inv(target)
    scale = focal * height / 2
    middle = np.array([width / 2, height / 2])
    for i, j in itertools.product(*map(range, depth.shape)):
        centre = (np.array([j, i]) + 0.5) * stride  # from the image's corner
        seen = np.append((centre - middle) / scale, 1) * depth[i, j]
        x, y, z, _ = there @ np.append(seen, 1)
        flow[:, i, j] = (np.array([x, y]) / z * scale + middle - centre) / stride
    return flow


def codes(poses) -> torch.Tensor:
    return torch.stack([pose.code() for pose in poses]).double()


def random_depth(h: int, w: int, low: float, high: float, n: int = 1) -> torch.Tensor:
    g = torch.Generator().manual_seed(h * w)
    return low + (high - low) * torch.rand(n, 1, h, w, generator=g, dtype=torch.float64)


@pytest.mark.parametrize(
    ("size", "stride"), [((12, 12), 1), ((8, 20), 1), ((24, 16), 4), ((21, 10), 8)]
)
def test_orbiting_cameras(size, stride):
    """Also of levels, and of sizes that are no multiples of a stride."""
    h, w = (-(-side // stride) for side in size)
    depth = random_depth(h, w, 0.7, 1.3)
    cameras = orbiting_cameras(codes(VIEWS[1:])[None], codes(VIEWS[:1]))
    flow = depth_flow(depth, cameras, 3.2, size, stride)
    assert flow.shape == (1, 3, 2, h, w)
    target, *sources = (looking_at_the_middle(v.azimuth, v.elevation) for v in VIEWS)
    for k, source in enumerate(sources):
        expected = expected_flow(depth[0, 0].numpy(), target, source, 3.2, size, stride)
        np.testing.assert_allclose(flow[0, k].numpy(), expected, atol=1e-9)


def random_motions(seed: int, count: int) -> list[CameraMotion]:
    random = np.random.default_rng(seed)
    return [
        CameraMotion(tuple(random.uniform(-0.3, 0.3, 3)), tuple(random.normal(size=3)))
        for _ in range(count)
    ]


@pytest.mark.parametrize("seed", range(4))
def test_moving_cameras(seed):
    """Against CameraMotion.to_matrix, two targets with two sources each."""
    motions = random_motions(seed, 6)
    sources, targets = motions[:4], motions[4:]
    depth = random_depth(6, 10, 5, 50, n=2)
    of_sources = codes(sources).unflatten(0, (2, 2))
    flow = depth_flow(depth, moving_cameras(of_sources, codes(targets)), 1.2, (12, 20), 2)
    for n, k in itertools.product(range(2), range(2)):
        target, source = (motion_matrix(m) for m in (targets[n], sources[2 * n + k]))
        expected = expected_flow(depth[n, 0].numpy(), target, source, 1.2, (12, 20), 2)
        np.testing.assert_allclose(flow[n, k].numpy(), expected, atol=1e-5)  # codes are float32


@pytest.mark.parametrize(
    ("cameras", "poses"), [(orbiting_cameras, VIEWS), (moving_cameras, random_motions(9, 4))]
)
def test_relative_cameras_are_rigid_and_one_camera_stands_still(cameras, poses):
    relative = cameras(codes(poses)[None], codes(poses[:1]))
    turns = relative.rotation @ relative.rotation.transpose(-1, -2)
    torch.testing.assert_close(turns, torch.eye(3).double().expand_as(turns), rtol=0, atol=1e-12)
    torch.testing.assert_close(relative.rotation.det(), torch.ones(1, 4).double())
    torch.testing.assert_close(relative.rotation[0, 0], torch.eye(3).double())
    torch.testing.assert_close(relative.translation[0, 0], torch.zeros(3).double())
    flow = depth_flow(random_depth(8, 6, 0.7, 1.3), relative, 2.0, (8, 6))
    assert flow[0, 0].abs().max() < 1e-12
    assert flow[0, 1:].abs().max() > 0.1


def test_true_depth_of_chairs_gives_their_true_flow():
    """Against another renderer's camera, in pixels."""
    dataset = open_dataset(DataConfig("chairs", size=64, truth=True, count=2), "test")
    for row in dataset.draw(0, 0, 4, 3):
        sample = dataset.load(row)
        truth = sample.truth
        cameras = orbiting_cameras(sample.poses[None], sample.target_pose[None])
        flow = depth_flow(truth.depth[None, None], cameras, FOCAL, (64, 64))[0]
        error = (flow - truth.flow).norm(dim=1)[:, truth.foreground]
        assert error.numel() > 1000
        assert error.max() < 0.02
        assert truth.flow.abs().max() > 3


def test_weights_between_two_viewpoints_are_a_viewpoint_between_them():
    between = (Viewpoint(40, 10).code() + Viewpoint(60, 20).code()).double() / 2
    wraps = (Viewpoint(340, 0).code() + Viewpoint(0, 0).code()).double() / 2
    depth = random_depth(10, 10, 0.7, 1.3)
    target = looking_at_the_middle(VIEWS[0].azimuth, VIEWS[0].elevation)
    given = [(between, (50, 15)), (wraps, (350, 0))]
    given += [(Viewpoint(*a).code().double(), a) for a in ((153, 24), (33, 5), (45, 55), (9, -40))]
    for code, (azimuth, elevation) in given:
        flow = depth_flow(depth, orbiting_cameras(code[None, None], codes(VIEWS[:1])), 2, (10, 10))
        source = looking_at_the_middle(azimuth, elevation)
        expected = expected_flow(depth[0, 0].numpy(), target, source, 2, (10, 10))
        np.testing.assert_allclose(flow[0, 0].numpy(), expected, atol=1e-5)  # codes are float32


def test_the_view_from_above_is_turned_by_the_azimuth():
    """Two cameras straight above, a quarter apart: what is at (x, y) from the middle of one is at
    (-y, x) of the other."""
    target, source = Viewpoint(0, 90).code(), Viewpoint(90, 90).code()
    cameras = orbiting_cameras(source[None, None].double(), target[None].double())
    flow = depth_flow(torch.ones(1, 1, 8, 8).double(), cameras, 2.0, (8, 8))[0, 0]
    y, x = torch.meshgrid(*[torch.arange(8).double() - 3.5] * 2, indexing="ij")
    torch.testing.assert_close(flow, torch.stack([-y - x, x - y]), atol=1e-5, rtol=0)


def test_what_lies_behind_a_camera_stays_finite():
    """Projected as if just in front of it; the zero code of a missing source gives no NaN."""
    depth = random_depth(8, 8, 1, 2).requires_grad_()
    ahead = torch.tensor([[[0.0, 0.0, 30.0]]]).double()  # the source is 30 beyond the target
    cameras = RelativeCameras(SAME.rotation, -ahead)
    flow = depth_flow(depth, cameras, 1.0, (8, 8))
    pixel = (torch.arange(8).double() + 0.5) / 4 - 1
    expected = pixel * depth.detach()[0, 0] / NEAREST * 4 - pixel * 4
    torch.testing.assert_close(flow[0, 0, 0], expected)
    nothing = orbiting_cameras(torch.zeros(1, 1, 21).double(), codes(VIEWS[:1]))
    flow = flow + depth_flow(depth, nothing, 1.0, (8, 8))
    assert flow.isfinite().all()
    flow.sum().backward()
    assert depth.grad.isfinite().all()


def test_gradients():
    depth = random_depth(3, 4, 0.7, 1.3).requires_grad_()
    cameras = orbiting_cameras(codes(VIEWS[1:3])[None], codes(VIEWS[:1]))
    assert torch.autograd.gradcheck(lambda d: depth_flow(d, cameras, 1.5, (6, 8), 2), depth)
