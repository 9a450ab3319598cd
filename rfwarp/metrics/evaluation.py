"""A generator against the baselines, on held-out tuples of sources and target."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from rfwarp.data.tuples import Row, Sample, TupleDataset
from rfwarp.images import from_uint8
from rfwarp.metrics.baselines import mean_source, nearest_source
from rfwarp.metrics.judges import Judges, Jury, Scores
from rfwarp.metrics.masks import Mask, mask_of_target
from rfwarp.nn import Generator
from rfwarp.poses.kinds import POSE_KINDS, PoseKind

logger = logging.getLogger(__name__)

METHODS = ("model", "nearest_source", "mean_source")
NO_JUDGES = Judges()
RELIABLE = 2048  # pictures: with fewer, the covariance of as many features is singular


@dataclass(frozen=True)
class Evaluation:
    """Results with K = ``sources`` source images, of ``sets`` targets."""

    sources: int
    sets: int
    """Fewer than asked for if the dataset has fewer."""
    model: Scores
    nearest_source: Scores
    mean_source: Scores

    def to_dict(self) -> dict[str, Any]:
        """As JSON-able values, without scores that were not asked for."""
        scores = {
            method: {k: v for k, v in asdict(getattr(self, method)).items() if v is not None}
            for method in METHODS
        }
        return {"sources": self.sources, **scores}


@torch.inference_mode()
def evaluate(
    generator: Generator,
    dataset: TupleDataset,
    sources: Sequence[int] = (1, 2, 4),
    sets: int = 256,
    seed: int = 0,
    *,
    batch_size: int = 16,
    judges: Judges = NO_JUDGES,
    progress: Callable[[int, int], None] | None = None,
) -> list[Evaluation]:
    """Scores of a generator and of two baselines for each number of sources.

    Every K sees the same targets, and fewer sources are a prefix of more; the target is never
    among the sources.

    Args:
        generator: in eval mode, for the dataset's kind of pose; it runs where it is.
        dataset: pictures of the size that the generator was trained at.
        sources: numbers of sources K.
        sets: number of sets of sources and target, see :meth:`TupleDataset.evaluation_rows`; fewer
            if the dataset has fewer.
        seed: of these sets, where they are drawn.
        batch_size: sets that the generator works on at a time.
        judges: networks for more scores.
        progress: called with (sets done, sets) after each batch.

    Returns:
        One result for each K, in the given order.

    Raises:
        ValueError: if the generator takes other poses, a number is out of range, the dataset has
            too few sources or a damaged file, or the judges do not fit it.
    """
    kind = POSE_KINDS[dataset.pose_kind]
    _check(generator, kind, judges)
    if not sources or min(sources) < 1:
        raise ValueError(f"numbers of sources must be at least 1, got {tuple(sources)}")
    if sets < 1 or batch_size < 1:
        raise ValueError(f"sets and batch_size must be at least 1, got {sets} and {batch_size}")
    rows = dataset.evaluation_rows(seed, sets, max(sources))
    if judges.inception is not None:
        _check_count(len(rows))
    jury = Jury(judges, dataset.height, dataset.width)
    for begin in range(0, len(rows), batch_size):
        batch = _load(dataset, rows[begin : begin + batch_size], judges.mask)
        jury.see(batch.targets, batch.masks)
        for k in dict.fromkeys(sources):
            seen, poses = batch.sources[:, :k], batch.poses[:, :k]
            jury.judge((k, "model"), paint(generator, kind, seen, poses, batch.target_poses))
            nearest = nearest_source(seen, kind, poses, batch.target_poses)
            jury.judge((k, "nearest_source"), nearest)
            jury.judge((k, "mean_source"), mean_source(seen))
        if progress is not None:
            progress(begin + len(batch.targets), len(rows))
    return [Evaluation(k, len(rows), *(jury.scores((k, m)) for m in METHODS)) for k in sources]


def _check(generator: Generator, kind: PoseKind, judges: Judges) -> None:
    if generator.config.pose_channels != kind.channels or (
        generator.config.pose_kind not in (None, kind.name)
    ):
        raise ValueError(
            f"these pictures are posed by {kind.name} ({kind.channels} channels), but this model "
            f"takes {generator.config.pose_kind or 'poses'} "
            f"({generator.config.pose_channels} channels)"
        )
    if judges.mask is mask_of_target and kind.name != "keypoints":
        raise ValueError(
            "masked LPIPS needs people posed by keypoints, or a mask of your own, but these "
            f"pictures are posed by {kind.name}"
        )


def _check_count(sets: int) -> None:
    if sets < 2:
        raise ValueError(f"FID needs at least 2 sets, got {sets}")
    if sets < RELIABLE:
        logger.warning(
            "FID of %d pictures is higher than of many: compare it with that of other methods "
            "here, not with published numbers",
            sets,
        )


@dataclass(frozen=True)
class _Batch:
    sources: Tensor
    """(N, K, 3, H, W) float32 in [-1, 1]."""
    poses: Tensor
    """Codes (N, K, *code)."""
    targets: Tensor
    """(N, 3, H, W) float32 in [-1, 1]."""
    target_poses: Tensor
    """Codes (N, *code)."""
    masks: Tensor | None
    """(N, H, W) bool."""


def _load(dataset: TupleDataset, rows: Sequence[Row], mask: Mask | None) -> _Batch:
    samples = [dataset.load(row) for row in rows]
    sources, poses, targets, target_poses = map(torch.stack, zip(*samples, strict=True))
    masks = (
        None
        if mask is None
        else torch.stack([_mask(mask, *x) for x in zip(rows, samples, strict=True)])
    )
    return _Batch(from_uint8(sources), poses, from_uint8(targets), target_poses, masks)


def _mask(mask: Mask, row: Row, sample: Sample) -> Tensor:
    made = mask(row, sample)
    if made.dtype != torch.bool or made.shape != sample.target.shape[-2:]:
        raise ValueError(
            f"a mask must be bool {tuple(sample.target.shape[-2:])}, "
            f"got {made.dtype} {tuple(made.shape)}"
        )
    return made


def paint(
    generator: Generator, kind: PoseKind, sources: Tensor, poses: Tensor, target_poses: Tensor
) -> Tensor:
    """Images (N, 3, H, W) of sources (N, K, 3, H, W) and codes of poses, on the generator's device.

    Sources are in [-1, 1]; everything is brought to where the generator is, in its precision.
    """
    weight = next(generator.appearance.parameters())  # other parts can be in float32
    height, width = sources.shape[-2:]

    def maps(codes: Tensor) -> Tensor:
        return kind.expand(codes.to(weight.device), height, width).to(weight.dtype)

    return generator(sources.to(weight), maps(poses), maps(target_poses))
