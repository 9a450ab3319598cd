"""Checks of downloaded datasets, file by file, and what they need before training can read them."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeAlias

from rfwarp.data.face_preparation import prepare_faces
from rfwarp.data.kitti import KittiFrames, read_sequence, read_targets
from rfwarp.data.people_pictures import DEEPFASHION, MARKET1501, PeopleFormat, framed
from rfwarp.data.person_tuples import Names, build_tuples, has_torso, write_tuples
from rfwarp.data.report import SPLITS, Options, Progress, Report, Split
from rfwarp.data.shapenet import ShapeNetChairs
from rfwarp.images import load_image, open_image
from rfwarp.poses.keypoints import Keypoints

Check: TypeAlias = Callable[[Path, Split, Options, Report, Progress], None]


def prepare(
    name: str, root: Path, options: Options, progress: Progress = lambda done, total: None
) -> Report:
    """Check a download, and write what is to be written into it.

    People get files of tuples; VoxCeleb2 gets lists of frames, and landmarks where there are too
    few.

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


def _people(
    layout: PeopleFormat,
    root: Path,
    split: Split,
    options: Options,
    report: Report,
    progress: Progress,
) -> None:
    keypoints, folder = layout.read_keypoints(root, split), layout.folder(root, split)
    there = set(os.listdir(folder))
    good: dict[str, Keypoints] = {}
    for done, (picture, pose) in enumerate(keypoints.items(), start=1):
        path = folder / picture
        try:
            if picture not in there:
                raise ValueError(f"{path} is missing")
            if options.decode:
                framed(load_image(str(path), path), pose, layout.size, path)
            good[picture] = pose
        except ValueError as error:
            report.complain(error)
        progress(done, len(keypoints))
    counts = report.usable
    counts[f"{split} pictures"] = len(good)
    counts[f"{split} pictures without keypoints, left out"] = sum(
        layout.is_person(picture) and picture not in keypoints for picture in there
    )
    if options.pairs:
        rows = _whole_pairs(layout.read_pairs(root, split), good, report)
    else:
        without = sum(not has_torso(pose) for pose in good.values())
        counts[f"{split} pictures without shoulders or hips, left out"] = without
        rows = build_tuples(good, layout.identity, options.sources, options.seed)
    if not rows:
        raise ValueError(f"there are no tuples of {options.sources} sources and a target: {folder}")
    write_tuples(layout.tuples(root, split, options.sources), rows)
    counts[f"{split} tuples of {options.sources} sources"] = len(rows)


def _whole_pairs(pairs: list[Names], good: dict[str, Keypoints], report: Report) -> list[Names]:
    whole = []
    for row in pairs:
        lacking = [name for name in row if name not in good]
        if lacking:
            report.complain(f"pair {','.join(row)}: no picture or keypoints of {lacking[0]}")
        else:
            whole.append(row)
    return whole


def _kitti(root: Path, split: Split, options: Options, report: Report, progress: Progress) -> None:
    frames, failures, sequences = 0, 0, list(read_targets(root, split))
    for done, name in enumerate(sequences, start=1):
        try:
            pictures, _ = read_sequence(root, name)
        except (FileNotFoundError, ValueError) as error:
            report.complain(error)
            failures += 1
            pictures = []
        frames += len(pictures)
        for path in pictures if options.decode else ():
            try:
                open_image(path)
            except ValueError as error:
                report.complain(error)
                failures += 1
        progress(done, len(sequences))
    report.usable[f"{split} frames"] = frames
    if failures:
        raise ValueError(f"{failures} of its sequences or pictures are missing or broken")
    KittiFrames(root, split)  # which sees whether the targets are there


def _shapenet(
    root: Path, split: Split, options: Options, report: Report, progress: Progress
) -> None:
    chairs = ShapeNetChairs(root, split)
    report.usable[f"{split} chairs"] = chairs.count
    for name, views in chairs.incomplete.items():
        report.complain(f"{split} chair {name} has {views} of its views, so it is left out")
    failures = 0
    for chair in range(chairs.count) if options.decode else ():
        try:
            chairs.check(chair)
        except ValueError as error:
            report.complain(error)
            failures += 1
        progress(chair + 1, chairs.count)
    if failures:
        raise ValueError(f"{failures} chairs have pictures that cannot be read")


_CHECKS: dict[str, Check] = {
    "deepfashion": partial(_people, DEEPFASHION),
    "market1501": partial(_people, MARKET1501),
    "kitti": _kitti,
    "shapenet-chairs": _shapenet,
    "voxceleb2": prepare_faces,
}
