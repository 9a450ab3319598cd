"""The benchmark of keypoint detectors, on one that errs by a known distance."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from rfwarp.poses import Detection, Keypoints
from rfwarp.poses.body_detection import BACKENDS

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
from pose_detectors import Person, PoseDetectors, measure, table, torsos_off


def people(count: int) -> list[Person]:
    """Upright people with a torso of 20 pixels, whose left ear is hidden and right ear missing."""
    joints = np.stack([np.linspace(10, 40, 18), np.linspace(5, 60, 18), np.ones(18)], axis=1)
    joints[[1, 8, 11], :2] = [[30, 10], [25, 30], [35, 30]]
    joints[16] = 0
    visible = joints[:, 2] > 0
    visible[17] = False
    return [Person(torch.zeros(3, 64, 64), joints, visible)] * count


class Detector:
    """Is off by 0.15 torsos; unsure of the left ear; sees every second person."""

    threshold = 0.3

    def __init__(self):
        self.calls = 0

    def detect_largest(self, image):
        self.calls += 1
        if self.calls % 2:
            return None
        joints = people(1)[0].joints + np.array([3.0, 0, 0])
        scores = np.full(18, 0.9)
        scores[17] = 0.1
        return Detection(Keypoints(joints, 64, 64), scores)


def test_what_is_measured():
    sure, confident = measure("made up", Detector(), people(4), (0.0, 0.3))
    assert (sure["found"], confident["found"]) == (2, 2)
    assert sure["pck@0.1"] == 0
    assert sure["pck@0.2"] == 0.5
    assert confident["pck@0.2"] == pytest.approx(0.5 * 16 / 17)
    assert confident["pck_visible@0.2"] == 0.5
    assert confident["pck_given@0.2"] == 1
    assert confident["given"] == pytest.approx(0.5 * 16 / 17)
    assert confident["pck_groups@0.2"]["hips"] == 0.5


def test_distances_are_in_torsos():
    true = people(1)[0].joints
    np.testing.assert_allclose(torsos_off(true + np.array([0, 4.0, 0]), true), 0.2)


def test_the_benchmark_end_to_end(monkeypatch):
    def dark(image):
        y, x = np.nonzero(np.array(image).min(axis=-1) < 128)
        return [np.stack([np.full(17, x.mean()), np.full(17, y.mean()), np.ones(17)], axis=1)]

    def missing(device, weights):
        raise FileNotFoundError

    monkeypatch.setitem(BACKENDS, "rtmpose", lambda device, weights: dark)
    monkeypatch.setitem(BACKENDS, "blazepose", missing)
    results = PoseDetectors(count=2, size=64).run()
    text = table(results)
    (row,) = re.findall(r"\| rtmpose +\| 0.3 +\| (.*) of 2 +\| (\d) ", text)
    assert row == ("2", "2")
    assert "blazepose: no weights, not measured." in text
