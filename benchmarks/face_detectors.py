"""How well detectors of face landmarks find the 68 points of rendered faces.

    python benchmarks/face_detectors.py --out benchmarks/results/face-detectors

dlib's detector and points want `pip install --no-deps dlib-bin face-recognition-models`; the model
of the points was trained on 300-W, which allows no commercial use: it serves to measure here, and
nothing needs it. MediaPipe's want what `rfwarp[blazepose]` says. Errors are in distances of the
outer corners of the true eyes. A face counts as found if the mean error of its 68 points is below a
quarter; given is the median over faces of means over points. Backgrounds without a face show how
often one is seen where none is. With --out it writes face_detectors.json and face_detectors.md.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import tyro
from harness import machine
from harness.warp.report import heading, markdown, write_results
from PIL import Image

from rfwarp.data.faces import FaceParameters, render_face
from rfwarp.data.faces.render import backdrop, drawn_poses
from rfwarp.files import write_atomically
from rfwarp.poses.face_mesh import FaceMesh

Array = npt.NDArray[np.float64]
Detector = Callable[[Image.Image], list[Array]]
"""Gives (68, 2) pixels of every face."""

OUTER_EYES = [36, 45]
FOUND = 0.25  # distances of the eyes: other faces are farther
TURNS = (0, 15, 30, 40)  # degrees of yaw, bounds of the bins
GROUPS = {
    "jaw": range(17),
    "brows": range(17, 27),
    "nose": range(27, 36),
    "eyes": range(36, 48),
    "lips": range(48, 68),
}


class Face(NamedTuple):
    """An image with the truth: landmarks (68, 2), (68,) which can be seen, yaw in degrees."""

    image: Image.Image
    landmarks: Array
    visible: npt.NDArray[np.bool_]
    yaw: float


def dlib_detector() -> Detector:
    """dlib's detector of frontal faces (HOG, one doubling of the image) and its 68 points."""
    import dlib

    spec = importlib.util.find_spec("face_recognition_models")
    if spec is None or spec.origin is None:
        raise ImportError("dlib's landmarks need the package face-recognition-models")
    models = Path(spec.origin).parent / "models"
    boxes = dlib.get_frontal_face_detector()
    points = dlib.shape_predictor(str(models / "shape_predictor_68_face_landmarks.dat"))

    def detect(image: Image.Image) -> list[Array]:
        pixels = np.array(image)
        shapes = (points(pixels, box) for box in boxes(pixels, 1))
        return [np.array([(p.x, p.y) for p in shape.parts()], float) for shape in shapes]

    return detect


DETECTORS: dict[str, Callable[[], Detector]] = {
    "dlib": dlib_detector,
    "mediapipe": lambda: FaceMesh("cpu", None),
}


@dataclass(frozen=True)
class FaceDetectors:
    """Distances of detected landmarks on procedural faces."""

    detectors: tuple[str, ...] = tuple(DETECTORS)
    """One whose package is missing is reported so."""
    count: int = 200
    """Faces, one image of each."""
    first_seed: int = 900_200
    """Seed of the first face. Which points of the mesh the landmarks are was settled on neutral
    faces of 900000 to 900039, by dlib's."""
    size: int = 256
    """Side of the images, pixels."""
    threads: int = 1
    """Threads of LiteRT."""
    out: Path | None = None
    """Folder for face_detectors.json and face_detectors.md."""

    def run(self) -> dict[str, Any]:
        torch.set_num_threads(self.threads)
        faces = [self._face(seed) for seed in self._seeds()]
        empty = [self._empty(seed) for seed in self._seeds()]
        measurements, missing = [], {}
        for name in self.detectors:
            try:
                detector = DETECTORS[name]()
            except ImportError as error:
                missing[name] = str(error)
                continue
            false = sum(bool(detector(image)) for image in empty)
            measurements.append({**measure(name, detector, faces), "on_backgrounds": false})
        settings = {k: str(v) if isinstance(v, Path) else v for k, v in asdict(self).items()}
        return {
            "schema": "face detectors 1",
            "machine": machine.facts("cpu"),
            "settings": settings,
            "missing": missing,
            "measurements": measurements,
        }

    def _seeds(self) -> range:
        return range(self.first_seed, self.first_seed + self.count)

    def _face(self, seed: int) -> Face:
        view = seed % 8  # any view
        drawn = render_face(seed, [view], self.size)
        (pose,) = drawn_poses(seed, [view])
        return Face(
            _image(drawn.images[0].permute(1, 2, 0).numpy()),
            drawn.landmarks[0].numpy().astype(np.float64),
            drawn.visible[0].numpy(),
            float(np.degrees(pose.yaw)),
        )

    def _empty(self, seed: int) -> Image.Image:
        drawn = backdrop(FaceParameters.from_seed(seed).background, self.size, self.size)
        return _image((drawn * 255 + 0.5).astype(np.uint8).transpose(1, 2, 0))


def _image(pixels: npt.NDArray[np.uint8]) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(pixels))


def measure(name: str, detector: Detector, faces: list[Face]) -> dict[str, Any]:
    """Counts of faces that are found, and errors of those."""
    begin = time.process_time()
    found = [detector(face.image) for face in faces]
    milliseconds = (time.process_time() - begin) * 1000 / len(faces)
    errors = np.full((len(faces), 68), np.nan)
    for i, (face, several) in enumerate(zip(faces, found, strict=True)):
        apart = [eyes_off(points, face.landmarks) for points in several]
        best = min(apart, key=lambda each: float(each.mean()), default=None)
        if best is not None and best.mean() < FOUND:
            errors[i] = best
    there = ~np.isnan(errors[:, 0])
    visible = np.stack([face.visible for face in faces])
    turns = np.abs([face.yaw for face in faces])
    bins = {}
    for low, high in pairwise(TURNS):
        inside = (turns >= low) & (turns <= high)
        bins[f"{low} to {high}"] = [int((there & inside).sum()), int(inside.sum())]
    return {
        "detector": name,
        "found": int(there.sum()),
        "by_yaw": bins,
        "error": middle(errors[there]),
        "error_visible": middle(np.where(visible, errors, np.nan)[there]),
        "error_groups": {
            group: middle(errors[there][:, list(points)]) for group, points in GROUPS.items()
        },
        "milliseconds": milliseconds,
    }


def eyes_off(found: Array, true: Array) -> Array:
    """(68,) distances of landmarks (68, 2), in distances of the outer corners of the true eyes."""
    apart = np.linalg.norm(true[OUTER_EYES[0]] - true[OUTER_EYES[1]])
    return np.asarray(np.linalg.norm(found - true, axis=1) / apart)


def middle(errors: Array) -> float:
    """Median over faces of the mean over points that count."""
    return float(np.median(np.nanmean(errors, axis=1))) if len(errors) else float("nan")


def table(results: dict[str, Any]) -> str:
    """The measurements as Markdown."""
    count = results["settings"]["count"]
    turns = [f"{low} to {high} degrees" for low, high in pairwise(TURNS)]
    lines = [("detector", "found", *turns, "on backgrounds", "CPU ms per image")]
    errors = [("detector", "all 68", "visible ones", *GROUPS)]
    for m in results["measurements"]:
        lines.append(
            (
                *(m["detector"], f"{m['found']} of {count}"),
                *(f"{found} of {all_}" for found, all_ in m["by_yaw"].values()),
                *(str(m["on_backgrounds"]), f"{m['milliseconds']:.0f}"),
            )
        )
        values = (m["error"], m["error_visible"], *m["error_groups"].values())
        errors.append((m["detector"], *(f"{value:.3f}" for value in values)))
    missing = [f"{name}: {why}; not measured." for name, why in results["missing"].items()]
    tables = [markdown(rows) for rows in (lines, errors) if len(rows) > 1]
    return "\n\n".join([heading(results), *tables, *missing]) + "\n"


def main() -> None:
    config = tyro.cli(FaceDetectors)
    results = config.run()
    text = table(results)
    if config.out is not None:
        write_results(results, config.out / "face_detectors.json")
        write_atomically(config.out / "face_detectors.md", lambda path: path.write_text(text))
    print(text)


if __name__ == "__main__":
    main()
