"""Catalogue of datasets: one record each, read by every command, experiment, table and card."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from typing_extensions import Doc

from rfwarp.config import Config, Count, CountOrZero

if TYPE_CHECKING:
    from rfwarp.data.paper_results import PaperResult
    from rfwarp.data.report import Options, Progress, Report
    from rfwarp.data.tuples import TupleDataset

Split = Literal["train", "validation", "test"]
"""Few datasets have the second one, see :attr:`DatasetRecord.validates`."""

Background = Literal["photographed", "white"]

HELD_OUT_FIRST_SEED = 900_000
"""Seeds of procedural datasets below it are for training; from it on they are held out.

>>> from rfwarp.data import HELD_OUT_FIRST_SEED, DataConfig
>>> HELD_OUT_FIRST_SEED, DataConfig("chairs").seeds("test")
(900000, (900000, 64))
"""

OWN_LICENCE, OTHER_LICENCE = "apache-2.0", "other"
"""Of weights trained on rfwarp's own images, and on those of others: whoever trains on these must
say under what terms the weights may be used."""

DATASETS: dict[str, str | DatasetRecord] = {
    "chairs": "rfwarp.data.chairs.record",
    "people": "rfwarp.data.people.record",
    "furniture": "rfwarp.data.furniture.record",
    "eth80": "rfwarp.data.eth80",
    "deepfashion": "rfwarp.data.deepfashion",
    "market1501": "rfwarp.data.market1501",
    "shapenet-chairs": "rfwarp.data.shapenet",
    "kitti": "rfwarp.data.kitti",
    "voxceleb2": "rfwarp.data.voxceleb",
}
"""Every dataset by name: its record, or the module that has it as ``RECORD``, which is imported
when first asked for. This is the only list of datasets; a record put here is one more.

>>> from rfwarp.data import DATASETS
>>> list(DATASETS)[:3]
['chairs', 'people', 'furniture']
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
    """What its images show, in few words."""
    open: Callable[[DataConfig, Split], TupleDataset]
    """A split of it; the configuration has been checked against ``options``. Raises
    FileNotFoundError and ValueError as :func:`open_dataset` does."""
    options: tuple[str, ...]
    """Fields of :class:`DataConfig` that it reads besides ``name`` and ``size``. With ``root``,
    which must be given then, it is a download; with ``cache`` its images are made once and kept, at
    any size; with ``truth`` it can give true correspondences."""
    pose_kind: str
    """Key of :data:`rfwarp.poses.POSE_KINDS`."""
    max_sources: int | None
    """The largest K; None if that depends on how a download was prepared."""
    description: str
    """What a model card says of the data: ``{size}``, ``{first}`` and ``{last}`` are filled in with
    height and width and with the seeds of training."""
    limits: str
    """What a model that was trained on it cannot do, for model cards."""
    tag: str
    """Task of such a model, as model hubs name it."""
    image_files: str
    """Type of its image files, in words; "rendered" if there are none."""
    licence: str = OTHER_LICENCE
    """Of the weights of such a model, as the Hugging Face Hub names it."""
    origins: tuple[str, ...] = ()
    """Where to get it: links, or words."""
    prepare: Callable[[Path, Split, Options, Report, Progress], None] | None = None
    """Checks a split of a download and writes what opening it needs; None if nothing is to be
    done. See :func:`rfwarp.data.preparation.prepare` for what it raises."""
    validates: bool = False
    """Whether it has a split to choose by, which training shows and scores on the way; without
    one that is the test split."""
    lists_sets: bool = False
    """Whether its protocol lists the sets of sources and target to evaluate, rather than drawing
    them."""
    renderer_version: int | None = None
    """Of the program that renders its images: another one draws other images."""
    paper_results: tuple[PaperResult, ...] = ()
    """What the paper reports of it."""
    paper_protocol: str = ""
    """In what the paper's evaluation differs from ours unless options change that, in words."""

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


def check_name(name: str) -> None:
    """Raise ValueError, with the names there are, unless a dataset has this one."""
    if name not in DATASETS:
        raise ValueError(f"no dataset {name!r}; there are {', '.join(DATASETS)}")


# Not in the annotation itself: Sphinx cannot read a module with an f-string there.
_NAMES = Doc(f"Name of the dataset: {', '.join(DATASETS)}.")


@dataclass(frozen=True)
class DataConfig(Config):
    """A dataset, and what of it is used.

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
    """Folder of the download, see rfwarp prepare; what is procedural needs none."""
    size: Count | tuple[Count, Count] | None = None
    """Side of the images, or height and width, pixels; without it the protocol's, or 64."""
    tuples: Count | None = None
    """People in photographs: K of the file of tuples to use; without it the largest prepared."""
    align: bool = False
    """People in photographs: scale and move the sources' people onto the target's, as in the
    paper's evaluation."""
    category: str | None = None
    """Furniture: seats, or a category of the catalogue, such as kitchen. ETH-80: one or several,
    such as apple,pear. Without it everything."""
    background: Background = "photographed"
    """ETH-80: as photographed, or white outside the masks."""
    first_seed: CountOrZero = 0
    """Procedural: seed of the first one to train on."""
    count: Count = 4000
    """Procedural: how many to train on."""
    cache: Path | None = None
    """Of what is rendered, and of ETH-80: folder that keeps images across runs. Without one they
    are kept in memory as far as they fit there, else made for every batch."""
    truth: bool = False
    """Of what is rendered: true correspondences with every tuple."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_name(self.name)

    def facts(self, split: Split) -> dict[str, Any]:
        """What a report says of a split: the name, and those options that decide its images."""
        options = dataset_record(self.name).options
        names = ("tuples", "align", "category", "background")
        given = {option: getattr(self, option) for option in names}
        given["first_seed"], given["count"] = self.seeds(split)
        kept = {"split": split} if split == "validation" else {}
        return {"name": self.name} | {k: v for k, v in given.items() if k in options} | kept

    def beside_training(self) -> DataConfig:
        """For the test split while the training split is open: only a download's cache has room for
        both, that of what is procedural holds one range of seeds."""
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
        ValueError: kitti needs root, the folder of the download; get it from ...
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
        raise ValueError(
            f"{config.name} needs root, the folder of the download{source_note(record)}"
        )
    return record.open(config, split)


def source_note(record: DatasetRecord) -> str:
    """Where a download comes from, for the end of a message; empty if that is not known."""
    return f"; get it from {' and '.join(record.origins)}" if record.origins else ""
