"""Poses written as text."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rfwarp.cli.arguments import UsageError
from rfwarp.cli.arguments import parse_pose as parse_argument
from rfwarp.poses import (
    CameraMotion,
    FaceLandmarks,
    Keypoints,
    Viewpoint,
    write_annotations,
    write_openpose,
)
from rfwarp.poses.text import names_file, parse_pose

JOINTS = np.random.default_rng(0).uniform(0, 40, (18, 3)).round(2)
WHOLE = Keypoints.from_scores(JOINTS.round(), 64, 48).points
POINTS = np.random.default_rng(1).uniform(0, 40, (68, 2)).round(2)


@pytest.fixture
def folder(tmp_path):
    people = [{"pose_keypoints_2d": JOINTS.ravel().tolist()}]
    (tmp_path / "person.json").write_text(json.dumps({"people": people}))
    rows = {"a.png": Keypoints(WHOLE, 64, 48), "b.png": Keypoints(WHOLE, 64, 48).mirrored()}
    write_annotations(tmp_path / "keypoints.csv", rows)
    np.save(tmp_path / "face.npy", POINTS)
    np.save(tmp_path / "vector.npy", np.arange(6.0))
    Image.new("RGB", (48, 64)).save(tmp_path / "a.png")  # 64 high
    return tmp_path


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("120:10", Viewpoint(120, 10)),
        ("22.5:-10", Viewpoint(22.5, -10)),
        ("camera:0,0.1,-2e-1,0,.5,-1.5", CameraMotion((0, 0.1, -0.2), (0, 0.5, -1.5))),
        ("person.json", Keypoints.from_scores(JOINTS, 64, 48)),
        ("person.json@256x176", Keypoints.from_scores(JOINTS, 256, 176)),
        ("keypoints.csv", Keypoints(WHOLE, 64, 48)),
        ("keypoints.csv:b.png", Keypoints(WHOLE, 64, 48).mirrored()),
        ("keypoints.csv:a.png@256x176", Keypoints(WHOLE, 256, 176)),
        ("face.npy", FaceLandmarks(POINTS, 64, 48)),
        ("face.npy@224x200", FaceLandmarks(POINTS, 224, 200)),
    ],
)
def test_every_form(folder, text, expected):
    assert parse_pose(text, folder, "a.png") == expected
    if names_file(text):
        text = str(folder / text)
    assert parse_argument(text, folder / "a.png") == expected


def test_arrays_of_other_shapes_are_poses_themselves(folder):
    assert np.array_equal(parse_pose("vector.npy", folder), np.arange(6.0))


@pytest.mark.parametrize(
    "text",
    [
        "camera:",
        "camera:1,2,3",
        "camera:1,2,3,4,5,x",
        "camera:1,2,3,4,5,nan",
        "person.jpg",
        "pose.yaml",
        "12",
    ],
)
def test_texts_that_are_no_pose(text):
    with pytest.raises(ValueError, match=r"camera:RX,RY,RZ,TX,TY,TZ|is AZIMUTH:ELEVATION"):
        parse_pose(text)
    with pytest.raises(UsageError, match=r"in (radians|degrees)"):
        parse_argument(text, Path("a.png"))


def test_without_an_image_the_size_comes_from_the_file_or_the_text(tmp_path):
    pose = Keypoints(np.full((18, 2), 20.0), 64, 48)
    write_openpose(tmp_path / "person.json", [pose])
    assert parse_pose("person.json", tmp_path) == pose
    np.save(tmp_path / "face.npy", np.zeros((68, 2)))
    with pytest.raises(ValueError, match=r"size .* must be given: face.npy@HEIGHTxWIDTH"):
        parse_pose("face.npy", tmp_path)


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("keypoints.csv:c.png", ValueError, "keypoints.csv has no keypoints of 'c.png'"),
        ("none.csv:a.png", FileNotFoundError, "none.csv"),
        ("none.json@9x9", FileNotFoundError, "none.json"),
        ("vector.npy@9x9", ValueError, r"a size belongs to landmarks \(68, 2\), got \(6,\)"),
        ("person.json@0x9", ValueError, "0 x 9 pixels"),
        ("person.json@9", ValueError, "AZIMUTH:ELEVATION"),
        ("20:91", ValueError, "viewpoint '20:91': elevation must lie in"),
    ],
)
def test_files_that_hold_no_pose(folder, text, error, message):
    with pytest.raises(error, match=message):
        parse_pose(text, folder, "a.png")
