"""Sequences of poses that drive an animation."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from rfwarp.poses.keypoints import (
    ANNOTATION_HEADER,
    Keypoints,
    most_confident,
    openpose_people,
    read_annotations,
)
from rfwarp.poses.text import parse_viewpoint
from rfwarp.poses.viewpoint import Viewpoint

VIEWPOINT_HEADER = "azimuth:elevation"
# As rfwarp pose and OpenPose call frames: walk_000012.png, walk_000000000012_keypoints.json.
_NUMBER = re.compile(r"_(\d{6,})(?:_keypoints)?(?:\.\w+)?$", re.ASCII)
_SPARSEST = 100  # frames for each that is there

P = TypeVar("P")


def read_driving_poses(
    path: str | os.PathLike[str], size: tuple[int, int] | None = None
) -> list[Keypoints | None] | list[Viewpoint]:
    r"""A pose for each frame, in order, from a table or a folder.

    ===========================================  ===============================================
    what                                         poses
    ===========================================  ===============================================
    table with ``name:keypoints_y:keypoints_x``  those of its rows: :func:`.read_annotations`
    table with ``azimuth:elevation``             viewpoints, one in each row, in degrees
    folder                                       the most confident person in each ``.json``
                                                 file of OpenPose, in the order of their names
    ===========================================  ===============================================

    If all names of a table's rows or of a folder's files end in the number of a frame, of at least
    six digits, as ``rfwarp pose`` and OpenPose write them (``walk_000012.png``), frames that are
    left out have no pose.

    Args:
        size: height and width of the images that keypoints are of. Files of OpenPose may say their
            own; a table cannot.

    Returns:
        Viewpoints, or keypoints with None for a frame without a person.

    Raises:
        FileNotFoundError: if there is no such table or folder.
        ValueError: if it is malformed, empty, or has no person, or the size is not known.

    Example:
        >>> from pathlib import Path
        >>> from rfwarp.poses import read_driving_poses
        >>> _ = Path("turn.csv").write_text("azimuth:elevation\n0:10\n7.5:10\n")
        >>> read_driving_poses("turn.csv")
        [Viewpoint(azimuth=0, elevation=10), Viewpoint(azimuth=7.5, elevation=10)]
    """
    path = Path(path)
    if path.is_dir():
        return _numbered(path, _read_folder(path, size))
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        header = file.readline(1000).strip()
    if header == VIEWPOINT_HEADER:
        return _read_viewpoints(path)
    if header != ":".join(ANNOTATION_HEADER):
        raise ValueError(
            f"{path} must begin with the line {':'.join(ANNOTATION_HEADER)} or {VIEWPOINT_HEADER}, "
            f"got {header[:80]!r}"
        )
    if size is None:
        raise ValueError(f"the size of the images that {path} is of must be given")
    return _numbered(path, dict(read_annotations(path, *size)))


def _read_viewpoints(path: Path) -> list[Viewpoint]:
    lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    found = []
    for number, line in enumerate(lines[1:], 2):
        try:
            found += [parse_viewpoint(line.strip())] if line.strip() else []
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: {error}") from error
    if not found:
        raise ValueError(f"{path} has no viewpoints")
    return found


def _read_folder(path: Path, size: tuple[int, int] | None) -> dict[str, Keypoints | None]:
    height, width = size or (None, None)
    files = sorted(file for file in path.iterdir() if file.suffix == ".json")
    if not files:
        raise ValueError(f"{path} has no .json files of OpenPose")
    found: dict[str, Keypoints | None] = {}
    for file in files:
        people, shape = openpose_people(str(file), file.read_bytes(), height, width)
        found[file.name] = Keypoints.from_scores(most_confident(people), *shape) if people else None
    return found


def _numbered(path: Path, found: dict[str, Keypoints | None]) -> list[Keypoints | None]:
    """The poses in their order, with None for frames without a joint and those that the names
    leave out."""
    found = {
        name: pose if pose and pose.points[:, 2].any() else None for name, pose in found.items()
    }
    if not any(found.values()):
        raise ValueError(f"{path} has no person in it")
    numbers = [int(match[1]) for name in found if (match := _NUMBER.search(name)) is not None]
    if len(numbers) < len(found) or len(set(numbers)) < len(numbers):
        return list(found.values())
    frames = dict(zip(numbers, found.values(), strict=True))
    first, last = min(numbers), max(numbers)
    if last - first >= _SPARSEST * len(found):
        raise ValueError(f"{path} has only {len(found)} of frames {first} to {last}")
    return [frames.get(number) for number in range(first, last + 1)]


def held(poses: Sequence[P | None]) -> list[P]:
    """The poses with None replaced by the pose before; at the beginning, by the first.

    Raises:
        ValueError: if there is no pose at all.
    """
    last = next((pose for pose in poses if pose is not None), None)
    if last is None:
        raise ValueError("there is no pose")
    found = []
    for pose in poses:
        last = last if pose is None else pose
        found.append(last)
    return found
