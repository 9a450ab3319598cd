"""Datasets by name: what training, evaluation and their configuration files choose from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from rfwarp.data.tuples import TupleDataset

MEMORY = 2 << 30  # bytes of pictures that a set without a cache folder keeps
SIZE = 64  # of pictures that nobody gave a size


@dataclass(frozen=True)
class DataConfig:
    """Which pictures to train on."""

    name: Literal["chairs"] = "chairs"
    """Procedural chairs, posed by viewpoint."""
    size: int | None = None
    """Side of the pictures in pixels; without one 64."""
    first_seed: int = 0
    """Seed of the first training chair."""
    count: int = 4000
    """Number of training chairs."""
    cache: Path | None = None
    """Folder that keeps rendered pictures across runs. Without one they are kept in memory if they
    fit there, else rendered for every batch."""


def open_dataset(config: DataConfig, split: Literal["train", "test"]) -> TupleDataset:
    """The training split that a configuration describes, or held-out things of the same kind.

    The test split of chairs has ``count`` chairs of held-out seeds, 64 at most.

    Raises:
        ValueError: if a training chair is held out, or the cache folder is unfit.
    """
    from rfwarp.data.chairs import HELD_OUT_FIRST_SEED, ChairTuples, ProceduralChairs
    from rfwarp.poses import Viewpoint

    size = config.size or SIZE
    if split == "test":
        config = replace(config, first_seed=HELD_OUT_FIRST_SEED, count=min(64, config.count))
    elif config.first_seed + config.count > HELD_OUT_FIRST_SEED:
        raise ValueError(
            f"chairs from seed {HELD_OUT_FIRST_SEED} are held out for evaluation, so seeds "
            f"{config.first_seed}..{config.first_seed + config.count - 1} cannot be trained on"
        )
    views = sum(1 for _ in Viewpoint.grid())
    # Keeping some would not help: of thousands of chairs the wanted one is rarely among them.
    fits = views * 3 * size**2 * config.count <= MEMORY
    return ChairTuples(
        ProceduralChairs(
            config.first_seed,
            config.count,
            size,
            cache=config.cache,
            memory_chairs=config.count if fits else 0,
        )
    )
