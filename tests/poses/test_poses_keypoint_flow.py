"""Keypoints read back from heatmaps, and flow from keypoints alone."""

import math

import pytest
import torch
from torch import Tensor

from rfwarp.data.people import ProceduralPeople
from rfwarp.poses import keypoint_flow, keypoint_heatmaps, keypoints_from_heatmaps

SIZE = 64


def standing(dtype: torch.dtype = torch.float64) -> Tensor:
    """A person seen from the front, (18, 3), in 64 x 64 pixels."""
    places = [(32, 14), (32, 18), (28, 19), (25, 25), (23, 31), (36, 19), (39, 25), (41, 31)]
    places += [(30, 33), (29, 44), (29, 55), (34, 33), (35, 44), (35, 55)]
    places += [(31, 13), (33, 13), (30, 14), (34, 14)]
    return torch.tensor([(x, y, 1) for x, y in places], dtype=dtype)


def grid(size: int = SIZE) -> Tensor:
    """(2, size, size): x and y of the pixels."""
    axis = torch.arange(size, dtype=torch.float64)
    return torch.stack(torch.meshgrid(axis, axis, indexing="xy"))


def flow(target: Tensor, *sources: Tensor, size: int = SIZE) -> Tensor:
    return keypoint_flow(target[None], torch.stack(sources)[None], size, size)[0]


def garbage(n: int = 3, k: int = 2, seed: int = 0) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(seed)
    points = torch.randn(n, k + 1, 18, 3, generator=random) * 60
    points[..., 2] = (points[..., 2] > -30).float()
    points[points[..., 2] == 0] = math.nan
    points[..., 2] = points[..., 2].nan_to_num(0)
    return points[:, 0], points[:, 1:]


def heatmaps(points: Tensor, height: int, width: int) -> Tensor:
    """As :func:`keypoint_heatmaps` draws them, in float64."""
    sigma = 6 * height / 256
    x, y, present = points[..., None, None].unbind(-3)
    u, v = torch.arange(width).double(), torch.arange(height).double()[:, None]
    return present * torch.exp(-((u - x).square() + (v - y).square()) / (2 * sigma**2))


def joints(height: int, width: int) -> Tensor:
    """(50, 18, 3) float64: in the image and up to one and a half sigmas beyond; some missing."""
    random = torch.Generator().manual_seed(0)
    points = torch.rand(50, 18, 3, generator=random, dtype=torch.float64)
    beyond = 1.5 * 6 * height / 256
    points[..., 0] = points[..., 0] * (width - 1 + 2 * beyond) - beyond
    points[..., 1] = points[..., 1] * (height - 1 + 2 * beyond) - beyond
    points[..., 2] = (points[..., 2] > 0.2).double()
    return points * points[..., 2:]


@pytest.mark.parametrize(("height", "width"), [(16, 16), (64, 64), (64, 44), (256, 176), (64, 3)])
@pytest.mark.parametrize(
    ("dtype", "within"), [(torch.float64, 1e-6), (torch.float32, 5e-5), (torch.bfloat16, 0.2)]
)
def test_keypoints_come_back_from_heatmaps(height, width, dtype, within):
    points = joints(height, width)
    found = keypoints_from_heatmaps(heatmaps(points, height, width).to(dtype))
    assert found.dtype == torch.promote_types(dtype, torch.float32)
    # A corner can be too far from a joint beyond two borders.
    seen = heatmaps(points, height, width).amax((-2, -1)) > 0.11
    assert seen.float().mean() > 0.7
    torch.testing.assert_close(found[seen].double(), points[seen], rtol=0, atol=within)
    assert not found[points[..., 2] == 0].any()


def test_keypoints_come_back_from_the_heatmaps_that_networks_read():
    points = joints(64, 64).float()
    seen = heatmaps(points.double(), 64, 64).amax((-2, -1)) > 0.11
    found = keypoints_from_heatmaps(keypoint_heatmaps(points, 64, 64))
    torch.testing.assert_close(found[seen], points[seen], rtol=0, atol=1e-5)


def test_of_other_maps_the_highest_value_counts():
    noise = torch.rand(4, 18, 32, 24, generator=torch.Generator().manual_seed(0))
    spots = torch.zeros(1, 18, 32, 24)
    spots[..., 5, 7] = 1
    for maps in (noise, spots, -noise, 1e30 * noise, torch.zeros(1, 18, 32, 24)):
        found = keypoints_from_heatmaps(maps)
        peak, index = maps.flatten(-2).max(-1)
        assert torch.equal(found[..., 2] > 0, peak > 0.1)
        highest = torch.stack([index % 24, index // 24], -1) * (peak > 0.1)[..., None]
        # A pixel, and three sigmas at the border.
        assert (found[..., :2] - highest).abs().max() <= 1 + 3 * 6 * 32 / 256
    assert torch.equal(keypoints_from_heatmaps(spots)[0, 0], torch.tensor([7.0, 5.0, 1.0]))
    with pytest.raises(ValueError, match="at least 3 x 3 pixels, got 2 x 8"):
        keypoints_from_heatmaps(torch.zeros(18, 2, 8))


def test_a_body_that_does_not_move_has_no_flow():
    assert flow(standing(), standing()).abs().max() < 1e-12


def test_a_body_that_shifts_shifts_every_pixel():
    shifted = standing() + torch.tensor([3.5, -2.25, 0])
    expected = torch.tensor([3.5, -2.25])[:, None, None].double().expand(2, SIZE, SIZE)
    torch.testing.assert_close(flow(standing(), shifted)[0], expected)
    alone = torch.zeros_like(standing())
    alone[4] = standing()[4]  # one common joint: no part is whole
    torch.testing.assert_close(flow(alone, shifted)[0], expected)


def test_a_body_that_grows_takes_its_pixels_along():
    centre, factor = torch.tensor([32.0, 30.0]).double(), 1.25
    source = standing()
    source[:, :2] = (source[:, :2] - centre) * factor + centre
    expected = (grid() - centre[:, None, None]) * (factor - 1)
    error = (flow(standing(), source)[0] - expected).norm(dim=0)
    body = (grid()[0] - 32).abs() < 8
    assert error[body & (grid()[1] > 10) & (grid()[1] < 58)].max() < 0.05


def test_a_body_that_tilts_takes_its_bones_along():
    target, source = standing(), standing()
    angle, centre = 0.4, torch.tensor([32.0, 33.0]).double()
    turn = torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    source[:, :2] = (source[:, :2] - centre) @ turn.double().T + centre
    found = flow(target, source)[0]
    for joint in (3, 4, 6, 7, 9, 10, 12, 13):
        x, y = target[joint, :2].long().tolist()
        at = target[joint, :2] + found[:, y, x]
        assert (at - source[joint, :2]).norm() < 1.5, joint


def test_a_bent_arm_maps_bone_onto_bone():
    target, source = standing(), standing()
    source[4, :2] = torch.tensor([17.0, 20.0])  # the right wrist
    found = flow(target, source)[0]
    wrist, elbow = target[4], target[3]
    for share in (0.7, 1.0):
        place = elbow + share * (wrist - elbow)
        x, y = place[:2].round().long().tolist()
        at = torch.tensor([x, y]) + found[:, y, x]
        bent = source[3] + share * (source[4] - source[3])
        assert (at - bent[:2]).norm() < 1.5
    assert found[:, 31, 41].norm() < 0.1  # the other arm stays
    assert found[:, 50, 29].norm() < 0.1


def test_a_body_that_turns_rolls_its_near_side():
    target, source = standing(), standing()
    source[:, 0] = 32 + 0.3 * (source[:, 0] - 32)
    source[[0, 14, 15], 0] += 4  # it looks to the right of the image
    found = flow(target, source)[0]
    assert found[0, 20:32, 32].min() > 1
    assert flow(source, target)[0, 0, 20:32, 32].max() < -1


def test_missing_joints_leave_their_pixels_to_the_neighbours():
    target, source = standing(), standing() + torch.tensor([2.0, 1.0, 0])
    expected = torch.tensor([2.0, 1.0])[:, None, None].double()
    for gone in ((4,), (2, 5), (8, 11), (0, 14, 15, 16, 17), (1,), tuple(range(14)), (0, 1, 2)):
        fewer = source.clone()
        fewer[list(gone)] = 0
        for found in (flow(target, fewer)[0], flow(fewer, target)[0]):
            assert found.isfinite().all()
            # A body that lost joints may seem to be of another size or turned a little.
            assert found.abs().max() < 70
        body = target.clone()
        body[list(gone)] = 0
        torch.testing.assert_close(flow(body, fewer)[0], expected.expand(2, SIZE, SIZE))


def test_without_a_common_joint_the_flow_is_zero():
    upper, lower = standing(), standing()
    upper[8:14], lower[:8], lower[14:] = 0, 0, 0
    assert not flow(upper, lower, torch.zeros_like(lower)).any()


def test_a_batch_is_its_rows_and_any_size_will_do():
    target, sources = garbage()
    found = keypoint_flow(target, sources, 20, 33)
    assert found.shape == (3, 2, 2, 20, 33)
    for n in range(3):
        for k in range(2):
            alone = keypoint_flow(target[n : n + 1], sources[n : n + 1, k : k + 1], 20, 33)
            torch.testing.assert_close(found[n, k], alone[0, 0], rtol=1e-4, atol=1e-3)
    half = keypoint_flow(target.bfloat16(), sources.bfloat16(), 8, 8)
    assert half.dtype == torch.float32
    with pytest.raises(ValueError, match=r"sources \(N, K, 18, 3\)"):
        keypoint_flow(target, target, 8, 8)


def test_garbage_gives_finite_flow():
    for seed in range(30):
        assert keypoint_flow(*garbage(seed=seed), 32, 32).isfinite().all()
    same = torch.ones(1, 1, 18, 3)  # all joints in one place
    assert keypoint_flow(same[0], same, 16, 16).abs().max() < 1e-5


class FromHeatmaps(torch.nn.Module):
    def forward(self, target: Tensor, sources: Tensor) -> Tensor:
        points = (keypoints_from_heatmaps(maps) for maps in (target, sources))
        return keypoint_flow(*points, *target.shape[-2:])


@pytest.mark.slow
def test_it_compiles_and_exports():
    network = FromHeatmaps()
    poses = torch.stack([standing(torch.float32) + torch.tensor([i, -i, 0]) for i in range(6)])
    maps = keypoint_heatmaps(poses, 48, 40).view(2, 3, 18, 48, 40)
    target, sources = maps[:, 0].contiguous(), maps[:, 1:].contiguous()
    expected = network(target, sources)
    compiled = torch.compile(network, fullgraph=True)(target, sources)
    torch.testing.assert_close(compiled, expected, rtol=1e-4, atol=1e-3)
    n, k = torch.export.Dim("n", max=64), torch.export.Dim("k", max=16)
    exported = torch.export.export(
        network, (target, sources), dynamic_shapes=({0: n}, {0: n, 1: k})
    )
    alone = exported.module()(target[:1], sources[:1, :1])
    torch.testing.assert_close(alone, expected[:1, :1], rtol=1e-4, atol=1e-3)


@pytest.fixture(scope="module")
def people() -> ProceduralPeople:
    return ProceduralPeople(900_000, 4, SIZE, truth=True)


def test_it_beats_standing_still_on_people(people):
    ours, still = [], []
    for row in people.evaluation_rows(0, 16, 3):
        sample = people.load(row)
        truth = sample.truth
        found = flow(sample.target_pose, *sample.poses)
        ours.append((found - truth.flow).norm(dim=1)[truth.visible])
        still.append(truth.flow.norm(dim=1)[truth.visible])
    assert torch.cat(ours).mean() < 0.6 * torch.cat(still).mean()
    assert torch.cat(ours).median() < 0.5 * torch.cat(still).median()
