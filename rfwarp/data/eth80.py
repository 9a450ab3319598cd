"""ETH-80: photographs of toys and fruits from all around and above; or your own with such names."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from rfwarp.data.catalog import Background, DataConfig, DatasetRecord, Split
from rfwarp.data.check_report import Options, Progress, Report
from rfwarp.data.disk_cache import Array, DiskCache, Kept, fit_in_memory
from rfwarp.data.sampling import check_draw, generator, integers, orders
from rfwarp.data.seeds import DEFAULT_SIZE
from rfwarp.data.tuples import Row, Sample
from rfwarp.images import RESIZE_FILTER, open_image, to_rgb
from rfwarp.poses.viewpoint import Viewpoint

VIEWS = 41  # of each instance, as published
TRAINING, VALIDATION = range(1, 7), 7
"""Numbers of instances; all others are for testing, so that what turns up later is evaluated."""

CARS = {11: 4, 12: 8, 14: 10}
"""Instances of cars by the number in their files' names: the ten cars are numbered up to 14, but
their folders, as distributed, are named 1 to 10, which are the instances."""

FRONT = 90
"""Azimuth in the names of files at which the front of a thing faces the camera."""

SUFFIXES, MASKS = (".png", ".jpg", ".jpeg"), "maps"
CONVERSION = 1  # version of the conversion of photographs to images

_NAME = re.compile(r"([a-z]+)([0-9]+)-([0-9]{3})-([0-9]{3})", re.ASCII)


@dataclass(frozen=True)
class Photograph:
    """A file such as ``car3-066-207.png``: category and number, polar angle from the zenith and
    azimuth in degrees."""

    path: Path
    category: str
    number: int
    view: Viewpoint

    @property
    def thing(self) -> str:
        """Name of the thing, such as car3."""
        return f"{self.category}{self.number}"

    @property
    def instance(self) -> int:
        """Number within the category: the one in its name, but for some cars."""
        return CARS.get(self.number, self.number) if self.category == "car" else self.number

    @property
    def mask(self) -> Path:
        """File of the object's mask, white on black."""
        return self.path.parent / MASKS / f"{self.path.stem}-map.png"

    @property
    def split(self) -> Split:
        """The split of its instance."""
        if self.instance in TRAINING:
            return "train"
        return "validation" if self.instance == VALIDATION else "test"

    def image(self, size: int, background: Background) -> Array:
        """(3, size, size) uint8 RGB.

        Raises:
            ValueError: if a file is missing, damaged or not square, or the mask does not fit.
        """
        photo = to_rgb(open_image(self.path))
        if photo.width != photo.height:
            raise ValueError(
                f"{self.path} must be square, but it is {photo.height} x {photo.width} (H x W)"
            )
        if background == "white":
            if not self.mask.is_file():
                raise ValueError(f"{self.path} has no mask {self.mask}")
            mask = open_image(self.mask).convert("L")
            if mask.size != photo.size:
                raise ValueError(
                    f"{self.mask} is {mask.height} x {mask.width} (H x W), but it is for "
                    f"{photo.height} x {photo.width}"
                )
            inside = mask.point([255 * (value > 127) for value in range(256)])
            photo = Image.composite(photo, Image.new("RGB", photo.size, "white"), inside)
        if photo.width != size:
            photo = photo.resize((size, size), RESIZE_FILTER)
        return np.ascontiguousarray(np.array(photo).transpose(2, 0, 1))


def find_photographs(root: Path) -> tuple[list[Photograph], list[Path]]:
    """All photographs somewhere below a folder, and images that have other names.

    They are sorted by category, number, polar angle and azimuth; the names of folders do not
    matter, but for those of masks.

    Raises:
        FileNotFoundError: if there is no such folder.
        ValueError: if it has no photograph, one is there twice, or has angles out of range.
    """
    if not root.is_dir():
        raise FileNotFoundError(f"there is no folder {root}")
    found: dict[tuple[str, int, int, int], Photograph] = {}
    others = []
    for path in sorted(root.rglob("*")):
        if path.suffix.lower() not in SUFFIXES or path.parent.name == MASKS:
            continue
        match = _NAME.fullmatch(path.stem)
        if match is None:
            others.append(path)
            continue
        category, (number, polar, azimuth) = match[1], map(int, match.groups()[1:])
        if polar > 180 or azimuth >= 360:
            raise ValueError(
                f"{path}: the polar angle must be at most 180, the azimuth below 360 degrees"
            )
        key = (category, number, polar, azimuth)
        if key in found:
            raise ValueError(f"{found[key].path} and {path} are the same photograph")
        view = Viewpoint(azimuth - FRONT, 90 - polar)
        found[key] = Photograph(path, category, number, view)
    if not found:
        seen = f", but {others[0]}" if others else ""
        raise ValueError(
            f"there is no photograph below {root} with a name such as car3-066-207.png (category "
            f"and number, polar angle, azimuth){seen}"
        )
    return [photograph for _, photograph in sorted(found.items())], others


def choose(
    photographs: Sequence[Photograph], split: Split, category: str | None
) -> list[Photograph]:
    """The photographs of a split, of all categories (None), of one or of several joined by commas.

    Raises:
        ValueError: if there are none; it says what there is.
    """
    wanted = None if category is None else {name.strip() for name in category.split(",")}
    there = {photograph.category for photograph in photographs}
    if wanted is not None and not wanted <= there:
        missing = ", ".join(map(repr, sorted(wanted - there)))
        raise ValueError(
            f"no photograph is of category {missing}; there are {', '.join(sorted(there))}"
        )
    of_it = [p for p in photographs if wanted is None or p.category in wanted]
    chosen = [photograph for photograph in of_it if photograph.split == split]
    if not chosen:
        instances = ", ".join(map(str, sorted({photograph.instance for photograph in of_it})))
        which = "" if category is None else f" of {category}"
        raise ValueError(
            f"there is no {split} instance{which}: found {instances}. Instances {TRAINING[0]} to "
            f"{TRAINING[-1]} are for training, {VALIDATION} is for validation, all others are for "
            "testing"
        )
    return chosen


class Eth80:
    """A :class:`rfwarp.data.TupleDataset` of photographs; each is a number of a row.

    Photographs are resized when first asked for and kept: in ``cache``, which several processes may
    share and which outlives them, or else in memory.

    Args:
        photographs: sorted by instance; each instance has two or more.
        size: height and width of the images, pixels.
        background: as photographed, or white outside the masks, which must be there then.
        cache: a folder, 3 * size^2 bytes a photograph. It is created if need be; an existing one
            must have been made with the same arguments.

    Raises:
        ValueError: if an instance has only one photograph, masks are missing, or the cache folder
            holds something else.

    Example:
        >>> from pathlib import Path
        >>> from PIL import Image
        >>> from rfwarp.data import Eth80
        >>> from rfwarp.data.eth80 import find_photographs
        >>> Path("eth80/8/1").mkdir(parents=True)
        >>> for angles in ("090-000", "066-045", "045-090"):
        ...     Image.new("RGB", (9, 9)).save(f"eth80/8/1/tomato1-{angles}.png")
        >>> photographs, _ = find_photographs(Path("eth80"))
        >>> Eth80(photographs, size=64).load((0, 1, 2)).sources.shape
        torch.Size([2, 3, 64, 64])
    """

    pose_kind = Viewpoint.kind

    def __init__(
        self,
        photographs: Sequence[Photograph],
        size: int,
        background: Background = "photographed",
        cache: Path | None = None,
    ) -> None:
        self.photographs, self.background = tuple(photographs), background
        self.height = self.width = size
        self._codes = torch.stack([photograph.view.code() for photograph in photographs])
        self._things = list(_things(photographs))
        self.max_sources = min(len(thing) for thing in self._things) - 1
        if background == "white":
            _check_masks(photographs)
        disk = None if cache is None else self._disk_cache(cache)
        self._kept = Kept(disk, fit_in_memory(3 * size * size))

    @property
    def instances(self) -> int:
        """Number of instances."""
        return len(self._things)

    def draw(self, seed: int, step: int, batch_size: int, sources: int) -> list[Row]:
        """Random rows; all instances are equally likely."""
        check_draw(batch_size, sources, self.max_sources)
        random = generator(seed, step)
        chosen = integers(random, len(self._things), batch_size).tolist()
        order = orders(random, batch_size, max(map(len, self._things))).tolist()
        return [
            _row(self._things[thing], views, sources)
            for thing, views in zip(chosen, order, strict=True)
        ]

    def evaluation_rows(self, seed: int, count: int, sources: int) -> list[Row]:
        """The rows of step 0 of training with this seed."""
        return self.draw(seed, 0, count, sources)

    def load(self, row: Row) -> Sample:
        images = torch.stack([torch.from_numpy(np.array(self._image(number))) for number in row])
        codes = self._codes[list(row)]
        return Sample(images[:-1], codes[:-1], images[-1], codes[-1])

    def _image(self, number: int) -> Array:
        return self._kept.get(number, self._make)["images"]

    def _make(self, number: int) -> dict[str, Array]:
        return {"images": self.photographs[number].image(self.height, self.background)}

    def _disk_cache(self, folder: Path) -> DiskCache:
        stats = [(p.path.name, p.path.stat()) for p in self.photographs]
        files = [f"{name} {stat.st_size} {stat.st_mtime_ns}" for name, stat in stats]
        key = {
            "conversion": CONVERSION,
            "photographs": zlib.crc32("\n".join(files).encode("utf-8")),
            "count": len(files),
            "size": self.height,
            "background": self.background,
        }
        shape = (3, self.height, self.width)
        return DiskCache(folder, "photograph", key, len(files), {"images": (shape, np.uint8)})


def _things(photographs: Sequence[Photograph]) -> Iterator[range]:
    """Numbers of the photographs of each instance."""
    begin = 0
    for thing, group in groupby(photographs, lambda photograph: photograph.thing):
        count = sum(1 for _ in group)
        if count < 2:
            raise ValueError(f"{thing} has no photograph but {photographs[begin].path}")
        yield range(begin, begin + count)
        begin += count


def _row(thing: range, order: Sequence[int], sources: int) -> Row:
    target, *others = [thing[view] for view in order if view < len(thing)][: sources + 1]
    return (*others, target)


def _check_masks(photographs: Sequence[Photograph]) -> None:
    missing = [photograph.mask for photograph in photographs if not photograph.mask.is_file()]
    if missing:
        more = f", nor {len(missing) - 1} others" if len(missing) > 1 else ""
        raise ValueError(f"a white background needs masks, but there is no {missing[0]}{more}")


def prepare_eth80(
    root: Path, split: Split, options: Options, report: Report, progress: Progress
) -> None:
    """Check a split's photographs and masks.

    Raises:
        FileNotFoundError, ValueError: as for :func:`find_photographs` and :func:`choose`, and if a
            photograph cannot be read.
    """
    found, others = find_photographs(root)
    if split == "train":
        for path in others:
            report.complain(f"{path} has the name of no photograph, so it is left out")
    photographs = choose(found, split, None)
    failures = 0
    for done, photograph in enumerate(photographs, start=1):
        masked = photograph.mask.is_file()
        if not masked:
            report.complain(f"there is no mask {photograph.mask}")
        if options.decode:
            try:
                photograph.image(DEFAULT_SIZE, "white" if masked else "photographed")
            except ValueError as error:
                report.complain(error)
                failures += 1
        progress(done, len(photographs))
    things = list(_things(photographs))
    for thing in things:
        if len(thing) < VIEWS:
            name = photographs[thing[0]].thing
            report.complain(f"{name} has {len(thing)} of {VIEWS} views")
    report.usable[f"{split} instances"] = len(things)
    report.usable[f"{split} photographs"] = len(photographs)
    if failures:
        raise ValueError(f"{failures} of its photographs or masks cannot be used")


def open_eth80(config: DataConfig, split: Split) -> Eth80:
    """The :class:`Eth80` that a configuration with a root describes; each split has a folder in the
    cache."""
    assert config.root is not None
    photographs = choose(find_photographs(config.root)[0], split, config.category)
    cache = None if config.cache is None else config.cache / split
    return Eth80(photographs, config.side(DEFAULT_SIZE), config.background, cache)


RECORD = DatasetRecord(
    name="eth80",
    title="ETH-80",
    open=open_eth80,
    options=("root", "category", "background", "cache"),
    pose_kind=Eth80.pose_kind,
    max_sources=VIEWS - 1,
    description="ETH-80 (B. Leibe and B. Schiele, Analyzing Appearance and Contour Based Methods "
    "for Object Categorization, CVPR 2003): photographs of toys and fruits of eight categories, "
    "resized to {size} pixels, 41 views of each. Instances 1 to 6 of a category are for training, "
    "7 is for validation, all others are held out. Research only: the photographs have no stated "
    "licence.",
    limits="Research only: the photographs that it learned from have no stated licence. It knows "
    "apples, toy cars, cows, dogs and horses, cups, pears and tomatoes before one blue background. "
    "Parts that no source shows are guessed.",
    tag="novel-view-synthesis",
    image_files="PNG or JPEG",
    origins=("https://github.com/chenchkx/ETH-80",),
    prepare=prepare_eth80,
    validates=True,
)
