"""How MediaPipe's networks are run (by the package ai-edge-litert) and what they read and return.

The networks are those of the package mediapipe; its code does not run. A region of an image is a
2 x 3 matrix that maps the unit square, turned as a person or a face is, into the image; there the
upper left pixel covers (0, 0) to (1, 1).
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

Array: TypeAlias = npt.NDArray[np.floating[Any]]

ADVICE = 'pip install "rfwarp[blazepose]", then pip install --no-deps mediapipe==0.10.14'

FOUND = 0.5  # least score of a detector's box
OVERLAP = 0.3  # intersection over union from which two boxes are one person


def load_networks(
    what: str, names: Sequence[str], device: str, folder: Path | None
) -> list[Network]:
    """Networks of mediapipe.

    Args:
        what: their name, for messages.
        names: files below mediapipe's folder ``modules``.
        device: ``cpu``.
        folder: holds the files; None takes those of the installed package.

    Raises:
        ImportError: without the package that runs them, or that holds them.
        FileNotFoundError: if a file is missing.
        ValueError: if a file cannot be loaded, or for another device.
    """
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ModuleNotFoundError as error:
        raise ImportError(f"{what} needs {error.name}: {ADVICE}") from error
    if device != "cpu":
        raise ValueError(f"device {device!r} cannot be used: {what} computes on cpu")
    return [Network(Interpreter, path) for path in _files(what, names, folder)]


def _files(what: str, names: Sequence[str], folder: Path | None) -> list[Path]:
    if folder is None:
        spec = importlib.util.find_spec("mediapipe")
        if spec is None or spec.origin is None:
            raise ImportError(f"{what} needs the weights in the package mediapipe: {ADVICE}")
        paths = [Path(spec.origin).parent / "modules" / name for name in names]
    else:
        paths = [folder / Path(name).name for name in names]
    missing = [path for path in paths if not path.is_file()]
    if missing:
        raise FileNotFoundError(
            f"no {what} weights at {' and '.join(map(str, missing))}: put those of mediapipe "
            f"0.10.14 there, or {ADVICE}"
        )
    return paths


class Network:
    """Outputs of a network by name, of one image (H, W, 3)."""

    def __init__(self, interpreter: Any, path: Path) -> None:
        try:
            self._run = interpreter(str(path), num_threads=torch.get_num_threads())
            self._run.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise ValueError(f"{path} cannot be loaded: {error}") from error
        (self._input,) = self._run.get_input_details()
        self._outputs = self._run.get_output_details()

    def __call__(self, image: Array) -> dict[str, Array]:
        self._run.set_tensor(self._input["index"], image[None].astype(np.float32))
        self._run.invoke()
        return {out["name"]: self._run.get_tensor(out["index"])[0] for out in self._outputs}


def anchors(side: int, layers: Sequence[tuple[int, int]]) -> Array:
    """(N, 2): centres of a detector's cells, in the unit square.

    Args:
        side: pixels that it reads.
        layers: stride, and anchors in each cell.
    """
    centres = []
    for stride, count in layers:
        ticks = (np.arange(0, side, stride) + stride / 2) / side
        cells = np.stack(np.meshgrid(ticks, ticks), axis=-1).reshape(-1, 2)
        centres.append(cells.repeat(count, axis=0))
    return np.concatenate(centres)


class BoxDetector:
    """Boxes of what a detector sees in an image, with points of each.

    Args:
        network: gives for each anchor its score, and centre and size of a box, then its points.
        side, layers: see :func:`anchors`.
    """

    def __init__(self, network: Network, side: int, layers: Sequence[tuple[int, int]]) -> None:
        self._network, self._side = network, side
        self._anchors = anchors(side, layers)

    def __call__(self, image: Image.Image) -> list[tuple[Array, Array]]:
        """Of each box, the likeliest first: its centre and points (1 + P, 2), and its size (2,), in
        pixels of the image."""
        everything = whole(image)
        raw = self._network(2 * crop(image, everything, self._side) - 1).values()
        (scores,) = (values[:, 0] for values in raw if values.shape[-1] == 1)
        (places,) = (values for values in raw if values.shape[-1] > 1)
        places = places.reshape(len(places), -1, 2) / self._side
        sizes = places[:, 1].copy()
        places += self._anchors[:, None]
        kept = distinct(places[:, 0], sizes, sigmoid(scores))
        side = max(image.size)
        return [(place(np.delete(places[i], 1, axis=0), everything), sizes[i] * side) for i in kept]


def distinct(centres: Array, sizes: Array, scores: Array) -> list[int]:
    """The boxes (N, 2) that are likely and do not overlap, the likeliest first."""
    low, high = centres - sizes / 2, centres + sizes / 2
    area = sizes.prod(axis=1)
    likely = scores >= FOUND
    kept = []
    while likely.any():
        best = int(np.where(likely, scores, -1).argmax())
        kept.append(best)
        inside = np.minimum(high, high[best]) - np.maximum(low, low[best])
        shared = np.maximum(inside, 0).prod(axis=1)
        # The best one goes too.
        likely &= shared < OVERLAP * (area + area[best] - shared)
    return kept


def square(centre: Array, up: Array) -> Array:
    """The square region around ``centre`` with sides as long as ``up``, which points to its top."""
    x, y = up
    axes = np.array([[-y, -x], [x, -y]])
    return np.concatenate([axes, (centre - axes @ [0.5, 0.5])[:, None]], axis=1)


def whole(image: Image.Image) -> Array:
    """The upright square around an image."""
    return square(np.array(image.size) / 2, np.array([0, -max(image.size)]))


def place(points: Array, region: Array) -> Array:
    """Points (N, 2) of the unit square in the image."""
    return points @ region[:, :2].T + region[:, 2]


def crop(image: Image.Image, region: Array, side: int) -> Array:
    """(side, side, 3) in [0, 1]: the region, black where it leaves the image."""
    pixels = float(np.hypot(*region[:, 0])) / side
    small = image.reduce(max(1, int(pixels)))  # as sampling would skip pixels
    scale = np.array([[small.width / image.width], [small.height / image.height]])
    matrix = region * scale / [side, side, 1]
    cut = small.transform(
        (side, side),
        Image.Transform.AFFINE,
        tuple(matrix.ravel()),
        Image.Resampling.BILINEAR,
    )
    return np.asarray(cut, np.float32) / 255


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-np.clip(x, -80, 80)))  # of float32, e^80 is finite
