"""The 68 landmarks of faces by MediaPipe's BlazeFace and FaceMesh (Kartynnik et al. 2019)."""

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
)

WEIGHTS = (
    "face_detection/face_detection_short_range.tflite",
    "face_landmark/face_landmark.tflite",
)
"""Files of the face detector and of the network of landmarks, in mediapipe's folder modules."""

MESH = (
    *(162, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 389),
    *(70, 63, 105, 66, 107, 336, 296, 334, 293, 300, 168, 197, 5, 4, 75, 97, 2, 326, 305),
    *(33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380),
    *(61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181),
    *(78, 82, 13, 312, 308, 317, 14, 87),
)
"""Points of the mesh that are nearest to the 68, in their order."""

POINTS = 468  # of the mesh
DETECTOR_SIDE, MESH_SIDE = 128, 192  # pixels that the networks read
ANCHORS = ((8, 2), (16, 6))  # stride, and anchors in each cell
CONFIRMED = 0.5  # least score of a face, of the network of landmarks
REGION = 1.5  # side of a face's region, in sides of its box


class FaceMesh:
    """Landmarks (68, 2), x and y in pixels, of every face that is found.

    BlazeFace (short range) sees faces that take at least a tenth of the image's larger side.
    """

    def __init__(self, device: str, weights: Path | None) -> None:
        detector, self._mesh = load_networks("FaceMesh", WEIGHTS, device, weights)
        self._detect = BoxDetector(detector, DETECTOR_SIDE, ANCHORS)

    def __call__(self, image: Image.Image) -> list[Array]:
        found = (self._landmarks(image, _region(*box)) for box in self._detect(image))
        return [points for points in found if points is not None]

    def _landmarks(self, image: Image.Image, region: Array) -> Array | None:
        """The landmarks of the face in a region; None if there is no face."""
        raw = self._mesh(crop(image, region, MESH_SIDE))
        points, score = (
            next(values.ravel() for values in raw.values() if values.size == size)
            for size in (3 * POINTS, 1)
        )
        if sigmoid(score)[0] < CONFIRMED:
            return None
        chosen = points.reshape(POINTS, 3)[list(MESH), :2] / MESH_SIDE
        return place(chosen, region) - 0.5  # whole numbers are the centres of pixels


def _region(points: Array, size: Array) -> Array:
    """Of a face: the square around its box's centre, upright as the eyes, its first two points."""
    centre, right, left = points[:3]
    across = left - right
    up = np.array([across[1], -across[0]]) / max(float(np.linalg.norm(across)), 1e-6)
    return square(centre, up * REGION * size.max())
