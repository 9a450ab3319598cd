"""What the app does, without its pages: no gradio is needed."""

import sys

import numpy as np
import pytest
import torch
from PIL import Image

import rfwarp.app
from rfwarp import Generator
from rfwarp.app.canvas import LANDMARKS, draw_canvas, from_rows, point_at, to_rows, with_point
from rfwarp.app.clips import FRAMES, clip, move, turn
from rfwarp.app.examples import EXAMPLES
from rfwarp.app.studio import (
    MAX_SOURCES,
    Model,
    Studio,
    first_detector,
    guess_view,
    read_image,
    seen_from,
)
from rfwarp.cli import main
from rfwarp.poses import CameraMotion, FaceLandmarks, Keypoints, Viewpoint
from rfwarp.poses.keypoints import JOINTS
from rfwarp.viz import enlarge

CPU = torch.device("cpu")


def person(**joints: tuple[float, float]) -> Keypoints:
    points = np.zeros((18, 3))
    for name, (x, y) in joints.items():
        points[JOINTS.index(name)] = x, y, 1
    return Keypoints(points, 64, 48)


def face() -> FaceLandmarks:
    angles = np.linspace(0, 2 * np.pi, 68, endpoint=False)
    points = 32 + 20 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return FaceLandmarks(points, 64, 64)


# ------------------------------------------------------------------ models


def test_models_are_sorted_by_their_poses():
    studio = Studio(("people-64", "chairs-64", "chairs-128"), CPU)
    assert studio.kinds() == {"keypoints": ["people-64"], "viewpoint": ["chairs-64", "chairs-128"]}


def test_a_model_is_loaded_once_and_only_if_it_is_the_apps():
    studio = Studio(("chairs-64",), CPU)
    assert studio.model("chairs-64") is studio.model("chairs-64")
    with pytest.raises(ValueError, match="no model 'people-64' here; there are chairs-64"):
        studio.model("people-64")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"pose_channels": 6, "image_size": 64}, "but .* takes None"),
        (
            {"pose_channels": 3, "pose_kind": "landmarks", "image_size": (64, 96)},
            "faces are square, but .* is for 64 x 96 pixels",
        ),
        ({"pose_channels": 21, "pose_kind": "viewpoint"}, "does not say the size of its images"),
    ],
)
def test_models_that_the_app_cannot_show(tmp_path, fields, message):
    Generator(width=0.125, **fields).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=message):
        Studio((str(tmp_path),), CPU).kinds()


# ------------------------------------------------------------------ images


def test_images_are_framed_and_kept(chairs, tmp_path):
    path = tmp_path / "wide.png"
    Image.new("RGB", (200, 100), "white").save(path)
    (source,) = chairs.read([str(path)], "pad")
    assert (source.name, source.image.size, source.shape) == ("wide.png", (64, 64), (100, 200))
    assert source.notices == ()
    assert chairs.read([str(path)], "pad")[0] is source
    assert chairs.read([str(path)], "crop")[0] is not source


@pytest.mark.parametrize("count", [0, MAX_SOURCES + 1])
def test_too_few_and_too_many_images(chairs, chair_files, count):
    with pytest.raises(ValueError, match=f"1 to 16 source images are needed, got {count}"):
        chairs.read([str(chair_files[0])] * count, "pad")


def test_messages_name_files_without_folders(tmp_path):
    path = tmp_path / "bad.png"
    path.write_bytes(b"GIF89a")
    with pytest.raises(ValueError, match=r"^bad\.png cannot be read as an image: ") as caught:
        read_image(str(path))
    assert str(tmp_path) not in str(caught.value)
    with pytest.raises(ValueError, match=r"^gone\.png was deleted in the meantime"):
        read_image(str(tmp_path / "gone.png"))
    with path.open("wb") as file:
        file.truncate(21 * 2**20)
    with pytest.raises(ValueError, match=r"^bad\.png is larger than 20 MB"):
        read_image(str(path))


@pytest.mark.parametrize(
    ("name", "view"),
    [("chair_120_20.png", (120, 20)), ("photo.jpg", (0, 10)), ("x_120_95.png", (0, 10))],
)
def test_viewpoints_are_guessed_of_names(name, view):
    assert guess_view(name) == Viewpoint(*view)


@pytest.mark.parametrize("kind", ["chairs", "people"])
def test_examples_are_familiar_and_drawn_as_the_library_does(kind, request):
    model = request.getfixturevalue(kind)
    example = model.example(1)
    drawing = model.draw(example.sources, example.poses, example.target)
    expected = model.generator.generate(
        [source.image for source in example.sources], example.poses, example.target
    )
    assert np.array_equal(drawing.image, expected)
    assert drawing.origins.size == drawing.image.size
    assert drawing.notices == []
    assert model.familiar.notices([source.image for source in example.sources]) == []


def test_people_are_found_or_it_is_said_what_is_missing(monkeypatch):
    for package in ("rtmlib", "face_alignment", "ai_edge_litert", "ai_edge_litert.interpreter"):
        monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=r"no detector of people .*rfwarp\[body\]") as caught:
        first_detector("keypoints")
    assert "rfwarp[blazepose]" in str(caught.value)
    with pytest.raises(ImportError, match=r"no detector of faces .*rfwarp\[face\]"):
        first_detector("landmarks")
    with pytest.raises(ValueError, match="poses of keypoints and landmarks are found in images"):
        Studio((), CPU).find("x.png", "viewpoint")


def test_the_largest_is_found(crowd, tmp_path):
    Image.new("RGB", (64, 48)).save(tmp_path / "a.png")
    studio, path = Studio((), CPU), str(tmp_path / "a.png")
    pose = studio.find(path, "keypoints")
    assert (pose.height, pose.width) == (48, 64)
    assert pose.points[JOINTS.index("right ankle")].tolist() == [40, 40, 1]
    face = studio.find(path, "landmarks")
    assert (face.height, face.width) == (48, 64)
    assert face.points[[0, -1]].tolist() == [[1, 1], [40, 40]]
    detectors = dict(studio._detectors)
    crowd.clear()
    for kind in ("keypoints", "landmarks"):
        with pytest.raises(ValueError, match=r"nobody was found in a\.png"):
            studio.find(path, kind)
        assert studio._detectors[kind] is detectors[kind]  # loaded once


# ------------------------------------------------------------------ poses


def test_a_turntable_has_all_azimuths_at_one_elevation():
    assert [view.azimuth for view in turn(15)] == list(range(0, 360, 20))
    assert {view.elevation for view in turn(15)} == {15}


def test_a_clip_goes_there_and_back():
    first, last = person(nose=(10, 10), neck=(10, 20)), person(nose=(30, 50))
    poses = move(first, last)
    assert len(poses) == 2 * FRAMES - 2
    assert all(pose.has(0) and not pose.has(1) for pose in poses)
    assert poses[0].points[0].tolist() == [10, 10, 1]
    assert poses[FRAMES - 1].points[0].tolist() == [30, 50, 1]
    assert poses[1] == poses[-1]
    xs = [pose.points[0, 0] for pose in poses[:FRAMES]]
    assert xs == sorted(xs)
    with pytest.raises(ValueError, match="no joint in common"):
        move(person(nose=(1, 1)), person(neck=(1, 1)))
    with pytest.raises(ValueError, match="of one size"):
        move(first, Keypoints(last.points, 32, 32))


def test_a_clip_of_a_face_or_of_a_camera():
    first, last = face(), FaceLandmarks(face().points + np.array([4, -2]), 64, 64)
    poses = clip(first, last)
    assert len(poses) == 2 * FRAMES - 2
    assert np.allclose(poses[0].points, first.points)
    assert np.allclose(poses[FRAMES - 1].points, last.points)
    here, there = CameraMotion((0, 0, 0), (0, 0, 0)), CameraMotion((0, 0.2, 0), (1, 0, 3))
    way = clip(here, there)
    assert (way[0], way[FRAMES - 1], len(way)) == (here, there, 2 * FRAMES - 2)
    assert way[3].translation[2] == pytest.approx(3 * way[3].translation[0])
    with pytest.raises(ValueError, match="no way from landmarks to camera"):
        clip(first, there)


def test_cameras_are_seen_from_the_target():
    a, b = CameraMotion((0, 0, 0), (0, 0, 0)), CameraMotion((0, 0.3, 0), (1, 0, 5))
    poses, target = seen_from(b, [a, b])
    expected = CameraMotion.relative(a.to_matrix(), b.to_matrix())
    assert np.allclose(poses[0].to_matrix(), expected.to_matrix())
    for still in (poses[1], target):
        assert np.allclose(still.to_matrix(), np.eye(3, 4), atol=1e-12)
    assert seen_from(Viewpoint(1, 2), [Viewpoint(3, 4)]) == ([Viewpoint(3, 4)], Viewpoint(1, 2))
    with pytest.raises(ValueError, match="the target is a camera, but a source has viewpoint"):
        seen_from(a, [Viewpoint(0, 0)])


def test_examples_of_faces_and_streets(untrained):
    for kind, folder in untrained.items():
        model = Model(folder, CPU)
        example = model.example(0)
        assert len(example.sources) == len(example.poses) == 2
        drawing = model.draw(example.sources, example.poses, example.target)
        assert drawing.image.size == drawing.origins.size == (64, 64)
        frames = model.animate(example.sources, example.poses, [example.poses[0], example.target])
        shown = np.asarray(enlarge(drawing.image, model.scale)).astype(int)
        assert np.abs(np.asarray(frames[1]) - shown).max() <= 1  # of 255: encoded apart
        assert not np.array_equal(*map(np.asarray, frames))
        assert EXAMPLES[kind](900_008, (64, 64)).target == example.target
    places = [pose.translation[2] for pose in (*example.poses, example.target)]
    assert places[0] == 0 < places[2] < places[1]  # metres forward


def test_joints_are_picked_by_place():
    pose = person(nose=(10, 10), neck=(13, 10))
    assert point_at(pose, 11, 10) == 0
    assert point_at(pose, 12, 10) == 1
    assert point_at(pose, 40, 40) is None
    assert point_at(pose, 0, 0) is None  # where missing joints are kept
    moved = with_point(pose, 4, 20, 30.5)
    assert moved.points[4].tolist() == [20, 30.5, 1]
    assert pose.has(4) is False


def test_a_table_is_read_as_it_was_written():
    pose = person(nose=(10.25, 10), neck=(13, -2))
    rows = to_rows(pose)
    assert rows[0] == ["nose", 10.2, 10.0]
    assert rows[2] == ["right shoulder", None, None]
    assert np.allclose(from_rows(rows, pose).points, pose.points, atol=0.06)
    rows[2] = ["anything", "5", 6]  # as browsers send them
    rows[0] = ["nose", "", 3]
    typed = from_rows(rows, pose)
    assert typed.points[2].tolist() == [5, 6, 1]
    assert not typed.has(0)
    with pytest.raises(ValueError, match="neck: a number is expected, got 'left'"):
        from_rows([["nose", 1, 1], ["neck", "left", 2], *rows[2:]], pose)
    with pytest.raises(ValueError, match="18 rows"):
        from_rows(rows[:17], pose)


def test_landmarks_are_edited_as_joints_are():
    pose = face()
    assert point_at(pose, *(pose.points[30] + 0.3)) == 30
    moved = with_point(pose, 30, 5, 6)
    assert moved.points[30].tolist() == [5, 6]
    rows = to_rows(pose)
    assert [row[0] for row in rows] == [*LANDMARKS]
    assert LANDMARKS[36] == "right eye 1"
    assert np.allclose(from_rows(rows, pose).points, pose.points, atol=0.06)
    rows[3][1] = None
    with pytest.raises(ValueError, match="jaw 4: landmarks cannot be missing"):
        from_rows(rows, pose)
    held = np.asarray(draw_canvas(None, pose, 4, 30)).astype(int)
    ring = np.abs(held - np.asarray(draw_canvas(None, pose, 4, None))).sum(axis=-1) > 0
    place = np.argwhere(ring).mean(axis=0) - (pose.points[30, ::-1] + 0.5) * 4
    assert np.abs(place).max() < 2


def test_a_canvas_marks_the_joint_that_is_held():
    pose = person(nose=(24, 32))
    plain, held = draw_canvas(None, pose, 4, None), draw_canvas(None, pose, 4, 0)
    assert plain.size == held.size == (192, 256)
    differing = np.argwhere((np.asarray(plain) != np.asarray(held)).any(axis=-1))
    assert np.abs(differing.mean(axis=0) - (32.5 * 4, 24.5 * 4)).max() < 2
    over = draw_canvas(Image.new("RGB", (48, 64), "red"), pose, 4, None)
    assert over.getpixel((0, 0)) == (255, 0, 0)


# ------------------------------------------------------------------ command


def test_the_command_without_gradio(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "gradio", None)
    monkeypatch.delitem(sys.modules, "rfwarp.app.server", raising=False)
    monkeypatch.delattr(rfwarp.app, "server", raising=False)
    assert main(["app"]) == 1
    assert 'the app needs gradio: pip install "rfwarp[app]"' in capsys.readouterr().err


@pytest.mark.parametrize("port", ["0", "65536"])
def test_the_command_with_no_such_port(port, capsys):
    assert main(["app", "--port", port]) == 2
    assert f"--port must lie in 1..65535, got {port}" in capsys.readouterr().err
