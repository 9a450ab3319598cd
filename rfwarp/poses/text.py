"""Poses as people write them: on a command line, in a table, in the name of a picture."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np

from rfwarp.images import load_image
from rfwarp.poses.encoding import PoseLike
from rfwarp.poses.keypoints import Keypoints
from rfwarp.poses.viewpoint import Viewpoint

_ANGLES = re.compile(r"([+-]?\d+):([+-]?\d+)", re.ASCII)
_FILE_ANGLES = re.compile(r"_(\d{3})_(\d{2})", re.ASCII)


def parse_viewpoint(text: str) -> Viewpoint:
    """``AZIMUTH:ELEVATION`` in degrees.

    Raises:
        ValueError: for another form, or a viewpoint that is not on the grid.
    """
    match = _ANGLES.fullmatch(text)
    if match is None:
        raise ValueError(f"a viewpoint is AZIMUTH:ELEVATION in degrees, as 120:10, got {text!r}")
    try:
        return Viewpoint(int(match[1]), int(match[2]))
    except ValueError as error:
        raise ValueError(f"viewpoint {text!r}: {error}") from error


def parse_pose(
    text: str, folder: str | os.PathLike[str] = "", picture: str | os.PathLike[str] = ""
) -> PoseLike:
    """A viewpoint, the keypoints in a ``.json`` file of OpenPose, or the array in a ``.npy`` file.

    Args:
        text: what it is; a path is relative to ``folder``.
        picture: of whose size the keypoints are, relative to ``folder`` too.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it holds no pose; see also :func:`parse_viewpoint`.
    """
    if text.endswith(".json"):
        size = load_image(str(picture), Path(folder, picture)).size
        return Keypoints.from_openpose(Path(folder, text), height=size[1], width=size[0])
    if not text.endswith(".npy"):
        return parse_viewpoint(text)
    path = Path(folder, text)
    try:
        # Mapped first: a damaged header must not have us allocate what it claims.
        return np.array(np.load(path, mmap_mode="r", allow_pickle=False))
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path} cannot be read as an array: {error}") from error


def viewpoint_of_file(path: str | os.PathLike[str]) -> Viewpoint:
    """The viewpoint in a name ``*_AAA_EE.*``, as ``rfwarp render-chairs`` writes them.

    Raises:
        ValueError: if there is none, or it is not on the grid.
    """
    match = _FILE_ANGLES.fullmatch(Path(path).stem[-7:])
    if match is None:
        raise ValueError(
            f"the name of {path} does not end in _AZIMUTH_ELEVATION, as chair_120_10.png"
        )
    return parse_viewpoint(f"{match[1]}:{match[2]}")
