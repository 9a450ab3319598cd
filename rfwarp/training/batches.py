"""Training batches as a pure function of the step, so that a run resumes exactly."""

from __future__ import annotations

from typing import NamedTuple, TypedDict, cast

import torch
from torch import Tensor
from torch.utils.data import Dataset

from rfwarp.data.sampling import generator
from rfwarp.data.truth import Truth, stack
from rfwarp.data.tuples import TupleDataset
from rfwarp.training.config import TrainConfig


class Images(TypedDict):
    """The fields of every batch, see :class:`Batch`."""

    sources: Tensor
    poses: Tensor
    target: Tensor
    target_pose: Tensor


class Batch(Images, total=False):
    """N tuples with one K.

    ``sources`` (N, K, 3, H, W) and ``target`` (N, 3, H, W) uint8; ``poses`` (N, K, *code) and
    ``target_pose`` (N, *code), which :data:`rfwarp.poses.kinds.POSE_KINDS` makes maps of.

    With ``data.truth``: the fields of :class:`rfwarp.data.Truth`, and ``taught`` (N,) bool:
    whether the sample is made from true flows.
    """

    flow: Tensor
    visible: Tensor
    foreground: Tensor
    depth: Tensor
    taught: Tensor


def truth_of(batch: Batch) -> Truth | None:
    """The true correspondences of a batch that has them."""
    if "flow" not in batch:
        return None
    return Truth(batch["flow"], batch["visible"], batch["foreground"], batch.get("depth"))


class Recolouring(NamedTuple):
    """Other colours for the images of one sample, see :attr:`TrainConfig.recoloured`."""

    channels: Tensor
    table: Tensor

    @classmethod
    def draw(cls, share: float, generator: torch.Generator) -> Recolouring:
        """With probability ``share`` at random, else the colours as they are; the generator moves
        on equally."""
        channels = torch.randperm(3, generator=generator)
        chance, exponent = torch.rand(2, generator=generator).tolist()
        if chance >= share:
            return cls(torch.arange(3), torch.arange(256, dtype=torch.uint8))
        levels = torch.linspace(0, 1, 256) ** (2 ** (2 * exponent - 1))
        return cls(channels, (levels * 255).round().to(torch.uint8))

    def __call__(self, images: Tensor) -> Tensor:
        """(..., 3, H, W) uint8 images in these colours."""
        return self.table[images.index_select(-3, self.channels).long()]


class TupleBatches(Dataset[Batch]):
    """Batches of one process, item i for step i: K and the rows are drawn from (seed, i) alone.

    All processes draw the same rows and each reads its own share, so that P processes with N
    samples each see what one process with P * N samples sees.

    Args:
        length: number of steps.
        process, processes: number of this process, and of processes.
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
        ours = slice(share * self.process, share * (self.process + 1))
        samples = [self.dataset.load(row) for row in rows[ours]]
        batch: Batch = {
            "sources": torch.stack([s.sources for s in samples]),
            "poses": torch.stack([s.poses for s in samples]),
            "target": torch.stack([s.target for s in samples]),
            "target_pose": torch.stack([s.target_pose for s in samples]),
        }
        if c.recoloured:
            seed = int(generator(c.seed, step, "colours").integers(2**62))
            colours = torch.Generator().manual_seed(seed)  # not the stream that chose K
            drawn = [Recolouring.draw(c.recoloured, colours) for _ in rows][ours]
            for name in ("sources", "target"):
                batch[name] = torch.stack([r(x) for r, x in zip(drawn, batch[name], strict=True)])
        if c.data.truth:
            truth = stack([cast(Truth, s.truth) for s in samples])
            known = {name: x for name, x in truth._asdict().items() if x is not None}
            left = 1 - (step - c.flow_steps) / c.teacher_steps if c.teacher_steps else 0.0
            taught = torch.rand(len(rows), generator=choice) < left
            batch |= cast(Batch, {**known, "taught": taught[ours]})
        return batch


def check_dataset(dataset: TupleDataset, config: TrainConfig) -> None:
    """Raise ValueError unless the networks can take its images, and it has enough sources."""
    name, size = config.data.name, (dataset.height, dataset.width)
    if any(side < 64 or side % 32 for side in size):
        raise ValueError(
            "sides of images must be multiples of 32, at least 64, but those of "
            f"{name} are {size[0]} x {size[1]}: choose another data.size"
        )
    if max(config.sources) > dataset.max_sources:
        raise ValueError(
            f"sources of {name} must be in 1..{dataset.max_sources}, got {config.sources}"
        )


def split(batch: Batch, parts: int) -> list[Batch]:
    """The batch in equal parts, in order; its size must be a multiple of their number."""
    pieces = {name: cast(Tensor, value).chunk(parts) for name, value in batch.items()}
    return [cast(Batch, {name: piece[i] for name, piece in pieces.items()}) for i in range(parts)]
