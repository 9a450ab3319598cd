"""A folder of one's own images looked at: what can be used, in which pose, and for what."""

from __future__ import annotations

import csv
import re
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np

from rfwarp.data.catalog import Split
from rfwarp.data.chairs.folder import POSES_FILE
from rfwarp.data.check_report import Progress, Report
from rfwarp.data.folder import (
    TABLE,
    Entry,
    KnownPose,
    check_kinds,
    check_size,
    identities,
    known_pose,
    read_table,
    write_table,
)
from rfwarp.data.people.folder import KEYPOINTS_FILE
from rfwarp.files import shortened, write_atomically
from rfwarp.images import load_image
from rfwarp.poses.keypoints import Keypoints, read_annotations
from rfwarp.poses.landmarks import FaceLandmarks
from rfwarp.poses.text import sized, viewpoint_of_file

SUFFIXES = (
    *(".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm"),
    *(".heic", ".heif"),  # of telephones: not read, but reported
)
LEAST_SIDE = 32  # pixels; of less, the networks' least image, 64 pixels, has nothing sharp

HELD_OUT_IDENTITIES = 10
"""Of so many identities one is for testing."""

HELD_OUT_IMAGES = 5
"""Of so many images of a single thing one is for testing: of one in ten, few would be left."""

COLUMNS = ("image", "identity", "azimuth", "elevation", "pose", "split")
FORMER_COLUMNS = {"file": "image", "chair": "identity"}  # as rfwarp render-chairs calls them

_NUMBERED = re.compile(r"(.+?)(?:_\d+)+", re.ASCII)


@dataclass(frozen=True)
class Line:
    """What the owner's table says of an image; empty is what it does not say."""

    identity: str = ""
    pose: str = ""
    split: str = ""


def prepare_images(root: Path, split: Split, report: Report, progress: Progress) -> None:
    """Look at every image, once for both splits, and write :data:`rfwarp.data.folder.TABLE`.

    Raises:
        ValueError: if there are no usable images of the split, the owner's tables are malformed,
            or there are several kinds of pose.
    """
    table = root / TABLE
    if split == "train":
        table.unlink(missing_ok=True)  # an earlier one must not outlive what fails now
        entries = divide(_enough(_usable(root, report, progress), report))
        write_atomically(table, lambda temporary: write_table(temporary, entries))
    elif not table.is_file():
        return  # of which the training split has said why
    found = identities(read_table(root), split, 1)
    report.usable[f"{split} identities"] = len(found)
    report.usable[f"{split} images"] = sum(len(identity.targets) for identity in found)
    fewest = min(identity.max_sources for identity in found)
    report.usable[f"sources of a {split} image, or more"] = fewest


def _usable(root: Path, report: Report, progress: Progress) -> list[Entry]:
    """Every image that can be read and has a pose; the report says what is wrong with others."""
    lines = read_lines(root / POSES_FILE)
    annotations = root / KEYPOINTS_FILE
    keypoints = read_annotations(annotations, 1, 1) if annotations.is_file() else {}
    images = find_images(root)
    if not images:
        raise ValueError(f"there is no image in {root}, nor in a folder in it")
    there = set(images)
    for image in {**lines, **keypoints}:
        if image not in there:
            report.complain(f"{root / image} is missing")
    entries: list[Entry] = []
    first: tuple[str, KnownPose] | None = None
    for done, image in enumerate(images, start=1):
        line = lines.get(image, Line())
        try:
            text = line.pose or pose_text(root, image, keypoints)
            text, pose = _looked_at(root, image, text)
        except (FileNotFoundError, ValueError) as error:
            report.complain(f"{root / image} is left out: {error}")
        else:
            first = first or (image, pose)
            check_kinds(first, (image, pose))
            identity = line.identity or identity_of(root, image)
            entries.append(Entry(image, identity, line.split, text))
        progress(done, len(images))
    return entries


def find_images(root: Path) -> list[str]:
    """Paths, below the root and with slashes, of the images in it and in the folders in it."""
    found = [*root.glob("*"), *root.glob("*/*")]
    names = [path.relative_to(root) for path in found if path.suffix.lower() in SUFFIXES]
    hidden = {name for name in names if any(part.startswith(".") for part in name.parts)}
    return sorted(name.as_posix() for name in names if name not in hidden)


def pose_text(root: Path, image: str, keypoints: Mapping[str, object]) -> str:
    """What :func:`rfwarp.poses.parse_pose` reads as the pose of an image that the owner's table has
    none of.

    Raises:
        ValueError: if there is none.
    """
    if image in keypoints:
        return f"{KEYPOINTS_FILE}:{image}"
    path = PurePosixPath(image)
    for ending in (".json", "_keypoints.json", ".npy"):
        beside = path.with_name(path.stem + ending)
        if (root / beside).is_file():
            return str(beside)
    try:
        view = viewpoint_of_file(image)
    except ValueError as error:
        raise ValueError(
            f"it has no pose, neither in {POSES_FILE} or {KEYPOINTS_FILE} nor as .json or .npy "
            f"beside it, and {error}"
        ) from error
    return f"{view.azimuth}:{view.elevation}"


def identity_of(root: Path, image: str) -> str:
    """Whom or what an image shows: the name of its folder; or, in the root itself, its own name
    before the numbers at its end. What has no such numbers shows one thing, called as the root."""
    path = PurePosixPath(image)
    if len(path.parts) > 1:
        return path.parts[0]
    match = _NUMBERED.fullmatch(path.stem)
    return root.resolve().name if match is None else match[1]


def _looked_at(root: Path, image: str, text: str) -> tuple[str, KnownPose]:
    """The pose, and as a text that needs no image to be read.

    Raises:
        FileNotFoundError, ValueError: if the image or the pose cannot be used.
    """
    path = root / image
    photo = load_image("the image", path)
    height, width = photo.height, photo.width
    if min(height, width) < LEAST_SIDE:
        raise ValueError(
            f"it has {width} x {height} pixels, too few: at least {LEAST_SIDE} each are needed"
        )
    text = sized(text, height, width)
    pose = known_pose(root, image, text)
    check_size("it", pose, height, width)
    if isinstance(pose, Keypoints | FaceLandmarks) and not _is_inside(pose):
        raise ValueError("none of its joints or landmarks lies inside the image")
    return text, pose


def _is_inside(pose: Keypoints | FaceLandmarks) -> bool:
    """Whether any point is."""
    there = pose.points[:, 2] > 0 if isinstance(pose, Keypoints) else np.ones(68, bool)
    xy = pose.points[there, :2]
    return bool(((xy >= -0.5) & (xy <= np.array([pose.width, pose.height]) - 0.5)).all(1).any())


def _enough(entries: Sequence[Entry], report: Report) -> list[Entry]:
    """Those of identities with two images or more."""
    counts = Counter(entry.identity for entry in entries)
    for identity, count in counts.items():
        if count < 2:
            report.complain(f"{identity} is left out: two usable images are needed, it has one")
    enough = [entry for entry in entries if counts[entry.identity] > 1]
    if not enough:
        raise ValueError("nobody and nothing has two usable images; the report says why")
    return enough


def divide(entries: Sequence[Entry]) -> list[Entry]:
    """The entries with their splits: as the owner's table says where it says any, and then of what
    it does not name, for training; else by identity, or by image where there is a single one."""
    if any(entry.split for entry in entries):
        return [replace(entry, split=entry.split or "train") for entry in entries]
    # In an order that does not depend on which others there are.
    names = sorted(
        {entry.identity for entry in entries}, key=lambda name: (zlib.crc32(name.encode()), name)
    )
    if len(names) > 1:
        held_out = names[: max(1, round(len(names) / HELD_OUT_IDENTITIES))]
        tested = [entry.identity in held_out for entry in entries]
    else:
        count = max(1, round(len(entries) / HELD_OUT_IMAGES))
        spread = {(2 * i + 1) * len(entries) // (2 * count) for i in range(count)}
        tested = [number in spread for number in range(len(entries))]
    return [
        replace(entry, split="test" if test else "train")
        for entry, test in zip(entries, tested, strict=True)
    ]


def read_lines(path: Path) -> dict[str, Line]:
    """The owner's table by image; empty if there is none.

    It has a column ``image``, and may have ``identity``, ``split`` (train, test or nothing), and
    the pose: ``azimuth`` and ``elevation`` in degrees, or ``pose`` as
    :func:`rfwarp.poses.parse_pose` reads it. Paths are relative to its folder.

    Raises:
        ValueError: if it is malformed; the message has the line's number.
    """
    if not path.is_file():
        return {}
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.reader(file)
        try:
            header = [FORMER_COLUMNS.get(name.strip(), name.strip()) for name in next(reader, [])]
            _check_header(header)
            lines: dict[str, Line] = {}
            for cells in filter(None, reader):
                if len(cells) != len(header):
                    raise ValueError(f"expected {len(header)} fields, got {len(cells)}")
                values = dict(zip(header, map(str.strip, cells), strict=True))
                image = values["image"]
                if image in lines:
                    raise ValueError(f"{image!r} was listed before")
                lines[image] = _line(values)
        except (ValueError, csv.Error) as error:
            raise ValueError(
                f"{path}, line {max(1, reader.line_num)}: {shortened(error, 400)}"
            ) from error
    return lines


def _check_header(header: Sequence[str]) -> None:
    allowed = len(set(header)) == len(header) and set(header) <= set(COLUMNS)
    angles = {"azimuth", "elevation"} & set(header)
    if not allowed or "image" not in header or len(angles) == 1 or (angles and "pose" in header):
        raise ValueError(
            "expected the column image, and of identity, split, and pose or azimuth and elevation, "
            f"those that are known, got {shortened(','.join(header))!r}"
        )


def _line(values: Mapping[str, str]) -> Line:
    split = values.get("split", "")
    if split not in ("", "train", "test"):
        raise ValueError(f"split must be train, test or nothing, got {split!r}")
    angles = [values.get(name, "") for name in ("azimuth", "elevation")]
    pose = ":".join(angles) if any(angles) else values.get("pose", "")
    return Line(values.get("identity", ""), pose, split)
