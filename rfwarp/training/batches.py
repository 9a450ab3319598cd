"""Training batches as a pure function of the step, so that a run resumes exactly."""

from __future__ import annotations

from typing import TypedDict

import torch
from torch import Tensor
from torch.utils.data import Dataset

from rfwarp.data.tuples import TupleDataset
from rfwarp.training.config import TrainConfig


class Batch(TypedDict):
    """N tuples with one K.

    ``sources`` (N, K, 3, H, W) and ``target`` (N, 3, H, W) uint8; ``poses`` (N, K, *code) and
    ``target_pose`` (N, *code), which :data:`rfwarp.poses.kinds.POSE_KINDS` makes maps of.
    """

    sources: Tensor
    poses: Tensor
    target: Tensor
    target_pose: Tensor


class TupleBatches(Dataset[Batch]):
    """Item i is what one process reads for step i: K and the rows are drawn from (seed, i) alone.

    All processes draw the same rows and each reads its own share, so that P processes with N
    samples each see what one process with P * N samples sees.

    Args:
        length: number of steps.
        process, processes: whose share of how many.
    """

    def __init__(
        self,
        dataset: TupleDataset,
        config: TrainConfig,
        length: int,
        process: int = 0,
        processes: int = 1,
    ) -> None:
        self.dataset = dataset
        self.config = config
        self.length = length
        self.process, self.processes = process, processes

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, step: int) -> Batch:
        c = self.config
        choice = torch.Generator().manual_seed(c.seed * 1_000_003 + step)
        k = c.sources[int(torch.randint(len(c.sources), (), generator=choice))]
        share = c.batch_size * c.accumulate
        rows = self.dataset.draw(c.seed, step, share * self.processes, k)
        ours = rows[share * self.process : share * (self.process + 1)]
        samples = [self.dataset.load(row) for row in ours]
        return {
            "sources": torch.stack([s.sources for s in samples]),
            "poses": torch.stack([s.poses for s in samples]),
            "target": torch.stack([s.target for s in samples]),
            "target_pose": torch.stack([s.target_pose for s in samples]),
        }


def check_dataset(dataset: TupleDataset, config: TrainConfig) -> None:
    """Raise ValueError unless the networks can take its pictures, and it has enough sources."""
    name, size = config.data.name, (dataset.height, dataset.width)
    if any(side < 64 or side % 32 for side in size):
        raise ValueError(
            "sides of pictures must be multiples of 32, at least 64, but those of "
            f"{name} are {size[0]} x {size[1]}: choose another data.size"
        )
    if max(config.sources) > dataset.max_sources:
        raise ValueError(
            f"sources of {name} must be in 1..{dataset.max_sources}, got {config.sources}"
        )


def split(batch: Batch, parts: int) -> list[Batch]:
    """The batch in equal parts, in order; its size must be a multiple of their number."""
    pieces = {name: value.chunk(parts) for name, value in batch.items()}  # type: ignore[attr-defined]
    return [
        {
            "sources": pieces["sources"][i],
            "poses": pieces["poses"][i],
            "target": pieces["target"][i],
            "target_pose": pieces["target_pose"][i],
        }
        for i in range(parts)
    ]
