"""Landmarks read back from drawings, and flow from landmarks alone."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from rfwarp.data import ProceduralFaces
from rfwarp.poses import FaceLandmarks, landmark_flow, landmarks_from_drawing
from rfwarp.poses.face_flow import FACE, _fit, _moved

SIZE = 64
HEAD = torch.tensor([0.0, -0.478, -0.940], dtype=torch.float64)
RADII = torch.tensor([1.042, 1.505, 1.274], dtype=torch.float64)


def turned(yaw: float = 0, pitch: float = 0, roll: float = 0) -> Tensor:
    """(3, 3) float64: to the right of the image, down, and clockwise, radians."""
    (cy, cp, cr), (sy, sp, sr) = (
        [f(angle) for angle in (yaw, pitch, roll)] for f in (math.cos, math.sin)
    )
    about_y = torch.tensor([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_x = torch.tensor([[1, 0, 0], [0, cp, sp], [0, -sp, cp]])
    about_z = torch.tensor([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return (about_z @ about_x @ about_y).double()


def seen(points: Tensor, turn: Tensor, size: float = 18, x: float = 32, y: float = 36) -> Tensor:
    """(..., 2) pixels of points (..., 3) of the mean face."""
    return size * (points @ turn.T)[..., :2] + torch.tensor([x, y]).double()


def mean_face() -> Tensor:
    return torch.tensor(FACE, dtype=torch.float64)


def flow(target: Tensor, *sources: Tensor, size: int = SIZE) -> Tensor:
    return landmark_flow(target[None], torch.stack(sources)[None], size, size)[0]


def at(field: Tensor, places: Tensor) -> Tensor:
    """A field (2, H, W) at places (P, 2), bilinear: (P, 2)."""
    grid = (places + 0.5) / SIZE * 2 - 1
    sampled = torch.nn.functional.grid_sample(field[None], grid[None, None], align_corners=False)
    return sampled[0, :, 0].T


# ---------------------------------------------------------------- flow


TURNS = [{}, {"roll": 0.2}, {"yaw": 0.5}, {"yaw": -0.3, "pitch": 0.2}]


@pytest.mark.parametrize("turn", TURNS)
def test_a_camera_is_found_that_sees_the_face_so(turn):
    points = seen(mean_face(), turned(**turn), 15, 30, 20)
    camera = _fit(mean_face(), points, 0)
    torch.testing.assert_close(camera.matrix, 15 * turned(**turn)[:2])
    torch.testing.assert_close(camera.shift, torch.tensor([30, 20]).double())
    assert camera.scale.item() == pytest.approx(15)
    stretched = _fit(mean_face(), points * torch.tensor([1.2, 1]), 0.01)
    first, second = stretched.matrix  # however the face is distorted, a camera turns and zooms
    assert abs(first @ second) < 1e-9
    assert first.norm().item() == pytest.approx(second.norm().item())


@pytest.mark.parametrize("turn", TURNS)
def test_a_head_that_turns_takes_its_surface_along(turn):
    """Against points of the ellipsoid projected by both cameras."""
    first, second = turned(yaw=0.1), turned(**turn)
    target = _fit(mean_face(), seen(mean_face(), first)[None], 0)
    sources = _fit(mean_face(), seen(mean_face(), second, 12, 28, 40)[None, None], 0)
    outwards = torch.randn(500, 3, generator=torch.manual_seed(0), dtype=torch.float64)
    outwards = outwards / outwards.norm(dim=-1, keepdim=True)
    surface = (HEAD + RADII * outwards)[(outwards / RADII) @ first[2] > 0]  # what the target sees
    found = _moved(seen(surface, first)[None], target, sources)[0, 0]
    torch.testing.assert_close(found, seen(surface, second, 12, 28, 40), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("turn", TURNS)
def test_landmarks_move_as_they_do(turn):
    target, source = seen(mean_face(), turned(yaw=0.1)), seen(mean_face(), turned(**turn), 15)
    found = at(flow(target, source)[0], target)
    assert (found - (source - target)).norm(dim=-1).mean() < 0.5  # of 4 pixels and more


def test_a_face_that_stays_shifts_or_grows():
    target = seen(mean_face(), turned(yaw=0.3))
    assert flow(target, target).abs().max() < 1e-9
    shift = torch.tensor([3.5, -2.25]).double()
    found = flow(target, target + shift)[0]
    torch.testing.assert_close(found, shift[:, None, None].expand_as(found))
    grown = flow(target, (target - 32) * 1.25 + 32)[0]
    line = torch.arange(SIZE).double()
    expected = (torch.stack(torch.meshgrid(line, line, indexing="xy")) - 32) * 0.25
    torch.testing.assert_close(grown, expected, rtol=0, atol=1e-6)  # beyond the rim, too


def test_an_expression_stays_around_the_landmarks_that_move():
    target = seen(mean_face(), turned())
    source = target.clone()
    source[48:, 1] += 3  # the lips go down
    found = flow(target, source)[0]
    mouth = at(found, target[48:])
    assert mouth[:, 1].mean() > 1.8
    assert at(found, target[17:27]).norm(dim=-1).max() < 0.6  # the brows hardly move


def test_without_a_face_the_flow_is_zero():
    face, nothing = seen(mean_face(), turned()), torch.zeros(68, 2).double()
    assert not flow(face, nothing, nothing + 5).any()
    assert not flow(nothing, face).any()


def test_any_landmarks_give_finite_flow():
    for seed in range(30):
        points = torch.randn(2, 3, 68, 2, generator=torch.manual_seed(seed)) * 10 ** (seed % 4)
        points[0, 0, :, 0] = 3  # in one line
        points[1, 1] = points[1, 1, :1] + 1e-4 * points[1, 2]
        assert landmark_flow(points[:, 0], points[:, 1:], 32, 32).isfinite().all()


def test_a_batch_is_its_rows_and_any_size_will_do():
    turns = [turned(yaw=yaw) for yaw in (0.0, 0.2, -0.4, 0.1)]
    points = torch.stack([seen(mean_face(), turn) for turn in turns]).view(2, 2, 68, 2).float()
    found = landmark_flow(points[:, 0], points[:, [1, 0]], 20, 33)
    assert found.shape == (2, 2, 2, 20, 33)
    for n in range(2):
        alone = landmark_flow(points[n : n + 1, 0], points[n : n + 1, 1:], 20, 33)
        torch.testing.assert_close(found[n, :1], alone[0], rtol=1e-4, atol=1e-4)
    half = landmark_flow(points[:, 0].bfloat16(), points.bfloat16(), 8, 8)
    assert half.dtype == torch.float32
    with pytest.raises(ValueError, match=r"sources \(N, K, 68, 2\)"):
        landmark_flow(points[:, 0], points[:, 0], 8, 8)


# ---------------------------------------------------------------- drawings


@pytest.fixture(scope="module")
def faces() -> ProceduralFaces:
    return ProceduralFaces(900_000, 6, SIZE, truth=True)


def test_landmarks_come_back_from_drawings(faces):
    found, true = [], []
    for number in range(faces.count):
        points = faces.images(number, range(8)).landmarks
        drawn = [FaceLandmarks(x.numpy(), SIZE, SIZE).encode(SIZE, SIZE) for x in points]
        found.append(landmarks_from_drawing(torch.stack(drawn)))
        true.append(points)
    error = (torch.stack(found) - torch.stack(true)).norm(dim=-1)
    assert error.mean() < 0.017 * SIZE
    assert error.median() < 0.015 * SIZE
    large = [FaceLandmarks(x.numpy(), SIZE, SIZE).encode(192, 160) for x in true[0]]
    scale = torch.tensor([160 / SIZE, 192 / SIZE])
    error = (landmarks_from_drawing(torch.stack(large)) + 0.5) / scale - 0.5 - true[0]
    assert error.norm(dim=-1).mean() < 0.03 * SIZE  # drawn in another shape, too


def test_other_maps_have_landmarks_or_none():
    random = torch.Generator().manual_seed(0)
    noise = torch.rand(2, 3, 3, 32, 24, generator=random) * 2 - 1
    white = torch.ones(1, 3, 32, 24)
    for maps in (noise, white, -white, 0 * white, 1e4 * noise, noise.bfloat16()):
        found = landmarks_from_drawing(maps)
        assert found.shape == (*maps.shape[:-3], 68, 2)
        assert found.isfinite().all()
        assert found.dtype == torch.float32
    assert not landmarks_from_drawing(white).any()


def test_it_beats_standing_still_on_faces(faces):
    errors, drawn, still = [], [], []
    for row in faces.evaluation_rows(0, 16, 3):
        truth, sample = faces.load(row).truth, faces.load(row)
        points = faces.images(row[0] // 8, [image % 8 for image in row]).landmarks
        maps = (torch.cat([sample.poses, sample.target_pose[None]]).float() / 127.5) - 1
        for kept, given in ((errors, points), (drawn, landmarks_from_drawing(maps))):
            found = landmark_flow(given[-1:], given[None, :-1], SIZE, SIZE)[0]
            kept.append((found - truth.flow).norm(dim=1)[truth.visible])
        still.append(truth.flow.norm(dim=1)[truth.visible])
    assert torch.cat(errors).mean() < 0.3 * torch.cat(still).mean()
    assert torch.cat(drawn).mean() < 0.33 * torch.cat(still).mean()


class FromDrawings(torch.nn.Module):
    def forward(self, target: Tensor, sources: Tensor) -> Tensor:
        points = (landmarks_from_drawing(maps) for maps in (target, sources))
        return landmark_flow(*points, *target.shape[-2:])


@pytest.mark.slow
def test_it_compiles_and_exports():
    points = [seen(mean_face(), turned(yaw=0.1 * i)).numpy() for i in range(6)]
    maps = torch.stack([FaceLandmarks(x, SIZE, SIZE).encode(48, 40) for x in points])
    maps = maps.view(2, 3, 3, 48, 40)
    target, sources = maps[:, 0].contiguous(), maps[:, 1:].contiguous()
    network = FromDrawings()
    expected = network(target, sources)
    compiled = torch.compile(network, fullgraph=True)(target, sources)
    torch.testing.assert_close(compiled, expected, rtol=1e-4, atol=1e-3)
    n, k = torch.export.Dim("n", max=64), torch.export.Dim("k", max=16)
    exported = torch.export.export(
        network, (target, sources), dynamic_shapes=({0: n}, {0: n, 1: k})
    )
    alone = exported.module()(target[:1], sources[:1, :1])
    torch.testing.assert_close(alone, expected[:1, :1], rtol=1e-4, atol=1e-3)
