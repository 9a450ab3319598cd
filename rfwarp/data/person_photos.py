"""Photographs of people with keypoints, in tuples of one person, and how to prepare them."""

from __future__ import annotations

import logging
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from rfwarp.data.catalog import DataConfig, Split
from rfwarp.data.check_report import Options, Progress, Report
from rfwarp.data.person_tuples import Names, build_tuples, has_torso, read_tuples, write_tuples
from rfwarp.data.sampling import check_draw, generator, integers
from rfwarp.data.tuples import Row, Sample
from rfwarp.images import RESIZE_FILTER, load_image
from rfwarp.poses.alignment import align_person, torso_height
from rfwarp.poses.keypoints import Keypoints, read_annotations

logger = logging.getLogger(__name__)


PAPER_PROTOCOL = "sources are aligned with the target (--align)"

SHAPE_TOLERANCE = 0.02  # of width / height; photographs of 750 x 1101 pixels are within it


@dataclass(frozen=True)
class PeopleFormat:
    """Layout of a dataset of people below its root: its folders and files.

    Attributes:
        name: of the dataset.
        images: folders of a split's images, with ``{split}``. Distributions differ: the first one
            that exists is used; likewise for the next two.
        annotations: files of its keypoints.
        pairs: files of its published pairs.
        height: of the space of the keypoints, pixels.
        width: of that space.
        size: height and width of the dataset's images for the network, pixels.
        fill: fills the area beyond a moved image, see :func:`rfwarp.poses.align_person`.
        file_name: matches the names of images of people, no others; its group is the person.

    Example:
        >>> from rfwarp.data import MARKET1501
        >>> MARKET1501.height, MARKET1501.width, MARKET1501.is_person("0000_c1s1_000151_01.jpg")
        (128, 64, False)
    """

    name: str
    images: tuple[str, ...]
    annotations: tuple[str, ...]
    pairs: tuple[str, ...]
    height: int
    width: int
    size: tuple[int, int]
    fill: Literal["edge"] | tuple[int, int, int]
    file_name: re.Pattern[str]

    def identity(self, image: str) -> str:
        """The person in an image, from its file's name; the whole name if it names no person.

        Raises:
            ValueError: if the name is not one of the dataset's.
        """
        match = self.file_name.fullmatch(image)
        if match is None:
            raise ValueError(f"{image!r} is no name of an image of {self.name}")
        return match[1] or image

    def is_person(self, image: str) -> bool:
        """Whether the name is one of the dataset's, and not of a distractor or of junk."""
        return self.file_name.fullmatch(image) is not None

    def tuples(self, root: Path, split: Split, sources: int | None) -> Path:
        """The file of (K+1)-tuples that ``rfwarp prepare`` writes; None stands for the largest K.

        Raises:
            FileNotFoundError: if there is none for any K.
        """
        if sources is None:
            name = re.compile(rf"{self.name}-{split}-(\d+)\.csv", re.ASCII)
            found = [
                int(match[1]) for path in root.iterdir() if (match := name.fullmatch(path.name))
            ]
            if not found:
                raise FileNotFoundError(
                    f"{root} has no tuples: make them by rfwarp prepare {self.name} --root {root}"
                )
            sources = max(found)
        return root / f"{self.name}-{split}-{sources}.csv"

    def folder(self, root: Path, split: Split) -> Path:
        """The folder of a split's images; FileNotFoundError if there is none."""
        return _first(root, self.images, split)

    def read_keypoints(self, root: Path, split: Split) -> dict[str, Keypoints]:
        """Keypoints of the split's people; see :func:`rfwarp.poses.read_annotations`."""
        path = _first(root, self.annotations, split)
        every = read_annotations(path, self.height, self.width)
        return {name: pose for name, pose in every.items() if self.is_person(name)}

    def read_pairs(self, root: Path, split: Split) -> list[Names]:
        """The published pairs of source and target; ``from`` and ``to`` by name."""
        return read_tuples(_first(root, self.pairs, split))


def _first(root: Path, candidates: tuple[str, ...], split: Split) -> Path:
    paths = [root / candidate.format(split=split) for candidate in candidates]
    for path in paths:
        if path.exists():
            return path
    raise FileNotFoundError(f"there is no {' or '.join(map(str, paths))}")


class PersonPhotos:
    r"""A :class:`rfwarp.data.TupleDataset` of photographs of people.

    Args:
        layout: of the dataset.
        root: folder of the download, in which ``rfwarp prepare`` has written the tuples.
        split: "train" or "test".
        sources: K of the file of tuples to use; None is the largest one there is. Fewer sources
            are the first ones of a tuple.
        size: height and width that images are resized to; None is the protocol's.
        align: scale and move sources onto the target, as in the paper's evaluation; see
            :func:`rfwarp.poses.align_person`. Tuples with somebody upside down or without a neck
            are left out then.

    Raises:
        FileNotFoundError: if the keypoints, the tuples or the folder of images is missing.
        ValueError: if a file is malformed, or a tuple names an image without keypoints.

    Example:
        >>> from pathlib import Path
        >>> from rfwarp.data import MARKET1501, PersonPhotos, render_person
        >>> from rfwarp.images import from_uint8, to_pil
        >>> from rfwarp.poses import Keypoints, write_annotations
        >>> from rfwarp.viz import write_image
        >>> people = render_person(0, range(3), (128, 64))
        >>> names = [f"0002_c1s1_00045{i}_03.jpg" for i in range(3)]
        >>> for name, image in zip(names, from_uint8(people.images)):
        ...     write_image(Path("bounding_box_train", name), to_pil(image))
        >>> poses = [Keypoints(points, 128, 64) for points in people.keypoints]
        >>> write_annotations(Path("market-annotation-train.csv"), dict(zip(names, poses)))
        >>> table = ["from_0,from_1,to", ",".join(names)]  # rfwarp prepare writes it
        >>> _ = Path("market1501-train-2.csv").write_text("\n".join(table))
        >>> dataset = PersonPhotos(MARKET1501, Path(), "train")
        >>> dataset.max_sources, dataset.load((0, 1, 2)).sources.shape
        (2, torch.Size([2, 3, 128, 64]))
    """

    pose_kind = Keypoints.kind

    def __init__(
        self,
        layout: PeopleFormat,
        root: Path,
        split: Split,
        sources: int | None = None,
        size: tuple[int, int] | None = None,
        align: bool = False,
    ) -> None:
        self._format, self._align = layout, align
        self._folder = layout.folder(root, split)
        table = layout.tuples(root, split, sources)
        if not table.is_file():
            raise FileNotFoundError(
                f"there is no {table}: make it by rfwarp prepare {layout.name} "
                f"--root {root} --sources {sources}"
            )
        self._keypoints = layout.read_keypoints(root, split)
        self._names = sorted(self._keypoints)
        number = {name: i for i, name in enumerate(self._names)}
        self._rows = [_numbered(row, number, table) for row in read_tuples(table)]
        if align:
            self._rows = self._alignable(table)
        self.height, self.width = size or layout.size
        self.max_sources = len(self._rows[0]) - 1

    def draw(self, seed: int, step: int, batch_size: int, sources: int) -> list[Row]:
        check_draw(batch_size, sources, self.max_sources)
        chosen = integers(generator(seed, step), len(self._rows), batch_size)
        return [self._cut(self._rows[i], sources) for i in chosen.tolist()]

    def evaluation_rows(self, seed: int, count: int, sources: int) -> list[Row]:
        """Tuples of the file, evenly spread: it is in the order of people."""
        check_draw(count, sources, self.max_sources)
        there, count = len(self._rows), min(count, len(self._rows))
        return [self._cut(self._rows[i * there // count], sources) for i in range(count)]

    def load(self, row: Row) -> Sample:
        loaded = [self._load(self._names[image]) for image in row]
        if self._align:
            goal, fill = loaded[-1][1], self._format.fill
            loaded[:-1] = [align_person(*source, goal, fill) for source in loaded[:-1]]
        images = torch.stack([self._pixels(image) for image, _ in loaded])
        codes = torch.stack([pose.scaled(self.height, self.width).code() for _, pose in loaded])
        return Sample(images[:-1], codes[:-1], images[-1], codes[-1])

    def _alignable(self, table: Path) -> list[Row]:
        fit = [_can_be_aligned(self._keypoints[name]) for name in self._names]
        rows = [row for row in self._rows if all(fit[image] for image in row)]
        if not rows:
            raise ValueError(f"{table} has no tuple that can be aligned")
        if len(rows) < len(self._rows):
            left_out = len(self._rows) - len(rows)
            logger.warning("%s: %d tuples cannot be aligned and are left out", table, left_out)
        return rows

    @staticmethod
    def _cut(row: Row, sources: int) -> Row:
        return (*row[:sources], row[-1])

    def _load(self, name: str) -> tuple[Image.Image, Keypoints]:
        path = self._folder / name
        if not path.is_file():
            raise ValueError(f"{path} is missing")
        return framed(load_image(str(path), path), self._keypoints[name], self._format.size, path)

    def _pixels(self, image: Image.Image) -> Tensor:
        if image.size != (self.width, self.height):
            image = image.resize((self.width, self.height), RESIZE_FILTER)
        return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()


def _numbered(row: Names, number: dict[str, int], table: Path) -> Row:
    missing = [name for name in row if name not in number]
    if missing:
        raise ValueError(f"{table} names {missing[0]!r}, which has no keypoints")
    return tuple(number[name] for name in row)


def _can_be_aligned(pose: Keypoints) -> bool:
    try:
        return torso_height(pose) > 0 and pose.has(1)
    except ValueError:
        return False


def framed(
    image: Image.Image, pose: Keypoints, size: tuple[int, int], path: Path
) -> tuple[Image.Image, Keypoints]:
    """The image and its pose at the size of the dataset's images for the network.

    An image of the shape of the keypoints' space is resized to it and gets white columns on both
    sides; one of the network's shape, with that space in the middle, is only resized.

    Raises:
        ValueError: if it has neither shape, within :data:`SHAPE_TOLERANCE`.
    """
    height, width = size
    shape = image.width / image.height
    for wide in (pose.width, width):
        if abs(shape * height / wide - 1) <= SHAPE_TOLERANCE:
            break
    else:
        sides = dict.fromkeys((pose.width, width))
        raise ValueError(
            f"{path} has {image.width} x {image.height} pixels, expected "
            f"{' or '.join(f'{w} x {height}' for w in sides)} or that shape"
        )
    if image.size != (wide, height):
        image = image.resize((wide, height), RESIZE_FILTER)
    left = (width - pose.width) // 2
    if wide != width:
        padded = Image.new("RGB", (width, height), "white")
        padded.paste(image, (left, 0))
        image = padded
    points = pose.points + np.array([left, 0, 0], np.float32)
    return image, Keypoints(points, height, width)


def open_photos(layout: PeopleFormat, config: DataConfig, split: Split) -> PersonPhotos:
    """The :class:`PersonPhotos` that a configuration with a root describes."""
    assert config.root is not None
    size = None if config.size is None else config.shape(layout.size)
    return PersonPhotos(layout, config.root, split, config.tuples, size, config.align)


def prepare_photos(
    layout: PeopleFormat,
    root: Path,
    split: Split,
    options: Options,
    report: Report,
    progress: Progress,
) -> None:
    """Check a split's images and keypoints, and write its tuples.

    Raises:
        FileNotFoundError: if the keypoints or the folder of images is missing.
        ValueError: if the keypoints are malformed, or there are no tuples.
    """
    keypoints, folder = layout.read_keypoints(root, split), layout.folder(root, split)
    there = set(os.listdir(folder))
    good: dict[str, Keypoints] = {}
    for done, (image, pose) in enumerate(keypoints.items(), start=1):
        path = folder / image
        try:
            if image not in there:
                raise ValueError(f"{path} is missing")
            if options.decode:
                framed(load_image(str(path), path), pose, layout.size, path)
            good[image] = pose
        except ValueError as error:
            report.complain(error)
        progress(done, len(keypoints))
    counts = report.usable
    counts[f"{split} images"] = len(good)
    counts[f"{split} images without keypoints, left out"] = sum(
        layout.is_person(image) and image not in keypoints for image in there
    )
    counts[f"{split} images without a joint inside"] = sum(
        not pose.inside().any() for pose in good.values()
    )
    if options.pairs:
        rows = _whole_pairs(layout.read_pairs(root, split), good, report)
    else:
        without = sum(not has_torso(pose) for pose in good.values())
        counts[f"{split} images without shoulders or hips, left out"] = without
        rows = build_tuples(good, layout.identity, options.sources, options.seed)
    if not rows:
        raise ValueError(f"there are no tuples of {options.sources} sources and a target: {folder}")
    write_tuples(layout.tuples(root, split, options.sources), rows)
    counts[f"{split} tuples of {options.sources} sources"] = len(rows)


def _whole_pairs(pairs: list[Names], good: dict[str, Keypoints], report: Report) -> list[Names]:
    whole = []
    for row in pairs:
        lacking = [name for name in row if name not in good]
        if lacking:
            report.complain(f"pair {','.join(row)}: no image or keypoints of {lacking[0]}")
        else:
            whole.append(row)
    return whole
