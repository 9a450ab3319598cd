"""Face landmarks from photographs, by the package face-alignment (Bulat & Tzimiropoulos 2017)."""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rfwarp.images import ImageLike, load_image
from rfwarp.poses.landmarks import FaceLandmarks

WEIGHTS = ("s3fd-619a316812.pth", "2DFAN4-11f355bf06.pth.tar")
"""Files of the face detector and of the landmark network, as the package names them."""


class FaceDetector:
    """Finds the landmarks of faces; keep one for many pictures, as it loads two networks.

    The package downloads its weights where they are missing. This class does not let it: it wants
    :data:`WEIGHTS` in the torch hub's folder, ``checkpoints`` in ``torch.hub.get_dir()``.

    Args:
        device: where it computes.

    Raises:
        ImportError: without ``pip install "rfwarp[face]"``.
        FileNotFoundError: if a file of weights is missing; the message says where it belongs.
        ValueError: if one cannot be loaded.
    """

    def __init__(self, device: str = "cpu") -> None:
        try:
            import face_alignment
        except ModuleNotFoundError as error:
            raise ImportError(
                f'landmarks of photographs need {error.name}: pip install "rfwarp[face]"'
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
                device=device,
                compile=False,
                face_detector_kwargs={"path_to_detector": str(folder / WEIGHTS[0])},
            )
        except (RuntimeError, pickle.UnpicklingError, EOFError, KeyError) as error:
            raise ValueError(f"the weights in {folder} cannot be loaded: {error}") from error

    def detect(self, image: ImageLike) -> list[FaceLandmarks]:
        """The faces of a picture, the largest first; an empty list if there are none.

        Args:
            image: as for :meth:`rfwarp.Generator.generate`.

        Raises:
            FileNotFoundError, TypeError, ValueError: if the picture cannot be read.
        """
        picture = load_image("image", image)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "No faces were detected")
            found = self._networks.get_landmarks_from_image(np.array(picture)) or []
        faces = [FaceLandmarks(points[:, :2], picture.height, picture.width) for points in found]
        return sorted(faces, key=lambda face: -float(np.prod(np.ptp(face.points, axis=0))))
