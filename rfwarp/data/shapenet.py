"""ShapeNet chairs as distributed for view synthesis: one HDF5 file of rendered pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from rfwarp.data.chairs.dataset import VIEW_COUNT, checked_indices
from rfwarp.poses.viewpoint import Viewpoint

FILE, IDS = "data_chair.hdf5", "id_chair_{split}.txt"


class ShapeNetChairs:
    """:class:`rfwarp.data.ChairViews` of a file whose groups ``ID_AZIMUTH_ELEVATION`` hold
    ``image``, (S, S, 3) uint8.

    Angles are degrees, on the grid of :class:`rfwarp.poses.Viewpoint`. The groups of a split are
    the lines of ``id_chair_train.txt`` or ``id_chair_test.txt`` beside the file; a chair counts if
    all its 54 views are there.

    Args:
        root: folder with :data:`FILE` and the lists.
        split: "train" or "test".
        size: side that pictures are resized to, pixels.

    Raises:
        ImportError: without ``pip install "rfwarp[train]"``.
        FileNotFoundError: if a file is missing.
        ValueError: if it is no HDF5 file, or a line of the list is malformed or names a group that
            is not there.
    """

    def __init__(self, root: Path, split: Literal["train", "test"], size: int = 256) -> None:
        self._path = root / FILE
        self._size = size
        self._file: Any = None
        self._chairs = self._read_ids(root / IDS.format(split=split))

    def _read_ids(self, path: Path) -> list[str]:
        if not self._path.is_file():
            raise FileNotFoundError(f"there is no file {self._path}")
        views: dict[str, set[int]] = {}
        present = set(self._open())
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            try:
                chair, view = parse_group(line.strip())
            except ValueError as error:
                raise ValueError(f"{path}, line {number}: {error}") from error
            if line.strip() not in present:
                raise ValueError(f"{path}, line {number}: {self._path} has no {line.strip()!r}")
            views.setdefault(chair, set()).add(view.index)
        whole = [chair for chair, found in views.items() if len(found) == VIEW_COUNT]
        if not whole:
            raise ValueError(f"{path} lists no chair with all its {VIEW_COUNT} views")
        return sorted(whole)

    @property
    def count(self) -> int:
        return len(self._chairs)

    @property
    def size(self) -> int:
        return self._size

    @property
    def available(self) -> tuple[int, ...]:
        return tuple(range(VIEW_COUNT))

    def views(self, chair: int, indices: Sequence[int] | Tensor) -> Tensor:
        """(V, 3, size, size) uint8 RGB pictures of one chair.

        Raises:
            IndexError: if the chair is not in 0..count-1.
            ValueError: if a view index is not in 0..53, or a picture is damaged.
        """
        wanted = [Viewpoint.from_index(i) for i in checked_indices(self, chair, indices)]
        loaded = [self._load(group_name(self._chairs[chair], view)) for view in wanted]
        if not loaded:
            return torch.empty(0, 3, self.size, self.size, dtype=torch.uint8)
        return torch.stack(loaded)

    def _load(self, group: str) -> Tensor:
        try:
            pixels = np.asarray(self._open()[group]["image"])
        except (OSError, KeyError) as error:
            raise ValueError(f"{self._path}: {group} cannot be read: {error}") from error
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
            raise ValueError(
                f"{self._path}: {group}/image must be (H, W, 3) uint8, "
                f"got {pixels.dtype} {pixels.shape}"
            )
        if pixels.shape[:2] != (self.size, self.size):
            resized = Image.fromarray(pixels).resize(
                (self.size, self.size), Image.Resampling.LANCZOS
            )
            pixels = np.array(resized)
        return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))

    def _open(self) -> Any:
        """The file, opened once per process: HDF5 must not be shared across a fork."""
        if self._file is None:
            try:
                import h5py
            except ModuleNotFoundError as error:
                raise ImportError(
                    'ShapeNet chairs need h5py: pip install "rfwarp[train]"'
                ) from error
            try:
                self._file = h5py.File(self._path, "r")
            except OSError as error:
                raise ValueError(f"{self._path} cannot be read as HDF5: {error}") from error
        return self._file

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_file": None}


def parse_group(name: str) -> tuple[str, Viewpoint]:
    """Chair and view of a group's name ``ID_AZIMUTH_ELEVATION``; the id may have ``_`` too.

    Raises:
        ValueError: if it has another form, or an angle is not on the grid.
    """
    chair, azimuth, elevation = ([""] * 3 + name.rsplit("_", 2))[-3:]
    if not chair or not azimuth.isdecimal() or not elevation.isdecimal():
        raise ValueError(f"expected ID_AZIMUTH_ELEVATION, got {name!r}")
    return chair, Viewpoint(int(azimuth), int(elevation))


def group_name(chair: str, view: Viewpoint) -> str:
    """What :func:`parse_group` reads."""
    return f"{chair}_{view.azimuth}_{view.elevation}"
