"""What several subcommands read from the command line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from rfwarp.poses import PoseLike, Viewpoint

MAX_SIZE = 4096  # side of pictures in pixels


class UsageError(Exception):
    """The arguments make no sense; nothing has been done yet.

    Not a ValueError: of those, tyro makes a message of its own.
    """


def parse_viewpoint(text: str) -> Viewpoint:
    """See :func:`rfwarp.poses.text.parse_viewpoint`; its errors are UsageErrors here."""
    from rfwarp.poses import text as poses

    try:
        return poses.parse_viewpoint(text)
    except ValueError as error:
        raise UsageError(error) from error


def parse_pose(text: str, picture: Path) -> PoseLike:
    """See :func:`rfwarp.poses.parse_pose`.

    Raises:
        UsageError: if the text is no pose.
        FileNotFoundError, ValueError: if there is no such file or no pose in it.
    """
    from rfwarp.poses import text as poses

    if poses.names_file(text):
        return poses.parse_pose(text, picture=picture)
    try:
        return poses.parse_pose(text)
    except ValueError as error:
        raise UsageError(error) from error


def viewpoint_of_file(path: Path) -> Viewpoint:
    """See :func:`rfwarp.poses.text.viewpoint_of_file`; its errors are UsageErrors here."""
    from rfwarp.poses import text as poses

    try:
        return poses.viewpoint_of_file(path)
    except ValueError as error:
        raise UsageError(f"{error}: give the poses of the sources with --poses") from error


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
def progress_bar(
    total: int, unit: str, label: str | None = None, hidden: bool = False
) -> Iterator[Callable[[int, int], None]]:
    """A function to be called with (done, total); shows a bar where stderr is a terminal."""
    from tqdm import tqdm

    with tqdm(total=total, unit=unit, desc=label, disable=hidden or None) as bar:

        def update(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield update
