"""Measures of a generator's warp against true correspondences: flow, visibility, attention.

The truth is per pixel of the image. A level's maps are upsampled to it, each pixel taking the value
of its cell, so that detail which a coarse level cannot have counts as an error.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from rfwarp.data.truth import Truth, pool
from rfwarp.nn.results import LevelMaps

NEAR = 1.5 / 64
"""Bound of the error, in heights of the image, below which a flow counts as near."""
STEP = 0.01  # pixels: resolution of the median
LARGEST = 10_000.0  # pixels; errors above count as this much in the median


@dataclass(frozen=True)
class FlowErrors:
    """End-point errors over all visible pairs of a target's pixel and a source."""

    mean: float
    """Pixels of the image."""
    median: float
    """Pixels of the image, to the nearest hundredth; of an even number the lower one."""
    near: float
    """Share of errors below 1.5 pixels at a height of 64, in proportion at others."""


@dataclass(frozen=True)
class LevelScores:
    """Scores of one level. Those that are undefined are None."""

    stride: int
    """Pixels of the image per pixel of the level."""
    flow: FlowErrors | None
    """Errors of w, the initial flow."""
    refined: FlowErrors | None
    """Errors of w + r, with the residual."""
    pooled_truth: FlowErrors | None
    """Errors of the mean of the true flow over a cell's visible pixels: the least that a level of
    this stride can reach."""
    zero: FlowErrors | None
    """Errors of a flow of zero; the same at every level."""
    visibility_auc: float | None
    """:func:`auc` of 1 - occlusion against true visibility, over pairs of a pixel of the object and
    a source. None without occlusion maps (all 0), or if all pairs are visible or none is."""
    visible_attention: float | None
    """Attention on the sources that show a pixel of the object, mean over those pixels that some
    source shows. None for K = 1."""
    uniform_attention: float | None
    """The same of equal attention on all sources."""


@dataclass(frozen=True)
class WarpScores:
    """Scores of a generator's warp against true correspondences; see :class:`LevelScores`.

    Example:
        >>> from rfwarp.metrics import WarpScores
        >>> scores = WarpScores(flow_epe=1.2, flow_epe_zero=4.5, visibility_auc=None, levels=())
        >>> scores.flow_epe < scores.flow_epe_zero
        True
    """

    flow_epe: float | None
    """Mean end-point error of w + r at the finest level, pixels of the image."""
    flow_epe_zero: float | None
    """Mean end-point error of a flow of zero."""
    visibility_auc: float | None
    """AUC of the finest level that has occlusion maps."""
    levels: tuple[LevelScores, ...]
    """Coarse first."""


def end_point_error(flow: Tensor, truth: Tensor) -> Tensor:
    """Euclidean distances (..., H, W) between flows (..., 2, H, W), in their unit and dtype.

    Example:
        >>> import torch
        >>> from rfwarp.metrics import end_point_error
        >>> flow = torch.tensor([3.0, 4.0]).view(2, 1, 1)
        >>> end_point_error(flow, torch.zeros(2, 1, 1))
        tensor([[5.]])
    """
    return torch.linalg.vector_norm(flow - truth, dim=-3)


def to_image(level: Tensor, stride: int, height: int, width: int) -> Tensor:
    """Nearest upsampling: values of cells (..., h, w) to pixels (..., height, width).

    The cells cover the image from its top left corner, at the bottom and right in parts.
    """
    pixels = level.repeat_interleave(stride, -2).repeat_interleave(stride, -1)
    return pixels[..., :height, :width]


def auc(scores: Tensor, labels: Tensor) -> float | None:
    """Probability that something labelled True scores higher than something labelled False.

    The area under the ROC curve. Ties count half, exactly: constant scores give 0.5.

    Args:
        scores: of any shape.
        labels: bool, of the same shape and on the same device.

    Returns:
        None if all labels are equal, or there are none.

    Raises:
        ValueError: if the labels are of another type, shape or device.

    Example:
        >>> import torch
        >>> from rfwarp.metrics import auc
        >>> auc(torch.tensor([0.9, 0.4, 0.6, 0.1]), torch.tensor([True, True, False, False]))
        0.75
    """
    if scores.shape != labels.shape or labels.dtype != torch.bool:
        raise ValueError(
            f"labels must be bool {tuple(scores.shape)} as scores are, "
            f"got {labels.dtype} {tuple(labels.shape)}"
        )
    if labels.device != scores.device:
        raise ValueError(f"labels must be on {scores.device} as scores are, got {labels.device}")
    labels = labels.flatten()
    return _auc_of_counts(scores.flatten(), labels.long(), (~labels).long())


def _auc_of_counts(scores: Tensor, positive: Tensor, negative: Tensor) -> float | None:
    """The same, of scores that occur several times with each label: all (n,), counts int64."""
    values, place = scores.unique(return_inverse=True)
    empty = torch.zeros_like(values, dtype=torch.int64)
    positive = empty.index_add(0, place, positive)
    negative = empty.index_add(0, place, negative)
    pairs = int(positive.sum()) * int(negative.sum())
    if pairs == 0:
        return None
    below = negative.cumsum(0) - negative
    return int((positive * (2 * below + negative)).sum()) / (2 * pairs)


class ErrorSums:
    """Errors gathered batch by batch; memory does not grow with their number.

    Args:
        near: below which an error counts as near, in its unit.
    """

    def __init__(self, near: float) -> None:
        self._near = near
        self._count, self._close, self._total = 0, 0, 0.0
        self._steps = torch.zeros(1, dtype=torch.int64)

    def add(self, errors: Tensor) -> None:
        """Count errors (n,), on the CPU."""
        self._count += len(errors)
        self._close += int((errors < self._near).sum())
        self._total += float(errors.double().sum())
        limited = errors.double().nan_to_num(LARGEST).clamp(max=LARGEST)
        steps = torch.bincount((limited / STEP).round().long(), minlength=len(self._steps))
        self._steps = steps + F.pad(self._steps, (0, len(steps) - len(self._steps)))

    def summary(self) -> FlowErrors | None:
        """Summary of all errors so far; None if there are none."""
        if self._count == 0:
            return None
        middle = int((self._steps.cumsum(0) < (self._count + 1) // 2).sum())
        median = round(middle * STEP, 2)
        return FlowErrors(self._total / self._count, median, self._close / self._count)


class _Level:
    """Sums of one level."""

    def __init__(self, stride: int, near: float) -> None:
        self.stride = stride
        self.errors = defaultdict[str, ErrorSums](lambda: ErrorSums(near))
        self._visibility: list[tuple[Tensor, Tensor, Tensor]] = []
        self._occluded = False
        self._attended, self._uniform, self._seen = 0.0, 0.0, 0

    def add(self, maps: LevelMaps, truth: Truth) -> None:
        """Count maps on the CPU, in float32."""
        size = truth.flow.shape[-2:]
        pooled = pool(_whole_cells(truth, maps.stride), maps.stride).flow
        flows = {"flow": maps.flow, "refined": maps.flow + maps.residual, "pooled_truth": pooled}
        for name, flow in flows.items():
            pixels = to_image(flow * maps.stride, maps.stride, *size)
            self.errors[name].add(end_point_error(pixels, truth.flow)[truth.visible])
        self._add_visibility(maps.occlusion[:, :, 0], truth)
        attention = to_image(maps.attention[:, :, 0], maps.stride, *size)
        if attention.shape[1] > 1:
            seen = truth.visible.any(dim=1)
            self._seen += int(seen.sum())
            self._attended += float((attention * truth.visible).double().sum())
            self._uniform += float(truth.visible.double().mean(dim=1).sum())

    def _add_visibility(self, occlusion: Tensor, truth: Truth) -> None:
        """Count scores of cells, with the numbers of visible and of hidden pixels in each cell."""
        self._occluded = self._occluded or bool((occlusion > 0).any())
        visible = _count(truth.visible, self.stride)
        hidden = _count(truth.foreground[:, None] & ~truth.visible, self.stride)
        some = visible + hidden > 0
        self._visibility.append((1 - occlusion[some], visible[some], hidden[some]))

    def scores(self, zero: FlowErrors | None) -> LevelScores:
        parts = [torch.cat(x) for x in zip(*self._visibility, strict=True)]
        return LevelScores(
            self.stride,
            **{name: errors.summary() for name, errors in self.errors.items()},
            zero=zero,
            visibility_auc=_auc_of_counts(*parts) if self._occluded else None,
            visible_attention=self._attended / self._seen if self._seen else None,
            uniform_attention=self._uniform / self._seen if self._seen else None,
        )


class WarpMeasures:
    """Maps of a generator against the truth, gathered batch by batch.

    Memory grows by a few bytes for each cell of a level that shows the object, for the AUC.

    Args:
        height: of the images, pixels.

    Example:
        >>> import torch
        >>> from rfwarp.data import ProceduralChairs
        >>> from rfwarp.data.truth import stack
        >>> from rfwarp.metrics import WarpMeasures
        >>> from rfwarp.nn import LevelMaps
        >>> truth = stack([ProceduralChairs(0, 1, 16, memory_chairs=0).truth(0, [3, 0])])
        >>> still, one = torch.zeros(1, 1, 2, 4, 4), torch.ones(1, 1, 1, 4, 4)
        >>> measures = WarpMeasures(height=16)
        >>> measures.add([LevelMaps(4, still, still, attention=one, occlusion=0 * one)], truth)
        >>> scores = measures.scores()
        >>> scores.flow_epe == scores.flow_epe_zero  # as good as no flow at all
        True
    """

    def __init__(self, height: int) -> None:
        self._near = NEAR * height
        self._zero = ErrorSums(self._near)
        self._levels: dict[int, _Level] = {}

    def add(self, levels: Sequence[LevelMaps], truth: Truth) -> None:
        """The next batch: all levels of N targets with K sources each, and their truth (N, ...).

        Raises:
            ValueError: if maps and truth differ in N, K or size.
        """
        truth = Truth(truth.flow.cpu(), truth.visible.cpu(), truth.foreground.cpu())
        n, k, _, height, width = truth.flow.shape
        self._zero.add(torch.linalg.vector_norm(truth.flow, dim=2)[truth.visible])
        for maps in levels:
            expected = (n, k, 2, -(-height // maps.stride), -(-width // maps.stride))
            if maps.flow.shape != expected:
                raise ValueError(
                    f"flow of stride {maps.stride} must be {expected} for true flow "
                    f"{tuple(truth.flow.shape)}, got {tuple(maps.flow.shape)}"
                )
            level = self._levels.setdefault(maps.stride, _Level(maps.stride, self._near))
            plain = (maps.flow, maps.residual, maps.attention, maps.occlusion)
            level.add(LevelMaps(maps.stride, *(x.detach().float().cpu() for x in plain)), truth)

    def scores(self) -> WarpScores:
        """The scores of all batches so far.

        Raises:
            ValueError: if there were none.
        """
        if not self._levels:
            raise ValueError("no maps were measured yet")
        zero = self._zero.summary()
        levels = tuple(self._levels[s].scores(zero) for s in sorted(self._levels, reverse=True))
        finest = levels[-1].refined
        aucs = [level.visibility_auc for level in levels if level.visibility_auc is not None]
        return WarpScores(
            None if finest is None else finest.mean,
            None if zero is None else zero.mean,
            aucs[-1] if aucs else None,
            levels,
        )


def _padding(x: Tensor, stride: int) -> tuple[int, int, int, int]:
    """The padding for F.pad that makes the last two sides multiples of the stride."""
    return (0, -x.shape[-1] % stride, 0, -x.shape[-2] % stride)


def _whole_cells(truth: Truth, stride: int) -> Truth:
    """The truth, with background at the bottom and right up to multiples of the stride."""
    padding = _padding(truth.flow, stride)
    return Truth(
        F.pad(truth.flow, padding), F.pad(truth.visible, padding), F.pad(truth.foreground, padding)
    )


def _count(mask: Tensor, stride: int) -> Tensor:
    """Number of True pixels in each cell: (N, K, H, W) bool to (N, K, h, w) int64."""
    padded = F.pad(mask, _padding(mask, stride)).long()
    cells = padded.unflatten(-1, (-1, stride)).unflatten(-3, (-1, stride))
    return cells.sum(dim=(-3, -1))
