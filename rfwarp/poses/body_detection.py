"""Keypoints of people in photographs, by networks that others publish."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from rfwarp.images import ImageLike, load_image
from rfwarp.poses.blazepose import BlazePose
from rfwarp.poses.keypoints import Keypoints, openpose_from_coco
from rfwarp.poses.rtmpose import RtmPose

# Each gives COCO's 17 joints of every person with their confidences.
Backend = Callable[[Image.Image], list[npt.NDArray[np.floating[Any]]]]
BACKENDS: dict[str, Callable[[str, Path | None], Backend]] = {
    "rtmpose": RtmPose,
    "blazepose": BlazePose,
}

THRESHOLD = 0.3
"""Confidence from which a joint counts as present, unless another is given."""


@dataclass(frozen=True, eq=False)
class Detection:
    """A person that a :class:`BodyDetector` found.

    Args:
        keypoints: the joints; those below the detector's threshold are missing.
        scores: (18,) confidence of every joint, 0 to about 1, also of the missing ones.

    Example:
        >>> import numpy as np
        >>> from rfwarp.poses import Detection, Keypoints
        >>> points = np.full((18, 2), -1)
        >>> points[:2] = (20, 10), (22, 18)  # nose and neck
        >>> Detection(Keypoints(points, height=64, width=48), np.ones(18)).box
        (20.0, 10.0, 22.0, 18.0)
    """

    keypoints: Keypoints
    scores: npt.NDArray[np.float32]

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, right and bottom of the present joints, of which there is one, pixels."""
        places = self.keypoints.points[self.keypoints.points[:, 2] > 0, :2]
        (left, top), (right, bottom) = places.min(axis=0).tolist(), places.max(axis=0).tolist()
        return left, top, right, bottom


class BodyDetector:
    """Finds people and their joints; keep one for many images, as it loads two networks.

    ============== ================================ ===============================================
    backend        networks                         weights
    ============== ================================ ===============================================
    ``rtmpose``    YOLOX-m and RTMPose-m, on ONNX   rtmlib downloads them once into its cache
                   Runtime
    ``blazepose``  BlazePose full, on LiteRT        in the wheel of mediapipe 0.10.14
    ============== ================================ ===============================================

    Args:
        backend: one of these names.
        threshold: confidence in [0, 1] from which a joint is present.
        device: ``cpu``; for ``rtmpose`` also ``cuda`` or ``cuda:1``, if ONNX Runtime has CUDA.
        weights: folder of the networks' files; then nothing is downloaded.

    Raises:
        ImportError: without ``pip install "rfwarp[body]"`` for ``rtmpose``, or what ``blazepose``
            needs; the message says it.
        FileNotFoundError: if weights are missing or cannot be fetched; the message says which file
            belongs where.
        ValueError: if weights cannot be loaded, the device cannot be used, or an argument is none
            of these.

    Example:
        >>> from rfwarp.poses import BodyDetector
        >>> BodyDetector("openpose")
        Traceback (most recent call last):
            ...
        ValueError: backend must be one of rtmpose, blazepose, got 'openpose'
        >>> people = BodyDetector("rtmpose").detect("photo.jpg")  # doctest: +SKIP
        >>> people[0].keypoints.has(0)  # doctest: +SKIP
        True
    """

    def __init__(
        self,
        backend: str = "rtmpose",
        *,
        threshold: float = THRESHOLD,
        device: str | torch.device = "cpu",
        weights: str | os.PathLike[str] | None = None,
    ) -> None:
        if backend not in BACKENDS:
            raise ValueError(f"backend must be one of {', '.join(BACKENDS)}, got {backend!r}")
        if not 0 <= threshold <= 1:
            raise ValueError(f"threshold must lie in [0, 1], got {threshold}")
        self.threshold = threshold
        self._find = BACKENDS[backend](str(device), None if weights is None else Path(weights))

    def detect(self, image: ImageLike) -> list[Detection]:
        """The people in an image, the largest first; an empty list if there are none.

        How large a person is, is told by the area of the joints' box. Joints may lie outside of
        the image.

        Args:
            image: as for :meth:`rfwarp.nn.Generator.generate`.

        Raises:
            FileNotFoundError, TypeError, ValueError: if the image cannot be read.
        """
        photo = load_image("image", image)
        found = [self._detection(joints, photo) for joints in self._find(photo)]
        people = [person for person in found if person.keypoints.points[:, 2].any()]
        return sorted(people, key=_area, reverse=True)

    def detect_largest(self, image: ImageLike) -> Detection | None:
        """The first of :meth:`detect`; None if there is nobody."""
        return next(iter(self.detect(image)), None)

    def detect_many(self, images: Iterable[ImageLike]) -> Iterator[list[Detection]]:
        """:meth:`detect` of one image after the other, as they are asked for."""
        return map(self.detect, images)

    def _detection(self, coco: npt.NDArray[np.floating[Any]], image: Image.Image) -> Detection:
        joints = openpose_from_coco(coco)
        keypoints = Keypoints.from_scores(joints, image.height, image.width, self.threshold)
        return Detection(keypoints, joints[:, 2])


def _area(person: Detection) -> float:
    left, top, right, bottom = person.box
    return (right - left) * (bottom - top)
