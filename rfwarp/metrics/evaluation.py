"""A generator against the baselines, on held-out tuples of sources and target."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, cast

import torch
from torch import Tensor

from rfwarp.data import truth as correspondence
from rfwarp.data.truth import Truth
from rfwarp.data.tuples import Clip, ClipDataset, Row, Sample, TupleDataset
from rfwarp.images import from_uint8
from rfwarp.metrics.accumulate import ImageMetrics, Scores
from rfwarp.metrics.baselines import mean_source, nearest_source, warped_by_truth
from rfwarp.metrics.config import EvaluationConfig, without_clips
from rfwarp.metrics.fid import FRECHET_TITLES
from rfwarp.metrics.flow import WarpMeasures, WarpScores
from rfwarp.metrics.masks import Mask, mask_of_target
from rfwarp.metrics.networks import MetricNetworks
from rfwarp.metrics.temporal import WarpingError
from rfwarp.nn import Generator
from rfwarp.poses.kinds import POSE_KINDS, PoseKind
from rfwarp.prediction import network_inputs, predict_images

logger = logging.getLogger(__name__)

METHODS = ("model", "nearest_source", "mean_source", "warped_by_truth")
DEFAULT = EvaluationConfig()
CLIPS = 8
"""Clips of which the warping error is taken, fewer if the dataset has fewer."""


@dataclass(frozen=True)
class VideoScores:
    """Flicker of generated videos: means over all pairs of consecutive frames; None if none shares
    a pixel with the one before. See :class:`rfwarp.metrics.WarpingError`."""

    warping_error: float | None
    """That of the generated frames, by the flow of the true ones."""
    warping_error_truth: float | None
    """That of the true frames, by their own flow."""


@dataclass(frozen=True)
class Evaluation:
    """Results with K = ``sources`` source images, of ``sets`` targets.

    The oracle and ``warp`` need a dataset that gives true correspondences.

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
    """Scores of the sources warped by the true flow, with the model's own pixels where no source
    shows the point: see :func:`rfwarp.metrics.baselines.warped_by_truth`."""
    warp: WarpScores | None = None
    """Scores of the model's flow, occlusion and attention."""
    video: VideoScores | None = None
    """Scores of the model's videos."""

    def to_dict(self) -> dict[str, Any]:
        """The results as JSON-able values, without scores that were not asked for.

        Those of ``warp`` and ``video`` are among the model's; undefined ones are None there.
        """
        scores: dict[str, dict[str, Any]] = {
            method: {k: v for k, v in asdict(given).items() if v is not None}
            for method in METHODS
            if (given := getattr(self, method)) is not None
        }
        for more in (self.warp, self.video):
            if more is not None:
                scores["model"] |= asdict(more)
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
        generator: in eval mode, for the dataset's kind of pose; it runs on its own device.
        dataset: images of the size that the generator was trained at.
        config: how many sets, with which numbers of sources, and which scores.
        networks: of those scores, with masks or real images of your own; None opens those that
            ``config.metrics`` names, on the generator's device.
        progress: called with (sets done, sets) after each batch.

    Returns:
        One result for each K of ``config.sources``, in that order.

    Raises:
        ValueError: if the generator takes other poses, the dataset has too few sources, a damaged
            file, truth of some sets only, or no clips for a metric of videos, or the networks do
            not fit it.
        FileNotFoundError: if weights of a network are not there.
        ImportError: if they, or the optical flow, come with a package that is not installed.

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
    rows = check_evaluation(generator, dataset, config, networks)
    for name, network in networks.frechet.items():
        if len(rows) <= network.num_features:  # their covariance is singular
            logger.warning(
                "%s of %d images is higher than of many: compare it only with that of as many "
                "images",
                FRECHET_TITLES[name],
                len(rows),
            )
    # First, as it refuses real images that do not fit.
    metrics = ImageMetrics(dataset.height, dataset.width, networks)
    videos = {}
    if "warping-error" in config.metrics:
        videos = _video_scores(generator, kind, cast(ClipDataset, dataset), config)
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
            video=videos.get(k),
        )
        for k in config.sources
    ]


def check_evaluation(
    generator: Generator,
    dataset: TupleDataset,
    config: EvaluationConfig,
    networks: MetricNetworks,
) -> Sequence[Row]:
    """The sets of sources and target of an evaluation, unless :func:`evaluate` would refuse it.

    Nothing is drawn, and no image loaded: the generator may be yet untrained.

    Raises:
        ValueError: if the generator takes other poses, the dataset has too few sources, too few
            sets for a Frechet distance, no clips for a metric of videos, or no keypoints for the
            masks of people.
    """
    kind = POSE_KINDS[dataset.pose_kind]
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
    if "warping-error" in config.metrics and not isinstance(dataset, ClipDataset):
        raise without_clips(type(dataset).__name__)
    rows = config.rows(dataset)
    for name in networks.frechet:
        if len(rows) < 2:
            raise ValueError(f"{FRECHET_TITLES[name]} needs at least 2 sets, got {len(rows)}")
    return rows


def _images(
    generator: Generator, kind: PoseKind, batch: _Batch, k: int, warp: WarpMeasures
) -> dict[str, Tensor]:
    """The images of all methods, from the first k sources of a batch."""
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


def _video_scores(
    generator: Generator, kind: PoseKind, dataset: ClipDataset, config: EvaluationConfig
) -> dict[int, VideoScores]:
    """Scores of the videos of each K."""
    errors: dict[int, list[float]] = {k: [] for k in config.sources}
    true_errors: list[float] = []
    for clip in dataset.clips(CLIPS, max(config.sources)):
        true_errors += WarpingError.of(clip.frames).errors
        for k, found in errors.items():
            drawn = _draw(generator, kind, clip, k, config.batch_size)
            found += WarpingError.of(drawn, clip.frames).errors
    truth = _mean(true_errors)
    return {k: VideoScores(_mean(found), truth) for k, found in errors.items()}


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _draw(generator: Generator, kind: PoseKind, clip: Clip, k: int, batch_size: int) -> Tensor:
    """The frames of a clip from its first k sources: (T, 3, H, W) in [-1, 1]."""
    sources, poses = from_uint8(clip.sources[:k]), clip.poses[:k]
    return torch.cat(
        [
            predict_images(
                generator,
                kind,
                sources.expand(len(targets), *sources.shape),
                poses.expand(len(targets), *poses.shape),
                targets,
            )
            for targets in clip.frame_poses.split(batch_size)
        ]
    ).float()


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
