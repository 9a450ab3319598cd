"""A folder of one's own images with poses of any one kind: people, faces, objects, or one thing."""

from __future__ import annotations

import csv
import zlib
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
import torch

from rfwarp.data.catalog import DataConfig, DatasetRecord, Fit, Split
from rfwarp.data.check_report import Options, Progress, Report
from rfwarp.data.disk_cache import Array, DiskCache, Kept, fit_in_memory
from rfwarp.data.framing import frame_image, frame_pose
from rfwarp.data.sampling import check_draw, generator, orders
from rfwarp.data.seeds import DEFAULT_SIZE
from rfwarp.data.tuples import Row, Sample
from rfwarp.images import load_image
from rfwarp.poses.camera import CameraMotion
from rfwarp.poses.keypoints import Keypoints
from rfwarp.poses.landmarks import FaceLandmarks
from rfwarp.poses.text import parse_pose
from rfwarp.poses.viewpoint import Viewpoint

TABLE = "folder.csv"
CONVERSION = 1  # of photographs to images; another one makes others

KnownPose: TypeAlias = Viewpoint | CameraMotion | Keypoints | FaceLandmarks


@dataclass(frozen=True)
class Entry:
    """An image that can be used: a line of :data:`TABLE`."""

    image: str
    """Its path below the root, with slashes."""
    identity: str
    """Who or what it shows."""
    split: str
    """Train or test."""
    pose: str
    """As :func:`rfwarp.poses.parse_pose` reads it; files are below the root too."""


def read_table(root: Path) -> list[Entry]:
    """What ``rfwarp prepare`` has found to be usable.

    Raises:
        FileNotFoundError: if it has not been run.
        ValueError: if the table is malformed.
    """
    path = root / TABLE
    if not path.is_file():
        raise FileNotFoundError(f"there is no {path}: rfwarp prepare folder --root {root} makes it")
    columns = [field.name for field in fields(Entry)]
    with path.open(encoding="utf-8", newline="") as file:
        lines = list(csv.reader(file))
    if not lines or lines[0] != columns or any(len(line) != len(columns) for line in lines):
        raise ValueError(f"{path} must be a table with the columns {', '.join(columns)}")
    entries = [Entry(*line) for line in lines[1:]]
    for number, entry in enumerate(entries, start=2):
        if entry.split not in ("train", "test"):
            raise ValueError(f"{path}, line {number}: split is train or test, not {entry.split!r}")
    return entries


def write_table(path: Path, entries: Sequence[Entry]) -> None:
    """What :func:`read_table` reads."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([field.name for field in fields(Entry)])
        writer.writerows(map(astuple, entries))


class Identity(NamedTuple):
    """Numbers of the entries of one person or thing that a split draws from."""

    targets: list[int]
    sources: list[int]
    """The same list, or one that has none of the targets."""

    @property
    def max_sources(self) -> int:
        """The largest K."""
        return len(self.sources) - (self.sources is self.targets)


def identities(entries: Sequence[Entry], split: Split, sources: int) -> list[Identity]:
    """Those of a split that have so many sources.

    The sources are images for training where an identity has any: of a thing that is split by
    image, the held-out ones are targets alone.

    Raises:
        ValueError: if there are none.
    """
    numbers: dict[str, dict[str, list[int]]] = {}
    for number, entry in enumerate(entries):
        own = numbers.setdefault(entry.identity, {"train": [], "test": []})
        own[entry.split].append(number)
    every = [Identity(own[split], own["train"] or own["test"]) for own in numbers.values()]
    there = [identity for identity in every if identity.targets]
    enough = [identity for identity in there if identity.max_sources >= sources]
    if not there:
        raise ValueError(f"no image is for {'training' if split == 'train' else 'testing'}")
    if not enough:
        most = max(identity.max_sources for identity in there)
        raise ValueError(f"sources of a {split} image: {sources} wanted, at most {most} there")
    return enough


def check_size(name: str, pose: KnownPose, height: int, width: int) -> None:
    """Raise ValueError if the pose is in pixels of another image than one of that size."""
    if isinstance(pose, Keypoints | FaceLandmarks) and (pose.height, pose.width) != (height, width):
        raise ValueError(
            f"{name} is {height} x {width} (H x W), but its pose is of an image of "
            f"{pose.height} x {pose.width}"
        )


def known_pose(root: Path, image: str, text: str) -> KnownPose:
    """The pose of an image.

    Raises:
        FileNotFoundError, ValueError: see :func:`rfwarp.poses.parse_pose`; also if it is an array,
            which does not say what it means.
    """
    pose = parse_pose(text, root, image)
    if not isinstance(pose, Viewpoint | CameraMotion | Keypoints | FaceLandmarks):
        raise ValueError(f"{text} holds an array that is not 68 landmarks, (68, 2)")
    return pose


def check_kinds(first: tuple[str, KnownPose], other: tuple[str, KnownPose]) -> None:
    """Raise ValueError unless two images, given with their names, have poses of one kind."""
    (name, pose), (other_name, other_pose) = first, other
    if pose.kind != other_pose.kind:
        raise ValueError(
            f"a folder has one kind of pose, but that of {name} is {pose.kind}, and that of "
            f"{other_name} is {other_pose.kind}"
        )


class ImageFolder:
    """A :class:`rfwarp.data.TupleDataset` of the images in a folder of one's own.

    ``rfwarp prepare folder`` has written which they are, whom or what they show, and in which
    pose; its kind is that of the folder. Images are read, framed and resized when first asked for
    and kept: in ``cache``, which several processes and both splits may share and which outlives
    them, or else in memory.

    Args:
        root: the folder.
        split: "train" or "test".
        size: height and width of the images for the network, pixels.
        fit: ``pad`` images to that shape with white, or ``crop`` them, centred; joints and
            landmarks move along.
        sources: leave out who or what has fewer sources beside a target.
        cache: a folder, 3 * height * width bytes an image. It is created if need be; an existing
            one must have been made with the same arguments.

    Raises:
        FileNotFoundError: if the folder has not been prepared, or an image is missing.
        ValueError: if the table or a pose is malformed, there are several kinds of pose, nothing
            has so many sources, or the cache folder holds something else.

    Example:
        >>> from pathlib import Path
        >>> from rfwarp.data import ImageFolder, write_chair_folder
        >>> from rfwarp.data.check_report import Options
        >>> from rfwarp.data.preparation import prepare
        >>> write_chair_folder("chairs", count=2, size=64, views=range(4))
        >>> prepare("folder", Path("chairs"), Options()).usable["train images"]
        4
        >>> dataset = ImageFolder(Path("chairs"), "train", size=(64, 64))
        >>> dataset.pose_kind, dataset.max_sources, dataset.load((0, 1, 2)).sources.shape
        ('viewpoint', 3, torch.Size([2, 3, 64, 64]))
    """

    def __init__(
        self,
        root: Path,
        split: Split,
        size: tuple[int, int],
        fit: Fit = "pad",
        sources: int = 1,
        cache: Path | None = None,
    ) -> None:
        self._size, self._fit = size, fit
        self.height, self.width = size
        self._entries = read_table(root)
        self._identities = identities(self._entries, split, sources)
        self.max_sources = min(identity.max_sources for identity in self._identities)
        self._files = [root / entry.image for entry in self._entries]
        for file in self._files:
            if not file.is_file():
                raise FileNotFoundError(f"{file} is missing: run rfwarp prepare folder again")
        poses = {entry.image: known_pose(root, entry.image, entry.pose) for entry in self._entries}
        first, *others = poses.items()
        for other in others:
            check_kinds(first, other)
        self.pose_kind: str = first[1].kind
        self._poses = list(poses.values())
        disk = None if cache is None else self._disk_cache(cache)
        self._kept = Kept(disk, fit_in_memory(3 * self.height * self.width))

    def draw(self, seed: int, step: int, batch_size: int, sources: int) -> list[Row]:
        """Of each identity as often as of any other."""
        check_draw(batch_size, sources, self.max_sources)
        random = generator(seed, step)
        drawn = random.random((batch_size, 2)).tolist()
        longest = max(len(identity.sources) for identity in self._identities)
        order = orders(random, batch_size, longest).tolist()
        rows = []
        for (whose, which), places in zip(drawn, order, strict=True):
            own = self._identities[int(whose * len(self._identities))]
            target = own.targets[int(which * len(own.targets))]
            inside = (own.sources[place] for place in places if place < len(own.sources))
            rows.append((*[number for number in inside if number != target][:sources], target))
        return rows

    def evaluation_rows(self, seed: int, count: int, sources: int) -> list[Row]:
        """As step 0 of training with this seed."""
        return self.draw(seed, 0, count, sources)

    def load(self, row: Row) -> Sample:
        images = torch.stack([torch.from_numpy(np.array(self._image(number))) for number in row])
        poses = [frame_pose(self._poses[number], self._size, self._fit) for number in row]
        codes = torch.stack([pose.code() for pose in poses])
        return Sample(images[:-1], codes[:-1], images[-1], codes[-1])

    def _image(self, number: int) -> Array:
        return self._kept.get(number, self._make)["images"]

    def _make(self, number: int) -> dict[str, Array]:
        file = self._files[number]
        photo = load_image(str(file), file)
        check_size(str(file), self._poses[number], photo.height, photo.width)
        image = frame_image(photo, self._size, self._fit)
        return {"images": np.ascontiguousarray(np.array(image).transpose(2, 0, 1))}

    def _disk_cache(self, folder: Path) -> DiskCache:
        files = [
            f"{entry.image} {file.stat().st_size} {file.stat().st_mtime_ns}"
            for entry, file in zip(self._entries, self._files, strict=True)
        ]
        key = {
            "conversion": CONVERSION,
            "images": zlib.crc32("\n".join(files).encode("utf-8")),
            "count": len(files),
            "size": list(self._size),
            "fit": self._fit,
        }
        shape = (3, self.height, self.width)
        return DiskCache(folder, "image", key, len(files), {"images": (shape, np.uint8)})


def open_folder(config: DataConfig, split: Split) -> ImageFolder:
    """The :class:`ImageFolder` that a configuration with a root describes."""
    assert config.root is not None
    size = config.shape(DEFAULT_SIZE)
    return ImageFolder(config.root, split, size, config.fit, config.tuples or 1, config.cache)


def prepare_folder(
    root: Path, split: Split, options: Options, report: Report, progress: Progress
) -> None:
    """See :func:`rfwarp.data.folder_preparation.prepare_images`."""
    from rfwarp.data.folder_preparation import prepare_images  # which reads this module

    prepare_images(root, split, report, progress)


RECORD = DatasetRecord(
    name="folder",
    title="images in a folder",
    open=open_folder,
    options=("root", "fit", "tuples", "cache"),
    pose_kind=None,
    max_sources=None,
    description="A folder of images of one's own, each with its pose, at {size} pixels.",
    limits="It knows what these images show and nothing else. Parts that no source shows are "
    "guessed.",
    tag="novel-view-synthesis",
    image_files="as they were found",
    prepare=prepare_folder,
)
