"""A generator against the baselines, on held-out tuples of sources and target."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from rfwarp.data import truth as correspondence
from rfwarp.data.truth import Truth
from rfwarp.data.tuples import Row, Sample, TupleDataset
from rfwarp.images import from_uint8
from rfwarp.metrics.accumulate import ImageMetrics, Scores
from rfwarp.metrics.baselines import mean_source, nearest_source, warped_by_truth
from rfwarp.metrics.config import EvaluationConfig
from rfwarp.metrics.flow import WarpMeasures, WarpScores
from rfwarp.metrics.masks import Mask, mask_of_target
from rfwarp.metrics.networks import MetricNetworks
from rfwarp.nn import Generator
from rfwarp.poses.kinds import POSE_KINDS, PoseKind

logger = logging.getLogger(__name__)

METHODS = ("model", "nearest_source", "mean_source", "warped_by_truth")
DEFAULT = EvaluationConfig()
RELIABLE = 2048  # images: with fewer, the covariance of as many features is singular


@dataclass(frozen=True)
class Evaluation:
    """Results with K = ``sources`` source images, of ``sets`` targets.

    The last two need a dataset that gives true correspondences.

    Example:
        >>> from rfwarp.metrics import Evaluation, Scores
        >>> scores = Scores(psnr=24.0, ssim=0.9, l1=0.02)
        >>> Evaluation(1, 256, scores, scores, scores).to_dict()["model"]  # what was asked for
        {'psnr': 24.0, 'ssim': 0.9, 'l1': 0.02}
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
    config: EvaluationConfig = DEFAULT,
    *,
    networks: MetricNetworks | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Evaluation]:
    """Scores of a generator and of two baselines for each number of sources.

    Every K sees the same targets, and fewer sources are a prefix of more; the target is never
    among the sources. If the dataset gives true correspondences, the warp is scored by them too.

    Args:
        generator: in eval mode, for the dataset's kind of pose; it runs where it is.
        dataset: images of the size that the generator was trained at.
        config: how many sets, with which numbers of sources, and which scores.
        networks: of those scores, with masks or real images of your own; None opens those that
            ``config.metrics`` names, on the generator's device.
        progress: called with (sets done, sets) after each batch.

    Returns:
        One result for each K of ``config.sources``, in that order.

    Raises:
        ValueError: if the generator takes other poses, the dataset has too few sources, a damaged
            file or truth of some sets only, or the networks do not fit it.
        FileNotFoundError: if weights of a network are not there.

    Example:
        >>> from rfwarp import Generator
        >>> from rfwarp.data import ChairTuples, ProceduralChairs
        >>> from rfwarp.metrics import EvaluationConfig, evaluate
        >>> generator = Generator.from_pretrained("chairs-64")
        >>> dataset = ChairTuples(ProceduralChairs(900_000, 1, size=64, memory_chairs=0))
        >>> (result,) = evaluate(generator, dataset, EvaluationConfig(sources=(2,), sets=2))
        >>> result.sources, result.model.psnr > result.mean_source.psnr
        (2, True)
    """
    kind = POSE_KINDS[dataset.pose_kind]
    if networks is None:
        device = next(generator.parameters()).device
        networks = MetricNetworks.open(config, dataset, device)
    _check(generator, kind, networks)
    rows = config.rows(dataset)
    if networks.inception is not None:
        _check_count(len(rows))
    metrics = ImageMetrics(dataset.height, dataset.width, networks)
    warps = {k: WarpMeasures(dataset.height) for k in config.sources}
    truths = 0
    for begin in range(0, len(rows), config.batch_size):
        batch = _load(dataset, rows[begin : begin + config.batch_size], networks.mask)
        truths += 0 if batch.truth is None else len(batch.targets)
        foreground = None if batch.truth is None else batch.truth.foreground
        images: dict[Hashable, Tensor] = {}
        for k, warp in warps.items():
            made = _images(generator, kind, batch, k, warp)
            images |= {(k, method): image for method, image in made.items()}
        metrics.update(batch.targets, images, batch.masks, foreground)
        if progress is not None:
            progress(begin + len(batch.targets), len(rows))
    if truths not in (0, len(rows)):
        raise ValueError(f"only {truths} of {len(rows)} sets have truth")
    scores = metrics.compute()
    return [
        Evaluation(
            k,
            len(rows),
            **{method: scores[k, method] for method in METHODS if (k, method) in scores},
            warp=warps[k].scores() if truths else None,
        )
        for k in config.sources
    ]


def _images(
    generator: Generator, kind: PoseKind, batch: _Batch, k: int, warp: WarpMeasures
) -> dict[str, Tensor]:
    """Of all methods, with the first k sources of a batch."""
    sources, poses = batch.sources[:, :k], batch.poses[:, :k]
    inputs = network_inputs(generator, kind, sources, poses, batch.target_poses)
    oracle = {}
    if batch.truth is None:
        image = generator(*inputs)
    else:
        image, levels = generator(*inputs, return_maps=True)
        whole = batch.truth
        truth = whole._replace(flow=whole.flow[:, :k], visible=whole.visible[:, :k])
        warp.add(levels, truth)
        oracle["warped_by_truth"] = warped_by_truth(sources, truth, image.float().cpu())
    return {
        "model": image,
        "nearest_source": nearest_source(sources, kind, poses, batch.target_poses),
        "mean_source": mean_source(sources),
        **oracle,
    }


def _check(generator: Generator, kind: PoseKind, networks: MetricNetworks) -> None:
    if generator.config.pose_channels != kind.channels or (
        generator.config.pose_kind not in (None, kind.name)
    ):
        raise ValueError(
            f"these images are posed by {kind.name} ({kind.channels} channels), but this model "
            f"takes {generator.config.pose_kind or 'poses'} "
            f"({generator.config.pose_channels} channels)"
        )
    if networks.mask is mask_of_target and kind.name != "keypoints":
        raise ValueError(
            "masked LPIPS needs people posed by keypoints, or a mask of your own, but these "
            f"images are posed by {kind.name}"
        )


def _check_count(sets: int) -> None:
    if sets < 2:
        raise ValueError(f"FID needs at least 2 sets, got {sets}")
    if sets < RELIABLE:
        logger.warning(
            "FID of %d images is higher than of many: compare it with that of other methods "
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
