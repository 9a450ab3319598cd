"""A generator against the baselines, on chairs and viewpoints drawn at random."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rfwarp.data import ChairViews, ViewSets, sample_view_sets
from rfwarp.images import from_uint8
from rfwarp.metrics.baselines import mean_source, nearest_source
from rfwarp.metrics.images import ImageScores, score_images
from rfwarp.nn import Generator
from rfwarp.poses import Viewpoint
from rfwarp.poses.encoding import tile


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
    views: ChairViews,
    sources: Sequence[int] = (1, 2, 4),
    sets: int = 256,
    seed: int = 0,
    *,
    batch_size: int = 16,
    progress: Callable[[int, int], None] | None = None,
) -> list[Evaluation]:
    """Scores of a generator and of two baselines for each number of sources.

    Every K sees the same chairs and the same targets, and fewer sources are a prefix of more; the
    target is never among the sources.

    Args:
        generator: in eval mode, for viewpoints (``pose_channels=21``); it runs where it is.
        views: chairs, of the size that the generator was trained at.
        sources: numbers of sources K.
        sets: number of random sets of sources and target.
        seed: of these sets.
        batch_size: sets that the generator works on at a time.
        progress: called with (sets done, sets) after each batch.

    Returns:
        One result for each K, in the given order.

    Raises:
        ValueError: if the generator takes other poses, a number is out of range, or the chairs have
            too few views.
    """
    if generator.config.pose_channels != Viewpoint.channels or (
        generator.config.pose_kind not in (None, Viewpoint.kind)
    ):
        raise ValueError(
            f"chairs are posed by viewpoint ({Viewpoint.channels} channels), but this model takes "
            f"{generator.config.pose_kind or 'poses'} ({generator.config.pose_channels} channels)"
        )
    if not sources or min(sources) < 1:
        raise ValueError(f"numbers of sources must be at least 1, got {tuple(sources)}")
    if sets < 1 or batch_size < 1:
        raise ValueError(f"sets and batch_size must be at least 1, got {sets} and {batch_size}")
    drawn = sample_view_sets(seed, 0, sets, max(sources), views.count, views.available)
    scores: dict[tuple[int, str], list[ImageScores]] = {}
    for begin in range(0, sets, batch_size):
        batch = ViewSets(*(part[begin : begin + batch_size] for part in drawn))
        pictures, target = load_sets(views, batch)
        for k in sources:
            candidates = {
                "model": _generate(generator, pictures[:, :k], batch.sources[:, :k], batch.targets),
                "nearest_source": nearest_source(
                    pictures[:, :k], batch.sources[:, :k], batch.targets
                ),
                "mean_source": mean_source(pictures[:, :k]),
            }
            for method, images in candidates.items():
                scores.setdefault((k, method), []).append(score_images(images, target))
        if progress is not None:
            progress(begin + len(target), sets)
    return [Evaluation(k, *(_mean(scores[k, method]) for method in METHODS)) for k in sources]


def load_sets(views: ChairViews, sets: ViewSets) -> tuple[Tensor, Tensor]:
    """Sources (N, K, 3, S, S) and targets (N, 3, S, S), float32 in [-1, 1]."""
    wanted = torch.cat([sets.sources, sets.targets[:, None]], dim=1)
    loaded = [views.views(int(c), row) for c, row in zip(sets.chairs, wanted, strict=True)]
    images = from_uint8(torch.stack(loaded))
    return images[:, :-1], images[:, -1]


def _generate(
    generator: Generator, sources: Tensor, source_views: Tensor, target_views: Tensor
) -> Tensor:
    parameter = next(generator.parameters())
    codes = Viewpoint.codes()
    height, width = sources.shape[-2:]

    def maps(indices: Tensor) -> Tensor:
        return tile(codes[indices].to(parameter), height, width)

    return generator(sources.to(parameter), maps(source_views), maps(target_views))


def _mean(batches: Sequence[ImageScores]) -> Scores:
    return Scores(*(float(torch.cat(values).mean()) for values in zip(*batches, strict=True)))
