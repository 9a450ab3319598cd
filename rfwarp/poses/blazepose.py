"""BlazePose (Bazarevsky et al. 2020): 33 points of each person, by networks of MediaPipe."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from rfwarp.poses.mediapipe import (
    Array,
    BoxDetector,
    crop,
    load_networks,
    place,
    sigmoid,
    square,
    whole,
)

WEIGHTS = ("pose_detection/pose_detection.tflite", "pose_landmark/pose_landmark_full.tflite")
"""Files of the person detector and of the network of landmarks, in mediapipe's folder modules."""

COCO = (0, 2, 5, 7, 8, *range(11, 17), *range(23, 29))
"""Which of the 33 points are COCO's 17 joints."""

DETECTOR_SIDE, LANDMARKS_SIDE = 224, 256  # pixels that the networks read
ANCHORS = ((8, 2), (16, 2), (32, 6))  # stride, and anchors in each cell
# Least score of a person, of the network of landmarks. 0.5, which is usual, takes 25 of 100
# rendered chairs for people, this 14, for 2 of 100 rendered people that it misses more.
CONFIRMED = 0.75
REGION = 2.5  # side of a person's region, in distances from the hips to the circle around them
HIPS, TOP = 33, 34  # points behind the 33 that span the region, as the detector's first two do
WINDOW = 3  # cells of a heatmap to each side of a point


class BlazePose:
    """COCO's joints (17, 3) of every person: x, y in pixels, and how likely they can be seen.

    Where the detector sees at most one person, they are looked for in the whole image too, and the
    joints that can be seen best are taken: close to the camera it often sees no more than a head.
    """

    def __init__(self, device: str, weights: Path | None) -> None:
        detector, self._landmarks = load_networks("BlazePose", WEIGHTS, device, weights)
        self._detect = BoxDetector(detector, DETECTOR_SIDE, ANCHORS)

    def __call__(self, image: Image.Image) -> list[Array]:
        # The first two points of each box span the region.
        people = [_region(*points[1:3]) for points, _ in self._detect(image)]
        # Each person's regions to look in.
        starts = [[region] for region in people] if len(people) > 1 else [[*people, whole(image)]]
        found = [
            [points for region in regions for points in self._person(image, region)]
            for regions in starts
        ]
        return [max(each, key=lambda points: float(points[:, 2].mean())) for each in found if each]

    def _person(self, image: Image.Image, region: Array) -> list[Array]:
        """The joints of the person in a region; none if there is nobody."""
        points, _ = self._points(image, region)
        refined = _region(*points[[HIPS, TOP], :2])
        points, score = self._points(image, refined)
        if score < CONFIRMED:
            return []
        joints = points[list(COCO)]
        joints[:, :2] -= 0.5  # whole numbers are the centres of pixels
        return [joints]

    def _points(self, image: Image.Image, region: Array) -> tuple[Array, float]:
        """All 39 points (x, y, visibility), and the score of a person being there."""
        raw = self._landmarks(crop(image, region, LANDMARKS_SIDE))
        points = raw["Identity"].reshape(39, 5)
        places = sharpened(points[:, :2] / LANDMARKS_SIDE, sigmoid(raw["Identity_3"]))
        visibility = sigmoid(points[:, 3:4])
        joined = np.concatenate([place(places, region), visibility], axis=1)
        return joined, float(raw["Identity_1"][0])


def sharpened(places: Array, heatmaps: Array) -> Array:
    """Points (N, 2) in the unit square at the mean of their heatmaps (S, S, N) around them."""
    side = len(heatmaps)
    rows = np.arange(side)[:, None]
    x, y = (np.abs(rows - np.floor(places[:, i] * side)) <= WINDOW for i in (0, 1))
    near = heatmaps * (y[:, None] & x[None])
    x_mean, y_mean = ((near.sum(axis=axis) * rows).sum(axis=0) for axis in (0, 1))
    clear = near.max(axis=(0, 1)) >= 0.5
    means = np.stack([x_mean, y_mean], axis=1) / np.maximum(near.sum((0, 1)), 1e-9)[:, None] / side
    return np.where(clear[:, None], means, places)


def _region(centre: Array, top: Array) -> Array:
    """Of a person: the square around the hips' middle, which the circle through ``top`` is in."""
    return square(centre, REGION * (top - centre))
