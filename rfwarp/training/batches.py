"""Training batches as a pure function of the step, so that a run resumes exactly."""

from __future__ import annotations

from typing import TypedDict

import torch
from torch import Tensor
from torch.utils.data import Dataset

from rfwarp.data import ChairViews, sample_view_sets
from rfwarp.poses import Viewpoint
from rfwarp.training.config import TrainConfig


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
    """Item i is the whole batch of step i: K, chairs and views are drawn from (seed, i) alone."""

    def __init__(self, views: ChairViews, config: TrainConfig, length: int) -> None:
        self.views = views
        self.config = config
        self.length = length
        self.codes = torch.stack([view.vector() for view in Viewpoint.grid()])

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, step: int) -> Batch:
        c = self.config
        choice = torch.Generator().manual_seed(c.seed * 1_000_003 + step)
        k = c.sources[int(torch.randint(len(c.sources), (), generator=choice))]
        chairs, source_views, target_views = sample_view_sets(
            seed=c.seed, step=step, batch_size=c.batch_size, sources=k, chairs=c.chairs
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
