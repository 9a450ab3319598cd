"""Procedural people: figures, keypoints, and the data set of them."""

import dataclasses
import pickle

import numpy as np
import pytest
import torch

from rfwarp.data import HELD_OUT_FIRST_SEED, ProceduralPeople
from rfwarp.data.people import PersonParameters, render_person, sample_pose
from rfwarp.data.people.figure import solids
from rfwarp.data.people.parameters import Pattern
from rfwarp.data.people.skeleton import Arm, Leg, Pose, stand
from rfwarp.data.people.solids import Cast, Cloth, Solid

SIZE = 48
ARM, LEG = Arm(14, 10, 18, 40), Leg(0, 4, 0)
FACING = Pose(0, 0, 0, 0, 0, 0, (ARM, ARM), (LEG, LEG))


def posed(**changes):
    return dataclasses.replace(FACING, **changes)


def off_background(parameters, picture, tolerance=12):
    background = 255 * np.array(parameters.background)
    return (abs(picture - background) > tolerance).any(axis=2)


# --- persons and pictures ----------------------------------------------------------------------


def test_a_seed_means_one_person_and_one_pose():
    assert PersonParameters.from_seed(5) == PersonParameters.from_seed(np.int64(5))
    assert PersonParameters.from_seed(5) != PersonParameters.from_seed(6)
    assert sample_pose(5, 3) == sample_pose(5, 3)
    assert len({sample_pose(seed, view) for seed in range(4) for view in range(4)}) == 16
    first, again = (
        render_person(PersonParameters.from_seed(5), sample_pose(5, 3), SIZE, 40) for _ in range(2)
    )
    assert first[0].shape == (SIZE, 40, 3)
    assert first[0].dtype == np.uint8
    assert first[1].shape == (18, 3)
    assert first[1].dtype == np.float32
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))


@pytest.mark.parametrize("seed", [-1, 1.5, True, "3"])
def test_bad_seeds(seed):
    with pytest.raises(ValueError, match="at least 0"):
        PersonParameters.from_seed(seed)


def test_a_picture_has_pixels():
    with pytest.raises(ValueError, match="0 x 8 pixels"):
        render_person(PersonParameters.from_seed(0), FACING, 0, 8)
    picture, keypoints = render_person(PersonParameters.from_seed(0), FACING, 1, 1)
    assert picture.shape == (1, 1, 3)
    assert np.isfinite(keypoints).all()


def test_all_clothes_are_worn():
    people = [PersonParameters.from_seed(seed) for seed in range(60)]
    assert {p.top for p in people} == {"t-shirt", "shirt", "coat"}
    assert {p.bottom for p in people} == {"trousers", "skirt", "shorts"}
    styles = {p.top_pattern.style for p in people}
    assert styles == {"plain", "stripes", "columns", "checks", "dots"}
    assert all(p.front_print != p.back_print for p in people)


def test_keypoints_lie_on_the_figure():
    for seed in range(20):
        parameters = PersonParameters.from_seed(seed)
        for view in range(3):
            picture, keypoints = render_person(parameters, sample_pose(seed, view), 96, 96)
            present = keypoints[keypoints[:, 2] > 0]
            assert len(present) > 10
            figure = off_background(parameters, picture)
            # A light garment on a light background may be told from it only nearby.
            around = np.array(
                [
                    figure[max(0, y - 2) : y + 3, max(0, x - 2) : x + 3].any()
                    for x, y in present[:, :2].round().astype(int)
                ]
            )
            assert around.mean() > 0.8


@pytest.mark.parametrize("seed", range(6))
def test_joints_are_inside_of_solids(seed):
    parameters = PersonParameters.from_seed(seed)
    for view in range(4):
        skeleton = stand(parameters.body, sample_pose(seed, view))
        casts = [Cast.of(solid) for solid in solids(parameters, skeleton)]
        for joint, (x, y, z) in enumerate(skeleton.joints):
            ray = np.array([x], np.float32), np.array([y], np.float32)
            front = max(float(cast.depth(*ray)[0]) for cast in casts)
            slack = 0.2 * parameters.body.head if joint in (0, 14, 15, 16, 17) else 0
            assert front > z - slack, joint


def test_a_visible_hand_has_the_colour_of_skin():
    arm = Arm(85, 0, 90, 0)  # straight to the side
    for seed in range(12):
        parameters = PersonParameters.from_seed(seed)
        picture, keypoints = render_person(parameters, posed(arms=(arm, arm)), 192, 192)
        for elbow, wrist in ((3, 4), (6, 7)):
            along = keypoints[wrist, :2] - keypoints[elbow, :2]
            x, y = (keypoints[wrist, :2] + 0.12 * along).round().astype(int)
            seen, skin = picture[y, x] / 255, np.array(parameters.skin)
            assert np.allclose(seen / seen.max(), skin / skin.max(), atol=0.05)


def test_the_front_differs_from_the_back():
    for seed in range(12):
        parameters = PersonParameters.from_seed(seed)
        front, joints = render_person(parameters, FACING, 96, 96)
        back, _ = render_person(parameters, posed(azimuth=180), 96, 96)
        neck, hips = joints[1], (joints[8] + joints[11]) / 2
        rows = slice(int(neck[1]) + 2, int(hips[1]))
        columns = slice(int(neck[0]) - 5, int(neck[0]) + 6)
        difference = abs(front[rows, columns].astype(int) - back[rows, columns, :][:, ::-1])
        assert (difference > 40).any(axis=2).mean() > 0.03, seed


def test_right_is_the_persons_right():
    parameters = PersonParameters.from_seed(1)
    _, facing = render_person(parameters, FACING, SIZE, SIZE)
    _, away = render_person(parameters, posed(azimuth=180), SIZE, SIZE)
    for right, left in ((2, 5), (4, 7), (8, 11), (10, 13)):
        assert facing[right, 0] < facing[left, 0]
        assert away[right, 0] > away[left, 0]
    assert facing[14, 0] < facing[15, 0]
    _, turned = render_person(parameters, posed(azimuth=90), SIZE, SIZE)
    assert turned[0, 0] < turned[1, 0]


def test_which_joints_of_a_head_are_present():
    def present(azimuth):
        _, points = render_person(PersonParameters.from_seed(1), posed(azimuth=azimuth), 64, 64)
        return [i for i in range(18) if points[i, 2]]

    body = list(range(1, 14))
    assert present(0) == [0, *body, 14, 15, 16, 17]
    assert present(180) == [*body, 16, 17]
    assert present(95) == [0, *body, 14, 15, 17]
    assert present(265) == [0, *body, 14, 15, 16]
    assert present(105) == [*body, 17]


def test_joints_outside_of_the_picture_are_absent():
    arm = Arm(90, 0, 90, 0)
    _, points = render_person(PersonParameters.from_seed(1), posed(arms=(arm, arm)), 64, 32)
    assert not points[[4, 7], 2].any()
    assert points[[1, 2, 5], 2].all()


def test_a_figure_scales_with_the_picture():
    parameters = PersonParameters.from_seed(3)
    small, large = (render_person(parameters, sample_pose(3, 0), n, n) for n in (32, 128))
    assert np.allclose((small[1][:, :2] + 0.5) * 4, large[1][:, :2] + 0.5, atol=1e-3)
    shrunk = large[0].reshape(32, 4, 32, 4, 3).mean(axis=(1, 3))
    assert abs(shrunk - small[0]).mean() < 2


# --- solids ------------------------------------------------------------------------------------


@pytest.mark.parametrize("opened", [False, True])
@pytest.mark.parametrize("depth", [0.6, 1.0, 1.4])
def test_rays_meet_a_solid_where_marching_does(opened, depth):
    """Against the signed distance of a round cone, stepped through along z."""
    generator = np.random.default_rng(0)
    plain = Cloth(Pattern("plain", (0, 0, 0), (0, 0, 0), 1))
    z = np.linspace(1.6, -1.6, 6401)
    for _ in range(6):
        start, end = generator.uniform(-0.5, 0.5, (2, 3))
        ra, rb = generator.uniform(0.1, 0.25, 2)
        solid = Solid(start, end, (ra, rb), np.array([0.1, 0.2, 1.0]), plain, depth, opened)
        cast = Cast.of(solid)
        length = cast.length
        if length < abs(ra - rb) + 0.1:
            continue
        x, y = generator.uniform(-0.6, 0.6, (2, 60)).astype(np.float32)
        found = cast.depth(x, y)
        points = np.stack([np.broadcast_to(w, (60, z.size)) for w in (x[:, None], y[:, None], z)])
        p = np.einsum("ij,jnk->ink", cast.matrix, points - start[:, None, None])
        radial = np.hypot(p[0], p[2])
        b = (ra - rb) / length
        a = np.sqrt(1 - b * b)
        k = -b * radial + a * p[1]
        cone = radial * a + p[1] * b - ra
        inside = np.where(
            k < 0,
            np.hypot(radial, p[1]) < ra,
            np.where(k > a * length, np.hypot(radial, p[1] - length) < rb, cone < 0),
        )
        if opened:
            within = (k > 0) & (k < a * length)
            crossing = within[:, 1:] & (np.diff(np.sign(cone), axis=1) != 0)
            expected = np.where(crossing.any(1), z[1:][crossing.argmax(1)], -np.inf)
        else:
            expected = np.where(inside.any(1), z[inside.argmax(1)], -np.inf)
        agree = np.isclose(found, expected, atol=2e-3) | (np.isinf(found) & np.isinf(expected))
        assert agree.mean() > 0.96  # rays that graze may differ


# --- data set ----------------------------------------------------------------------------------


def test_views_are_the_renderers_pictures():
    expected, points = render_person(PersonParameters.from_seed(4), sample_pose(4, 2), 16, 16)
    for memory in (0, 1):
        people = ProceduralPeople(3, 2, 16, views=4, memory_people=memory)
        for _ in range(2):  # rendered, then remembered
            pictures, codes = people.views(1, [2, 0, 2])
            assert torch.equal(pictures[0], torch.from_numpy(expected).permute(2, 0, 1))
            assert torch.equal(pictures[0], pictures[2])
            present = points[:, 2] > 0
            assert np.array_equal(codes[0].numpy()[present], points[present])
            assert not codes[0].numpy()[~present].any()
            pictures.zero_()


def test_what_a_dataset_is_asked_for():
    people = ProceduralPeople(3, 5, 16, views=4)
    assert people.pose_kind == "keypoints"
    assert (people.height, people.width, people.max_sources) == (16, 16, 3)
    assert people.seeds == range(3, 8)
    row = people.draw(1, 2, 3, 2)[1]
    sample = people.load(row)
    assert sample.sources.shape == (2, 3, 16, 16)
    assert sample.poses.shape == (2, 18, 3)
    assert sample.target.dtype == torch.uint8
    assert sample.target_pose.shape == (18, 3)
    assert sample.target_pose.dtype == torch.float32
    _, codes = people.views(row[2] // 4, [row[2] % 4])
    assert torch.equal(sample.target_pose, codes[0])


def test_rows_are_pure_and_fewer_sources_are_a_prefix():
    people = ProceduralPeople(3, 5, 16, views=8)
    rows = people.draw(1, 2, 40, 5)
    assert rows == ProceduralPeople(9, 5, 16, views=8).draw(1, 2, 40, 5)
    assert rows != people.draw(1, 3, 40, 5)
    assert rows != people.draw(2, 2, 40, 5)
    for row, fewer in zip(rows, people.draw(1, 2, 40, 2), strict=True):
        assert fewer == (*row[:2], row[-1])
        assert len(set(row)) == 6
        assert len({picture // 8 for picture in row}) == 1
        assert 0 <= min(row) <= max(row) < 40
    assert people.evaluation_rows(7, 6, 3) == people.draw(7, 0, 6, 3)
    with pytest.raises(ValueError, match="need 9 views, got 8"):
        people.draw(1, 2, 4, 8)


def test_memory_is_bounded_and_stays_behind():
    people = ProceduralPeople(0, 3, 8, views=2, memory_people=2)
    for person in (0, 1, 0, 2):
        people.views(person, [0])
    assert list(people._memory) == [0, 2]
    copy = pickle.loads(pickle.dumps(people))
    assert not copy._memory
    assert torch.equal(copy.views(2, [1])[0], people.views(2, [1])[0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((-1, 1, 8), "first_seed must be at least 0"),
        ((0, 0, 8), "count must be at least 1"),
        ((0, 1, 0), "size must be at least 1"),
        ((HELD_OUT_FIRST_SEED - 1, 2, 8), "mix training people with held-out people"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        ProceduralPeople(*arguments)


def test_bad_options_and_indices():
    with pytest.raises(ValueError, match="views must be at least 2"):
        ProceduralPeople(0, 1, 8, views=1)
    with pytest.raises(ValueError, match="memory_people must be at least 0"):
        ProceduralPeople(0, 1, 8, memory_people=-1)
    for first in (HELD_OUT_FIRST_SEED - 2, HELD_OUT_FIRST_SEED):
        assert ProceduralPeople(first, 2, 8).count == 2
    people = ProceduralPeople(0, 2, 8, views=3)
    for person, views in ((2, [0]), (-1, [0]), (0, [3]), (0, [-1])):
        with pytest.raises(IndexError, match="must lie in"):
            people.views(person, views)
