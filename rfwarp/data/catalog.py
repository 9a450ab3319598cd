"""Datasets by name: what training, evaluation and their configuration files choose from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rfwarp.config import Config, Count, CountOrZero

if TYPE_CHECKING:
    from rfwarp.data.tuples import TupleDataset

MEMORY = 2 << 30  # bytes of pictures that a set without a cache folder keeps
SIZE = 64  # of chairs that nobody gave a size
PEOPLE = ("deepfashion", "market1501")  # photographs of them
PROCEDURAL = ("chairs", "people")


Name = Literal[
    "chairs", "people", "deepfashion", "market1501", "shapenet-chairs", "kitti", "voxceleb2"
]


@dataclass(frozen=True)
class DataConfig(Config):
    """Which pictures to train on."""

    name: Name = "chairs"
    """Procedural chairs or people, or a dataset of the paper that was downloaded and prepared."""
    root: Path | None = None
    """Folder of the download, see rfwarp prepare; what is procedural needs none."""
    size: Count | tuple[Count, Count] | None = None
    """Side of the pictures, or height and width, pixels; without it the protocol's, or 64."""
    tuples: Count | None = None
    """deepfashion, market1501: K of the file of tuples to use; without it the largest prepared."""
    align: bool = False
    """deepfashion, market1501: scale and move the sources' people onto the target's, as in the
    paper's evaluation."""
    first_seed: CountOrZero = 0
    """chairs, people: seed of the first one to train on."""
    count: Count = 4000
    """chairs, people: how many to train on."""
    cache: Path | None = None
    """chairs, people: folder that keeps pictures across runs. Without one they are kept in memory
    as far as they fit there, else rendered for every batch."""
    truth: bool = False
    """chairs, people: true correspondences with every tuple."""


def open_dataset(config: DataConfig, split: Literal["train", "test"]) -> TupleDataset:
    """A split of the dataset that a configuration describes.

    The test split of what is procedural has ``count`` things of held-out seeds, 64 at most.

    Raises:
        FileNotFoundError: if a file or folder of the dataset is missing.
        ValueError: if a file is malformed, a field does not go with the dataset, or something to
            train on is held out.
    """
    if config.name not in PEOPLE:
        for field in ("tuples", "align"):
            if getattr(config, field):
                raise ValueError(f"{field} is for {' and '.join(PEOPLE)}, not for {config.name}")
    if config.truth and config.name not in PROCEDURAL:
        raise ValueError(f"{config.name} has no true correspondences: truth is for {PROCEDURAL}")
    if config.name in PROCEDURAL:
        if config.root is not None:
            raise ValueError(f"procedural {config.name} have no root, got {config.root}")
        return _procedural(_held_apart(config, split))
    if config.root is None:
        raise ValueError(f"{config.name} needs root, the folder of the download")
    return _downloaded(config, config.root, split)


def _downloaded(config: DataConfig, root: Path, split: Literal["train", "test"]) -> TupleDataset:
    if config.name in PEOPLE:
        from rfwarp.data.people_pictures import DEEPFASHION, MARKET1501, PeoplePictures

        layout = DEEPFASHION if config.name == "deepfashion" else MARKET1501
        size = None if config.size is None else _pair(config.size)
        return PeoplePictures(layout, root, split, config.tuples, size, config.align)
    if config.name == "kitti":
        from rfwarp.data.kitti import KittiFrames

        return KittiFrames(root, split, _pair(config.size or 256))
    if config.name == "shapenet-chairs":
        from rfwarp.data.chairs import ChairTuples
        from rfwarp.data.shapenet import ShapeNetChairs

        return ChairTuples(ShapeNetChairs(root, split, _side(config.size or 256)))
    from rfwarp.data.voxceleb import VoxCelebVideos

    return VoxCelebVideos(root, split, _side(config.size or 224))


def _pair(size: int | tuple[int, int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else size


def _side(size: int | tuple[int, int]) -> int:
    height, width = _pair(size)
    if height != width:
        raise ValueError(f"these pictures are square, but size is {height} x {width}")
    return height


def _held_apart(config: DataConfig, split: Literal["train", "test"]) -> DataConfig:
    """The seeds of a split."""
    from rfwarp.data.seeds import HELD_OUT_FIRST_SEED

    if split == "test":
        return replace(config, first_seed=HELD_OUT_FIRST_SEED, count=min(64, config.count))
    if config.first_seed + config.count > HELD_OUT_FIRST_SEED:
        raise ValueError(
            f"{config.name} from seed {HELD_OUT_FIRST_SEED} are held out for evaluation, so seeds "
            f"{config.first_seed}..{config.first_seed + config.count - 1} cannot be trained on"
        )
    return config


def _procedural(config: DataConfig) -> TupleDataset:
    from rfwarp.data.chairs import ChairTuples, ProceduralChairs
    from rfwarp.data.people import VIEWS, ProceduralPeople, person_bytes
    from rfwarp.poses import Viewpoint

    size = config.size or SIZE
    height, width = _pair(size)
    if config.name == "people":
        fits = MEMORY // person_bytes(VIEWS, height, width, config.truth)
        return ProceduralPeople(
            config.first_seed,
            config.count,
            size,
            cache=config.cache,
            memory_people=max(1, min(fits, config.count)),
            truth=config.truth,
        )
    views = sum(1 for _ in Viewpoint.grid())
    # Keeping some would not help: of thousands of chairs the wanted one is rarely among them.
    kept = config.count if views * 3 * height * width * config.count <= MEMORY else 0
    chairs = ProceduralChairs(
        config.first_seed, config.count, _side(size), cache=config.cache, memory_chairs=kept
    )
    return ChairTuples(chairs, truth=config.truth)
