"""What several subcommands read from the command line."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from rfwarp.poses import PoseLike, Viewpoint

MAX_SIZE = 4096  # side of pictures in pixels

_ANGLES = re.compile(r"([+-]?\d+):([+-]?\d+)")
_FILE_ANGLES = re.compile(r"_(\d{3})_(\d{2})")


class UsageError(Exception):
    """The arguments make no sense; nothing has been done yet.

    Not a ValueError: of those, tyro makes a message of its own.
    """


def parse_viewpoint(text: str) -> Viewpoint:
    """``AZIMUTH:ELEVATION`` in degrees.

    Raises:
        UsageError: for another form, or a viewpoint that is not on the grid.
    """
    from rfwarp.poses import Viewpoint

    match = _ANGLES.fullmatch(text)
    if match is None:
        raise UsageError(f"a viewpoint is AZIMUTH:ELEVATION in degrees, as 120:10, got {text!r}")
    try:
        return Viewpoint(int(match[1]), int(match[2]))
    except ValueError as error:
        raise UsageError(f"viewpoint {text!r}: {error}") from error


def parse_pose(text: str) -> PoseLike:
    """A viewpoint, or the array in a ``.npy`` file.

    Raises:
        UsageError: see :func:`parse_viewpoint`.
        FileNotFoundError, ValueError: if there is no such file or no array in it.
    """
    if not text.endswith(".npy"):
        return parse_viewpoint(text)
    import numpy as np

    try:
        # Mapped first: a damaged header must not have us allocate what it claims.
        return np.array(np.load(text, mmap_mode="r", allow_pickle=False))
    except (ValueError, EOFError) as error:
        raise ValueError(f"{text} cannot be read as an array: {error}") from error


def viewpoint_of_file(path: Path) -> Viewpoint:
    """The viewpoint in a name ``*_AAA_EE.*``, as ``rfwarp render-chairs`` writes them.

    Raises:
        UsageError: if there is none, or it is not on the grid.
    """
    match = _FILE_ANGLES.fullmatch(path.stem[-7:])
    if match is None:
        raise UsageError(
            f"the name of {path} does not end in _AZIMUTH_ELEVATION, as chair_120_10.png: "
            "give the poses of the sources with --poses"
        )
    return parse_viewpoint(f"{match[1]}:{match[2]}")


def choose_device(name: str) -> torch.device:
    """``auto`` takes a GPU if there is one.

    Raises:
        UsageError: if the device is unknown or not there.
    """
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()  # "meta" is a device too, but computes nothing
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise UsageError(f"device {name!r} cannot be used: {str(error).splitlines()[0]}") from error
    return device


@contextmanager
def progress_bar(total: int, unit: str) -> Iterator[Callable[[int, int], None]]:
    """A function to be called with (done, total); shows a bar where stderr is a terminal."""
    from tqdm import tqdm

    with tqdm(total=total, unit=unit, disable=None) as bar:

        def update(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield update
