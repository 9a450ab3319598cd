"""RTMPose (Jiang et al. 2023) on the people that YOLOX finds, by the package rtmlib."""

from __future__ import annotations

import io
from contextlib import redirect_stdout
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from typing import Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt
from PIL import Image

MODE = "balanced"
"""Which of rtmlib's pairs of networks: YOLOX-m and RTMPose-m."""


class RtmPose:
    """COCO's joints (17, 3) of every person: x, y in pixels, and a confidence."""

    def __init__(self, device: str, weights: Path | None) -> None:
        try:
            import onnxruntime
            import rtmlib
        except ModuleNotFoundError as error:
            raise ImportError(f'RTMPose needs {error.name}: pip install "rfwarp[body]"') from error
        _check_device(device, onnxruntime.get_available_providers())
        published = rtmlib.Body.MODE[MODE]
        urls = (published["det"], published["pose"])  # which rtmlib downloads
        models = urls if weights is None else _in_folder(weights, urls)
        networks = (rtmlib.YOLOX, rtmlib.RTMPose)
        sizes = (published["det_input_size"], published["pose_input_size"])
        try:
            with redirect_stdout(io.StringIO()):  # rtmlib prints what it loads
                self._detector, self._network = (
                    network(model, model_input_size=size, backend="onnxruntime", device=device)
                    for network, model, size in zip(networks, models, sizes, strict=True)
                )
        except (OSError, HTTPException, BadZipFile) as error:
            raise FileNotFoundError(
                f"weights of RTMPose cannot be fetched ({error}): put {_needed(urls)} into a "
                "folder, and name it as weights"
            ) from error
        except Exception as error:  # those of ONNX Runtime have no base class of their own
            raise ValueError(f"weights of RTMPose cannot be loaded: {error}") from error

    def __call__(self, image: Image.Image) -> list[npt.NDArray[np.floating[Any]]]:
        rgb = np.array(image)
        # The detector was trained on BGR, the other network on RGB (rtmlib's issue 48).
        boxes = self._detector(np.ascontiguousarray(rgb[:, :, ::-1]))
        if len(boxes) == 0:  # then rtmlib would take the whole image
            return []
        points, scores = self._network(rgb, boxes)
        return list(np.concatenate([points, scores[..., None]], axis=-1))


def _in_folder(folder: Path, urls: tuple[str, ...]) -> tuple[str, ...]:
    """Paths of the published networks in a folder."""
    paths = {url: folder / _file_name(url) for url in urls}
    if missing := tuple(url for url, path in paths.items() if not path.is_file()):
        raise FileNotFoundError(f"{folder} lacks weights of RTMPose: put {_needed(missing)} there")
    return tuple(map(str, paths.values()))


def _needed(urls: tuple[str, ...]) -> str:
    return " and ".join(f"{_file_name(url)} (end2end.onnx of {url})" for url in urls)


def _file_name(url: str) -> str:
    """What rtmlib calls the network of a published archive."""
    return f"{PurePosixPath(url).stem}.onnx"


def _check_device(device: str, providers: list[str]) -> None:
    kind = device.partition(":")[0]
    if kind not in ("cpu", "cuda"):
        raise ValueError(f"device {device!r} cannot be used: RTMPose computes on cpu or cuda")
    # ONNX Runtime would quietly compute on the CPU.
    if kind == "cuda" and "CUDAExecutionProvider" not in providers:
        raise ValueError(
            f"device {device!r} cannot be used: ONNX Runtime offers {', '.join(providers)}; the "
            "package onnxruntime-gpu has CUDA"
        )
