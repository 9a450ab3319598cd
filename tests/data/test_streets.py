"""Procedural streets: rasters and truth against geometry computed another way, drives, data."""

import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from rfwarp.data import KittiFrames, ProceduralStreets, write_street_folder
from rfwarp.data.catalog import DataConfig, open_dataset
from rfwarp.data.kitti import OFFSETS
from rfwarp.data.streets import render
from rfwarp.data.streets.correspondence import street_truth
from rfwarp.data.streets.raster import Pairs, nearest
from rfwarp.data.streets.render import FOCAL, camera_at, poses, render_street, trace_street
from rfwarp.data.streets.ripmaps import Ripmaps
from rfwarp.data.truth import pool, stack
from rfwarp.ops import warp
from rfwarp.poses import CameraMotion, read_kitti_poses
from rfwarp.poses.projection import depth_flow, moving_cameras

SEED, SIZE = 900_001, 48  # a crossing in the sun, with cars and trees


def inside(corners, x, y):
    """Whether points (M,) lie in a convex polygon (V, 2), and how far from its nearest edge."""
    a, b = corners, np.roll(corners, -1, 0)
    side = (b[:, 0] - a[:, 0])[:, None] * (y - a[:, 1, None]) - (b[:, 1] - a[:, 1])[:, None] * (
        x - a[:, 0, None]
    )
    # An edge of no length has every point on it.
    return (side >= 0).all(0) | (side <= 0).all(0)


# ---------------------------------------------------------------- parts of the renderer


def test_nearest_against_every_pair():
    random = np.random.default_rng(0)
    size = (30, 40)
    corners = []
    for number in range(40):
        turn = np.sort(random.uniform(0, 2 * np.pi, 3 + number % 4))
        middle, reach = random.uniform(-5, 42, 2), random.uniform(0.5, 18)
        points = middle + reach * np.stack([np.cos(turn), np.sin(turn)], 1)
        corners.append(np.concatenate([points, points[-1:].repeat(6 - len(points), 0)]))
    corners = np.array(corners)
    nearness = np.column_stack([random.uniform(1, 2, 40), random.uniform(-0.01, 0.01, (40, 2))])
    row, column = (v.ravel() for v in np.mgrid[: size[0], : size[1]])
    covered = np.array([inside(polygon, column, row) for polygon in corners])
    values = nearness @ np.stack([np.ones(len(row)), column, row])
    expected = np.where(covered, values, -1)
    found, near = nearest(corners, nearness, size)
    best = expected.argmax(0)
    assert np.array_equal(found.ravel(), np.where(covered.any(0), best, -1))
    assert np.allclose(near.ravel(), expected.max(0).clip(0), rtol=1e-6)

    def odd(pairs: Pairs):
        return (pairs.polygon + pairs.column) % 2 == 1

    shown = (np.arange(40)[:, None] + column) % 2 == 1
    expected = np.where(covered & shown, values, -1)
    found, _ = nearest(corners, nearness, size, odd)
    there = (covered & shown).any(0)
    assert np.array_equal(found.ravel(), np.where(there, expected.argmax(0), -1))


def test_ripmaps_are_means_and_between_texels_linear():
    image = np.random.default_rng(1).random((8, 16, 4))
    maps = Ripmaps.of([np.ones((1, 1, 4)), image])
    texture = np.array([1])

    def at(u, v, width, height):
        return maps.sample(texture, np.array([[u], [v]]), np.array([[width], [height]]))[0]

    assert at(3.5 / 16, 2.5 / 8, 0, 0) == pytest.approx(image[2, 3], abs=0.003)
    assert at(4 / 16, 2.5 / 8, 0, 0) == pytest.approx(image[2, 3:5].mean(0), abs=0.003)
    assert at(0, 2.5 / 8, 0, 0) == pytest.approx(image[2, [0, 15]].mean(0), abs=0.003)  # repeats
    assert at(0.7, 0.1, 9, 9) == pytest.approx(image.mean((0, 1)), abs=0.003)
    # A surface seen at a slant is averaged along one side alone.
    assert at(0.7, 2.5 / 8, 1, 0) == pytest.approx(image[2].mean(0), abs=0.003)
    assert at(3.5 / 16, 0.1, 0, 1) == pytest.approx(image[:, 3].mean(0), abs=0.003)


def rays_meet(origins, directions):
    """(M,) of each ray the nearest opaque polygon's parameter, from its plane and its edges."""
    street = render.scene(SEED)
    polygons = street.polygons
    best = np.full(len(origins), np.inf)
    for number in np.flatnonzero(~street.textures.pierced[polygons.texture]):
        normal, corners = polygons.normal[number], polygons.corners[number]
        rate = directions @ normal
        with np.errstate(divide="ignore", invalid="ignore"):
            far = (polygons.offset[number] - origins @ normal) / rate
        met = np.flatnonzero((rate < 0) & (far > 1e-6) & (far < best))
        if not len(met):
            continue
        across = corners[1] - corners[0]
        across = across / np.linalg.norm(across)
        down = np.cross(normal, across)
        points = origins[met] + far[met, None] * directions[met]
        plan = np.stack([corners @ across, corners @ down], 1)
        hit = met[inside(plan, points @ across, points @ down)]
        best[hit] = far[hit]
    return best


def rays_of(pose, size):
    """(M, 3) directions through the middles of pixels, 1 along the optical axis."""
    middles = ((np.arange(size) + 0.5) * 2 / size - 1) / FOCAL
    x, y = np.meshgrid(middles, middles)
    return np.stack([x, y, np.ones_like(x)], -1).reshape(-1, 3) @ pose[:, :3].T


def test_depth_is_where_rays_meet():
    pose = poses(SEED, 32)[3]
    depth, surface = trace_street(SEED, pose, (SIZE, SIZE))
    met = rays_meet(np.broadcast_to(pose[:, 3], (SIZE * SIZE, 3)), rays_of(pose, SIZE))
    depth, surface = depth.ravel(), surface.ravel()
    # What is drawn of trees, and the far woods, has holes: it is in front of what rays meet.
    solid = (surface > 0) & (depth < 90)
    assert solid.mean() > 0.5
    assert (np.abs(depth / met - 1)[solid] < 1e-5).mean() > 0.998  # edges meet either side
    assert (surface < 0).any()
    assert (depth[surface < 0] <= met[surface < 0] * 1.00001).all()
    assert np.array_equal(surface != 0, depth > 0)


# ---------------------------------------------------------------- true correspondences


def frames_of(chosen, seed=SEED, size=SIZE):
    way = poses(seed, 32)[chosen]
    traced = [trace_street(seed, pose, (size, size)) for pose in way]
    return way, *(np.stack(part) for part in zip(*traced, strict=True))


def test_truth_is_where_points_lie():
    way, depth, surface = frames_of([1, 9, 4])
    truth = street_truth(depth, surface, way)
    seen = surface[-1].ravel() > 0
    points = way[-1][:, 3] + depth[-1].reshape(-1, 1) * rays_of(way[-1], SIZE)
    rows, columns = np.divmod(np.arange(SIZE * SIZE), SIZE)
    pairs = []
    for k, pose in enumerate(way[:-1]):
        local = (points - pose[:, 3]) @ pose[:, :3]
        before = seen & (local[:, 2] > 0.5)
        place = (local[:, :2] / local[:, 2:] * FOCAL + 1) * SIZE / 2 - 0.5
        goal = place - np.stack([columns, rows], 1)
        flow = truth.flow[k].flatten(1).T.numpy()
        assert np.abs(flow - goal)[before].max() < 2e-3
        visible = truth.visible[k].flatten().numpy()
        assert not visible[seen & (local[:, 2] < 0)].any()
        # Nothing opaque that faces the camera is between it and the point.
        within = before & (np.abs(place - (SIZE - 1) / 2) <= (SIZE - 1) / 2).all(1)
        chosen = np.flatnonzero(within)
        way_there = points[chosen] - pose[:, 3]
        free = rays_meet(np.broadcast_to(pose[:, 3], way_there.shape), way_there) > 1 - 1e-3
        pairs.append((free, visible[chosen]))
    free, visible = map(np.concatenate, zip(*pairs, strict=True))
    assert len(free) > 900
    assert (free == visible).mean() > 0.85  # leaves hide too, and rims of surfaces differ
    assert (~free).sum() > 20
    assert visible[~free].mean() < 0.25
    assert truth.flow.abs().max() > 3


def test_depth_gives_the_flow():
    """The projection of depth flows, by the codes of poses that a sample has, is the true flow."""
    streets = ProceduralStreets(SEED, 1, (32, SIZE), truth=True)
    sample = streets.load((2, 12, 7))
    truth = sample.truth
    cameras = moving_cameras(sample.poses[None], sample.target_pose[None])
    flow = depth_flow(truth.depth[None, None], cameras, FOCAL, (32, SIZE))[0]
    error = (flow - truth.flow).norm(dim=1)[truth.visible]
    assert error.numel() > 500
    assert error.max() < 2e-3
    assert truth.flow[truth.visible[:, None].expand_as(truth.flow)].abs().max() > 3
    ranged = truth.depth[truth.foreground]
    assert 4 < ranged.min() < 12 < 50 < ranged.max() < 200  # all that depth flows can say


def test_depth_of_a_level_gives_its_flow():
    """Where a cell shows near and far things, too, as well as one depth can."""
    streets = ProceduralStreets(900_000, 3, 64, truth=True)
    samples = [streets.load(row) for row in streets.draw(0, 0, 4, 2)]
    truth = stack([s.truth for s in samples])
    cameras = moving_cameras(
        torch.stack([s.poses for s in samples]), torch.stack([s.target_pose for s in samples])
    )
    for stride, most in ((8, 0.25), (4, 0.12), (2, 0.05)):
        level = pool(truth, stride)
        flow = depth_flow(level.depth.clamp_min(1), cameras, FOCAL, (64, 64), stride)
        error = (flow - level.flow).norm(dim=2, keepdim=True)[level.seen > 0.5] * stride
        # Measured on 16 rows of 8 streets: 0.15, 0.06 and 0.02 pixels of the image; with the
        # mean of the depth itself a third more.
        assert error.mean() < most


def test_a_frame_shows_all_of_itself_where_it_is():
    way, depth, surface = frames_of([6, 20, 6])
    truth = street_truth(depth, surface, way)
    assert truth.flow[0].abs().max() < 1e-4
    assert torch.equal(truth.visible[0], truth.foreground)
    assert not truth.visible[:, ~truth.foreground].any()
    assert torch.equal(truth.depth > 0, truth.foreground)
    assert 0.3 < truth.foreground.float().mean() < 1


def test_warping_by_the_truth_shows_the_target():
    # Measured: 32.6 dB over 12 rows of 16 streets at 128 x 128; a pixel aside 25.7 to 27.0, and
    # sources as they are 17.3.
    streets = ProceduralStreets(900_000, 3, 96, truth=True)
    samples = [streets.load(row) for row in streets.draw(0, 0, 5, 2)]

    def psnr(moved):
        errors = []
        for s in samples:
            flow = s.truth.flow + torch.tensor(moved)[:, None, None]
            warped = warp(s.sources.float() / 255, flow)
            visible = F.avg_pool2d(s.truth.visible.float(), 3, 1, 1) > 0.999
            errors.append(((warped - s.target.float() / 255) ** 2).mean(1)[visible])
        error = torch.cat(errors)
        assert len(error) > 20_000
        return float(-10 * error.mean().log10())

    right = psnr((0.0, 0.0))
    assert right > 31
    for moved in ((1.0, 0.0), (-1.0, 0.0), (0.0, 1.0), (0.0, -1.0)):
        assert psnr(moved) < right - 3


# ---------------------------------------------------------------- drives


def test_drives_are_like_kittis():
    """Speed and rate of turning against sequence 00 of KITTI odometry, whose percentiles 5, 50
    and 95 are 0.38, 0.85 and 1.25 metres a frame and 0.01, 0.18 and 3.2 degrees a frame."""
    speed, yaw, shaking = [], [], []
    for seed in range(120):
        way = poses.__wrapped__(seed, 32)
        assert np.allclose(way[:, :, :3] @ way[:, :, :3].transpose(0, 2, 1), np.eye(3))
        assert np.abs(way[:, 1, 3] + 1.65).max() < 0.1  # metres below y = 0: up is -y
        for pose, following in itertools.pairwise(way):
            motion = CameraMotion.relative(following, pose)
            assert motion.translation[2] > 0.2  # forward is z
            speed.append(np.linalg.norm(motion.translation))
            yaw.append(abs(np.degrees(motion.rotation[1])))
            shaking.append(abs(np.degrees(motion.rotation[0])))
    low, middle, high = np.percentile(speed, [5, 50, 95])
    assert 0.25 < low < 0.45 < 0.6 < middle < 0.95 < 1.1 < high < 1.35
    low, middle, high = np.percentile(yaw, [5, 50, 95])
    assert low < 0.02 < 0.1 < middle < 0.3 < 2.5 < high < 4
    assert max(yaw) < 4.8
    assert 0.05 < np.median(shaking) < 0.2


def test_a_camera_turns_both_ways():
    headings = [
        np.degrees(CameraMotion.relative(way[-1], way[0]).rotation[1])
        for way in (poses.__wrapped__(seed, 32) for seed in range(40))
    ]
    assert min(headings) < -45  # to the left
    assert max(headings) > 45
    assert sum(abs(h) < 10 for h in headings) > 15


@pytest.mark.parametrize("seed", range(0, 60, 6))
def test_nothing_stands_in_the_way(seed):
    """The way of a car as wide as the parked ones is free at the height of bumpers."""
    polygons, way = render.scene(seed).polygons, poses(seed, 32)
    corners = polygons.corners[polygons.surface > 0]
    # Edges of what is not the ground, cut into points.
    upright = corners[(corners[..., 1].min(1) < -0.3) & (corners[..., 1].max(1) > -1.2)]
    parts = np.linspace(0, 1, 9)[:, None, None, None]
    points = (upright + parts * (np.roll(upright, -1, 1) - upright)).reshape(-1, 3)
    points = points[(points[:, 1] < -0.25) & (points[:, 1] > -1.3)]
    checked = 0
    for pose in way:
        local = (points - pose[:, 3]) @ pose[:, :3]
        beside = np.abs(local[np.abs(local[:, 2]) < 0.5, 0])
        assert not len(beside) or beside.min() > 0.75
        checked += len(beside)
    assert checked > 1000


# ---------------------------------------------------------------- data


def test_rows_are_of_one_street_and_near():
    streets = ProceduralStreets(5, 3, 8, frames=12)
    rows = streets.draw(0, 0, 400, streets.max_sources)
    assert {row[-1] for row in rows} == set(range(36))
    for *sources, target in rows:
        assert len(set(sources)) == 9
        assert {source - target for source in sources} <= set(OFFSETS)
        assert {source // 12 for source in sources} == {target // 12}
    assert streets.draw(1, 2, 30, 2) == [(*r[:2], r[-1]) for r in streets.draw(1, 2, 30, 4)]
    assert streets.evaluation_rows(1, 30, 4) == streets.draw(1, 0, 30, 4)
    with pytest.raises(ValueError, match=r"sources must lie in 1..9, got 10"):
        streets.draw(0, 0, 1, 10)


def test_images_depend_on_the_seed_alone():
    first = render_street(3, poses(3, 32)[5], (24, 40))
    for cached in (render.scene, render._shadows, poses):
        cached.cache_clear()
    assert np.array_equal(first, render_street(3, poses(3, 32)[5], (24, 40)))
    assert first.shape == (24, 40, 3)
    assert np.abs(first.astype(int) - render_street(4, poses(4, 32)[5], (24, 40))).mean() > 10


def test_the_cache_outlives_the_dataset(tmp_path, monkeypatch):
    cache = tmp_path / "cache"
    made = ProceduralStreets(7, 2, 16, cache=cache, truth=True)
    in_memory = ProceduralStreets(7, 2, 16, truth=True).load((33, 36, 34))
    sample = made.load((33, 36, 34))
    monkeypatch.setattr("rfwarp.data.streets.dataset.render_street", None)  # nothing is drawn anew
    again = ProceduralStreets(7, 2, 16, cache=cache, truth=True).load((33, 36, 34))
    for other in (sample, again):
        assert torch.equal(in_memory.sources, other.sources)
        assert torch.equal(in_memory.truth.flow, other.truth.flow)
        assert torch.equal(in_memory.truth.visible, other.truth.visible)
    assert again.target_pose.abs().max() < 1e-6
    for other in ({"truth": False}, {"frames": 20}):
        with pytest.raises(ValueError, match=r"street cache .* was made with"):
            ProceduralStreets(7, 2, 16, cache=cache, **{"truth": True, **other})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": 0}, "size must be at least 1, got 0"),
        ({"frames": 9}, r"frames must lie in 10\.\.64, got 9"),
        ({"frames": 65}, r"frames must lie in 10\.\.64, got 65"),
        ({"memory_frames": 0}, "memory_frames must be at least 1"),
        ({"count": 0}, "count must be at least 1"),
        ({"first_seed": 899_999, "count": 2}, "mix training streets with held-out streets"),
    ],
)
def test_bad_numbers(arguments, message):
    with pytest.raises(ValueError, match=message):
        ProceduralStreets(**{"first_seed": 0, "count": 1, "size": 8, **arguments})


def test_bad_rows():
    streets = ProceduralStreets(0, 2, 8)
    with pytest.raises(IndexError, match=r"images are 0\.\.63, got 64"):
        streets.load((60, 64))
    with pytest.raises(ValueError, match="images of one street, got those of"):
        streets.load((31, 32))


# ---------------------------------------------------------------- KITTI's layout


def test_kittis_reader_reads_what_is_written(tmp_path):
    write_street_folder(tmp_path, 2, 24, 900_000, 11)
    frames, streets = (
        KittiFrames(tmp_path, "test", (24, 24)),
        ProceduralStreets(900_001, 1, 24, frames=11),
    )
    row = (1, 9, 4)
    read, drawn = frames.load(row), streets.load(row)
    assert torch.allclose(read.poses, drawn.poses, atol=1e-5)
    assert read.poses[:, 5].tolist() == pytest.approx([-2.5, 4.2], abs=2.2)  # behind and ahead
    for one, two in ((read.sources, drawn.sources), (read.target, drawn.target)):
        assert one.shape == two.shape
        assert (one == two).float().mean() > 0.999  # the middle square of a wider image
    rows = frames.draw(0, 0, 60, 9)
    assert {image for row in rows for image in row} == set(range(11))
    train = open_dataset(DataConfig("kitti", root=tmp_path, size=24), "train")
    assert {row[-1] for row in train.draw(0, 0, 60, 2)} == set(range(11))
    first = read_kitti_poses(tmp_path / "poses" / "00.txt")[0]
    assert np.abs(first - np.eye(4)[:3]).max() < 1e-12
    name, *values = (tmp_path / "sequences/00/calib.txt").read_text().split()
    projection = np.array(values, float).reshape(3, 4)
    assert name == "P2:"
    assert projection[0, 0] / 12 == pytest.approx(718.856 / 188)  # KITTI's, of 376 rows
    # A point ahead on the optical axis is in the middle of the image.
    u, v, w = projection @ [0, 0, 10, 1]
    with Image.open(tmp_path / "sequences/00/image_2/000000.png") as image:
        width, height = image.size
    assert (u / w, v / w, height) == ((width - 1) / 2, (height - 1) / 2, 24)
    assert width / height == pytest.approx(1241 / 376, abs=1 / 24)


def test_eleven_streets_are_split_as_kitti(tmp_path, monkeypatch):
    blank = np.zeros((4, 14, 3), np.uint8)
    monkeypatch.setattr("rfwarp.data.streets.folder.render_street", lambda *_: blank)
    write_street_folder(tmp_path, 11, 4, frames=10)
    for split, names in (("train", range(9)), ("test", (9, 10))):
        lines = (tmp_path / f"id_{split}.txt").read_text().split()
        assert sorted({line[:2] for line in lines}) == [f"{n:02d}" for n in names]
        assert len(lines) == 10 * len(names)


def test_a_street_folder_that_would_mix_frames_is_refused(tmp_path):
    write_street_folder(tmp_path, 1, 4, frames=12)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(ValueError, match=r"image_2 holds 000010.png, no frame of 0\.\.9"):
        write_street_folder(tmp_path, 1, 4, first_seed=1, frames=10)
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    write_street_folder(tmp_path, 1, 4, frames=12)  # the same again
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for arguments, message in (
        ({"count": 101}, r"count must lie in 1\.\.100"),
        ({"size": 0}, "size must be at least 1"),
        ({"frames": 5}, "frames must lie in 10"),
        ({"first_seed": -1}, "street seed must be an integer of at least 0"),
    ):
        with pytest.raises(ValueError, match=message):
            write_street_folder(tmp_path / "new", **{"count": 1, "size": 4, **arguments})
    assert not (tmp_path / "new").exists()


def test_cameras_project_and_cast_alike():
    pose = poses(SEED, 32)[2]
    camera = camera_at(pose, (10, 20), 2)
    point = np.array([[1.5, -2.0, 30.0]])
    ((column, row),) = camera.project(camera.local(point - camera.centre))
    ray = (point - camera.centre)[0]
    depth = camera.local(ray)[2]
    normal = np.array([[0.2, 0.5, -0.7]])
    a, b, c = camera.affine(normal)[0]
    assert a + b * column + c * row == pytest.approx(float(normal[0] @ ray) / depth)
