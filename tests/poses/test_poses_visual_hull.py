"""The visual hull against shapes whose hull is known."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from rfwarp.data import ChairTuples, ProceduralChairs
from rfwarp.poses import Viewpoint, foreground_on_white, hull_depth
from rfwarp.poses.projection import depth_flow, orbiting_cameras

FOCAL, SIZE = 3.2, 64
PLANE = 0.8 / 32  # from one to the next


def rays(size: int = SIZE) -> Tensor:
    """(3, size, size): a point of each pixel's ray at depth 1."""
    line = ((torch.arange(size) + 0.5) * 2 / size - 1).double() / FOCAL
    x, y = torch.meshgrid(line, line, indexing="xy")
    return torch.stack([x, y, torch.ones_like(x)])


def ball(radius: float, size: int = SIZE) -> tuple[Tensor, Tensor]:
    """Depth of a ball around the middle, seen from anywhere, and where it is seen: (size, size)."""
    direction = rays(size)
    a, b = direction.square().sum(0), direction[2]
    root = b.square() - a * (1 - radius**2)
    return (b - root.clamp_min(0).sqrt()) / a, root > 0


def codes(*views: tuple[float, float]) -> Tensor:
    return torch.stack([Viewpoint(*view).code() for view in views]).double()


def hull(shown: Tensor, sources: Tensor, target: Tensor, **options) -> tuple[Tensor, Tensor]:
    """Of K silhouettes (K, h, w)."""
    cameras = orbiting_cameras(sources[None], target[None])
    found = hull_depth(shown[None, :, None], cameras, FOCAL, (SIZE, SIZE), **options)
    return found.depth[0, 0], found.there[0, 0]


AROUND = list(itertools.product(range(0, 360, 20), (0, 10, 20)))


def test_a_ball_seen_from_all_around():
    radius = 0.2
    depth, there = ball(radius)
    sources = codes(*AROUND)
    found, sure = hull(there.double().expand(len(sources), -1, -1), sources, codes((50, 10))[0])
    edge = ball(radius + 0.02)[1] & ~ball(radius - 0.02)[1]
    assert torch.equal((sure > 0.5)[~edge], there[~edge])
    inside = ball(radius - 0.04)[1]
    # From the equator the poles are hidden. A surface is behind its hull by half of the thickness
    # squared, and nearer to the middle the thicker the hull.
    middle = inside & (rays()[1].abs() < 0.5 * radius)
    known = 1 - (2 * radius / 0.72) ** 2
    behind = radius - known * (radius - 0.5 * (2 * radius) ** 2)
    off = found[middle] - depth[middle]
    assert off.min() > -PLANE
    assert off.max() < behind + 1.5 * PLANE


def test_where_there_is_no_hull_it_is_the_middle():
    found, sure = hull(
        torch.zeros(2, SIZE, SIZE).double(), codes((0, 0), (90, 0)), codes((0, 0))[0]
    )
    assert not sure.any()
    assert torch.equal(found, torch.ones_like(found))


def test_more_sources_carve_more():
    there = ball(0.2)[1].double()
    sources, target = codes((90, 0), (0, 0), (180, 20)), codes((45, 10))[0]
    sizes = [hull(there.expand(k, -1, -1), sources[:k], target)[1].sum() for k in (1, 2, 3)]
    assert sizes[0] > sizes[1] >= sizes[2] > there.sum() - 1
    present = torch.tensor([[True, False, True]])
    fewer = hull(there.expand(2, -1, -1), sources[::2], target)
    for a, b in zip(
        hull(there.expand(3, -1, -1), sources, target, present=present), fewer, strict=True
    ):
        torch.testing.assert_close(a, b)


def test_finer_images_are_looked_at_coarsely():
    sources, target = codes((90, 0), (0, 0)), codes((45, 10))[0]
    cameras = orbiting_cameras(sources[None], target[None])
    fine = 1 - 2 * ball(0.2, 256)[1].double().expand(1, 2, 3, -1, -1)  # black on white
    foreground = foreground_on_white(fine)
    assert foreground.shape == (1, 2, 1, 64, 64)
    depth = hull_depth(foreground, cameras, FOCAL, (256, 256), 4).depth
    coarse, _ = hull(ball(0.2)[1].double().expand(2, -1, -1), sources, target)
    inside = ball(0.18)[1]
    assert (depth[0, 0] - coarse)[inside].abs().max() < 2 * PLANE


def test_what_differs_from_white_is_the_thing():
    image = torch.ones(3, 64, 64)
    assert not foreground_on_white(image[None]).any()
    image[0, 10:20, 10:20] = 0.9  # 5 % of the way from white to black
    image[:, 30:40, 30:40] = 0.97  # 1.5 %
    shown = foreground_on_white(image[None])[0, 0]
    assert (shown[10:20, 10:20] == 1).all()
    assert shown[30:40, 30:40].max() < 0.5
    with pytest.raises(IndexError):
        foreground_on_white(torch.zeros(64))


def test_it_beats_the_middle_on_chairs():
    chairs = ChairTuples(ProceduralChairs(900_000, 4, SIZE), truth=True)
    ours, plain = [], []
    for row in chairs.evaluation_rows(0, 8, 4):
        sample = chairs.load(row)
        truth, sources = sample.truth, sample.sources[None].float() / 127.5 - 1
        cameras = orbiting_cameras(sample.poses[None], sample.target_pose[None])
        shown = foreground_on_white(sources)
        depth = hull_depth(shown, cameras, FOCAL, (SIZE, SIZE)).depth
        for kept, given in ((ours, depth), (plain, torch.ones_like(depth))):
            flow = depth_flow(given, cameras, FOCAL, (SIZE, SIZE))[0]
            kept.append((flow - truth.flow).norm(dim=1)[truth.visible])
    assert torch.cat(ours).mean() < 0.5 * torch.cat(plain).mean()
