"""A generator against the baselines, on held-out tuples of sources and target."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from rfwarp.data.tuples import Row, TupleDataset
from rfwarp.images import from_uint8, to_uint8
from rfwarp.metrics.baselines import mean_source, nearest_source
from rfwarp.metrics.images import ImageScores, score_images
from rfwarp.metrics.inception import Inception
from rfwarp.metrics.lpips import Lpips, person_mask
from rfwarp.nn import Generator
from rfwarp.poses.kinds import POSE_KINDS, PoseKind


@dataclass(frozen=True)
class Scores:
    """Means over all target images; see :class:`rfwarp.metrics.ImageScores`.

    What was not asked for is None.
    """

    psnr: float
    ssim: float
    l1: float
    lpips: float | None = None
    """See :class:`rfwarp.metrics.Lpips`."""
    mask_lpips: float | None = None
    """LPIPS with all but the target's person black in both, see :func:`person_mask`."""
    fid: float | None = None
    """Frechet Inception distance of all images to all targets (Heusel et al. 2017)."""


@dataclass(frozen=True)
class Evaluation:
    """Results with K = ``sources`` source images."""

    sources: int
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


@dataclass(frozen=True)
class Judges:
    """Networks whose scores are wanted too.

    Attributes:
        lpips: for LPIPS.
        masked: whether also of the person alone.
        inception: for FID. It holds 2048 numbers for every picture.
    """

    lpips: Lpips | None = None
    masked: bool = False
    inception: Inception | None = None


METHODS = ("model", "nearest_source", "mean_source")


NO_JUDGES = Judges()


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
        judges: networks for more scores, which run where they are.
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
    if judges.masked and (judges.lpips is None or kind.name != "keypoints"):
        raise ValueError("masked LPIPS needs the network of LPIPS, and people posed by keypoints")
    rows = dataset.evaluation_rows(seed, sets, max(sources))
    tallies = {(k, method): _Tally(judges) for k in sources for method in METHODS}
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
                tallies[k, method].add(images, batch.targets, batch.target_poses)
        if progress is not None:
            progress(begin + len(batch.targets), len(rows))
    return [Evaluation(k, *(tallies[k, method].scores() for method in METHODS)) for k in sources]


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


class _Tally:
    """The scores of one method's images."""

    def __init__(self, judges: Judges) -> None:
        self._judges = judges
        self._plain: list[ImageScores] = []
        self._lpips: list[Tensor] = []
        self._masked: list[Tensor] = []
        self._features: list[tuple[Tensor, Tensor]] = []

    def add(self, images: Tensor, targets: Tensor, target_poses: Tensor) -> None:
        """Count a batch, (N, 3, H, W) each, in [-1, 1]."""
        self._plain.append(score_images(images, targets))
        lpips, inception = self._judges.lpips, self._judges.inception
        # In 256 steps, as when pictures are saved.
        pair = [from_uint8(to_uint8(x.float())) for x in (images, targets)]
        if lpips is not None:
            pair = [x.to(lpips.shift.device) for x in pair]
            self._lpips.append(lpips(*pair).cpu())
            if self._judges.masked:
                mask = person_mask(target_poses.to(pair[0].device), *pair[0].shape[-2:])
                self._masked.append(lpips(*((x + 1) * mask - 1 for x in pair)).cpu())
        if inception is not None:
            device = next(inception.parameters()).device
            self._features.append(tuple(inception(x.to(device)).cpu() for x in pair))

    def scores(self) -> Scores:
        parts = zip(*self._plain, strict=True)
        psnr, ssim, l1 = (float(torch.cat(values).mean()) for values in parts)
        lpips, masked = (
            float(torch.cat(values).double().mean()) if values else None
            for values in (self._lpips, self._masked)
        )
        return Scores(psnr, ssim, l1, lpips, masked, frechet_distance(self._features))


def frechet_distance(features: Sequence[tuple[Tensor, Tensor]]) -> float | None:
    """FID of batches of features, (N, 2048) of generated and of real pictures; None for none."""
    if not features:
        return None
    from torchmetrics.image.fid import FrechetInceptionDistance

    distance = FrechetInceptionDistance(feature=_Given(), normalize=True)
    for generated, real in features:
        distance.update(generated, real=False)
        distance.update(real, real=True)
    return float(distance.compute())


class _Given(nn.Module):
    """In the place of the network, for features that are there already."""

    num_features = Inception.num_features

    def forward(self, features: Tensor) -> Tensor:
        return features
