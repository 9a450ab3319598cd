"""A generator against the baselines, on held-out tuples of sources and target."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rfwarp.data.tuples import Row, TupleDataset
from rfwarp.images import from_uint8
from rfwarp.metrics.baselines import mean_source, nearest_source
from rfwarp.metrics.images import ImageScores, score_images
from rfwarp.nn import Generator
from rfwarp.poses.kinds import POSE_KINDS, PoseKind


@dataclass(frozen=True)
class Scores:
    """Means over all target images; see :class:`rfwarp.metrics.ImageScores`."""

    psnr: float
    ssim: float
    l1: float


@dataclass(frozen=True)
class Evaluation:
    """Results with K = ``sources`` source images."""

    sources: int
    model: Scores
    nearest_source: Scores
    mean_source: Scores


METHODS = ("model", "nearest_source", "mean_source")


@torch.inference_mode()
def evaluate(
    generator: Generator,
    dataset: TupleDataset,
    sources: Sequence[int] = (1, 2, 4),
    sets: int = 256,
    seed: int = 0,
    *,
    batch_size: int = 16,
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
        progress: called with (sets done, sets) after each batch.

    Returns:
        One result for each K, in the given order.

    Raises:
        ValueError: if the generator takes other poses, a number is out of range, or the dataset has
            too few sources or a damaged file.
    """
    kind = POSE_KINDS[dataset.pose_kind]
    if generator.config.pose_channels != kind.channels or (
        generator.config.pose_kind not in (None, kind.name)
    ):
        raise ValueError(
            f"these pictures are posed by {kind.name} ({kind.channels} channels), but this model "
            f"takes {generator.config.pose_kind or 'poses'} "
            f"({generator.config.pose_channels} channels)"
        )
    if not sources or min(sources) < 1:
        raise ValueError(f"numbers of sources must be at least 1, got {tuple(sources)}")
    if sets < 1 or batch_size < 1:
        raise ValueError(f"sets and batch_size must be at least 1, got {sets} and {batch_size}")
    rows = dataset.evaluation_rows(seed, sets, max(sources))
    scores: dict[tuple[int, str], list[ImageScores]] = {}
    for begin in range(0, len(rows), batch_size):
        batch = _load(dataset, rows[begin : begin + batch_size])
        for k in sources:
            seen, poses = batch.sources[:, :k], batch.poses[:, :k]
            candidates = {
                "model": _generate(generator, kind, seen, poses, batch.target_poses),
                "nearest_source": nearest_source(seen, kind, poses, batch.target_poses),
                "mean_source": mean_source(seen),
            }
            for method, images in candidates.items():
                scores.setdefault((k, method), []).append(score_images(images, batch.targets))
        if progress is not None:
            progress(begin + len(batch.targets), len(rows))
    return [Evaluation(k, *(_mean(scores[k, method]) for method in METHODS)) for k in sources]


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


def _load(dataset: TupleDataset, rows: Sequence[Row]) -> _Batch:
    samples = [dataset.load(row) for row in rows]
    sources, poses, targets, target_poses = map(torch.stack, zip(*samples, strict=True))
    return _Batch(from_uint8(sources), poses, from_uint8(targets), target_poses)


def _generate(
    generator: Generator, kind: PoseKind, sources: Tensor, poses: Tensor, target_poses: Tensor
) -> Tensor:
    weight = next(generator.appearance.parameters())  # other parts can be in float32
    height, width = sources.shape[-2:]

    def maps(codes: Tensor) -> Tensor:
        return kind.expand(codes.to(weight.device), height, width).to(weight.dtype)

    return generator(sources.to(weight), maps(poses), maps(target_poses))


def _mean(batches: Sequence[ImageScores]) -> Scores:
    return Scores(*(float(torch.cat(values).mean()) for values in zip(*batches, strict=True)))
