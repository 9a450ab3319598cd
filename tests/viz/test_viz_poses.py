"""Pose codes as images."""

import numpy as np
import pytest
import torch

from rfwarp.poses import Viewpoint
from rfwarp.poses.kinds import POSE_KINDS
from rfwarp.viz import draw_pose


def pixels(kind: str, code: torch.Tensor, height: int = 96, width: int = 64) -> np.ndarray:
    image = draw_pose(POSE_KINDS[kind], code, height, width)
    assert image.mode == "RGB"
    assert image.size == (width, height)
    return np.asarray(image)


def centre_of_ink(image: np.ndarray) -> tuple[float, float]:
    """Mean x and y of what is not white."""
    y, x = np.nonzero((image != 255).any(axis=2))
    return x.mean(), y.mean()


def test_keypoints_are_drawn_where_they_are():
    code = torch.zeros(18, 3)
    assert (pixels("keypoints", code) == 255).all()
    code[2], code[3] = torch.tensor([10.0, 20.0, 1.0]), torch.tensor([10.0, 60.0, 1.0])
    joined = pixels("keypoints", code)
    assert centre_of_ink(joined) == pytest.approx((10, 40), abs=0.6)
    assert (joined[40, 10] != 255).any()  # the upper arm
    code[3, 2] = 0  # an elbow that is missing
    alone = pixels("keypoints", code)
    assert centre_of_ink(alone) == pytest.approx((10, 20), abs=0.6)
    assert (alone[40, 10] == 255).all()


def test_landmarks_are_the_drawing():
    code = torch.randint(256, (3, 96, 64), dtype=torch.uint8, generator=torch.Generator())
    assert np.array_equal(pixels("landmarks", code), code.permute(1, 2, 0).numpy())


def test_viewpoints_point_from_where_the_camera_is():
    """Azimuth 0 is in front, below; growing, it goes counter-clockwise: next to the right."""
    x, y = {}, {}
    for azimuth in (0, 80, 180, 280):
        image = pixels("viewpoint", Viewpoint(azimuth, 10).code(), 64, 64)[12:]
        x[azimuth], y[azimuth] = centre_of_ink(image)
    assert y[0] == max(y.values())
    assert y[180] == min(y.values())
    assert x[80] == max(x.values())
    assert x[280] == min(x.values())


def test_other_elevations_and_motions_look_different():
    views = [pixels("viewpoint", Viewpoint(40, e).code(), 64, 64) for e in (0, 10, 24)]
    motions = [pixels("camera", torch.full((6,), value), 64, 64) for value in (0.0, 0.5)]
    for one, other in (views[:2], views[1:], motions):
        assert not np.array_equal(one, other)


def test_batches_and_other_codes_are_refused():
    with pytest.raises(ValueError, match=r"one pose is drawn at a time, got codes \(2, 6\)"):
        pixels("camera", torch.zeros(2, 6))
    with pytest.raises(ValueError, match="codes of kind 'keypoints' must be"):
        pixels("keypoints", torch.zeros(21))
