"""New expressions of real faces: from a neutral photograph to a smile of the same person, and back.

    python benchmarks/real_faces.py --root faces-london --photos runs/real-faces/photos \\
        --weights faces-128 runs/faces-london/model --out benchmarks/results/real-faces

Reads neutral/NAME.jpg and smiling/NAME.jpg below --root, such as those of the Face Research Lab
London Set (CC BY 4.0: https://doi.org/10.6084/m9.figshare.5047666.v5). Into --photos it writes both
of each person, cut as the procedural faces are and by the same square, with landmarks that FaceMesh
finds (`rfwarp[blazepose]`): a folder to fine-tune on,

    rfwarp train --config examples/configs/own-faces-128.yaml --data.root runs/real-faces/photos \\
        --features efficientnet-lite0 --weights.perceptual 3 --weights.style 1000 --steps 600 \\
        --cooldown 400 --seed 1 --out runs/faces-london

of which the first people are for training and the others are held out. It scores the weights, in
their order, on these: the source is one photograph, the pose the landmarks of the other. How well a
person is kept is told by dlib's network for faces (`pip install --no-deps dlib-bin
face-recognition-models`): its distance to the true photograph, beside that of the source; below 0.6
two photographs count as of one person. With --out it writes real_faces.json, .md and .jpg.
"""

from __future__ import annotations

import csv
import importlib.util
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import tyro
from harness import machine
from harness.warp.report import heading, markdown, write_results
from PIL import Image

from rfwarp import Generator
from rfwarp.data import ImageFolder, Sample
from rfwarp.data.check_report import REPORT, Options
from rfwarp.data.preparation import prepare
from rfwarp.data.tuples import Row
from rfwarp.files import write_atomically
from rfwarp.images import from_uint8, load_image, to_pil
from rfwarp.metrics import EvaluationConfig, Scores, evaluate
from rfwarp.poses import POSE_KINDS, FaceDetector, FaceLandmarks, FaceSquare
from rfwarp.prediction import predict_images
from rfwarp.viz import draw_samples, write_image

Array = npt.NDArray[np.floating[Any]]

EXPRESSIONS = ("neutral", "smiling")
SIDE = 256  # pixels of the photographs that are written
SAME_PERSON = 0.6  # largest distance of dlib's network


def write_photos(root: Path, photos: Path, train_people: int) -> None:
    """Photographs, landmarks and poses.csv of a folder, as ``rfwarp prepare folder`` reads it.

    Raises:
        FileNotFoundError: if a photograph is missing.
        ValueError: if one shows no face, or there are too few people.
    """
    people = sorted(path.stem for path in (root / EXPRESSIONS[0]).glob("*.jpg"))
    if len(people) <= train_people:
        raise ValueError(f"more than {train_people} people are needed, {root} has {len(people)}")
    detector = FaceDetector(backend="facemesh")
    lines: list[tuple[str, ...]] = [("image", "identity", "pose", "split")]
    for number, person in enumerate(people):
        split = "train" if number < train_people else "test"
        square = None
        for expression in EXPRESSIONS:
            path = root / expression / f"{person}.jpg"
            photo, faces = load_image(str(path), path), detector.detect(path)
            if not faces:
                raise ValueError(f"{path} shows no face")
            square = square or FaceSquare.around(faces[0])  # both by that of the first
            write_image(photos / person / f"{expression}.png", square.cut(photo, SIDE))
            square.move(faces[0], SIDE).write(photos / person / f"{expression}.npy")
            image, pose = (f"{person}/{expression}.{ending}" for ending in ("png", "npy"))
            lines.append((image, person, pose, split))
    with (photos / "poses.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(lines)
    report = prepare("folder", photos, Options())
    report.write(photos / REPORT)
    if report.problems:
        raise ValueError("; ".join(map(str, report.problems)))


class BothWays(ImageFolder):
    """Held-out people, each from either photograph to the other."""

    def evaluation_rows(self, seed: int, count: int, sources: int) -> list[Row]:
        pairs = (identity.targets for identity in self._identities)
        return [row for a, b in pairs for row in ((a, b), (b, a))]

    def landmarks(self, number: int) -> FaceLandmarks:
        face = self._poses[number]
        assert isinstance(face, FaceLandmarks)
        return face


class Embedding:
    """dlib's network for faces: (128,) numbers, near each other for images of one person."""

    def __init__(self) -> None:
        import dlib

        spec = importlib.util.find_spec("face_recognition_models")
        if spec is None or spec.origin is None:
            raise ImportError("how well people are kept needs face-recognition-models")
        models = Path(spec.origin).parent / "models"
        self._dlib = dlib
        self._network = dlib.face_recognition_model_v1(
            str(models / "dlib_face_recognition_resnet_model_v1.dat")
        )

    def __call__(self, image: Image.Image, face: FaceLandmarks) -> Array:
        points = (face.points + 0.5) * image.height / face.height - 0.5
        (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
        box = self._dlib.rectangle(*(round(float(v)) for v in (left, top, right, bottom)))
        parts = [self._dlib.point(round(float(x)), round(float(y))) for x, y in points]
        shape = self._dlib.full_object_detection(box, parts)
        return np.array(self._network.compute_face_descriptor(np.array(image), shape))


class Kept(NamedTuple):
    """Distances to the true photograph, means over sets, and shares below :data:`SAME_PERSON`."""

    distance: float
    same_person: float


def kept(distances: Sequence[float]) -> Kept:
    values = np.array(distances)
    return Kept(float(values.mean()), float((values < SAME_PERSON).mean()))


@dataclass(frozen=True)
class RealFaces:
    """Scores of weights on photographs of neutral and smiling faces."""

    root: Annotated[Path, tyro.conf.arg(metavar="FOLDER")]
    """Folder of the folders neutral and smiling."""
    photos: Annotated[Path, tyro.conf.arg(metavar="FOLDER")]
    """Folder for the photographs as they are used; taken as it is if it is there."""
    weights: tuple[str, ...] = ()
    """Bundled models or folders, of faces, in the order of the columns."""
    train_people: int = 60
    """People for training, the first by name; the others are scored."""
    st_lpips: bool = True
    """ST-LPIPS too (`pip install --no-deps stlpips_pytorch`)."""
    sheet_people: int = 8
    """People on the sheet."""
    threads: int = 1
    out: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")] = None
    """Folder for real_faces.json, real_faces.md and real_faces.jpg."""

    def run(self) -> dict[str, Any]:
        torch.set_num_threads(self.threads)
        if not self.photos.exists():
            write_photos(self.root, self.photos, self.train_people)
        metrics = ("st-lpips",) if self.st_lpips else ()
        config = EvaluationConfig((1,), metrics=metrics)
        measurements, columns = [], []
        for name in self.weights:
            generator = Generator.from_pretrained(name)
            people = self._people(generator)
            (result,) = evaluate(generator, people, config)
            drawn = [draw(generator, people.load(row)) for row in config.rows(people)]
            columns.append(drawn)
            row = {"weights": name, **scores(result.model), **self._kept(people, drawn)}
            measurements.append(row)
            source = {"weights": "source", **scores(result.nearest_source)}
        if columns:
            measurements.insert(0, {**source, **self._kept(people, None)})
            if self.out is not None:
                self._write_sheet(people, columns)
        settings = {k: str(v) if isinstance(v, Path) else v for k, v in asdict(self).items()}
        return {
            "schema": "real faces 1",
            "machine": machine.facts("cpu"),
            "settings": settings,
            "measurements": measurements,
        }

    def _people(self, generator: Generator) -> BothWays:
        size = generator.config.image_size
        if not isinstance(size, int) or generator.config.pose_kind != FaceLandmarks.kind:
            raise ValueError("weights of square faces are needed")
        return BothWays(self.photos, "test", (size, size))

    def _kept(self, people: BothWays, drawn: list[torch.Tensor] | None) -> dict[str, float]:
        """Of what was drawn, or else of the sources."""
        embed, distances = Embedding(), []
        for number, row in enumerate(EvaluationConfig((1,)).rows(people)):
            sample, (source, target) = people.load(row), map(people.landmarks, row)
            image, face = from_uint8(sample.sources[0]), source
            if drawn is not None:
                image, face = drawn[number], target
            true = from_uint8(sample.target)
            apart = embed(to_pil(image), face) - embed(to_pil(true), target)
            distances.append(float(np.linalg.norm(apart)))
        return kept(distances)._asdict()

    def _write_sheet(self, people: BothWays, columns: list[list[torch.Tensor]]) -> None:
        """Every other person the other way round."""
        assert self.out is not None
        rows = EvaluationConfig((1,)).rows(people)
        most = min(self.sheet_people, len(rows) // 2)
        chosen = [2 * person + person % 2 for person in range(most)]
        samples = [people.load(rows[i]) for i in chosen]
        results = [[column[i] for column in columns] for i in chosen]
        sheet = draw_samples(POSE_KINDS[people.pose_kind], samples, results, list(self.weights))
        write_image(self.out / "real_faces.jpg", sheet)


@torch.inference_mode()
def draw(generator: Generator, sample: Sample) -> torch.Tensor:
    """(3, H, W) in [-1, 1]."""
    kind = POSE_KINDS[FaceLandmarks.kind]
    given = from_uint8(sample.sources[None]), sample.poses[None], sample.target_pose[None]
    return predict_images(generator, kind, *given)[0]


def scores(given: Scores) -> dict[str, float]:
    return {name: value for name, value in asdict(given).items() if isinstance(value, float)}


def table(results: dict[str, Any]) -> str:
    """The measurements as Markdown."""
    titles = {
        "psnr": "PSNR dB",
        "ssim": "SSIM",
        "sharpness": "sharpness",
        "st_lpips": "ST-LPIPS",
        "distance": "distance to the person",
        "same_person": "same person",
    }
    lines: list[Sequence[str]] = [("from one photograph", *titles.values())]
    for row in results["measurements"]:
        values = (f"{row[name]:.3f}" if name in row else "" for name in titles)
        lines.append((row["weights"], *values))
    return "\n\n".join([heading(results), markdown(lines)]) + "\n"


def main() -> None:
    config = tyro.cli(RealFaces)
    results = config.run()
    text = table(results)
    if config.out is not None and results["measurements"]:
        write_results(results, config.out / "real_faces.json")
        write_atomically(config.out / "real_faces.md", lambda path: path.write_text(text))
    print(text)


if __name__ == "__main__":
    main()
