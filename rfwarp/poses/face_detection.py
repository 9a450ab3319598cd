"""Landmarks of faces in photographs, by networks that others publish."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from rfwarp.images import ImageLike, load_image
from rfwarp.poses.face_alignment import FaceAlignment
from rfwarp.poses.face_mesh import FaceMesh
from rfwarp.poses.landmarks import FaceLandmarks

# Each gives the landmarks (68, 2) of every face.
Backend = Callable[[Image.Image], list[npt.NDArray[np.floating[Any]]]]
BACKENDS: dict[str, Callable[[str, Path | None], Backend]] = {
    "face-alignment": FaceAlignment,
    "facemesh": FaceMesh,
}


class FaceDetector:
    """Finds faces and their 68 landmarks; keep one for many images, as it loads two networks.

    ================== ========================= =================================================
    backend            networks                  weights
    ================== ========================= =================================================
    ``face-alignment`` S3FD and 2D-FAN-4         in ``checkpoints`` of ``torch.hub.get_dir()``
    ``facemesh``       BlazeFace and FaceMesh,   in the wheel of mediapipe 0.10.14
                       on LiteRT
    ================== ========================= =================================================

    FaceMesh has 468 points, of which those nearest to the 68 are taken; it is for faces that fill
    at least a tenth of an image's larger side.

    Args:
        device: ``cpu``; for ``face-alignment`` also a CUDA or MPS device.
        backend: one of these names.
        weights: folder of the networks' files, for ``facemesh``.

    Raises:
        ImportError: without ``pip install "rfwarp[face]"`` for ``face-alignment``, or what
            ``facemesh`` needs; the message says it.
        FileNotFoundError: if a file of weights is missing; the message says where it belongs.
        ValueError: if one cannot be loaded, the device cannot be used, or there is no such backend.

    Example:
        >>> from rfwarp.poses import FaceDetector
        >>> FaceDetector(backend="dlib")
        Traceback (most recent call last):
            ...
        ValueError: backend must be one of face-alignment, facemesh, got 'dlib'
        >>> faces = FaceDetector(backend="facemesh").detect("photo.jpg")  # doctest: +SKIP
        >>> faces[0].points.shape  # doctest: +SKIP
        (68, 2)
    """

    def __init__(
        self,
        device: str | torch.device = "cpu",
        *,
        backend: str = "face-alignment",
        weights: str | os.PathLike[str] | None = None,
    ) -> None:
        if backend not in BACKENDS:
            raise ValueError(f"backend must be one of {', '.join(BACKENDS)}, got {backend!r}")
        self._find = BACKENDS[backend](str(device), None if weights is None else Path(weights))

    def detect(self, image: ImageLike) -> list[FaceLandmarks]:
        """The faces of an image, the largest first; an empty list if there are none.

        Args:
            image: as for :meth:`rfwarp.nn.Generator.generate`.

        Raises:
            FileNotFoundError, TypeError, ValueError: if the image cannot be read.
        """
        photo = load_image("image", image)
        faces = [FaceLandmarks(p, photo.height, photo.width) for p in self._find(photo)]
        return sorted(faces, key=lambda face: -float(np.prod(np.ptp(face.points, axis=0))))
