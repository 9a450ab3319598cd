"""The people themselves, and the rasteriser that draws them."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from rfwarp.data import HELD_OUT_FIRST_SEED, render_person
from rfwarp.data.people.camera import FOCAL, ROOM, Camera
from rfwarp.data.people.keypoints import joints
from rfwarp.data.people.materials import (
    BANDS,
    CHECKS,
    DOTS,
    PLAID,
    PLAIN,
    STRIPES,
    Cloth,
    Mark,
    Surface,
    paint,
)
from rfwarp.data.people.mesh import LEFT_LEG, RIGHT_LEG
from rfwarp.data.people.parameters import PersonParameters, Print
from rfwarp.data.people.pose import REACHES, Arm, BodyPose, Leg
from rfwarp.data.people.raster import rasterise
from rfwarp.data.people.render import build, draw_person
from rfwarp.data.people.skeleton import pose_body
from rfwarp.data.seeds import Dice

GOLDEN_BODY = (1.662730018885, 1.04825187809)
GOLDEN_MEANS = [
    [222.956, 221.258, 230.227],
    [202.339, 208.579, 208.395],
    [225.749, 215.487, 221.117],
]
GOLDEN_WRIST = (34.7161, 29.5815)

STILL = Leg(0.0, 0.04, 0.05)
NOSE, NECK, R_SHOULDER, R_ELBOW, R_WRIST, L_SHOULDER, L_ELBOW, L_WRIST = range(8)
R_HIP, R_KNEE, R_ANKLE, L_HIP, L_KNEE, L_ANKLE, R_EYE, L_EYE, R_EAR, L_EAR = range(8, 18)


def standing(*gestures: str) -> BodyPose:
    right, left = (Arm(*REACHES[gesture]) for gesture in gestures)
    return BodyPose((STILL, STILL), (right, left), 0.0, 0.0, 0.0, 0.0, 0.0, (0.0, 0.0))


def seen_from(azimuth: float) -> Camera:
    """Degrees."""
    return Camera(math.radians(azimuth), 0.0, 1.0, (0.0, 0.0))


def plainly_dressed(seed: int) -> PersonParameters:
    """With bare arms, no coat and short hair."""
    person = PersonParameters.from_seed(seed)
    return replace(
        person,
        coat=None,
        top=replace(person.top, sleeves="none", cloth=Cloth.plain((0.1, 0.7, 0.2))),
        hair=replace(person.hair, style="short"),
        lower=replace(person.lower, kind="trousers", length=1.0),
    )


# --- seeds -------------------------------------------------------------------------------------


def test_a_seed_means_the_same_person_everywhere():
    body = PersonParameters.from_seed(HELD_OUT_FIRST_SEED).body
    assert (round(body.height, 12), round(body.girth, 12)) == GOLDEN_BODY
    assert PersonParameters.from_seed(5) == PersonParameters.from_seed(np.int64(5))
    assert PersonParameters.from_seed(5) != PersonParameters.from_seed(6)


def test_images_of_this_renderer_version():
    """Fails for an intended change? Then raise RENDERER_VERSION and update the numbers."""
    people = [render_person(seed, [view], 64) for seed, view in ((0, 3), (1, 0), (900_000, 7))]
    means = torch.cat([p.images for p in people]).double().mean((2, 3))
    assert torch.allclose(means, torch.tensor(GOLDEN_MEANS, dtype=torch.float64), atol=0.02)
    wrist = people[2].keypoints[0, R_WRIST, :2]
    assert torch.allclose(wrist, torch.tensor(GOLDEN_WRIST), atol=1e-3)


@pytest.mark.parametrize("seed", [-1, 1.5, True, "3"])
def test_bad_seeds_are_refused(seed):
    with pytest.raises(ValueError, match="person seed must be an integer of at least 0"):
        render_person(seed, [0], 16)


def test_seeds_reach_every_style():
    people = [PersonParameters.from_seed(seed) for seed in range(400)]
    assert {p.hair.style for p in people} == {
        "bald", "short", "bob", "long", "ponytail", "bun", "curls",
    }  # fmt: skip
    assert {p.top.sleeves for p in people} == {"none", "short", "long", "wide"}
    assert {p.lower.kind for p in people} == {"trousers", "flares", "shorts", "skirt"}
    assert {p.top.cloth.pattern for p in people} == {PLAIN, STRIPES, BANDS, CHECKS, PLAID, DOTS}
    assert {p.coat is None for p in people} == {True, False}
    assert sum(p.top.front != p.top.back for p in people) > 100


def test_views_of_a_person_differ_in_pose_and_camera():
    drawn = [(BodyPose.draw(d), Camera.draw(d)) for d in (Dice([3, v]) for v in range(1, 200))]
    azimuths = np.array([camera.azimuth for _, camera in drawn])
    assert np.histogram(azimuths, 4, (-math.pi, math.pi))[0].min() > 30
    assert len({pose for pose, _ in drawn}) == len(drawn)


# --- body --------------------------------------------------------------------------------------


def test_bones_keep_their_lengths_and_feet_the_floor():
    for seed in range(60):
        body = PersonParameters.from_seed(seed).body
        skeleton = pose_body(body, BodyPose.draw(Dice([seed, 1])))
        for limbs, lengths in (
            (skeleton.arms, (0.165 * body.height, 0.145 * body.height)),
            (
                skeleton.legs,
                (0.245 * body.height * body.legs, 0.97 * 0.245 * body.height * body.legs),
            ),
        ):
            for limb in limbs:
                bones = np.linalg.norm(np.diff(limb.joints, axis=0), axis=1)
                assert bones == pytest.approx(lengths, rel=1e-9)
                assert np.diff(limb.joints, axis=0) @ limb.hinge == pytest.approx([0, 0], abs=1e-9)
        ankles = [leg.joints[2, 2] for leg in skeleton.legs]
        assert min(ankles) == pytest.approx(0.042 * body.height)


def test_elbows_and_knees_bend_the_right_way():
    person = PersonParameters.from_seed(2)
    pose = replace(standing("hips", "hips"), legs=(Leg(0.5, 0.0, 0.8), STILL))
    skeleton = pose_body(person.body, pose)
    right, left = (limb.joints for limb in skeleton.arms)
    assert right[1, 1] < min(right[0, 1], right[2, 1])  # to the right of shoulder and hand
    assert left[1, 1] > max(left[0, 1], left[2, 1])
    hip, knee, ankle = skeleton.legs[0].joints
    assert knee[0] > hip[0] + 0.15
    assert ankle[0] < knee[0]


def test_sides_are_the_persons_own():
    points = joints(
        *(p := PersonParameters.from_seed(4), pose_body(p.body, standing("side", "hang")))
    )
    right, left = (
        [*range(2, 5), *range(8, 11), R_EYE, R_EAR],
        [*range(5, 8), *range(11, 14), L_EYE, L_EAR],
    )
    assert (points[right, 1] < points[left, 1]).all()
    assert points[R_WRIST, 1] < points[R_ELBOW, 1] - 0.2
    assert points[NOSE, 0] > points[L_EYE, 0] > points[L_EAR, 0]
    assert points[NECK] == pytest.approx((points[R_SHOULDER] + points[L_SHOULDER]) / 2)


def test_sheets_face_outward():
    person = PersonParameters.from_seed(12)
    mesh, _ = build(person, standing("side", "hang"))
    points, normals = mesh.points.reshape(-1, 19, 3), mesh.normals.reshape(-1, 19, 3)
    outward = ((points - points[:, :-1].mean(1, keepdims=True)) * normals).sum(-1)
    assert (outward > 0).all()
    a, b, c = mesh.points[mesh.triangles]
    facing = (np.cross(b - a, c - a) * mesh.normals[mesh.triangles[0]]).sum(-1)
    assert (facing > -1e-9).all()


@pytest.mark.parametrize("seed", range(6))
def test_skirts_cover_the_thighs_in_every_pose(seed):
    person = replace(PersonParameters.from_seed(seed), coat=None, boots=False)
    person = replace(person, lower=replace(person.lower, kind="skirt", length=0.7))
    skin = person.body.skin
    for view in range(12):
        dice = Dice([seed, 1 + view])
        pose, camera = BodyPose.draw(dice), replace(Camera.draw(dice), elevation=0.0)
        mesh, _ = build(person, pose)
        bare = np.array([surface.cloth.first == skin for surface in mesh.surfaces])[mesh.surface]
        thigh = bare & (mesh.along[mesh.triangles[0]] < 0.4 * 0.49 * person.body.height)
        leg = np.isin(mesh.part, (RIGHT_LEG, LEFT_LEG))
        points = camera.project(mesh.points, person.body.height, 96, 96)
        corners = points.T[:, mesh.triangles].transpose(1, 0, 2)
        hits = rasterise(corners, mesh.thin, 96, 96)
        naked = rasterise(corners[..., leg], mesh.thin[leg], 96, 96)
        assert (thigh & leg)[leg][naked.triangle].sum() > 60
        assert (thigh & leg)[hits.triangle].sum() == 0


# --- camera and rasteriser ---------------------------------------------------------------------


@pytest.mark.parametrize("azimuth", [0.0, 70.0, -130.0])
def test_projection_is_a_look_at_camera(azimuth):
    camera = Camera(math.radians(azimuth), 0.2, 1.05, (0.02, -0.01))
    points, tall, height, width = np.random.default_rng(0).normal(size=(20, 3)), 1.7, 128, 64
    middle = np.array([0.0, 0.0, 0.53 * tall])
    a, e = camera.azimuth, camera.elevation
    towards = np.array([math.cos(a) * math.cos(e), math.sin(a) * math.cos(e), math.sin(e)])
    eye = middle + FOCAL * ROOM * tall / 2 / 1.05 * towards
    right = np.cross(-towards, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    up = np.cross(right, -towards)
    depth = (eye - points) @ towards
    x = FOCAL * ((points - eye) @ right) / depth
    y = FOCAL * ((points - eye) @ up) / depth
    # In half heights of the image; the middle of its first pixel is (0, 0).
    expected = np.stack(
        [
            width / 2 - 0.5 + x * height / 2 + 0.02 * height,
            height / 2 - 0.5 - y * height / 2 - 0.01 * height,
            1 / depth,
        ],
        -1,
    )
    assert camera.project(points, tall, height, width) == pytest.approx(expected, rel=1e-9)


def test_rasteriser_matches_an_oracle():
    """Sample by sample, triangle by triangle: a ray through the sample meets the plane."""
    generator = np.random.default_rng(1)
    rows, columns, count = 20, 26, 60
    xy = generator.uniform(-6, 30, (count, 3, 2))
    inverse = generator.uniform(0.2, 1.0, (count, 3))
    corners = np.concatenate([xy, inverse[..., None]], -1)
    thin = generator.random(count) < 0.5
    best = np.zeros((rows, columns))
    owner = np.full((rows, columns), -1)
    for number, triangle in enumerate(corners):
        solve = np.concatenate([triangle[:, :2], np.ones((3, 1))], 1)
        signed = np.linalg.det(solve)
        if signed > 0 and not thin[number]:
            continue
        for row in range(rows):
            for column in range(columns):
                weights = np.linalg.solve(solve.T, [column, row, 1.0])
                z = weights @ triangle[:, 2]
                if weights.min() >= 0 and z > best[row, column]:
                    best[row, column], owner[row, column] = z, number
    hits = rasterise(corners.transpose(1, 2, 0), thin, rows, columns)
    covered = np.flatnonzero(owner >= 0)
    assert len(covered) > 300
    assert np.array_equal(hits.sample, covered)
    assert np.array_equal(hits.triangle, owner.reshape(-1)[covered])
    assert hits.inverse == pytest.approx(best.reshape(-1)[covered], rel=1e-9)
    position = np.einsum("km,mkd->md", hits.weights, corners[hits.triangle][..., :2])
    assert position == pytest.approx(
        np.stack([covered % columns, covered // columns], -1), abs=1e-9
    )


def test_figures_fill_their_images():
    drawn = render_person(7, range(12), 64).images
    differs = (drawn != drawn[:, :, :1, :1]).any(1)
    assert (differs.any(2).sum(1) > 0.7 * 64).all()
    assert (differs.double().mean((1, 2)) > 0.06).all()


def test_edges_are_antialiased():
    background, cloth = (1.0, 1.0, 1.0), Cloth.plain((0.0, 0.0, 0.0))
    person = replace(plainly_dressed(3), background=background, shoes=(0.0, 0.0, 0.0))
    person = replace(
        person,
        body=replace(person.body, skin=(0.0,) * 3, lips=(0.0,) * 3, eyes=(0.0,) * 3),
        hair=replace(person.hair, style="bald", colour=(0.0,) * 3),
        top=replace(person.top, cloth=cloth, front=None, back=None),
        lower=replace(person.lower, cloth=cloth, border=cloth),
    )
    pixels = draw_person(person, standing("hang", "side"), seen_from(180), 48, 48)[0]
    assert set(np.round(np.unique(pixels) * 9, 6)) == set(range(10))


# --- keypoints ---------------------------------------------------------------------------------


def like(colour: np.ndarray, paint_: tuple[float, float, float]) -> bool:
    """Whether a colour is a paint, more or less lit."""
    ratio = colour / np.array(paint_)
    return bool(ratio.max() - ratio.min() < 0.06 * ratio.max())


def test_visible_wrists_are_on_skin():
    checked = on_skin = 0
    for seed in range(12):
        person = plainly_dressed(seed)
        person = replace(person, hair=replace(person.hair, colour=(0.2, 0.3, 0.9)))
        for view in range(4):
            dice = Dice([seed, 1 + view])
            pixels, keypoints, visible = draw_person(
                person, BodyPose.draw(dice), Camera.draw(dice), 128, 128
            )
            for joint in (R_WRIST, L_WRIST, R_ELBOW, L_ELBOW):
                if visible[joint]:
                    x, y = np.floor(keypoints[joint, :2] + 0.5).astype(int)
                    checked += 1
                    on_skin += like(pixels[:, y, x], person.body.skin)
    assert checked > 100
    assert on_skin >= 0.95 * checked


def test_body_keypoints_stay_on_the_figure():
    drawn = render_person(21, range(16), 96)
    for image, keypoints in zip(drawn.images, drawn.keypoints, strict=True):
        for x, y, present in keypoints.tolist()[1:14]:
            if present:
                row, column = round(y), round(x)
                around = image[:, max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2]
                assert (around != image[:, :1, :1]).any()


def test_hands_clasped_in_front_are_hidden_from_behind():
    person, pose = plainly_dressed(5), standing("clasped", "clasped")
    apart = replace(pose.arms[0], reach=(0.45, -0.2, -0.68))
    pose = replace(pose, arms=(apart, apart))
    for azimuth, seen in ((0, True), (180, False)):
        _, keypoints, visible = draw_person(person, pose, seen_from(azimuth), 96, 96)
        assert visible[[R_WRIST, L_WRIST]].tolist() == [seen, seen]
        # Detectors report them all the same.
        assert keypoints[[R_WRIST, L_WRIST], 2].tolist() == [1.0, 1.0]
        assert visible[[NECK, R_HIP, L_HIP, R_KNEE, L_KNEE]].all()


def test_crossed_arms_hide_the_elbow_beneath():
    person, pose = plainly_dressed(5), standing("crossed", "crossed")
    _, keypoints, visible = draw_person(person, pose, seen_from(90), 96, 96)
    assert keypoints[R_SHOULDER, 2] == 1
    assert not visible[R_SHOULDER]  # seen from its left
    assert visible[L_SHOULDER]


def test_skirts_hide_no_hips_and_knees():
    """Joints that no other part of the body hides stay visible under the widest skirt."""
    joints, agree, hidden = [R_HIP, R_KNEE, L_HIP, L_KNEE], [], []
    for seed in range(12):
        bare = plainly_dressed(seed)
        bare = replace(bare, top=replace(bare.top, hem=0.0))
        bare = replace(bare, lower=replace(bare.lower, kind="shorts", length=0.3))
        skirt = replace(bare.lower, kind="skirt", length=0.7, flare=0.34, folds=3, depth=0.075)
        for view in range(8):
            dice = Dice([seed, 1 + view])
            pose, camera = BodyPose.draw(dice), Camera.draw(dice)
            expected = draw_person(bare, pose, camera, 32, 32)[2][joints]
            worn = draw_person(replace(bare, lower=skirt), pose, camera, 32, 32)[2][joints]
            agree.append(worn == expected)
            hidden.append(~expected)
    assert np.mean(agree) > 0.98
    assert 0.1 < np.mean(hidden) < 0.6


@pytest.mark.parametrize(
    ("azimuth", "present"),
    [
        (0, {NOSE, R_EYE, L_EYE, R_EAR, L_EAR}),
        (180, {R_EAR, L_EAR}),
        (90, {NOSE, L_EYE, L_EAR}),
        (-90, {NOSE, R_EYE, R_EAR}),
    ],
)
def test_faces_are_present_from_where_they_are_seen(azimuth, present):
    _, keypoints, visible = draw_person(
        plainly_dressed(5), standing("hang", "hang"), seen_from(azimuth), 128, 128
    )
    face = (NOSE, R_EYE, L_EYE, R_EAR, L_EAR)
    assert {joint for joint in face if keypoints[joint, 2]} == present
    assert {joint for joint in face if visible[joint]} <= present
    assert visible[[joint for joint in present if joint not in (R_EAR, L_EAR)]].all()
    assert (keypoints[keypoints[:, 2] == 0] == 0).all()


def test_joints_outside_the_image_are_missing():
    person, pose = plainly_dressed(5), standing("side", "side")
    keypoints = draw_person(person, pose, seen_from(0), 96, 32)[1]
    assert keypoints[[R_WRIST, L_WRIST]].tolist() == [[0, 0, 0], [0, 0, 0]]
    assert keypoints[[NECK, R_HIP, L_HIP], 2].all()
    wide = draw_person(person, pose, seen_from(0), 96, 96)[1]
    assert wide[:, 2].all()
    assert wide[R_WRIST, 0] < wide[L_WRIST, 0]  # facing us, the right hand is to our left
    assert wide[NECK, 0] - keypoints[NECK, 0] == pytest.approx(32)


# --- cloth -------------------------------------------------------------------------------------


def test_prints_are_different_at_front_and_back():
    red, blue = (0.9, 0.05, 0.05), (0.05, 0.05, 0.9)
    person = plainly_dressed(8)
    front, back = Print("disc", red, 0.08), Print("ring", blue, 0.08)
    person = replace(person, top=replace(person.top, front=front, back=back))
    counts = []
    for azimuth in (0, 180):
        pixels = draw_person(person, standing("hang", "hang"), seen_from(azimuth), 96, 96)[0]
        counts.append([int((pixels[c] > 2.5 * pixels[1]).sum()) for c in (0, 2)])
    (front_red, front_blue), (back_red, back_blue) = counts
    assert front_red > 30 > front_blue
    assert back_blue > 15 > back_red


def colours(surface: Surface, turns: list[float], along: list[float]) -> list[list[float]]:
    index = np.zeros(len(turns), np.intp)
    return paint([surface], index, np.array(turns), np.array(along)).T.tolist()


def test_patterns_repeat_a_whole_number_of_times_around():
    black, white = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    around = (np.arange(1000) + 0.5) / 1000 - 0.5
    for pattern in (STRIPES, CHECKS):
        # 1.04 metres in periods of 0.1 are 10 periods.
        seen = np.array(
            colours(Surface(Cloth(pattern, black, white, 0.1), 1.04), around, 0 * around)
        )
        assert np.allclose(seen, np.roll(seen, 100, axis=0))
        assert seen.mean() == pytest.approx(0.4 if pattern == STRIPES else 0.5, abs=0.11)
    bands = Surface(Cloth(BANDS, black, white, 0.1), 1.0)
    assert colours(bands, [0.1] * 3, [0.05, 0.1, 0.15]) == [[1.0] * 3, [0.0] * 3, [1.0] * 3]


def test_marks_lie_where_they_are_put_and_are_not_mirrored():
    base, ink = (0.5, 0.5, 0.5), (1.0, 0.0, 0.0)
    mark = Mark("7", 0.5, 1.0, 0.1, 0.2, ink)  # across the seam at the back
    surface = Surface(Cloth.plain(base), 1.0, (mark,))
    top, bottom = 1.0 + 0.18, 1.0 - 0.18
    # The bar of a 7 is at its top, its foot at the bottom in the middle.
    assert colours(surface, [0.42, -0.42, 0.49, -0.49], [top] * 4) == [list(ink)] * 4
    assert colours(surface, [0.42, -0.42], [bottom] * 2) == [list(base)] * 2
    assert colours(surface, [0.5, 0.2, 0.5], [bottom, top, 1.3]) == [list(ink)] + [list(base)] * 2
    # The stroke of a 7 is to the right of who reads it, where turns grow.
    assert colours(surface, [-0.42, 0.42], [1.0 + 0.08] * 2) == [list(ink), list(base)]


# --- requests ----------------------------------------------------------------------------------


def test_an_image_does_not_depend_on_what_else_is_drawn():
    many = render_person(5, range(6), 48)
    one = render_person(5, [4], 48)
    for few, all_ in zip(one, many, strict=True):
        assert torch.equal(few[0], all_[4])
    repeated = render_person(5, [4, 1, 4], 48)
    assert torch.equal(repeated.images[0], repeated.images[2])
    assert torch.equal(repeated.images[1], many.images[1])


def test_sizes_agree_on_the_person():
    small, large = render_person(7, [1], 32), render_person(7, [1], 256)
    pooled = torch.nn.functional.avg_pool2d(large.images.double(), 8)
    assert (small.images.double() - pooled).abs().mean() < 2
    here = small.keypoints[0, :, 2] > 0
    moved = (large.keypoints[0, here, :2] + 0.5) / 8 - 0.5
    assert torch.allclose(moved, small.keypoints[0, here, :2], atol=1e-3)


def test_shape_dtype_and_empty_requests():
    drawn = render_person(1, [0, 9], (64, 32))
    assert drawn.images.shape == (2, 3, 64, 32)
    assert (drawn.keypoints.shape, drawn.visible.shape) == ((2, 18, 3), (2, 18))
    assert [t.dtype for t in drawn] == [torch.uint8, torch.float32, torch.bool]
    assert not (drawn.visible & (drawn.keypoints[..., 2] == 0)).any()
    assert render_person(1, [], 16).images.shape == (0, 3, 16, 16)
    assert render_person(1, [0], 1).images.shape == (1, 3, 1, 1)


def test_bad_requests_are_refused():
    with pytest.raises(ValueError, match="views must be at least 0, got -1"):
        render_person(1, [0, -1], 16)
    with pytest.raises(ValueError, match="at least 1 pixel, got 16 x 0"):
        render_person(1, [0], (16, 0))
