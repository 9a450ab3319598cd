"""Chairs as a folder of PNG files with a table of their viewpoints."""

from __future__ import annotations

import csv
import io
import os
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from rfwarp.data.chairs.dataset import VIEW_COUNT, checked_indices
from rfwarp.data.chairs.render import render_views
from rfwarp.files import write_atomically
from rfwarp.images import FORMATS, load_image
from rfwarp.poses import Viewpoint

POSES_FILE = "poses.csv"
HEADER = ("file", "chair", "azimuth", "elevation")


def write_chair_folder(
    out: str | os.PathLike[str],
    count: int,
    size: int,
    first_seed: int = 0,
    views: Sequence[int] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Renders chairs into PNG files ``{seed:06d}_{azimuth:03d}_{elevation:02d}.png``.

    ``poses.csv`` (columns file, chair, azimuth, elevation) is written last: a folder with it is
    complete. Files of the same names are overwritten; the same arguments give the same files.

    Args:
        out: folder, created if need be.
        count: number of chairs.
        size: height and width in pixels.
        first_seed: seed of the first chair; the others follow.
        views: view indices 0..53; all 54 by default.
        progress: called with (chairs done, count) after each chair.

    Raises:
        ValueError: for a bad count, size, seed or view, before anything is written.

    Example:
        >>> import os
        >>> from rfwarp.data import write_chair_folder
        >>> write_chair_folder("chairs", count=1, size=16, first_seed=7, views=[0, 1])
        >>> sorted(os.listdir("chairs"))
        ['000007_000_00.png', '000007_000_10.png', 'poses.csv']
    """
    for name, value, least in (
        ("count", count, 1),
        ("size", size, 1),
        ("first_seed", first_seed, 0),
    ):
        if value < least:
            raise ValueError(f"{name} must be at least {least}, got {value}")
    chosen = [Viewpoint.from_index(i) for i in (range(VIEW_COUNT) if views is None else views)]
    if not chosen or len(set(chosen)) < len(chosen):
        raise ValueError("views must name at least one view, each only once")
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    # A table of an earlier, different run must not describe a half-written folder.
    (folder / POSES_FILE).unlink(missing_ok=True)
    rows: list[tuple[str, str, float, float]] = []
    for done, seed in enumerate(range(first_seed, first_seed + count), start=1):
        images = render_views(seed, chosen, size).permute(0, 2, 3, 1).contiguous().numpy()
        for view, image in zip(chosen, images, strict=True):
            name = f"{seed:06d}_{view.azimuth:03d}_{view.elevation:02d}.png"
            file = Image.fromarray(image)
            write_atomically(folder / name, partial(file.save, format="PNG"))
            rows.append((name, f"{seed:06d}", view.azimuth, view.elevation))
        if progress is not None:
            progress(done, count)
    table = io.StringIO()
    csv.writer(table, lineterminator="\n").writerows([HEADER, *rows])
    # As bytes: Windows would turn the ends of lines into its own.
    text = table.getvalue().encode("utf-8")
    write_atomically(folder / POSES_FILE, lambda temporary: temporary.write_bytes(text))


class ChairFolder:
    """Reads what :func:`write_chair_folder` wrote, or a folder of the same form.

    Every chair must have the same views, and every image must be square and of one size. Images
    are decoded when asked for; a transparent background becomes white.

    Args:
        path: the folder.

    Raises:
        ValueError: if the table is missing, empty or malformed (naming the line), if an image is
            missing, or if the first one cannot be read.

    Example:
        >>> from rfwarp.data import ChairFolder, write_chair_folder
        >>> write_chair_folder("chairs", count=1, size=16, views=[0, 27])
        >>> chairs = ChairFolder("chairs")
        >>> chairs.chairs, chairs.available, chairs.views(0, [27]).shape
        (('000000',), (0, 27), torch.Size([1, 3, 16, 16]))
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._folder = Path(path)
        self._files = _read_table(self._folder)
        first, *others = (tuple(sorted(files)) for files in self._files.values())
        self._chairs = tuple(self._files)
        for chair, found in zip(self._chairs[1:], others, strict=True):
            if found != first:
                raise ValueError(
                    f"{self._folder / POSES_FILE}: chair {chair} has {len(found)} views that are "
                    f"not the {len(first)} views of chair {self._chairs[0]}"
                )
        self._available = first
        self._size = 0
        self._size = self._decode(self._files[self._chairs[0]][first[0]]).shape[-1]

    @property
    def count(self) -> int:
        return len(self._chairs)

    @property
    def size(self) -> int:
        return self._size

    @property
    def available(self) -> tuple[int, ...]:
        return self._available

    @property
    def chairs(self) -> tuple[str, ...]:
        """Names of the chairs as the table gives them, in order of appearance."""
        return self._chairs

    def views(self, chair: int, indices: Sequence[int] | Tensor) -> Tensor:
        """(V, 3, size, size) uint8 RGB images of one chair.

        Raises:
            IndexError: if the chair is not in 0..count-1.
            ValueError: if a view is not available, or a file is corrupt or of another size.
        """
        wanted = checked_indices(self, chair, indices)
        files = self._files[self._chairs[chair]]
        if not wanted:
            return torch.empty(0, 3, self.size, self.size, dtype=torch.uint8)
        return torch.stack([self._decode(files[i]) for i in wanted])

    def _decode(self, name: str) -> Tensor:
        """(3, S, S) uint8; the size is checked in the file's header, before decoding."""
        path = self._folder / name
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", Image.DecompressionBombWarning)
                with Image.open(path, formats=FORMATS) as image:
                    side = self._size or image.width
                    if image.size != (side, side):
                        raise ValueError(
                            f"{path} has {image.width} x {image.height} pixels, "
                            f"expected {side} x {side}"
                        )
                    image.load()
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            raise ValueError(f"{path} is too large to be decoded safely: {error}") from error
        except (OSError, SyntaxError) as error:  # PIL reports a broken PNG as a SyntaxError
            raise ValueError(f"{path} cannot be read as an image: {error}") from error
        pixels = np.array(load_image(str(path), image))
        return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()


def _read_table(folder: Path) -> dict[str, dict[int, str]]:
    """Chair name -> view index -> file name."""
    table = folder / POSES_FILE
    try:
        present = set(os.listdir(folder))
        with table.open(newline="", encoding="utf-8") as file:
            lines = list(csv.reader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"cannot read {table}: {error}") from error
    if not lines or tuple(lines[0]) != HEADER:
        found = ",".join(lines[0]) if lines else "an empty file"
        raise ValueError(f"{table}, line 1: expected {','.join(HEADER)}, got {found}")
    if len(lines) == 1:
        raise ValueError(f"{table} lists no images")
    chairs: dict[str, dict[int, str]] = {}
    for number, line in enumerate(lines[1:], start=2):
        if len(line) != len(HEADER):
            raise ValueError(f"{table}, line {number}: expected 4 fields, got {len(line)}")
        name, chair, azimuth, elevation = line
        try:
            view = Viewpoint(int(azimuth), int(elevation)).index
        except ValueError as error:
            raise ValueError(f"{table}, line {number}: {error}") from error
        if name not in present:
            raise ValueError(f"{table}, line {number}: there is no file {name!r} in the folder")
        if chairs.setdefault(chair, {}).setdefault(view, name) != name:
            raise ValueError(
                f"{table}, line {number}: chair {chair} at azimuth {azimuth} and elevation "
                f"{elevation} was listed before"
            )
    return chairs
