"""The chairs themselves, and the ray caster that draws them."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from rfwarp.data import HELD_OUT_FIRST_SEED, render_chairs, render_views
from rfwarp.data.chairs.camera import FILL, FOCAL, fit
from rfwarp.data.chairs.geometry import chair_parts
from rfwarp.data.chairs.materials import CHECKER, PLAID, PLAIN, STRIPES, WOOD, Material
from rfwarp.data.chairs.model import Model
from rfwarp.data.chairs.parameters import ChairParameters
from rfwarp.data.chairs.raycast import render_models
from rfwarp.data.chairs.solids import ROUND, Part, beam
from rfwarp.poses import Viewpoint

GRID = list(Viewpoint.grid())
GOLDEN_SEAT = (0.502300596011, 0.435736116039)
GOLDEN_MEANS = [
    [232.932, 225.072, 218.135],
    [234.034, 227.979, 220.814],
    [225.436, 221.449, 222.154],
]


def plain(red: float, green: float, blue: float) -> Material:
    return Material(PLAIN, (red, green, blue), (red, green, blue), 1.0)


def draw(parts: list[Part], view: Viewpoint, size: int, supersample: int = 1) -> np.ndarray:
    """(size, size, 3) float64 in [0, 255]."""
    images = render_models(
        [Model.from_parts(parts)],
        [[view]],
        size,
        supersample=supersample,
        device=torch.device("cpu"),
        pair_budget=1 << 17,
    )
    return images[0].permute(1, 2, 0).double().numpy()


# --- seeds -------------------------------------------------------------------------------------


def test_a_seed_means_the_same_chair_everywhere():
    seat = ChairParameters.from_seed(HELD_OUT_FIRST_SEED).seat
    assert (round(seat.width, 12), round(seat.depth, 12)) == GOLDEN_SEAT
    assert ChairParameters.from_seed(5) == ChairParameters.from_seed(np.int64(5))
    assert ChairParameters.from_seed(5) != ChairParameters.from_seed(6)


def test_images_of_this_renderer_version():
    """Fails for an intended change? Then raise RENDERER_VERSION and update the numbers."""
    means = render_chairs([0, 1, HELD_OUT_FIRST_SEED], [4, 20, 50], 64).double().mean((2, 3))
    assert torch.allclose(means, torch.tensor(GOLDEN_MEANS, dtype=torch.float64), atol=0.02)


@pytest.mark.parametrize("seed", [-1, 1.5, True, "3"])
def test_bad_seeds_are_refused(seed):
    with pytest.raises(ValueError, match="chair seed must be an integer of at least 0"):
        ChairParameters.from_seed(seed)


def test_seeds_reach_every_style():
    chairs = [ChairParameters.from_seed(seed) for seed in range(300)]
    assert {c.back.style for c in chairs} == {"panel", "slats", "ladder", "splat", "spindles"}
    assert {c.base.style for c in chairs} == {"legs", "pedestal", "star", "sled"}
    assert {c.base.stretcher for c in chairs} == {"none", "h", "box"}
    assert {c.arms.style for c in chairs} == {"none", "posts", "panels"}
    patterns = {m.pattern for c in chairs for m in (c.frame_material, c.seat_material)}
    assert patterns == {PLAIN, WOOD, STRIPES, PLAID, CHECKER}


# --- geometry ----------------------------------------------------------------------------------


def local_points(part: Part) -> np.ndarray:
    """World positions of a lattice that fills the solid and includes its surface."""
    side, length = np.linspace(-1, 1, 9), np.linspace(-1, 1, 41)
    lattice = np.stack(np.meshgrid(side, side, length, indexing="ij"), -1).reshape(-1, 3)
    lattice = lattice[np.hypot(lattice[:, 0], lattice[:, 1]) <= part.roundness]
    lattice[:, :2] *= 1 + (part.end_scale - 1) * (lattice[:, 2:] + 1) / 2
    return lattice * part.half @ part.axes + part.centre


def excess(part: Part, points: np.ndarray) -> np.ndarray:
    """Positive outside, negative inside, convex along every line: the definition of the solid."""
    u, v, w = np.moveaxis((points - part.centre) @ part.axes.T / part.half, -1, 0)
    s = 1 + (part.end_scale - 1) * (w + 1) / 2
    faces = [np.abs(w) - 1, np.abs(u) - s, np.abs(v) - s, np.hypot(u, v) - part.roundness * s]
    return np.max(faces, axis=0)


@pytest.mark.parametrize("block", range(4))
def test_no_part_floats(block):
    for seed in range(block * 40, block * 40 + 40):
        parts = chair_parts(ChairParameters.from_seed(seed))
        points = [local_points(part) for part in parts]
        corners = np.stack([part.corners() for part in parts])
        low, high = corners.min(1) - 1e-9, corners.max(1) + 1e-9
        joined, waiting = {0}, [0]
        while waiting:
            here = waiting.pop()
            near = ((low <= high[here]) & (high >= low[here])).all(1)  # only these can meet it
            for other in set(np.flatnonzero(near)) - joined:
                meets = (excess(parts[other], points[here]) <= 0).any()
                if meets or (excess(parts[here], points[other]) <= 0).any():
                    joined.add(other)
                    waiting.append(other)
        assert len(joined) == len(parts), f"chair {seed} falls apart"


def test_chairs_stand_on_the_floor_with_the_seat_at_sitting_height():
    for seed in range(100):
        chair = ChairParameters.from_seed(seed)
        lowest = min(part.corners()[:, 2].min() for part in chair_parts(chair))
        assert -0.02 < lowest < 0.02
        assert 0.40 <= chair.seat.height <= 0.50


# --- camera ------------------------------------------------------------------------------------


def project(points: np.ndarray, view: Viewpoint, centre: np.ndarray, distance: float) -> np.ndarray:
    """(..., 2) image coordinates, right and up, over half the image size: a look-at camera."""
    a, e = math.radians(view.azimuth), math.radians(view.elevation)
    towards = np.array([math.cos(a) * math.cos(e), math.sin(a) * math.cos(e), math.sin(e)])
    eye = centre + distance * towards
    right = np.cross(-towards, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    up = np.cross(right, -towards)
    offset = points - eye
    depth = -(offset @ towards)
    return FOCAL * np.stack([offset @ right, offset @ up], -1) / depth[..., None]


def test_every_view_holds_the_whole_chair_and_fills_the_frame():
    for seed in range(60):
        parts = chair_parts(ChairParameters.from_seed(seed))
        centre, distance = fit(parts)
        corners = np.concatenate([part.corners() for part in parts])
        reach = max(np.abs(project(corners, view, centre, distance)).max() for view in GRID)
        assert reach == pytest.approx(FILL, abs=1e-9)


def test_border_pixels_are_white_at_all_54_views():
    for seed in range(8):
        images = render_views(seed, range(54), 64)
        inner = images[:, :, 1:-1, 1:-1]
        assert images.long().sum() - inner.long().sum() == 255 * 54 * 3 * (64**2 - 62**2)
        extent = (inner.amin(1) < 250).any(0)
        assert max(extent.any(0).sum(), extent.any(1).sum()) >= 0.85 * 64


def test_azimuth_moves_the_camera_counter_clockwise_from_the_front():
    front = beam((0.5, 0, -0.1), (0.5, 0, 0.1), 0.2, 0.2, plain(1, 0, 0))
    left = beam((0, 0.5, -0.1), (0, 0.5, 0.1), 0.2, 0.2, plain(0, 0, 1))
    middle = beam((0, 0, -0.1), (0, 0, 0.1), 0.2, 0.2, plain(0, 1, 0))

    def columns(azimuth: int) -> tuple[float, float]:
        image = draw([front, left, middle], Viewpoint(azimuth, 20), 96)
        position = np.arange(96) - 47.5
        red = (image[..., 0] > 60) & (image[..., 1] < 20)
        blue = (image[..., 2] > 60) & (image[..., 1] < 20)
        return (red * position).sum() / red.sum(), (blue * position).sum() / blue.sum()

    red, blue = columns(0)  # in front of the chair: its front is central, +y is to the right
    assert abs(red + 12) < 14
    assert blue - red > 10
    red, blue = columns(80)  # nearly at +y: the front points left
    assert red - blue < -10


def test_opposite_views_and_elevations_differ():
    images = render_chairs([11] * 3, [Viewpoint(20, 0), Viewpoint(200, 0), Viewpoint(20, 20)], 64)
    for a, b in ((0, 1), (0, 2)):
        assert (images[a].double() - images[b].double()).abs().mean() > 5


# --- ray caster --------------------------------------------------------------------------------

SCENES = {
    "boxes": [
        beam((0, 0, 0.0), (0, 0, 0.1), 0.5, 0.4, plain(0.9, 0.3, 0.2)),
        beam((-0.2, 0.1, 0.1), (-0.3, 0.15, 0.6), 0.3, 0.05, plain(0.2, 0.8, 0.3)),
    ],
    "tapered": [
        beam((0.1, 0.1, 0.5), (0.3, 0.3, 0), 0.2, 0.1, plain(0.7, 0.7, 0.2), end_scale=0.4),
        beam((0, 0, 0.1), (0, 0, 0.3), 0.6, 0.3, plain(0.4, 0.3, 0.8), end_scale=0.5),
    ],
    "round": [
        beam((0, 0, 0.4), (0, 0, 0.5), 0.5, 0.4, plain(0.8, 0.5, 0.3), roundness=1.15),
        beam((0, -0.2, 0), (0, 0.2, 0.45), 0.08, 0.08, plain(0.3, 0.5, 0.8), roundness=ROUND),
        beam((-0.3, 0, 0.2), (0.3, 0.02, 0.25), 0.1, 0.1, plain(0.3, 0.8, 0.6), roundness=ROUND),
    ],
    # Rays that run steeper than the cone leave one nappe of the double cone and enter the other.
    "steep cone": [
        beam((-0.05, 0, 0.2), (0.05, 0, 0.2), 0.8, 0.6, plain(0.8, 0.4, 0.4), end_scale=0.3,
             roundness=ROUND),
        beam((0.3, 0, 0), (-0.3, 0, 0.1), 0.5, 0.4, plain(0.4, 0.7, 0.4), end_scale=0.1,
             roundness=1.1),
    ],
}  # fmt: skip


def oracle(parts: list[Part], view: Viewpoint, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The image in float64, computed another way, and a mask of the pixels that are certain.

    Along a ray a solid's ``excess`` is convex: its minimum says whether the ray hits, bisection
    before the minimum finds where, and its numerical gradient there is the normal.
    """
    centre, distance = fit(parts)
    a, e = math.radians(view.azimuth), math.radians(view.elevation)
    towards = np.array([math.cos(a) * math.cos(e), math.sin(a) * math.cos(e), math.sin(e)])
    right = np.array([-math.sin(a), math.cos(a), 0.0])
    up = np.cross(towards, right)
    x = (np.arange(size) + 0.5) * 2 / size - 1
    rays = -FOCAL * towards + x[None, :, None] * right - x[:, None, None] * up
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    eye = centre + distance * towards
    nearest = np.full((size, size), np.inf)
    image, safe = np.ones((size, size, 3)), np.ones((size, size), bool)
    light = np.array([0.621, -0.421, 0.661])
    for part in parts:

        def along(t, part=part):
            return excess(part, eye + t[..., None] * rays)

        low, high = np.zeros((size, size)), np.full((size, size), 2 * distance)
        for _ in range(120):
            third = (high - low) / 3
            left_is_lower = along(low + third) < along(high - third)
            low, high = (
                np.where(left_is_lower, low, low + third),
                np.where(left_is_lower, high - third, high),
            )
        bottom = (low + high) / 2
        depth_inside = -along(bottom)
        enter, inside = np.zeros_like(bottom), bottom
        for _ in range(60):
            half = (enter + inside) / 2
            outside = along(half) > 0
            enter, inside = np.where(outside, half, enter), np.where(outside, inside, half)
        point = eye + inside[..., None] * rays

        def gradient(step, part=part, point=point):
            shifts = step * np.eye(3)
            ahead = [excess(part, point + s) - excess(part, point - s) for s in shifts]
            normal = np.stack(ahead, -1)
            return normal / np.linalg.norm(normal, axis=-1, keepdims=True)

        normal = gradient(1e-6)
        # Near an edge, a silhouette or another solid's surface float32 may decide differently.
        smooth = np.abs(normal - gradient(1e-4)).max(-1) < 1e-3
        hit = depth_inside > 0
        clear = np.abs(depth_inside) > 1e-3
        decided = np.abs(inside - nearest) > 1e-3
        front = hit & (inside < nearest)
        safe &= np.where(hit, clear & decided & (smooth | ~front), clear)
        facing = normal @ light
        shade = 0.56 + 0.09 * normal[..., 2]
        shade = shade + 0.38 * np.maximum(facing, 0) + 0.12 * np.maximum(-facing, 0)
        colour = np.clip(shade[..., None] * part.material.first, 0, 1)
        image = np.where(front[..., None], colour, image)
        nearest = np.where(front, inside, nearest)
    return image * 255, safe


@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize("view", [Viewpoint(0, 0), Viewpoint(60, 20), Viewpoint(220, 10)], ids=str)
def test_images_match_a_float64_oracle(scene, view):
    expected, safe = oracle(SCENES[scene], view, 33)
    drawn = draw(SCENES[scene], view, 33)
    assert safe.mean() > 0.85
    assert (expected[safe].min(-1) < 250).mean() > 0.1
    # Half a step of uint8 rounding, and float32 shading.
    assert np.abs(drawn - expected)[safe].max() <= 0.51


def test_edges_are_antialiased():
    box = [replace(SCENES["boxes"][0], material=plain(0, 0, 0))]
    hard = np.unique(draw(box, Viewpoint(20, 10), 48))
    soft = np.unique(draw(box, Viewpoint(20, 10), 48, supersample=3))
    assert set(hard) == {0.0, 255.0}
    # Nine samples a pixel: every number of white ones is a grey level.
    assert set(soft) == {math.floor(255 * i / 9 + 0.5) for i in range(10)}


def test_an_image_does_not_depend_on_its_batch():
    alone = render_chairs([5], [20], 48)[0]
    seeds = [3, 5, 8, 5, *range(40, 60)]
    assert torch.equal(render_chairs(seeds, [7, 20, 1, 33, *range(20)], 48)[1], alone)
    assert torch.equal(render_views(5, range(54), 48)[20], alone)
    assert torch.equal(render_chairs([5], [Viewpoint.from_index(20)], 48)[0], alone)
    assert torch.equal(render_chairs([5], torch.tensor([20]), 48)[0], alone)


def test_sizes_agree_on_the_chair():
    small, large = render_chairs([7], [10], 32), render_chairs([7], [10], 256)
    pooled = torch.nn.functional.avg_pool2d(large.double(), 8)
    errors = {
        (rows, columns): (small.double().roll((rows, columns), (2, 3)) - pooled).abs().mean()
        for rows in (-1, 0, 1)
        for columns in (-1, 0, 1)
    }
    aligned = errors.pop((0, 0))
    assert aligned < 0.4 * min(errors.values())


def test_shape_dtype_and_empty_requests():
    assert render_chairs([1, 2], [0, 53], 40).shape == (2, 3, 40, 40)
    assert render_views(1, [0], 16).dtype == torch.uint8
    assert render_chairs([], [], 16).shape == (0, 3, 16, 16)
    assert render_views(1, [], 16).shape == (0, 3, 16, 16)
    assert render_views(1, [3], 1).shape == (1, 3, 1, 1)


def test_bad_requests_are_refused():
    with pytest.raises(ValueError, match="one view per seed, got 2 seeds and 1 views"):
        render_chairs([1, 2], [0], 16)
    with pytest.raises(ValueError, match=r"0\.\.53, got 54"):
        render_views(1, [54], 16)
    with pytest.raises(ValueError, match="at least 1 pixel, got 0"):
        render_views(1, [0], 0)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_draws_the_same_chairs():
    seeds, views = list(range(24)), list(range(0, 48, 2))
    on_cpu = render_chairs(seeds, views, 64).double()
    on_gpu = render_chairs(seeds, views, 64, device="cuda").cpu().double()
    # A ray that grazes an edge may fall on either side of it.
    assert ((on_cpu - on_gpu).abs() > 1).double().mean() < 1e-3
