"""Checks of downloaded datasets, file by file, and what they need before training can read them."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from rfwarp.data.kitti import SEQUENCES, read_sequence
from rfwarp.data.people_pictures import DEEPFASHION, MARKET1501, PeopleFormat, widened
from rfwarp.data.person_tuples import build_tuples, write_tuples
from rfwarp.data.shapenet import ShapeNetChairs
from rfwarp.data.voxceleb import find_videos, read_landmarks
from rfwarp.files import write_atomically
from rfwarp.images import load_image, open_image
from rfwarp.poses.face_detection import FaceDetector
from rfwarp.poses.keypoints import Keypoints

REPORT = "prepare-report.txt"
SPLITS: tuple[Literal["train", "test"], ...] = ("train", "test")
Progress = Callable[[int, int], None]


@dataclass
class Report:
    """What a check has found.

    Attributes:
        usable: what training and evaluation will see, by name, such as ``"train tuples"``.
        problems: a line for each file that is missing or broken.
        unusable: why the dataset cannot be used at all; empty if it can.
    """

    usable: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    unusable: list[str] = field(default_factory=list)

    def write(self, path: Path) -> None:
        """All of it as text, atomically."""
        counts = [f"{count} {name}" for name, count in self.usable.items()]
        lines = [*counts, *self.unusable, f"{len(self.problems)} problems", *self.problems]
        text = "\n".join(lines) + "\n"
        write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


@dataclass(frozen=True)
class Options:
    """What to do besides looking.

    Attributes:
        sources: K of the tuples.
        seed: of the tuples.
        decode: also read every picture, not only find it.
        device: where landmarks are detected.
    """

    sources: int = 2
    seed: int = 0
    decode: bool = False
    device: str = "cpu"


def prepare(
    name: str, root: Path, options: Options, progress: Progress = lambda done, total: None
) -> Report:
    """Check a download, and write what is to be written into it.

    People get files of tuples; VoxCeleb2 gets landmarks, where a frame has none yet.

    Args:
        name: of the dataset, as in :class:`rfwarp.data.catalog.DataConfig`, but chairs.
        root: folder of the download.
        progress: called with (files done, files), split by split.

    Raises:
        FileNotFoundError: if there is no such folder.
        ImportError: if an extra is not installed.
    """
    if not root.is_dir():
        raise FileNotFoundError(f"there is no folder {root}")
    report = Report()
    for split in SPLITS:
        try:
            _CHECKS[name](root, split, options, report, progress)
        except (FileNotFoundError, ValueError) as error:
            report.unusable.append(f"{split}: {error}")
    return report


def _people(layout: PeopleFormat) -> Callable[..., None]:
    def check(
        root: Path,
        split: Literal["train", "test"],
        options: Options,
        report: Report,
        progress: Progress,
    ) -> None:
        keypoints = layout.read_keypoints(root, split)
        folder = root / layout.pictures.format(split=split)
        if not folder.is_dir():
            raise FileNotFoundError(f"there is no folder {folder}")
        there = set(os.listdir(folder))
        good: dict[str, Keypoints] = {}
        for done, (picture, pose) in enumerate(keypoints.items(), start=1):
            problem = f"{folder / picture} is missing" if picture not in there else None
            if problem is None and options.decode:
                problem = _damage(folder / picture, pose, layout.size)
            if problem is None:
                good[picture] = pose
            else:
                report.problems.append(problem)
            progress(done, len(keypoints))
        report.usable[f"{split} pictures"] = len(good)
        unposed = sum(layout.is_person(picture) and picture not in keypoints for picture in there)
        report.usable[f"{split} pictures without keypoints, left out"] = unposed
        rows = build_tuples(good, layout.identity, options.sources, options.seed)
        if not rows:
            raise ValueError(
                f"nobody has {options.sources + 1} pictures with shoulders and hips in {folder}"
            )
        write_tuples(layout.tuples(root, split, options.sources), rows)
        report.usable[f"{split} tuples of {options.sources} sources"] = len(rows)

    return check


def _damage(path: Path, pose: Keypoints, size: tuple[int, int]) -> str | None:
    try:
        widened(load_image(str(path), path), pose, size, path)
    except ValueError as error:
        return str(error)
    return None


def _kitti(
    root: Path,
    split: Literal["train", "test"],
    options: Options,
    report: Report,
    progress: Progress,
) -> None:
    frames, failures = 0, 0
    for done, name in enumerate(SEQUENCES[split], start=1):
        try:
            pictures, _ = read_sequence(root, name)
        except (FileNotFoundError, ValueError) as error:
            report.problems.append(str(error))
            failures += 1
            continue
        frames += len(pictures)
        for path in pictures if options.decode else ():
            try:
                open_image(path)
            except ValueError as error:
                report.problems.append(str(error))
                failures += 1
        progress(done, len(SEQUENCES[split]))
    report.usable[f"{split} frames"] = frames
    if failures:
        raise ValueError(f"{failures} of its sequences or pictures are missing or broken")


def _shapenet(
    root: Path,
    split: Literal["train", "test"],
    options: Options,
    report: Report,
    progress: Progress,
) -> None:
    chairs = ShapeNetChairs(root, split)
    report.usable[f"{split} chairs"] = chairs.count
    failures = 0
    for chair in range(chairs.count) if options.decode else ():
        try:
            chairs.views(chair, chairs.available)
        except ValueError as error:
            report.problems.append(str(error))
            failures += 1
        progress(chair + 1, chairs.count)
    if failures:
        raise ValueError(f"{failures} chairs have pictures that cannot be read")


def _voxceleb(
    root: Path,
    split: Literal["train", "test"],
    options: Options,
    report: Report,
    progress: Progress,
) -> None:
    folder = root / split
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder}")
    frames = sorted(folder.rglob("*.jpg"))
    bare = [path for path in frames if not path.with_suffix(".npy").is_file()]
    detector = FaceDetector(options.device) if bare else None
    for done, path in enumerate(bare, start=1):
        assert detector is not None
        try:
            faces = detector.detect(path)
        except ValueError as error:
            report.problems.append(str(error))
            continue
        if faces:
            write_atomically(path.with_suffix(".npy"), partial(_save, faces[0].points))
        else:
            report.problems.append(f"{path} shows no face")
        progress(done, len(bare))
    for path in frames if options.decode else ():
        try:
            picture = load_image(str(path), path)
            if path.with_suffix(".npy").is_file():
                read_landmarks(path.with_suffix(".npy"), picture.height, picture.width)
        except ValueError as error:
            report.problems.append(str(error))
    report.usable[f"{split} videos"] = len(find_videos(folder))


def _save(points: npt.NDArray[np.float32], path: Path) -> None:
    with path.open("wb") as file:  # np.save would add an ending to the temporary name
        np.save(file, points)


_CHECKS: dict[str, Callable[..., None]] = {
    "deepfashion": _people(DEEPFASHION),
    "market1501": _people(MARKET1501),
    "kitti": _kitti,
    "shapenet-chairs": _shapenet,
    "voxceleb2": _voxceleb,
}
