"""The two stages: each is a module from a batch to its losses, so that any launcher can wrap it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from rfwarp.images import from_uint8
from rfwarp.nn import Generator
from rfwarp.poses.encoding import tile
from rfwarp.training.batches import Batch
from rfwarp.training.config import LossWeights
from rfwarp.training.features import OrientedPyramid
from rfwarp.training.losses import affine_regularisation, perceptual, sampling_correctness

LEVELS = ((8, 3), (4, 5))  # stride and window of the affine regularisation, coarse first


class FlowObjective(nn.Module):
    """Eq. 7: weighted sampling correctness and affine regularisation, summed over both levels."""

    def __init__(self, features: OrientedPyramid, weights: LossWeights) -> None:
        super().__init__()
        self.features = features
        self.weights = weights

    def forward(
        self, sources: Tensor, target: Tensor, flows: Sequence[Tensor]
    ) -> dict[str, Tensor]:
        """Sources (N, K, 3, H, W), target (N, 3, H, W), flows (N, K, 2, h, w) to weighted terms.

        In float32 under autocast too.
        """
        with torch.autocast(target.device.type, enabled=False):
            return self._terms(sources, target, flows)

    def _terms(self, sources: Tensor, target: Tensor, flows: Sequence[Tensor]) -> dict[str, Tensor]:
        n, k = sources.shape[:2]
        terms = {"correctness": target.new_zeros(()), "affine": target.new_zeros(())}
        for (stride, window), flow in zip(LEVELS, flows, strict=True):
            flat = flow.flatten(0, 1).float()
            with torch.no_grad():
                s = self.features.matching(sources.flatten(0, 1), stride)
                t = self.features.matching(target, stride)
            t = t[:, None].expand(n, k, *t.shape[1:]).flatten(0, 1)
            correctness = sampling_correctness(s, t, flat)
            affine = affine_regularisation(flat, window)
            terms["correctness"] = terms["correctness"] + self.weights.correctness * correctness
            terms["affine"] = terms["affine"] + self.weights.affine * affine
        return terms


class FlowStage(nn.Module):
    """Stage 1: the flow confidence extractor alone."""

    name = "flow"

    def __init__(
        self, generator: Generator, features: OrientedPyramid, weights: LossWeights
    ) -> None:
        super().__init__()
        self.flow = generator.flow
        # The confidences have no loss in this stage.
        self.idle = [
            p for n, p in self.flow.named_parameters() if ".attention." in n or ".occlusion." in n
        ]
        self.objective = FlowObjective(features, weights)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """The weighted losses of Eq. 7 by name."""
        sources, target = from_uint8(batch["sources"]), from_uint8(batch["target"])
        size = sources.shape[-1]
        encoded = self.flow.encode(sources, tile(batch["poses"], size, size))
        predictions = self.flow(encoded, tile(batch["target_pose"], size, size))
        flows = [p.flow for p in predictions]
        terms: dict[str, Tensor] = self.objective(sources, target, flows)
        # Every parameter takes part in the graph, as data-parallel training demands.
        terms["affine"] = terms["affine"] + sum(p.sum() * 0 for p in self.idle)
        return terms


class FullStage(nn.Module):
    """Stage 2: the whole generator, Eq. 8 without the adversarial and the style term."""

    name = "full"

    def __init__(
        self, generator: Generator, features: OrientedPyramid, weights: LossWeights
    ) -> None:
        super().__init__()
        self.generator = generator
        self.weights = weights
        self.features = features
        self.objective = FlowObjective(features, weights)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """The weighted losses by name."""
        sources, target = from_uint8(batch["sources"]), from_uint8(batch["target"])
        size = sources.shape[-1]
        image, maps = self.generator(
            sources,
            tile(batch["poses"], size, size),
            tile(batch["target_pose"], size, size),
            return_maps=True,
        )
        terms: dict[str, Tensor] = self.objective(sources, target, [m.flow for m in maps])
        with torch.autocast(image.device.type, enabled=False):
            image = image.float()
            terms["l1"] = self.weights.l1 * (image - target).abs().mean()
            terms["perceptual"] = self.weights.perceptual * perceptual(
                self.features.perceptual(image), self.features.perceptual(target)
            )
        return terms
