"""Poses as people write them: on a command line, in a table, in the name of an image."""

from __future__ import annotations

import os
import re
import tokenize
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from rfwarp.files import shortened
from rfwarp.images import load_image
from rfwarp.poses.camera import CameraMotion
from rfwarp.poses.encoding import PoseLike
from rfwarp.poses.keypoints import Keypoints, read_annotations
from rfwarp.poses.landmarks import FaceLandmarks
from rfwarp.poses.viewpoint import Viewpoint

CAMERA = "camera:"

_FILE = re.compile(
    r"(?:(?P<file>.+\.(?:json|npy))|(?P<table>.+?\.csv)(?::(?P<row>.+?))?)"
    r"(?:@(?P<height>\d+)x(?P<width>\d+))?",
    re.ASCII,
)
_ANGLES = re.compile(r"([+-]?\d+(?:\.\d+)?):([+-]?\d+(?:\.\d+)?)", re.ASCII)
_FILE_ANGLES = re.compile(r"_(\d{3})_(\d{2})", re.ASCII)


def parse_viewpoint(text: str) -> Viewpoint:
    """``AZIMUTH:ELEVATION`` in degrees.

    Raises:
        ValueError: for another form, or an elevation out of range.
    """
    match = _ANGLES.fullmatch(text)
    if match is None:
        raise ValueError(f"a viewpoint is AZIMUTH:ELEVATION in degrees, as 120:10, got {text!r}")
    try:
        return Viewpoint(float(match[1]), float(match[2]))
    except ValueError as error:
        raise ValueError(f"viewpoint {text!r}: {error}") from error


def parse_camera(text: str) -> CameraMotion:
    """``camera:RX,RY,RZ,TX,TY,TZ``: angles in radians, then the translation, as
    :class:`CameraMotion` has them.

    Raises:
        ValueError: for another form, or numbers that are not finite.
    """
    try:
        rx, ry, rz, tx, ty, tz = map(float, text.removeprefix(CAMERA).split(","))
        return CameraMotion((rx, ry, rz), (tx, ty, tz))
    except ValueError as error:
        raise ValueError(
            f"a camera motion is {CAMERA}RX,RY,RZ,TX,TY,TZ in radians and metres, got {text!r}"
        ) from error


def names_file(text: str) -> bool:
    """Whether :func:`parse_pose` will read a file."""
    return _FILE.fullmatch(text) is not None


def sized(text: str, height: int, width: int) -> str:
    """The text with the size of its image behind it if it names a file without one, so that
    :func:`parse_pose` need not look at the image."""
    match = _FILE.fullmatch(text)
    return text if match is None or match["height"] else f"{text}@{height}x{width}"


def parse_pose(
    text: str, folder: str | os.PathLike[str] = "", image: str | os.PathLike[str] = ""
) -> PoseLike:
    """A pose from one of these texts:

    =============================  =========================================================
    text                           pose
    =============================  =========================================================
    ``120:10`` or ``22.5:-10``     a viewpoint in degrees, azimuth and elevation
    ``camera:0,0.1,0,0,0,1.5``     a camera motion, radians and metres
    ``person.json``                the most confident person in a file of OpenPose
    ``keypoints.csv``              the image's row in a table of :func:`.read_annotations`
    ``keypoints.csv:a.png``        the row of that name
    ``face.npy`` of shape (68, 2)  face landmarks
    ``pose.npy`` otherwise         the array itself, a vector (c_p,) or a map (c_p, H, W)
    =============================  =========================================================

    Joints and landmarks are in pixels of ``image``, or of an image of the size that follows the
    name of the file: ``person.json@256x176``, height before width.

    Args:
        text: as above; a path is relative to ``folder``.
        image: path of the pose's image, relative to ``folder`` too.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the text or the file holds no pose.

    Example:
        >>> import numpy as np
        >>> from rfwarp.poses import parse_pose
        >>> parse_pose("120:10")
        Viewpoint(azimuth=120, elevation=10)
        >>> parse_pose("camera:0,0.1,0,0,0,1.5")
        CameraMotion(rotation=(0.0, 0.1, 0.0), translation=(0.0, 0.0, 1.5))
        >>> np.save("face.npy", np.zeros((68, 2)))
        >>> parse_pose("face.npy@256x256").kind
        'landmarks'
    """
    match = _FILE.fullmatch(text)
    if match is None:
        if text.startswith(CAMERA):
            return parse_camera(text)
        if not text[:1].isascii() or text[:1].isalpha():
            raise ValueError(
                f"a pose is AZIMUTH:ELEVATION in degrees, as 120:10, {CAMERA}RX,RY,RZ,TX,TY,TZ, or "
                f"a file: a .json of OpenPose, a .csv of keypoints, a .npy; got {text!r}"
            )
        return parse_viewpoint(text)
    given = match["height"] is not None

    def size() -> tuple[int, int]:
        if given:
            return int(match["height"]), int(match["width"])
        if not str(image):
            raise ValueError(f"the size of the image of {text} must be given: {text}@HEIGHTxWIDTH")
        shown = load_image(str(image), Path(folder, image))
        return shown.height, shown.width

    if match["table"]:
        name = match["row"] or Path(image).name
        return _of_table(Path(folder, match["table"]), name, size())
    path = Path(folder, match["file"])
    if path.suffix == ".json":
        known = given or bool(str(image))
        return Keypoints.from_openpose(path, *(size() if known else (None, None)))
    array = read_array(path)
    if array.shape == (68, 2):
        return FaceLandmarks(array, *size())
    if given:
        raise ValueError(f"{text}: a size belongs to landmarks (68, 2), got {array.shape}")
    return array


def _of_table(path: Path, name: str, size: tuple[int, int]) -> Keypoints:
    found = _table(path, path.stat().st_mtime_ns).get(name)
    if found is None:
        raise ValueError(f"{path} has no keypoints of {name!r}")
    return Keypoints(found.points, *size)


@lru_cache(maxsize=4)  # published tables have 50,000 rows, and a table of jobs may ask for each
def _table(path: Path, modified: int) -> dict[str, Keypoints]:
    return read_annotations(path, 1, 1)  # of whatever size the images are


def read_array(path: Path) -> np.ndarray[Any, Any]:
    """The array in a ``.npy`` file, which must not need unpickling.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is damaged or none.
    """
    try:
        # Mapped first: a damaged header must not have us allocate what it claims.
        return np.array(np.load(path, mmap_mode="r", allow_pickle=False))
    except (ValueError, EOFError, OverflowError, SyntaxError, tokenize.TokenError) as error:
        raise ValueError(f"{path} cannot be read as an array: {shortened(error)}") from error


def viewpoint_of_file(path: str | os.PathLike[str]) -> Viewpoint:
    """The viewpoint in a name ``*_AAA_EE.*``, as ``rfwarp render-chairs`` writes them.

    Raises:
        ValueError: if there is none, or the elevation is out of range.
    """
    match = _FILE_ANGLES.fullmatch(Path(path).stem[-7:])
    if match is None:
        raise ValueError(
            f"the name of {path} does not end in _AZIMUTH_ELEVATION, as chair_120_10.png"
        )
    return parse_viewpoint(f"{match[1]}:{match[2]}")
