"""What the app does, without its pages: no gradio is needed."""

import sys

import numpy as np
import pytest
import torch
from PIL import Image

import rfwarp.app
from rfwarp import Generator
from rfwarp.app.canvas import draw_canvas, from_rows, joint_at, to_rows, with_joint
from rfwarp.app.studio import (
    FRAMES,
    MAX_SOURCES,
    Studio,
    first_detector,
    guess_view,
    move,
    read_image,
    turn,
)
from rfwarp.cli import main
from rfwarp.poses import Keypoints, Viewpoint
from rfwarp.poses.keypoints import JOINTS

CPU = torch.device("cpu")


def person(**joints: tuple[float, float]) -> Keypoints:
    points = np.zeros((18, 3))
    for name, (x, y) in joints.items():
        points[JOINTS.index(name)] = x, y, 1
    return Keypoints(points, 64, 48)


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
        ({"pose_channels": 6, "pose_kind": "camera", "image_size": 64}, "but .* takes camera"),
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
    drawing = model.draw(example.sources, example.poses, example.targets[0])
    expected = model.generator.generate(
        [source.image for source in example.sources], example.poses, example.targets[0]
    )
    assert np.array_equal(drawing.image, expected)
    assert drawing.origins.size == drawing.image.size
    assert drawing.notices == []
    assert model.familiar.notices([source.image for source in example.sources]) == []


def test_people_are_found_or_it_is_said_what_is_missing(monkeypatch):
    for package in ("rtmlib", "ai_edge_litert", "ai_edge_litert.interpreter"):
        monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=r"no detector of people .*rfwarp\[body\]") as caught:
        first_detector()
    assert "rfwarp[blazepose]" in str(caught.value)


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


def test_joints_are_picked_by_place():
    pose = person(nose=(10, 10), neck=(13, 10))
    assert joint_at(pose, 11, 10) == 0
    assert joint_at(pose, 12, 10) == 1
    assert joint_at(pose, 40, 40) is None
    assert joint_at(pose, 0, 0) is None  # where missing joints are kept
    moved = with_joint(pose, 4, 20, 30.5)
    assert moved.points[4].tolist() == [20, 30.5, 1]
    assert pose.has(4) is False


def test_a_table_is_read_as_it_was_written():
    pose = person(nose=(10.25, 10), neck=(13, -2))
    rows = to_rows(pose)
    assert rows[0] == ["nose", 10.2, 10.0]
    assert rows[2] == ["right shoulder", None, None]
    assert np.allclose(from_rows(rows, 64, 48).points, pose.points, atol=0.06)
    rows[2] = ["anything", "5", 6]  # as browsers send them
    rows[0] = ["nose", "", 3]
    typed = from_rows(rows, 64, 48)
    assert typed.points[2].tolist() == [5, 6, 1]
    assert not typed.has(0)
    with pytest.raises(ValueError, match="neck: a number is expected, got 'left'"):
        from_rows([["nose", 1, 1], ["neck", "left", 2], *rows[2:]], 64, 48)
    with pytest.raises(ValueError, match="18 rows"):
        from_rows(rows[:17], 64, 48)


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
