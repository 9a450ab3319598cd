"""What the pages' events do, called as gradio calls them."""

import sys

import numpy as np
import pytest
import torch

gr = pytest.importorskip("gradio", reason="the app needs gradio: pip install 'rfwarp[app]'")

from rfwarp.app.camera_page import CameraPage  # noqa: E402
from rfwarp.app.canvas import to_rows  # noqa: E402
from rfwarp.app.page import Scene  # noqa: E402
from rfwarp.app.points_page import TARGET, KeypointsPage, LandmarksPage  # noqa: E402
from rfwarp.app.studio import Studio  # noqa: E402
from rfwarp.app.viewpoint_page import ViewpointPage  # noqa: E402
from rfwarp.poses import write_openpose  # noqa: E402


@pytest.fixture(scope="module")
def studio():
    return Studio(("chairs-64", "people-64"), torch.device("cpu"))


@pytest.fixture(scope="module")
def things(studio):
    with gr.Blocks():
        return ViewpointPage(studio, ["chairs-64"])


@pytest.fixture(scope="module")
def persons(studio):
    with gr.Blocks():
        return KeypointsPage(studio, ["people-64"])


@pytest.fixture(scope="module")
def faces(untrained):
    with gr.Blocks():
        return LandmarksPage(Studio((untrained["landmarks"],), torch.device("cpu")), ["faces"])


@pytest.fixture(scope="module")
def streets(untrained):
    with gr.Blocks():
        return CameraPage(Studio((untrained["camera"],), torch.device("cpu")), ["streets"])


@pytest.fixture
def nobody_looks(monkeypatch):
    """No detector is installed."""
    for package in ("rtmlib", "face_alignment", "ai_edge_litert.interpreter"):
        monkeypatch.setitem(sys.modules, package, None)


def names(paths):
    return [str(path) for path in paths]


def test_typed_viewpoints_stay_when_images_come_and_go(things, chair_files):
    scene, shown, rows = things.load("chairs-64", names(chair_files[:1]), "pad", [], Scene())
    assert rows == [["900008_120_10.png", 120, 10]]
    assert len(shown) == len(scene.sources) == 1
    rows[0][1] = 77
    scene, _, rows = things.load("chairs-64", names(chair_files), "pad", rows, scene)
    assert rows == [["900008_120_10.png", 77, 10], ["900008_320_10.png", 320, 10]]
    scene, _, rows = things.reload("chairs-64", scene, rows, "crop")
    assert rows[0] == ["900008_120_10.png", 77, 10]
    assert scene.files == tuple(names(chair_files))


def test_images_of_one_name_have_rows_of_their_own(things, chair_files, tmp_path):
    paths = []
    for number, file in enumerate(chair_files[:2]):
        paths.append(tmp_path / str(number) / "a.png")
        paths[-1].parent.mkdir()
        paths[-1].write_bytes(file.read_bytes())
    scene, _, rows = things.load("chairs-64", names(paths), "pad", [], Scene())
    rows = [["a.png", 0, 10], ["a.png", 90, 10]]
    scene, _, kept = things.reload("chairs-64", scene, rows, "crop")
    assert kept == rows
    _, _, kept = things.load("chairs-64", names(paths[1:]), "pad", rows, scene)
    assert kept == rows[1:]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "1 images need 1 rows"),
        ([["a", 1, 2], ["b", 1, 2]], "1 images need 1 rows"),
        ([["a", "", 10]], "azimuth of a: a number is expected, got ''"),
        ([["a", 0, "high"]], "elevation of a: a number is expected, got 'high'"),
        ([["a", 0, 100]], r"elevation must lie in -90\.\.90"),
    ],
)
def test_tables_that_are_no_viewpoints(things, chair_files, rows, message):
    scene, *_ = things.load("chairs-64", names(chair_files[:1]), "pad", [], Scene())
    with pytest.raises(ValueError, match=message):
        things.draw("chairs-64", scene, rows, 0, 10)


def test_nothing_to_draw(things, persons):
    with pytest.raises(ValueError, match="at least one source image is needed"):
        things.draw("chairs-64", Scene(), [], 0, 10)
    with pytest.raises(ValueError, match="at least one source image is needed"):
        persons.draw("people-64", Scene())


def test_people_without_a_detector_stand_somehow_and_it_is_said(
    persons, person_files, nobody_looks
):
    scene, *_ = persons.load("people-64", names(person_files), "pad")
    assert "900008_0.png, 900008_1.png" in scene.remark
    assert 'pip install "rfwarp[body]"' in scene.remark
    *_, notice = persons.draw("people-64", scene)
    assert notice.value == scene.remark
    assert notice.visible


def test_moved_joints_stay_when_images_come(persons, people, person_files, nobody_looks):
    scene, *_ = persons.load("people-64", names(person_files[:1]), "pad")
    rows = to_rows(scene.poses[0])
    rows[4] = ["right wrist", 11, 12]
    scene, *_ = persons.type("people-64", scene, "source 1", rows)
    assert scene.poses[0].points[4].tolist() == [11, 12, 1]
    scene, *_ = persons.take(
        "people-64", scene, TARGET, gr.SelectData(None, {"index": 3, "value": None})
    )
    scene, *_ = persons.load("people-64", names(person_files), "pad", scene)
    assert scene.poses[0].points[4].tolist() == [11, 12, 1]
    assert scene.target == people.example_poses[3]
    assert "900008_0.png" not in scene.remark


def test_moved_joints_stay_for_another_model_or_frame(persons, people, person_files, nobody_looks):
    """In another frame sources are elsewhere; the pose to draw stays."""
    scene, *_ = persons.load("people-64", names(person_files[:1]), "pad")
    for which in ("source 1", TARGET):
        rows = to_rows(scene.poses[0])
        rows[4] = ["right wrist", 11, 12]
        scene, *_ = persons.type("people-64", scene, which, rows)
    again, *_ = persons.reload("people-64", scene, "pad")
    assert (again.poses, again.target) == (scene.poses, scene.target)
    again, *_ = persons.reframe("people-64", scene, "crop")
    assert again.target == scene.target
    assert again.poses == (people.example_poses[0],)


def test_a_pose_from_a_file(persons, people, person_files, tmp_path, nobody_looks):
    scene, *_ = persons.load("people-64", names(person_files), "pad")
    pose = people.example(2).target
    large = pose.scaled(256, 256)
    write_openpose(tmp_path / "person.json", [large])
    path = str(tmp_path / "person.json")
    scene, *_ = persons.find("people-64", scene, "source 2", path, "pad")
    assert np.allclose(scene.poses[1].points, pose.points, atol=1e-4)
    scene, *_ = persons.find("people-64", scene, TARGET, path, "pad")
    assert np.allclose(scene.target.points, pose.points, atol=1e-4)


def test_there_is_no_such_pose(persons):
    scene, *_ = persons.of_example("people-64", 0)
    for which in ("source 0", "source 3", "source -1", "/etc/passwd"):
        with pytest.raises(ValueError, match="there is no pose of"):
            persons.edited("people-64", scene, which)


def test_a_face_is_drawn_with_landmarks_of_a_file(faces, tmp_path, nobody_looks):
    (name,) = faces.studio.names
    scene, _, rows, *_ = faces.of_example(name, 1)
    assert len(rows) == 68
    image, *_ = faces.draw(name, scene)
    np.save(tmp_path / "face.npy", scene.poses[0].points)
    scene, *_ = faces.find(name, scene, TARGET, str(tmp_path / "face.npy"), "pad")
    assert np.allclose(scene.target.points, scene.poses[0].points)
    assert not np.array_equal(faces.draw(name, scene)[0], image)
    (tmp_path / "face.npy").write_bytes(b"no array")
    with pytest.raises(ValueError, match=r"face\.npy has no landmarks: "):
        faces.find(name, scene, TARGET, str(tmp_path / "face.npy"), "pad")
    scene.sources[0].image.save(tmp_path / "x.png")
    scene, *_ = faces.load(name, [str(tmp_path / "x.png")], "pad")
    assert "Move the landmarks of x.png" in scene.remark
    assert 'pip install "rfwarp[face]"' in scene.remark


def test_a_camera_is_dialled(streets, tmp_path):
    (name,) = streets.studio.names
    scene, _, rows, *place = streets.of_example(streets.studio.model(name), 0)
    assert rows[0][1:] == [0, 0, 0, 0, 0, 0]
    assert 0 < place[0] < rows[1][3]  # the target lies between
    image, *_ = streets.draw(name, scene, rows, *place)
    assert not np.array_equal(streets.draw(name, scene, rows, place[0] + 1, *place[1:])[0], image)
    paths = []
    for number, source in enumerate(scene.sources):
        paths.append(str(tmp_path / f"{number}.png"))
        source.image.save(paths[-1])
    before = Scene(files=tuple(paths[:1]))
    scene, _, rows = streets.load(name, paths, "pad", [["0.png", 0, 0, 7, 0, 0, 0]], before)
    assert [row[3] for row in rows] == [7, 1]  # typed, and a metre behind the one before
    with pytest.raises(ValueError, match="2 images need 2 rows: image, right, down, forward"):
        streets.draw(name, scene, rows[:1], *place)
    rows[1][5] = "left"
    with pytest.raises(ValueError, match=r"yaw of 1\.png: a number is expected, got 'left'"):
        streets.draw(name, scene, rows, *place)
