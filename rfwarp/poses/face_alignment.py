"""The 68 landmarks of faces by the package face-alignment (Bulat & Tzimiropoulos 2017)."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

WEIGHTS = ("s3fd-619a316812.pth", "2DFAN4-11f355bf06.pth.tar")
"""Files of the face detector and of the landmark network, as the package names them."""

MAX_SIDE = 1024
"""Pixels: larger images are searched for faces at this size, as memory and time grow with it."""


class FaceAlignment:
    """Landmarks (68, 2), x and y in pixels, of every face that is found.

    The package downloads its weights where they are missing. This class does not let it.
    """

    def __init__(self, device: str, weights: Path | None) -> None:
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
                f"device {device!r} cannot be used: {str(error).splitlines()[0]}"
            ) from error
        hub = Path(torch.hub.get_dir()) / "checkpoints"
        if weights is not None and weights.resolve() != hub.resolve():
            raise ValueError(f"face-alignment reads its weights from {hub}, not from {weights}")
        missing = [name for name in WEIGHTS if not (hub / name).is_file()]
        if missing:
            raise FileNotFoundError(
                f"{hub} lacks {' and '.join(missing)}: put the weights that the authors of "
                "face-alignment publish there, or let that package download them once"
            )
        try:
            # To compile would cost minutes on a CPU. Given its path, the detector's file is read
            # as data only, as the other one is anyway.
            self._networks: Any = face_alignment.FaceAlignment(
                face_alignment.LandmarksType.TWO_D,
                device=device,
                compile=False,
                face_detector_kwargs={"path_to_detector": str(hub / WEIGHTS[0])},
            )
        except (RuntimeError, pickle.UnpicklingError, EOFError, KeyError) as error:
            raise ValueError(f"the weights in {hub} cannot be loaded: {error}") from error

    def __call__(self, image: Image.Image) -> list[npt.NDArray[np.floating[Any]]]:
        boxes = self._boxes(image)
        if not boxes:
            return []
        found = self._networks.get_landmarks_from_image(np.array(image), boxes)
        return [points[:, :2] for points in found]

    def _boxes(self, image: Image.Image) -> list[npt.NDArray[np.float32]]:
        """Left, top, right, bottom and confidence of every face."""
        small = image.copy()
        small.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS)
        x, y = image.width / small.width, image.height / small.height
        scale = np.array([x, y, x, y, 1], np.float32)
        return [
            box * scale for box in self._networks.face_detector.detect_from_image(np.array(small))
        ]
