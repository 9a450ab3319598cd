"""The benchmark of landmark detectors, on ones that err by a known distance."""

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
import face_detectors
from face_detectors import Face, FaceDetectors, eyes_off, measure, table


def face(yaw):
    """Outer corners of the eyes 40 pixels apart; the jaw is hidden."""
    points = np.stack([np.linspace(0, 67, 68), np.linspace(0, 30, 68)], 1)
    points[[36, 45]] = [[10, 20], [50, 20]]
    return Face(Image.new("RGB", (64, 64)), points, np.arange(68) >= 17, yaw)


def test_errors_of_a_detector_that_is_beside():
    faces = [face(yaw) for yaw in (0.0, -20.0, 35.0, 39.0)]
    beside, far = np.array([4.0, 0.0]), np.array([40.0, 0.0])  # a tenth of the eyes, all of it
    answers = [
        [faces[0].landmarks + beside],
        [],
        [faces[2].landmarks + far, faces[2].landmarks + beside[::-1]],  # two, of which one is near
        [faces[3].landmarks + far],  # another face
    ]
    answers[0][0][:17] += beside  # the jaw, twice as far
    row = measure("beside", lambda _: answers.pop(0), faces)
    assert row["found"] == 2
    assert row["by_yaw"] == {"0 to 15": [1, 1], "15 to 30": [0, 1], "30 to 40": [1, 2]}
    assert row["error_visible"] == pytest.approx(0.1)
    assert row["error"] == pytest.approx((0.1 + (0.1 * 51 + 0.2 * 17) / 68) / 2)
    assert row["error_groups"]["jaw"] == pytest.approx(0.15)
    assert row["error_groups"]["eyes"] == pytest.approx(0.1)
    assert row["milliseconds"] >= 0


def test_distances_are_those_of_the_eyes():
    one = face(0.0)
    assert eyes_off(one.landmarks, one.landmarks).max() == 0
    assert eyes_off(one.landmarks + np.array([0.0, 20.0]), one.landmarks) == pytest.approx(0.5)


def test_a_table_of_all_and_of_what_is_missing(monkeypatch):
    def missing():
        raise ImportError("not installed")

    seen = []

    def sees(image):
        seen.append(image.size)
        return []

    monkeypatch.setattr(face_detectors, "DETECTORS", {"blind": lambda: sees, "gone": missing})
    results = FaceDetectors(detectors=("blind", "gone"), count=2, size=32).run()
    assert seen == [(32, 32)] * 4  # two backgrounds, two faces
    assert results["missing"] == {"gone": "not installed"}
    text = table(results)
    assert "| blind    | 0 of 2 |" in text
    assert "gone: not installed; not measured." in text


def test_mediapipe_finds_a_rendered_face():
    pytest.importorskip("ai_edge_litert")
    pytest.importorskip("mediapipe")
    row = FaceDetectors(detectors=("mediapipe",), count=3).run()["measurements"][0]
    assert row["found"] == 3
    assert row["on_backgrounds"] == 0
    assert row["error"] < 0.1
