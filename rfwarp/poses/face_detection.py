"""Face landmarks from photographs, by the package face-alignment (Bulat & Tzimiropoulos 2017)."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from rfwarp.images import ImageLike, load_image
from rfwarp.poses.landmarks import FaceLandmarks

WEIGHTS = ("s3fd-619a316812.pth", "2DFAN4-11f355bf06.pth.tar")
"""Files of the face detector and of the landmark network, as the package names them."""

MAX_SIDE = 1024
"""Pixels: larger pictures are searched for faces at this size, as memory and time grow with it."""


class FaceDetector:
    """Finds the landmarks of faces; keep one for many images, as it loads two networks.

    The package downloads its weights where they are missing. This class does not let it: it wants
    ``WEIGHTS`` in the torch hub's folder, ``checkpoints`` in ``torch.hub.get_dir()``.

    Args:
        device: where it computes: a CPU, CUDA or MPS device.

    Raises:
        ImportError: without ``pip install "rfwarp[face]"``.
        FileNotFoundError: if a file of weights is missing; the message says where it belongs.
        ValueError: if one cannot be loaded, or the device cannot be used.

    Example:
        >>> from rfwarp.poses import FaceDetector
        >>> FaceDetector("tpu")
        Traceback (most recent call last):
            ...
        ValueError: device 'tpu' cannot be used: ...
    """

    def __init__(self, device: str | torch.device = "cpu") -> None:
        try:
            import face_alignment
        except ModuleNotFoundError as error:
            raise ImportError(
                f'landmarks of photographs need {error.name}: pip install "rfwarp[face]"'
            ) from error
        try:
            if torch.zeros(1, device=device).device.type not in ("cpu", "cuda", "mps"):
                raise RuntimeError("face-alignment computes on cpu, cuda or mps")
        except (RuntimeError, AssertionError) as error:  # torch raises both
            raise ValueError(
                f"device {str(device)!r} cannot be used: {str(error).splitlines()[0]}"
            ) from error
        folder = Path(torch.hub.get_dir()) / "checkpoints"
        missing = [name for name in WEIGHTS if not (folder / name).is_file()]
        if missing:
            raise FileNotFoundError(
                f"{folder} lacks {' and '.join(missing)}: put the weights that the authors of "
                "face-alignment publish there, or let that package download them once"
            )
        try:
            # To compile would cost minutes on a CPU. Given its path, the detector's file is read
            # as data only, as the other one is anyway.
            self._networks: Any = face_alignment.FaceAlignment(
                face_alignment.LandmarksType.TWO_D,
                device=str(device),
                compile=False,
                face_detector_kwargs={"path_to_detector": str(folder / WEIGHTS[0])},
            )
        except (RuntimeError, pickle.UnpicklingError, EOFError, KeyError) as error:
            raise ValueError(f"the weights in {folder} cannot be loaded: {error}") from error

    def detect(self, image: ImageLike) -> list[FaceLandmarks]:
        """The faces of a picture, the largest first; an empty list if there are none.

        Args:
            image: as for :meth:`rfwarp.nn.Generator.generate`.

        Raises:
            FileNotFoundError, TypeError, ValueError: if the picture cannot be read.
        """
        picture = load_image("image", image)
        boxes = self._boxes(picture)
        if not boxes:
            return []
        found = self._networks.get_landmarks_from_image(np.array(picture), boxes)
        faces = [FaceLandmarks(points[:, :2], picture.height, picture.width) for points in found]
        return sorted(faces, key=lambda face: -float(np.prod(np.ptp(face.points, axis=0))))

    def _boxes(self, picture: Image.Image) -> list[npt.NDArray[np.float32]]:
        """Left, top, right, bottom and confidence of every face."""
        small = picture.copy()
        small.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS)
        x, y = picture.width / small.width, picture.height / small.height
        scale = np.array([x, y, x, y, 1], np.float32)
        return [
            box * scale for box in self._networks.face_detector.detect_from_image(np.array(small))
        ]
