"""ShapeNet chairs as distributed for view synthesis: one HDF5 file of rendered images."""

from __future__ import annotations

import logging
import os
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from rfwarp.data.catalog import DataConfig, DatasetRecord, Split
from rfwarp.data.chairs.dataset import VIEW_COUNT, checked_indices
from rfwarp.data.chairs.tuples import ChairTuples
from rfwarp.data.check_report import Options, Progress, Report
from rfwarp.data.paper_results import PAPER, results_of
from rfwarp.images import RESIZE_FILTER
from rfwarp.poses.viewpoint import Viewpoint

logger = logging.getLogger(__name__)

SIZE = 256  # of the images in the paper, pixels
FILE, IDS = "data_chair.hdf5", "id_chair_{split}.txt"
AZIMUTH_STEP = 10  # degrees per unit of the azimuths in the names of groups
TEST_SHARE = 5  # without lists, one chair in so many is for testing


class ShapeNetChairs:
    """:class:`rfwarp.data.ChairViews` of a file whose groups ``ID_AZIMUTH_ELEVATION`` hold
    ``image``, (S, S, 3) uint8.

    As published, azimuths in the names count tens of degrees (0, 2, ..., 34) and elevations are
    degrees (0, 10, 20). The groups of a split are the lines of ``id_chair_train.txt`` or
    ``id_chair_test.txt`` beside the file; without either list, a fifth of the chairs, chosen by
    their ids, is for testing. Only chairs with all 54 views are used.

    Args:
        root: folder with ``data_chair.hdf5`` and the lists.
        split: "train" or "test".
        size: side that images are resized to, pixels.

    Raises:
        ImportError: without ``pip install "rfwarp[train]"``.
        FileNotFoundError: if a file is missing.
        ValueError: if it is no HDF5 file, a line of the list is malformed, or no chair is complete.

    Example:
        >>> from pathlib import Path
        >>> import h5py
        >>> import numpy as np
        >>> from rfwarp.data import ShapeNetChairs
        >>> from rfwarp.poses import Viewpoint
        >>> with h5py.File("data_chair.hdf5", "w") as file:
        ...     for view in Viewpoint.grid():
        ...         name = f"chair1_{view.azimuth // 10}_{view.elevation}"
        ...         file[f"{name}/image"] = np.zeros((16, 16, 3), np.uint8)
        >>> chairs = ShapeNetChairs(Path(), "train", size=32)
        >>> chairs.chairs, chairs.views(0, [0, 53]).shape
        (['chair1'], torch.Size([2, 3, 32, 32]))
    """

    def __init__(self, root: Path, split: Split, size: int = SIZE) -> None:
        self._path = root / FILE
        self._size = size
        self._file: Any = None
        self._process = os.getpid()
        if not self._path.is_file():
            raise FileNotFoundError(f"there is no file {self._path}")
        groups = set(self.open())
        lists = {part: root / IDS.format(split=part) for part in ("train", "test")}
        if any(path.is_file() for path in lists.values()):
            views = _listed(lists[split])
        else:
            views = _by_id(groups, split)
        self._chairs, self.incomplete = [], {}
        for chair, found in sorted(views.items()):
            there = sum(group_name(chair, view) in groups for view in found)
            if there == VIEW_COUNT:
                self._chairs.append(chair)
            else:
                self.incomplete[chair] = there
        if not self._chairs:
            raise ValueError(f"{self._path} has no {split} chair with all its {VIEW_COUNT} views")
        if self.incomplete:
            logger.warning(
                "%s: %d %s chairs lack views and are left out",
                *(self._path, len(self.incomplete), split),
            )

    @property
    def count(self) -> int:
        return len(self._chairs)

    @property
    def size(self) -> int:
        return self._size

    @property
    def available(self) -> tuple[int, ...]:
        return tuple(range(VIEW_COUNT))

    @property
    def chairs(self) -> Sequence[str]:
        """Ids of the chairs, in order."""
        return self._chairs

    def views(self, chair: int, indices: Sequence[int] | Tensor) -> Tensor:
        """(V, 3, size, size) uint8 RGB images of one chair.

        Raises:
            IndexError: if the chair is not in 0..count-1.
            ValueError: if a view index is not in 0..53, or an image is damaged.
        """
        wanted = [Viewpoint.from_index(i) for i in checked_indices(self, chair, indices)]
        loaded = [self._load(group_name(self._chairs[chair], view)) for view in wanted]
        if not loaded:
            return torch.empty(0, 3, self.size, self.size, dtype=torch.uint8)
        return torch.stack(loaded)

    def check(self, chair: int) -> None:
        """Read all of a chair; ValueError if an image is damaged, or a pose (azimuth, elevation)
        beside it is not that of its name."""
        for view in Viewpoint.grid():
            name = group_name(self._chairs[chair], view)
            self._load(name)
            pose = self.open()[name].get("pose")
            named = (view.azimuth // AZIMUTH_STEP, view.elevation)
            if pose is not None and pose.shape == (2,) and tuple(pose[()]) != named:
                raise ValueError(f"{self._path}: {name} has the pose {tuple(pose[()].tolist())}")

    def _load(self, group: str) -> Tensor:
        try:
            pixels = np.asarray(self.open()[group]["image"])
        except (OSError, KeyError) as error:
            raise ValueError(f"{self._path}: {group} cannot be read: {error}") from error
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
            raise ValueError(
                f"{self._path}: {group}/image must be (H, W, 3) uint8, "
                f"got {pixels.dtype} {pixels.shape}"
            )
        if pixels.shape[:2] != (self.size, self.size):
            resized = Image.fromarray(pixels).resize((self.size, self.size), RESIZE_FILTER)
            pixels = np.array(resized)
        return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))

    def open(self) -> Any:
        """The file, opened once per process: HDF5 must not be shared across a fork."""
        if self._file is None or self._process != os.getpid():
            try:
                import h5py
            except ModuleNotFoundError as error:
                raise ImportError(
                    'ShapeNet chairs need h5py: pip install "rfwarp[train]"'
                ) from error
            try:
                self._file, self._process = h5py.File(self._path, "r"), os.getpid()
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
    if not chair or not all(n.isascii() and n.isdecimal() for n in (azimuth, elevation)):
        raise ValueError(f"expected ID_AZIMUTH_ELEVATION, got {name!r}")
    if int(azimuth) * AZIMUTH_STEP not in Viewpoint.AZIMUTHS:
        raise ValueError(f"azimuth must be one of 0, 2, ..., 34 (tens of degrees), got {name!r}")
    view = Viewpoint(int(azimuth) * AZIMUTH_STEP, int(elevation))
    _ = view.index  # refuses other elevations
    return chair, view


def group_name(chair: str, view: Viewpoint) -> str:
    """Name of a chair's group at a view, the inverse of :func:`parse_group`."""
    return f"{chair}_{view.azimuth // AZIMUTH_STEP}_{view.elevation}"


def _listed(path: Path) -> dict[str, set[Viewpoint]]:
    """Views by chair of a list of groups."""
    views: dict[str, set[Viewpoint]] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            chair, view = parse_group(line.strip())
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: {error}") from error
        views.setdefault(chair, set()).add(view)
    return views


def _by_id(groups: set[str], split: Split) -> dict[str, set[Viewpoint]]:
    """Views by chair of a split, without groups that are off the grid."""
    views: dict[str, set[Viewpoint]] = {}
    for name in groups:
        try:
            chair, view = parse_group(name)
        except ValueError:
            continue
        if (zlib.crc32(chair.encode("utf-8")) % TEST_SHARE == 0) == (split == "test"):
            views.setdefault(chair, set()).add(view)
    return views


def prepare_shapenet(
    root: Path, split: Split, options: Options, report: Report, progress: Progress
) -> None:
    """Check a split's chairs; see :class:`ShapeNetChairs` for what it raises."""
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
        raise ValueError(f"{failures} chairs have images that cannot be read")


def open_shapenet(config: DataConfig, split: Split) -> ChairTuples:
    """The :class:`ShapeNetChairs` that a configuration with a root describes, as tuples."""
    assert config.root is not None
    return ChairTuples(ShapeNetChairs(config.root, split, config.side(SIZE)))


RECORD = DatasetRecord(
    name="shapenet-chairs",
    title="ShapeNet chairs",
    open=open_shapenet,
    options=("root",),
    pose_kind=ChairTuples.pose_kind,
    max_sources=VIEW_COUNT - 1,
    description="Chairs of ShapeNet: {size} pixels, 18 azimuths x 3 elevations.",
    limits="It knows rendered chairs and these 54 viewpoints. Parts that no source shows are "
    "guessed.",
    tag="novel-view-synthesis",
    image_files="uncompressed pixels in HDF5",
    elevations=(Viewpoint.ELEVATIONS[0], Viewpoint.ELEVATIONS[-1]),
    origins=("https://github.com/shaohua0116/Multiview2Novelview",),
    prepare=prepare_shapenet,
    paper_results=results_of(
        "Table 2",
        (2, "M2N", 28.876, 0.1155),
        (2, PAPER, 10.123, 0.09607),
        (4, "M2N", 21.920, 0.0901),
        (4, PAPER, 7.697, 0.0729),
    ),
)
