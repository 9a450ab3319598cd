"""Training batches as a pure function of the step, so that a run resumes exactly."""

from __future__ import annotations

from typing import TypedDict

import torch
from torch import Tensor
from torch.utils.data import Dataset

from rfwarp.data import HELD_OUT_FIRST_SEED, ChairViews, ProceduralChairs, sample_view_sets
from rfwarp.poses import Viewpoint
from rfwarp.training.config import TrainConfig

MEMORY = 2 << 30  # bytes of pictures that a run without a cache folder keeps


class Batch(TypedDict):
    """One training batch.

    ``sources`` (N, K, 3, S, S) and ``target`` (N, 3, S, S) uint8; ``poses`` (N, K, 21) and
    ``target_pose`` (N, 21) float32 viewpoint codes, to be tiled over the image.
    """

    sources: Tensor
    poses: Tensor
    target: Tensor
    target_pose: Tensor


class ViewBatches(Dataset[Batch]):
    """Item i is the whole batch of step i: K, chairs and views are drawn from (seed, i) alone.

    Args:
        length: number of steps.
        process, processes: in data-parallel training each process draws batches of its own, with
            the K that all share.
    """

    def __init__(
        self,
        views: ChairViews,
        config: TrainConfig,
        length: int,
        process: int = 0,
        processes: int = 1,
    ) -> None:
        self.views = views
        self.config = config
        self.length = length
        self.process, self.processes = process, processes
        self.codes = Viewpoint.codes()

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, step: int) -> Batch:
        c = self.config
        choice = torch.Generator().manual_seed(c.seed * 1_000_003 + step)
        k = c.sources[int(torch.randint(len(c.sources), (), generator=choice))]
        chairs, source_views, target_views = sample_view_sets(
            seed=c.seed,
            step=step * self.processes + self.process,
            batch_size=c.batch_size,
            sources=k,
            chairs=c.chairs,
        )
        wanted = torch.cat([source_views, target_views[:, None]], dim=1)
        pictures = torch.stack(
            [self.views.views(int(chair), row) for chair, row in zip(chairs, wanted, strict=True)]
        )
        return {
            "sources": pictures[:, :k],
            "poses": self.codes[source_views],
            "target": pictures[:, k],
            "target_pose": self.codes[target_views],
        }


def training_chairs(config: TrainConfig) -> ProceduralChairs:
    """The chairs of a run: without a cache folder all are kept in memory, or none if too many.

    Keeping some would not help: with thousands of chairs the wanted one is rarely among them.

    Raises:
        ValueError: if one of them is held out, or the cache folder is unfit.
    """
    if config.first_seed + config.chairs > HELD_OUT_FIRST_SEED:
        raise ValueError(
            f"chairs from seed {HELD_OUT_FIRST_SEED} are held out for evaluation, so seeds "
            f"{config.first_seed}..{config.first_seed + config.chairs - 1} cannot be trained on"
        )
    views = sum(1 for _ in Viewpoint.grid())
    needed = views * 3 * config.size**2 * config.chairs * max(1, config.workers)
    return ProceduralChairs(
        config.first_seed,
        config.chairs,
        config.size,
        cache=config.cache,
        memory_chairs=config.chairs if needed <= MEMORY else 0,
    )
