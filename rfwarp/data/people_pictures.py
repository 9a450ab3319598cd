"""DeepFashion and Market-1501: photographs of people with keypoints, in tuples of one person."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from rfwarp.data.draws import check_draw, generator
from rfwarp.data.person_tuples import Names, read_tuples
from rfwarp.data.tuples import Row, Sample
from rfwarp.images import load_image
from rfwarp.poses.keypoints import Keypoints, read_annotations

Split = Literal["train", "test"]
_MARKET_NAME = re.compile(r"(-1|\d{4})_c\d+s\d+_\d{6}_\d{2}\.jpg", re.ASCII)


@dataclass(frozen=True)
class PeopleFormat:
    """Where one of the two datasets keeps what, below its root.

    Attributes:
        pictures, annotations: path of a split's pictures and of its keypoints, with ``{split}``.
        height, width: of the space of the keypoints, pixels.
        size: height and width of the dataset's pictures for the network.
    """

    name: str
    pictures: str
    annotations: str
    height: int
    width: int
    size: tuple[int, int]

    def identity(self, picture: str) -> str:
        """The person in a picture.

        DeepFashion: the name before its last ``_``, as categories contain ``_`` too. Market-1501:
        the number before the first.
        """
        if self.name == "deepfashion":
            return picture.rpartition("_")[0] or picture
        return picture.partition("_")[0]

    def is_person(self, picture: str) -> bool:
        """Whether the name is one of the dataset's, and not of a distractor or of junk."""
        if self.name == "deepfashion":
            return picture.lower().endswith((".jpg", ".png"))
        match = _MARKET_NAME.fullmatch(picture)
        return match is not None and match[1] not in ("-1", "0000")

    def tuples(self, root: Path, split: Split, sources: int) -> Path:
        """The file of (K+1)-tuples that ``rfwarp prepare`` writes."""
        return root / f"{self.name}-{split}-{sources}.csv"

    def read_keypoints(self, root: Path, split: Split) -> dict[str, Keypoints]:
        """Of the split's people; see :func:`rfwarp.poses.read_annotations`."""
        path = root / self.annotations.format(split=split)
        every = read_annotations(path, self.height, self.width)
        return {name: pose for name, pose in every.items() if self.is_person(name)}


DEEPFASHION = PeopleFormat(
    "deepfashion", "{split}", "fasion-resize-annotation-{split}.csv", 256, 176, (256, 256)
)
"""As PATN and GFLA distribute it, spelling included. Pictures have 256 x 176 pixels, or 256 x 256
with 40 white columns on either side; the network gets the latter."""

MARKET1501 = PeopleFormat(
    "market1501", "bounding_box_{split}", "market-annotation-{split}.csv", 128, 64, (128, 64)
)
"""As published, with PATN's keypoints."""


class PeoplePictures:
    """A :class:`rfwarp.data.TupleDataset` of photographs of people.

    Args:
        layout: :data:`DEEPFASHION` or :data:`MARKET1501`.
        root: folder of the download, in which ``rfwarp prepare`` has written the tuples.
        split: "train" or "test".
        sources: K of the file of tuples to use; fewer sources are the first ones of a tuple.
        size: height and width that pictures are resized to; None is the protocol's.

    Raises:
        FileNotFoundError: if the keypoints, the tuples or the folder of pictures is missing.
        ValueError: if a file is malformed, or a tuple names a picture without keypoints.
    """

    pose_kind = Keypoints.kind

    def __init__(
        self,
        layout: PeopleFormat,
        root: Path,
        split: Split,
        sources: int,
        size: tuple[int, int] | None = None,
    ) -> None:
        self._format = layout
        self._folder = root / layout.pictures.format(split=split)
        if not self._folder.is_dir():
            raise FileNotFoundError(f"there is no folder {self._folder}")
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
        self.height, self.width = size or layout.size
        self.max_sources = len(self._rows[0]) - 1

    def draw(self, seed: int, step: int, batch_size: int, sources: int) -> list[Row]:
        check_draw(batch_size, sources, self.max_sources)
        chosen = generator(seed, step).integers(len(self._rows), size=batch_size)
        return [self._cut(self._rows[i], sources) for i in chosen.tolist()]

    def evaluation_rows(self, seed: int, count: int, sources: int) -> list[Row]:
        """The first tuples of the file."""
        check_draw(count, sources, self.max_sources)
        return [self._cut(row, sources) for row in self._rows[:count]]

    def load(self, row: Row) -> Sample:
        loaded = [self._load(self._names[picture]) for picture in row]
        pictures, codes = (torch.stack(parts) for parts in zip(*loaded, strict=True))
        return Sample(pictures[:-1], codes[:-1], pictures[-1], codes[-1])

    @staticmethod
    def _cut(row: Row, sources: int) -> Row:
        return (*row[:sources], row[-1])

    def _load(self, name: str) -> tuple[Tensor, Tensor]:
        path = self._folder / name
        picture, pose = load_image(str(path), path), self._keypoints[name]
        picture, pose = widened(picture, pose, self._format.size, path)
        if picture.size != (self.width, self.height):
            picture = picture.resize((self.width, self.height), Image.Resampling.LANCZOS)
        pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1).contiguous()
        return pixels, pose.scaled(self.height, self.width).code()


def _numbered(row: Names, number: dict[str, int], table: Path) -> Row:
    missing = [name for name in row if name not in number]
    if missing:
        raise ValueError(f"{table} names {missing[0]!r}, which has no keypoints")
    return tuple(number[name] for name in row)


def widened(
    picture: Image.Image, pose: Keypoints, size: tuple[int, int], path: Path
) -> tuple[Image.Image, Keypoints]:
    """A picture of the keypoints' size, or of the network's with white columns on both sides.

    Raises:
        ValueError: if it is of neither.
    """
    height, width = size
    sides: Sequence[tuple[int, int]] = ((pose.width, pose.height), (width, height))
    if picture.size not in sides:
        raise ValueError(
            f"{path} has {picture.width} x {picture.height} pixels, "
            f"expected {' or '.join(f'{w} x {h}' for w, h in dict.fromkeys(sides))}"
        )
    left = (width - pose.width) // 2
    if picture.width != width:
        wide = Image.new("RGB", (width, height), "white")
        wide.paste(picture, (left, 0))
        picture = wide
    points = pose.points + np.array([left, 0, 0], np.float32)
    return picture, Keypoints(points, height, width)
