"""Losses of flow and visibility against the truth, where a dataset has it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rfwarp.data.truth import LevelTruth, Truth, pool
from rfwarp.nn.config import GeneratorConfig
from rfwarp.nn.flow import FlowConfidence
from rfwarp.training.config import LossWeights

SMOOTH = 0.01  # of a unit, below which an error counts squared


class Supervision(nn.Module):
    """Weighted distances from the truth, summed over the levels.

    Flows are compared in units of an eighth of the image's height, whatever its size: where a
    cell has visible pixels, with their mean flow (Charbonnier, ``sqrt(|d|^2 + SMOOTH^2)``), both
    as predicted and as corrected. Visibility is a share of a cell's part of the object, and the
    silhouette one of the cell; at the image level no background is visible. Attention should choose
    the sources that show the cell and whose flow is right, where one shows most of it. An error of
    depth counts as 4 focal lengths times that of its logarithm: the error of flow where the camera
    moved by as much as the thing is away.
    """

    def __init__(self, network: GeneratorConfig, weights: LossWeights) -> None:
        super().__init__()
        self.levels, self.weights, self.focal = network.levels, weights, network.focal

    def forward(
        self,
        predictions: Sequence[FlowConfidence],
        truths: Sequence[LevelTruth],
        height: int,
        corrected: Sequence[Tensor | None] | None = None,
    ) -> dict[str, Tensor]:
        """The terms whose weight is positive.

        Args:
            predictions: of every level, for N samples.
            truths: as many.
            height: of the image, pixels.
            corrected: flows w + r of every level, (N, K, 2, h, w); None before there are any.
        """
        w, terms = self.weights, dict[str, list[Tensor]]()
        for place, (stride, p, truth) in enumerate(
            zip(self.levels, predictions, truths, strict=True)
        ):
            unit = stride * 8 / height
            if w.flow:
                flows = [p.flow] if corrected is None else [p.flow, corrected[place]]
                for flow in flows:
                    if flow is not None:
                        terms.setdefault("flow", []).append(_flow_error(flow, truth, unit))
            if w.visibility and p.occlusion is not None:
                loss = _cross_entropy(-p.occlusion, truth.visible, truth.foreground)
                if stride == 1:
                    # Pixels of the sources are for the object: on the background they leave ghosts.
                    beside = 1 - truth.foreground
                    loss = loss + _cross_entropy(-p.occlusion, truth.visible, beside)
                terms.setdefault("visibility", []).append(loss)
            if w.attention and p.attention is not None:
                latest = None if corrected is None else corrected[place]
                used = p.flow if latest is None else latest
                terms.setdefault("attention", []).append(_astray(p.attention, used, truth, unit))
            if w.depth and p.depth is not None and truth.depth is not None:
                loss = 4 * (self.focal or 0.0) * _depth_error(p.depth, truth)
                terms.setdefault("depth", []).append(loss)
            if w.silhouette and p.foreground is not None:
                share = truth.foreground[:, 0]
                terms.setdefault("silhouette", []).append(
                    F.binary_cross_entropy_with_logits(p.foreground.float(), share)
                )
        return {name: getattr(w, name) * torch.stack(parts).sum() for name, parts in terms.items()}


def level_truths(truth: Truth, levels: Sequence[int]) -> list[LevelTruth]:
    """The truth of a batch at every level."""
    return [pool(truth, stride) for stride in levels]


def taught_flows(
    predictions: Sequence[FlowConfidence], truths: Sequence[LevelTruth], taught: Tensor
) -> list[FlowConfidence]:
    """Predictions with the true flow where one is known, for the samples ``taught`` (N,) bool.

    Elsewhere the predicted flow stays, and so do all confidences: true ones would give the
    silhouette away.
    """
    chosen = taught[:, None, None, None, None]
    return [
        p._replace(flow=torch.where(chosen & (t.seen > 0), t.flow, p.flow.float()))
        for p, t in zip(predictions, truths, strict=True)
    ]


def _flow_error(flow: Tensor, truth: LevelTruth, unit: float) -> Tensor:
    error = (flow.float() - truth.flow) * unit
    smooth = (error.square().sum(2, keepdim=True) + SMOOTH**2).sqrt()
    return (smooth * truth.seen).sum() / truth.seen.sum().clamp_min(1)


def _depth_error(depth: Tensor, truth: LevelTruth) -> Tensor:
    assert truth.depth is not None
    shown = truth.foreground[:, 0]
    ratio = depth.float().clamp_min(1e-6) / truth.depth.clamp_min(1e-6)
    error = torch.where(shown > 0, ratio.log(), 0.0).abs()
    return (error * shown).sum() / shown.sum().clamp_min(1)


def _astray(attention: Tensor, flow: Tensor, truth: LevelTruth, unit: float) -> Tensor:
    """Mean error of the flows, weighted by attention, in units and at most one; a source that does
    not see the cell is off by one."""
    error = (flow.detach().float() - truth.flow).norm(dim=2, keepdim=True) * unit
    error = torch.where(truth.seen > 0, error, 1.0).clamp_max(1)
    cost = 1 - truth.visible * (1 - error)
    shown = (truth.visible.amax(1) > 0.5).float()
    expected = (attention.float().softmax(1) * cost).sum(1)
    return (expected * shown).sum() / shown.sum().clamp_min(1)


def _cross_entropy(logits: Tensor, share: Tensor, weight: Tensor) -> Tensor:
    loss = F.binary_cross_entropy_with_logits(logits.float(), share, reduction="none")
    weight = weight.expand_as(loss)
    return (loss * weight).sum() / weight.sum().clamp_min(1)
