"""A generator against the baselines, on held-out tuples of sources and target."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from rfwarp.data import truth as correspondence
from rfwarp.data.truth import Truth
from rfwarp.data.tuples import Row, Sample, TupleDataset
from rfwarp.images import from_uint8
from rfwarp.metrics.baselines import mean_source, nearest_source, warped_by_truth
from rfwarp.metrics.flow import WarpMeasures, WarpScores
from rfwarp.metrics.judges import Judges, Jury, Scores
from rfwarp.metrics.masks import Mask, mask_of_target
from rfwarp.nn import Generator
from rfwarp.poses.kinds import POSE_KINDS, PoseKind

logger = logging.getLogger(__name__)

METHODS = ("model", "nearest_source", "mean_source", "warped_by_truth")
NO_JUDGES = Judges()
RELIABLE = 2048  # pictures: with fewer, the covariance of as many features is singular


@dataclass(frozen=True)
class Evaluation:
    """Results with K = ``sources`` source images, of ``sets`` targets.

    The last two need a dataset that gives true correspondences.
    """

    sources: int
    sets: int
    """Fewer than asked for if the dataset has fewer."""
    model: Scores
    nearest_source: Scores
    mean_source: Scores
    warped_by_truth: Scores | None = None
    """Of the sources warped by the true flow: see :func:`rfwarp.metrics.baselines.warped_by_truth`;
    the model's own pixels are in its place where no source shows the point."""
    warp: WarpScores | None = None
    """Of the model's flow, occlusion and attention."""

    def to_dict(self) -> dict[str, Any]:
        """As JSON-able values, without scores that were not asked for.

        Those of ``warp`` are the model's; what could not be judged is None there.
        """
        scores: dict[str, dict[str, Any]] = {
            method: {k: v for k, v in asdict(given).items() if v is not None}
            for method in METHODS
            if (given := getattr(self, method)) is not None
        }
        if self.warp is not None:
            scores["model"] |= asdict(self.warp)
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
    among the sources. If the dataset gives true correspondences, the warp is judged by them too.

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
            too few sources, a damaged file or truth of some sets only, or the judges do not fit it.
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
    warps = {k: WarpMeasures(dataset.height) for k in sources}
    truths = 0
    for begin in range(0, len(rows), batch_size):
        batch = _load(dataset, rows[begin : begin + batch_size], judges.mask)
        truths += 0 if batch.truth is None else len(batch.targets)
        foreground = None if batch.truth is None else batch.truth.foreground
        jury.see(batch.targets, batch.masks, foreground)
        for k in warps:
            _judge(generator, kind, batch, k, jury, warps[k])
        if progress is not None:
            progress(begin + len(batch.targets), len(rows))
    if truths not in (0, len(rows)):
        raise ValueError(f"only {truths} of {len(rows)} sets have truth")
    return [_result(k, len(rows), jury, warps[k] if truths else None) for k in sources]


def _judge(
    generator: Generator, kind: PoseKind, batch: _Batch, k: int, jury: Jury, warp: WarpMeasures
) -> None:
    """All methods, with the first k sources of a batch."""
    sources, poses = batch.sources[:, :k], batch.poses[:, :k]
    inputs = network_inputs(generator, kind, sources, poses, batch.target_poses)
    if batch.truth is None:
        image = generator(*inputs)
    else:
        image, levels = generator(*inputs, return_maps=True)
        whole = batch.truth
        truth = whole._replace(flow=whole.flow[:, :k], visible=whole.visible[:, :k])
        warp.add(levels, truth)
        oracle = warped_by_truth(sources, truth, image.float().cpu())
        jury.judge((k, "warped_by_truth"), oracle)
    jury.judge((k, "model"), image)
    jury.judge((k, "nearest_source"), nearest_source(sources, kind, poses, batch.target_poses))
    jury.judge((k, "mean_source"), mean_source(sources))


def _result(k: int, sets: int, jury: Jury, warp: WarpMeasures | None) -> Evaluation:
    model, nearest, mean = (jury.scores((k, method)) for method in METHODS[:3])
    if warp is None:
        return Evaluation(k, sets, model, nearest, mean)
    oracle = jury.scores((k, "warped_by_truth"))
    return Evaluation(k, sets, model, nearest, mean, oracle, warp.scores())


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
    truth: Truth | None


def _load(dataset: TupleDataset, rows: Sequence[Row], mask: Mask | None) -> _Batch:
    samples = [dataset.load(row) for row in rows]
    truths = [sample.truth for sample in samples if sample.truth is not None]
    if truths and len(truths) < len(samples):
        raise ValueError(f"only {len(truths)} of {len(samples)} sets have truth")
    masks = (
        None
        if mask is None
        else torch.stack([_mask(mask, *x) for x in zip(rows, samples, strict=True)])
    )
    truth = correspondence.stack(truths) if truths else None
    return _Batch(
        from_uint8(torch.stack([x.sources for x in samples])),
        torch.stack([x.poses for x in samples]),
        from_uint8(torch.stack([x.target for x in samples])),
        torch.stack([x.target_pose for x in samples]),
        masks,
        truth,
    )


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
    """Images (N, 3, H, W) on the generator's device; arguments as of :func:`network_inputs`."""
    return generator(*network_inputs(generator, kind, sources, poses, target_poses))


def network_inputs(
    generator: Generator, kind: PoseKind, sources: Tensor, poses: Tensor, target_poses: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """What a generator takes, where it is and in its precision: sources, poses, target poses.

    Args:
        sources: (N, K, 3, H, W) in [-1, 1].
        poses: codes (N, K, *code).
        target_poses: codes (N, *code).
    """
    weight = next(generator.appearance.parameters())  # other parts can be in float32
    height, width = sources.shape[-2:]

    def maps(codes: Tensor) -> Tensor:
        return kind.expand(codes.to(weight.device), height, width).to(weight.dtype)

    return sources.to(weight), maps(poses), maps(target_poses)
