"""Rendered faces: what is drawn, where the landmarks are, and what changes from image to image."""

import gzip
import math
from dataclasses import replace
from zipfile import ZipFile

import numpy as np
import pytest
import torch

from rfwarp.data.faces import (
    FaceParameters,
    FacePose,
    correspondence,
    extraction,
    render_expressions,
    render_face,
)
from rfwarp.data.faces import render as render_module
from rfwarp.data.faces.extras import HAIR, LENS, RIMS
from rfwarp.data.faces.head import AXES, EXPRESSIONS, EYES, SKIN, TEETH, load_head
from rfwarp.data.faces.model import FaceModel
from rfwarp.data.faces.regions import beard, hairline, lips
from rfwarp.poses import FaceLandmarks

SEED = 900_003
BLINK = {"eyeBlinkLeft": 1.0, "eyeBlinkRight": 1.0}


def marks(pose, seed=SEED, size=128):
    """(68, 2) pixels."""
    return render_expressions(seed, [pose], size).landmarks[0].numpy()


def one(face, **changes):
    """A face like another."""
    return replace(face, **changes)


# --- the head ----------------------------------------------------------------------------------


def test_the_head_has_all_targets():
    head = load_head()
    named = {f"{axis[0]}-{end}" for axes in AXES.values() for axis in axes for end in axis[1:]}
    assert named | set(EXPRESSIONS) < set(head.moves)
    assert all(move.shape == head.points.shape for move in head.moves.values())
    assert all(np.abs(move).max() > 0.002 for move in head.moves.values())
    assert head.quads.max() == len(head.points) - 1
    assert set(head.parts) == set(range(4))
    assert head.sky.min() >= 0
    # The forehead sees the sky, the inside of the mouth does not.
    forehead = (head.points[:, 1] > 7.6) & (head.points[:, 2] > 1.2)
    assert head.sky[forehead].min() > 0.8
    assert head.sky[head.quads[head.parts == TEETH]].max() < 0.3


def test_landmarks_are_symmetric_and_in_their_places():
    head = load_head()
    points = head.points[head.landmarks]
    mirrored = {**{i: 16 - i for i in range(17)}, **{17 + i: 26 - i for i in range(10)}, 36: 45,
                37: 44, 38: 43, 39: 42, 40: 47, 41: 46, 48: 54, 49: 53, 50: 52, 31: 35, 32: 34,
                60: 64, 61: 63, 67: 65, 58: 56, 59: 55}  # fmt: skip
    for left, right in mirrored.items():
        assert points[left] == pytest.approx(points[right] * [-1, 1, 1], abs=2e-3)
    assert np.abs(points[[8, 27, 28, 29, 30, 33, 51, 57, 62, 66], 0]).max() < 1e-3
    assert (points[:8, 0] < 0).all()  # the head's right, on the left of its image
    assert (np.diff(points[:9, 1]) < 0).all()  # down to the chin
    assert points[30, 2] == points[:, 2].max()  # the tip of the nose
    assert (lips(points[48:60].T) > -0.03).all()  # the outline of the lips
    assert (np.abs(lips(points[48:60].T)) < 0.03).all()
    assert (lips(points[:48].T) < -0.03).all()


def test_targets_read_as_the_package_writes_them(tmp_path):
    text = "# by hand\n0 0 -.001 0\n2 .5 0 -1.25\n"
    with ZipFile(tmp_path / "wheel", "w") as archive:
        archive.writestr("a.target", text)
        archive.writestr("b.target.gz", gzip.compress(text.encode()))
    expected = [[0, -0.001, 0], [0, 0, 0], [0.5, 0, -1.25]]
    with ZipFile(tmp_path / "wheel") as archive:
        for name in ("a.target", "b.target.gz"):
            assert extraction.read_target(archive, name, 3).tolist() == expected
    mesh = "v 1 2 3\nv 0 0 0\nv 1 0 0\nv 0 1 0\ng body\nf 1/5 2/6 3/7 4/8\n"
    points, quads, groups = extraction.read_mesh(mesh)
    assert (points[0].tolist(), quads.tolist(), groups) == ([1, 2, 3], [[0, 1, 2, 3]], ["body"])


# --- parameters --------------------------------------------------------------------------------


def test_parameters_depend_on_the_seed_alone():
    assert FaceParameters.from_seed(7) == FaceParameters.from_seed(7)
    assert len({repr(FaceParameters.from_seed(seed)) for seed in range(50)}) == 50
    for seed in (-1, 1.5, True):
        with pytest.raises(ValueError, match="a face seed must be an integer of at least 0"):
            FaceParameters.from_seed(seed)


def test_faces_are_of_all_kinds():
    faces = [FaceParameters.from_seed(seed) for seed in range(400)]
    assert {f.hair.style for f in faces} == {
        *("bald", "cropped", "short", "swept", "fringe", "bob", "long", "bun", "afro")
    }
    bearded = {"stubble", "moustache", "goatee", "short", "full", "none"}
    assert {f.beard for f in faces if f.masculine > 0.6} == bearded
    assert {f.beard for f in faces if f.masculine < 0.5} == {"none"}
    assert {f.glasses.rims for f in faces} == {"none", "round", "square", "dark"}
    assert {f.background.kind for f in faces} == {"plain", "gradient", "blobs", "stripes", "tiles"}
    assert 0.05 < np.mean([f.mark != "none" for f in faces]) < 0.3
    assert all(name in load_head().moves for face in faces for name in face.shape)
    macro = [sum(w for n, w in f.shape.items() if n.count("-") == 2 and n.endswith(("young", "old"))
                 ) for f in faces]  # fmt: skip
    assert np.allclose(macro, 1, atol=0.02)


# --- images ------------------------------------------------------------------------------------


def test_images_are_reproducible():
    three = render_face(SEED, [4, 0, 4], 32)
    alone = render_face(SEED, [0], 32)
    for ours, expected in zip(three, alone, strict=True):
        assert torch.equal(ours[1], expected[0])
        assert torch.equal(ours[0], ours[2])
    assert not torch.equal(three.images[0], three.images[1])
    assert three.images.dtype == torch.uint8
    assert (three.landmarks.shape, three.landmarks.dtype) == ((3, 68, 2), torch.float32)
    assert (three.visible.shape, three.visible.dtype) == ((3, 68), torch.bool)
    for pose in three.landmarks:
        assert FaceLandmarks(pose.numpy(), 32, 32).code().shape == (3, 32, 32)


def test_landmarks_do_not_depend_on_the_size():
    small, large = (render_face(SEED, [0, 1], size) for size in (48, 192))
    scaled = (small.landmarks + 0.5) * 4 - 0.5
    assert scaled.numpy() == pytest.approx(large.landmarks.numpy(), abs=1e-3)
    assert (small.visible == large.visible).float().mean() > 0.93


def test_the_background_stays():
    images = render_face(900_000, range(8), 64).images
    corner = images[:, :, :6, :6].float()
    assert (corner - corner[:1]).abs().max() == 0
    assert len({render_face(seed, [0], 32).images[0, :, 0, 0].numpy().tobytes()
                for seed in range(12)}) > 9  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((-1, [0], 16), "a face seed must be an integer of at least 0"),
        ((0, [-1], 16), "views must be at least 0, got -1"),
        ((0, [0], 0), "the image size must be at least 1 pixel, got 0"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        render_face(*arguments)


# --- poses -------------------------------------------------------------------------------------


def test_a_jaw_opens():
    shut, wide = marks(FacePose({})), marks(FacePose({"jawOpen": 1.0}))
    moved = wide - shut
    assert moved[[57, 66, 8], 1].min() > 4  # the lower lip and the chin go down
    assert np.abs(moved[[27, 30, 36, 45, 51]]).max() < 1  # nose, eyes and upper lip stay
    gap = wide[66, 1] - wide[62, 1]
    assert gap > 5 > 1 > shut[66, 1] - shut[62, 1]


def test_eyes_close():
    poses = [FacePose({}), FacePose(BLINK)]
    drawn = render_expressions(SEED, poses, 128)
    opened, closed = (p[[43, 44, 37, 38]].mean(0) - p[[46, 47, 40, 41]].mean(0)
                      for p in drawn.landmarks.numpy())  # fmt: skip
    assert opened[1] < -2
    assert abs(closed[1]) < 1
    face = FaceModel.of(FaceParameters.from_seed(SEED))
    assert share_of(face, poses[1], EYES) < 0.1 * share_of(face, poses[0], EYES)


def parts_shown(model, pose, size=128):
    """Parts of the triangles at pixels."""
    projected = pose.project(model.posed(pose)[0], size, size).T
    corners = projected.take(model.triangles, axis=1).transpose(1, 0, 2)
    return model.part[render_module.rasterise(corners, model.thin, size, size).triangle]


def share_of(model, pose, part):
    return (parts_shown(model, pose) == part).mean()


def test_a_gaze_turns_the_eyes_alone():
    ahead, aside = FacePose({}), FacePose({"eyeLookOutLeft": 1.0, "eyeLookInRight": 1.0})
    still, turned = (render_expressions(SEED, [pose], 128) for pose in (ahead, aside))
    assert (still.landmarks - turned.landmarks).abs().max() < 1.5
    differ = (still.images.int() - turned.images.int()).abs().amax((0, 1)) > 8
    x, y = differ.nonzero().float().mean(0).flip(0).tolist()
    eyes = still.landmarks[0, 36:48].mean(0)
    assert differ.any()
    assert (x, y) == pytest.approx(eyes.tolist(), abs=6)


def test_a_head_turns_and_hides_its_far_side():
    sideways = [FacePose({}, yaw=math.radians(angle)) for angle in (40, -40)]
    left, right = (render_expressions(SEED, [pose], 128) for pose in sideways)
    x = [drawn.landmarks[0, :, 0] for drawn in (left, right)]
    assert x[0][30] > x[0][[27, 33]].mean() + 2 > 2  # the nose points to the head's left
    assert x[1][30] < x[1][[27, 33]].mean() - 2
    assert left.visible[0, :6].float().mean() > left.visible[0, 11:17].float().mean() + 0.4
    assert right.visible[0, 11:17].float().mean() > right.visible[0, :6].float().mean() + 0.4
    front = render_expressions(SEED, [FacePose({})], 128)
    assert front.visible[0].float().mean() > 0.9
    up = marks(FacePose({}, pitch=math.radians(20)))
    down = marks(FacePose({}, pitch=math.radians(-20)))
    assert up[33, 1] - up[27, 1] < down[33, 1] - down[27, 1]
    level, tilted = marks(FacePose({})), marks(FacePose({}, roll=math.radians(15)))
    slope = (tilted[45] - tilted[36])[1] / (tilted[45] - tilted[36])[0]
    assert math.degrees(math.atan(slope)) == pytest.approx(-15, abs=4)
    assert abs(level[45, 1] - level[36, 1]) < 2


def test_poses_stay_within_their_limits():
    poses = render_module.drawn_poses(5, range(300))
    assert 38 < math.degrees(max(abs(p.yaw) for p in poses)) <= 40
    assert 18 < math.degrees(max(abs(p.pitch) for p in poses)) <= 20
    assert 13 < math.degrees(max(abs(p.roll) for p in poses)) <= 15
    used = set().union(*(p.units for p in poses))
    assert used <= set(EXPRESSIONS)
    assert len(used) > 25
    assert all(0 < w <= 1 for p in poses for w in p.units.values())


def test_faces_lie_inside_their_images():
    for seed in range(900_000, 900_012):
        landmarks = render_face(seed, [seed % 8], 32).landmarks[0]
        middle = landmarks.mean(0)
        assert (middle - 15.5).abs().max() < 7
        assert ((landmarks > -1) & (landmarks < 32)).float().mean() > 0.97
        width, height = (landmarks.amax(0) - landmarks.amin(0)).tolist()
        assert 7 < width < 24
        assert 9 < height < 26


# --- what is worn ------------------------------------------------------------------------------


def test_hair_and_glasses_are_meshes_of_their_own():
    face = FaceParameters.from_seed(SEED)
    plain = one(
        face,
        hair=replace(face.hair, style="short"),
        glasses=replace(face.glasses, rims="none"),
    )
    worn = one(
        face, hair=replace(face.hair, style="long"), glasses=replace(face.glasses, rims="dark")
    )
    first, second = FaceModel.of(plain), FaceModel.of(worn)
    assert set(first.part) == {0, 1, 2, 3}
    assert set(second.part) == {0, 1, 2, 3, HAIR, RIMS, LENS}
    assert (first.part == SKIN).sum() == (second.part == SKIN).sum()
    points, triangles = len(second.shape), second.triangles.shape[1]
    assert (points, triangles) == (correspondence.POINTS, correspondence.TRIANGLES)
    # Sunglasses hide the eyes.
    assert share_of(first, FacePose({}), EYES) > 0
    assert share_of(second, FacePose({}), EYES) < 0.2 * share_of(first, FacePose({}), EYES)


def test_a_mesh_that_does_not_fit_is_told(monkeypatch):
    monkeypatch.setattr(correspondence, "POINTS", 100)
    with pytest.raises(ValueError, match="at most 100 points and 11874 triangles, got"):
        correspondence.trace_face(0, [0], 8)


def test_a_beard_grows_where_beards_do():
    face = one(FaceParameters.from_seed(SEED), beard="full", masculine=1.0)
    places = np.array(
        [
            (0.0, 6.25, 1.42),  # chin
            (0.0, 6.75, 1.6),  # upper lip
            (0.55, 6.5, 1.0),  # jaw
            (0.0, 6.61, 1.55),  # lips
            (0.4, 7.0, 1.4),  # cheek
            (0.0, 7.7, 1.5),  # forehead
            (0.0, 8.4, 0.3),  # top of the head
        ]
    ).T
    assert (beard(places, face) > 0).tolist() == [True, True, True, False, False, False, False]
    assert (hairline(places, face) > 0).tolist() == [False] * 6 + [True]
    bare = FaceModel.of(one(face, beard="none"))
    grown = np.linalg.norm(FaceModel.of(face).grown, axis=1) - np.linalg.norm(bare.grown, axis=1)
    assert grown[bare.head.landmarks[8]] > 0.03
    assert grown[bare.head.landmarks[27]] == pytest.approx(0, abs=1e-6)
    # Landmarks stay on the skin.
    first, second = (m.posed(FacePose({}))[1] for m in (bare, FaceModel.of(face)))
    assert first == pytest.approx(second)
