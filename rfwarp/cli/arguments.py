"""Helpers that several subcommands share: parsing of poses and devices, and a progress bar."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    import torch

    from rfwarp import Generator
    from rfwarp.poses import PoseLike, Viewpoint

logger = logging.getLogger(__name__)

Precision: TypeAlias = Literal["auto", "float32", "bfloat16", "float16"]

MAX_SIZE = 4096  # side of images in pixels
MAX_SCALE = 16


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


def parse_pose(text: str, image: Path) -> PoseLike:
    """See :func:`rfwarp.poses.parse_pose`.

    Raises:
        UsageError: if the text is no pose.
        FileNotFoundError, ValueError: if there is no such file or no pose in it.
    """
    from rfwarp.poses import text as poses

    if poses.names_file(text):
        return poses.parse_pose(text, image=image)
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


def choose_dtype(precision: Precision, device: torch.device) -> torch.dtype:
    """``auto`` takes what :func:`rfwarp.precision.fast_dtype` says, and ``rfwarp -v`` tells."""
    import torch

    from rfwarp.precision import fast_dtype

    dtype: torch.dtype = fast_dtype(device) if precision == "auto" else getattr(torch, precision)
    logger.info("computing in %s on %s", str(dtype).removeprefix("torch."), device)
    return dtype


def check_size(size: int | str | None) -> None:
    """Raise UsageError for a --size that no image can have."""
    if isinstance(size, int) and not 1 <= size <= MAX_SIZE:
        raise UsageError(f"--size must lie in 1..{MAX_SIZE}, got {size}")


def check_scale(scale: int) -> None:
    """Raise UsageError for a --scale that no result is enlarged by."""
    if not 1 <= scale <= MAX_SCALE:
        raise UsageError(f"--scale must lie in 1..{MAX_SCALE}, got {scale}")


def check_sources(images: Sequence[Path], poses: Sequence[str]) -> None:
    """Raise UsageError without sources, or if poses were given for some of them only."""
    if not images:
        raise UsageError("at least one source image is needed: -s IMAGE")
    if poses and len(poses) != len(images):
        raise UsageError(f"{len(images)} source images need {len(images)} poses, got {len(poses)}")


def place(path: Path) -> Path:
    """Where a file is that replaces ``path``: a link itself is replaced, not what it points to."""
    return path.parent.resolve() / path.name


def trained_size(generator: Generator, weights: str) -> tuple[int, int]:
    """Height and width that a model was trained at.

    Raises:
        UsageError: if it does not say.
    """
    shape = generator.config.image_shape
    if shape is None:
        raise UsageError(f"{weights} does not say what shape to --fit the sources to")
    return shape


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
