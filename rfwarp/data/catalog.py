"""Catalogue of datasets: one record each, read by every command, experiment, table and card."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from typing_extensions import Doc

from rfwarp.config import Config, Count, CountOrZero

if TYPE_CHECKING:
    from rfwarp.data.check_report import Options, Progress, Report
    from rfwarp.data.paper_results import PaperResult
    from rfwarp.data.tuples import TupleDataset

Split = Literal["train", "validation", "test"]
"""Few datasets have a validation split, see :attr:`DatasetRecord.validates`."""

Background = Literal["photographed", "white"]
Fit = Literal["pad", "crop"]

HELD_OUT_FIRST_SEED = 900_000
"""Seeds of procedural datasets below it are for training; from it on they are held out.

>>> from rfwarp.data import HELD_OUT_FIRST_SEED, DataConfig
>>> HELD_OUT_FIRST_SEED, DataConfig("chairs").seeds("test")
(900000, (900000, 64))
"""

OWN_LICENCE, OTHER_LICENCE = "apache-2.0", "other"
"""Licences of weights trained on rfwarp's own images, and on those of others: whoever trains on the
latter must state the terms of use of the weights."""

DATASETS: dict[str, str | DatasetRecord] = {
    "chairs": "rfwarp.data.chairs.record",
    "people": "rfwarp.data.people.record",
    "faces": "rfwarp.data.faces.record",
    "streets": "rfwarp.data.streets.record",
    "furniture": "rfwarp.data.furniture.record",
    "eth80": "rfwarp.data.eth80",
    "deepfashion": "rfwarp.data.deepfashion",
    "market1501": "rfwarp.data.market1501",
    "shapenet-chairs": "rfwarp.data.shapenet",
    "kitti": "rfwarp.data.kitti",
    "voxceleb2": "rfwarp.data.voxceleb",
    "folder": "rfwarp.data.folder",
}
"""Every dataset by name: its record, or the module that has it as ``RECORD``, which is imported
when first asked for. This is the only list of datasets; a record put here is one more.

>>> from rfwarp.data import DATASETS
>>> list(DATASETS)[:4]
['chairs', 'people', 'faces', 'streets']
"""


@dataclass(frozen=True, kw_only=True)
class DatasetRecord:
    """All that is known of a dataset.

    Example:
        >>> from rfwarp.data import dataset_record
        >>> record = dataset_record("market1501")
        >>> record.is_download, record.lists_sets, record.max_sources
        (True, True, None)
    """

    name: str
    """Its key in :data:`.DATASETS`."""
    title: str
    """Subject of its images, in a few words."""
    open: Callable[[DataConfig, Split], TupleDataset]
    """A split of it; the configuration has been checked against ``options``. Raises
    FileNotFoundError and ValueError as :func:`open_dataset` does."""
    options: tuple[str, ...]
    """Fields of :class:`DataConfig` that it reads besides ``name`` and ``size``. With ``root``,
    which must be given then, it is a download; with ``cache`` its images are made once and kept, at
    any size; with ``truth`` it can give true correspondences."""
    pose_kind: str | None
    """Key of :data:`rfwarp.poses.POSE_KINDS`; None if that depends on the files: a
    :class:`.TupleDataset` says its own."""
    max_sources: int | None
    """The largest K; None if that depends on how a download was prepared."""
    description: str
    """Description of the data for model cards: ``{size}``, ``{first}`` and ``{last}`` are filled in
    with height and width and with the first and last seed of training."""
    limits: str
    """Limits of a model that was trained on it, for model cards."""
    tag: str
    """Task of a model trained on it, as model hubs name it."""
    image_files: str
    """Type of its image files, in words; "rendered" if there are none."""
    licence: str = OTHER_LICENCE
    """Licence of the weights of a model trained on it, as the Hugging Face Hub names it."""
    origins: tuple[str, ...] = ()
    """Places to get it from: links, or words."""
    prepare: Callable[[Path, Split, Options, Report, Progress], None] | None = None
    """Checks a split of a download and writes what opening it needs; None if nothing is to be
    done. See :func:`rfwarp.data.preparation.prepare` for what it raises."""
    validates: bool = False
    """Whether it has a validation split, whose samples training shows and scores; without one it
    takes those of the test split."""
    lists_sets: bool = False
    """Whether its protocol lists the sets of sources and target to evaluate, rather than drawing
    them."""
    has_clips: bool = False
    """Whether what it opens is a :class:`.ClipDataset`, with consecutive frames."""
    renderer_version: int | None = None
    """Version of the program that renders its images; another version renders other images."""
    background: Literal["white", "plain"] | None = None
    """White, or plain, one colour in each image; None if options decide, or nothing is known."""
    elevations: tuple[int, int] | None = None
    """Lowest and highest elevation of its viewpoints, degrees; None without viewpoints, or if
    nothing is known."""
    paper_results: tuple[PaperResult, ...] = ()
    """Results that the paper reports on it."""
    paper_protocol: str = ""
    """Difference of the paper's evaluation from ours with default options, in words."""

    @property
    def is_download(self) -> bool:
        """Whether its files come from elsewhere."""
        return "root" in self.options

    @property
    def has_any_size(self) -> bool:
        """Whether its images are made at any size, and can be kept in a cache."""
        return "cache" in self.options

    @property
    def gives_truth(self) -> bool:
        """Whether it can give true correspondences."""
        return "truth" in self.options


def dataset_record(name: str) -> DatasetRecord:
    """The record of a dataset; the first call imports its module.

    Raises:
        ValueError: if there is no such dataset.

    Example:
        >>> from rfwarp.data import dataset_record
        >>> record = dataset_record("kitti")
        >>> record.title, record.pose_kind
        ('KITTI odometry', 'camera')
    """
    check_name(name)
    entry = DATASETS[name]
    if isinstance(entry, str):
        record: DatasetRecord = import_module(entry).RECORD
        DATASETS[name] = entry = record
    return entry


def clip_datasets() -> str:
    """The names of the datasets that have consecutive frames, for messages."""
    return ", ".join(name for name in DATASETS if dataset_record(name).has_clips)


def check_name(name: str) -> None:
    """Raise ValueError, with all names, unless a dataset has this one."""
    if name not in DATASETS:
        raise ValueError(f"no dataset {name!r}; there are {', '.join(DATASETS)}")


_WHICH_IMAGES = ("tuples", "align", "category", "background", "fit")
"""Options that decide which images a dataset has, and what is seen in them."""
# Not in the annotation itself: Sphinx cannot read a module with an f-string there.
_NAMES = Doc(f"Name of the dataset: {', '.join(DATASETS)}.")


@dataclass(frozen=True)
class DataConfig(Config):
    """A dataset, and the part of it that is used.

    Example:
        >>> from rfwarp.data import DataConfig
        >>> config = DataConfig("people", size=(128, 64), count=100)
        >>> config.seeds("train"), config.seeds("test")  # the first seed and how many
        ((0, 100), (900000, 64))
        >>> DataConfig("bears")
        Traceback (most recent call last):
            ...
        ValueError: no dataset 'bears'; there are chairs, people, ...
    """

    name: Annotated[str, _NAMES] = "chairs"
    """Key of :data:`.DATASETS`."""
    root: Path | None = None
    """Folder of the download, see rfwarp prepare; procedural datasets need none."""
    size: Count | tuple[Count, Count] | None = None
    """Side of the images, or height and width, pixels; by default the protocol's, or 64."""
    tuples: Count | None = None
    """People in photographs: K of the file of tuples to use; by default the largest prepared. A
    folder: leave out identities that have fewer than K sources; by default none, so that the one
    with the fewest decides how many there can be."""
    align: bool = False
    """People in photographs: scale and move the sources' people onto the target's, as in the
    paper's evaluation."""
    category: str | None = None
    """Furniture: seats, or a category of the catalogue, such as kitchen. ETH-80: one or several,
    such as apple,pear. By default everything."""
    background: Background = "photographed"
    """ETH-80: as photographed, or white outside the masks."""
    fit: Fit = "pad"
    """A folder: pad images to the shape of ``size`` with white, which loses nothing and is the same
    in all, or crop them to it, centred."""
    first_seed: CountOrZero = 0
    """Procedural: seed of the first chair, person or street to train on."""
    count: Count = 4000
    """Procedural: number of chairs, people or streets to train on."""
    cache: Path | None = None
    """Rendered datasets, ETH-80 and a folder: folder that keeps images across runs. Without one
    they are kept in memory as far as they fit there, else made for every batch."""
    truth: bool = False
    """Rendered datasets: true correspondences with every tuple."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_name(self.name)

    def facts(self, split: Split) -> dict[str, Any]:
        """Facts about a split for reports: the name, and those options that decide its images."""
        options = dataset_record(self.name).options
        given = {option: getattr(self, option) for option in _WHICH_IMAGES}
        given["first_seed"], given["count"] = self.seeds(split)
        kept = {"split": split} if split == "validation" else {}
        return {"name": self.name} | {k: v for k, v in given.items() if k in options} | kept

    def beside_training(self) -> DataConfig:
        """The configuration for the test split while the training split is open: without the cache
        if the dataset is procedural, as its cache holds one range of seeds."""
        return self if dataset_record(self.name).is_download else replace(self, cache=None)

    def shape(self, default: int | tuple[int, int]) -> tuple[int, int]:
        """Height and width, pixels."""
        size = default if self.size is None else self.size
        return (size, size) if isinstance(size, int) else size

    def side(self, default: int) -> int:
        """Height and width of square images, pixels; ValueError if they differ."""
        height, width = self.shape(default)
        if height != width:
            raise ValueError(f"these images are square, but size is {height} x {width}")
        return height

    def seeds(self, split: Split) -> tuple[int, int]:
        """First seed and count of a split of procedural things.

        Those of the test split are the given ones if they are held out, else ``count``, 64 at most,
        from :data:`.HELD_OUT_FIRST_SEED` on.

        Raises:
            ValueError: if something to train on is held out.
        """
        end = self.first_seed + self.count
        if split == "test":
            if end > HELD_OUT_FIRST_SEED:
                return self.first_seed, self.count
            return HELD_OUT_FIRST_SEED, min(64, self.count)
        if end > HELD_OUT_FIRST_SEED:
            raise ValueError(
                f"{self.name} from seed {HELD_OUT_FIRST_SEED} are held out for evaluation, so "
                f"seeds {self.first_seed}..{end - 1} cannot be trained on"
            )
        return self.first_seed, self.count


def trained_on(card: Path) -> DataConfig | None:
    """The dataset that the settings in a model card name, with its images as in training; None
    where they name none, as in a card that somebody edited."""
    if not card.is_file():
        return None
    text = card.read_text(encoding="utf-8")
    for block in re.findall(r"^```json\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL):
        try:
            data = json.loads(block)["data"]
            given = {name: data[name] for name in ("name", *_WHICH_IMAGES) if name in data}
            return DataConfig.from_dict(given)
        except (ValueError, RecursionError, KeyError, TypeError):
            continue
    return None


def open_dataset(config: DataConfig, split: Split) -> TupleDataset:
    """A split of the dataset that a configuration describes.

    Raises:
        FileNotFoundError: if a file or folder of the dataset is missing.
        ValueError: if a file is malformed, a field or the split does not go with the dataset, or
            something to train on is held out.

    Example:
        >>> from rfwarp.data import DataConfig, open_dataset
        >>> dataset = open_dataset(DataConfig("people", size=32, count=2), "train")
        >>> row = dataset.draw(seed=0, step=0, batch_size=1, sources=2)[0]
        >>> dataset.load(row).sources.shape
        torch.Size([2, 3, 32, 32])
        >>> open_dataset(DataConfig("kitti"), "train")
        Traceback (most recent call last):
            ...
        ValueError: kitti needs root, the folder of its files; get it from ...
    """
    record = dataset_record(config.name)
    if split == "validation" and not record.validates:
        raise ValueError(f"{config.name} has no validation split")
    for field in fields(config):
        allowed = field.name in ("name", "size", *record.options)
        if not allowed and getattr(config, field.name) != field.default:
            raise ValueError(
                f"{config.name} has no {field.name}; its options are size, "
                f"{', '.join(record.options)}"
            )
    if record.is_download and config.root is None:
        raise ValueError(f"{config.name} needs root, the folder of its files{source_note(record)}")
    return record.open(config, split)


def source_note(record: DatasetRecord) -> str:
    """Origin of a download, for the end of a message; empty if it is not known."""
    return f"; get it from {' and '.join(record.origins)}" if record.origins else ""
