"""The two training stages: modules from a batch to its losses, which any launcher can wrap."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from rfwarp.images import from_uint8
from rfwarp.nn import Generator, GeneratorConfig
from rfwarp.poses.kinds import PoseKind
from rfwarp.training import losses
from rfwarp.training.batches import Batch, truth_of
from rfwarp.training.config import TrainConfig
from rfwarp.training.features import FeatureSet
from rfwarp.training.networks import frozen
from rfwarp.training.supervision import Supervision, level_truths, taught_flows
from rfwarp.training.vgg import MATCHING_STRIDES

WINDOWS = {8: 3, 4: 5, 2: 5}  # of the affine regularisation, by level


class Inputs(NamedTuple):
    """A batch as the networks read it, float32; images in [-1, 1]."""

    sources: Tensor
    """(N, K, 3, H, W)."""
    poses: Tensor
    """(N, K, c_p, H, W)."""
    target: Tensor
    """(N, 3, H, W)."""
    target_pose: Tensor
    """(N, c_p, H, W)."""


def expand(batch: Batch, kind: PoseKind) -> Inputs:
    """Images to [-1, 1] and pose codes to maps, on the device where they are."""
    height, width = batch["target"].shape[-2:]
    return Inputs(
        from_uint8(batch["sources"]),
        kind.expand(batch["poses"], height, width),
        from_uint8(batch["target"]),
        kind.expand(batch["target_pose"], height, width),
    )


class FlowObjective(nn.Module):
    """Eq. 7: weighted sampling correctness and affine regularisation, summed over the levels.

    Correctness is of the levels that feature sets have matching features for, the regularisation
    of all but the image level.
    """

    def __init__(self, network: GeneratorConfig, config: TrainConfig) -> None:
        super().__init__()
        self.levels = network.levels
        self.weights, self.sampler = config.weights, config.sampler

    @property
    def matches(self) -> bool:
        """Whether matching features are needed."""
        return self.weights.correctness > 0

    def forward(
        self, sources: Sequence[Tensor], target: Sequence[Tensor], flows: Sequence[Tensor]
    ) -> dict[str, Tensor]:
        """Weighted terms.

        Args:
            sources, target: at each of MATCHING_STRIDES features for matching, (N*K, C, h, w),
                sources of one sample after each other, and (N, C, h, w); none if not needed.
            flows: at each level (N, K, 2, h, w).
        """
        terms = {"correctness": flows[0].new_zeros(()), "affine": flows[0].new_zeros(())}
        features = dict(zip(MATCHING_STRIDES, zip(sources, target, strict=True), strict=False))
        for stride, flow in zip(self.levels, flows, strict=True):
            n, k = flow.shape[:2]
            flat = flow.flatten(0, 1).float()
            if stride in features:
                s, t = features[stride]
                t = t[:, None].expand(n, k, *t.shape[1:]).flatten(0, 1)
                correctness = losses.sampling_correctness(s, t, flat, sampler=self.sampler)
                terms["correctness"] = terms["correctness"] + self.weights.correctness * correctness
            if stride in WINDOWS and self.weights.affine:
                affine = losses.affine_regularisation(flat, WINDOWS[stride])
                terms["affine"] = terms["affine"] + self.weights.affine * affine
        return terms


class FlowStage(nn.Module):
    """Stage 1: the flow confidence extractor alone."""

    name = "flow"

    def __init__(
        self, generator: Generator, kind: PoseKind, features: FeatureSet, config: TrainConfig
    ) -> None:
        super().__init__()
        self.flow = generator.flow
        self.kind = kind
        self.features = features
        self.objective = FlowObjective(generator.config, config)
        self.supervision = Supervision(generator.config, config.weights)

    def forward(self, batch: Batch) -> tuple[dict[str, Tensor], None]:
        """The weighted losses of Eq. 7 and of supervision by name; there is no image yet."""
        sources, poses, target, target_pose = expand(batch, self.kind)
        predictions = self.flow(self.flow.encode(sources, poses), target_pose)
        with torch.autocast(target.device.type, enabled=False):
            s, t = matching(self.features, self.objective, sources, target)
            terms: dict[str, Tensor] = self.objective(s, t, [p.flow for p in predictions])
            if (truth := truth_of(batch)) is not None:
                truths = level_truths(truth, self.objective.levels)
                terms |= self.supervision(predictions, truths, target.shape[-2])
        # Every parameter takes part in the graph, as data-parallel training demands: of the
        # confidences some or all have no loss in this stage.
        outputs = [x for p in predictions for x in p if x is not None]
        terms["affine"] = terms["affine"] + sum(x.sum() * 0 for x in outputs)
        return terms, None


class FullStage(nn.Module):
    """Stage 2: the whole generator, Eq. 8 without the adversarial term, and supervision."""

    name = "full"

    def __init__(
        self, generator: Generator, kind: PoseKind, features: FeatureSet, config: TrainConfig
    ) -> None:
        super().__init__()
        self.generator = generator
        self.kind = kind
        self.weights = config.weights
        self.features = features
        self.objective = FlowObjective(generator.config, config)
        self.supervision = Supervision(generator.config, config.weights)

    def forward(self, batch: Batch) -> tuple[dict[str, Tensor], Tensor]:
        """The weighted losses by name, and the image (N, 3, H, W) in [-1, 1]."""
        sources, poses, target, target_pose = expand(batch, self.kind)
        encoded = self.generator.encode(sources, poses)
        predictions = self.generator.flow(encoded.for_flow, target_pose)
        truth, used = truth_of(batch), predictions
        if truth is not None:
            truths = level_truths(truth, self.objective.levels)
            used = taught_flows(predictions, truths, batch["taught"])
        image, residuals = self.generator.decode_with_flows(encoded, target_pose, used)
        compared = [name for name in ("perceptual", "style") if getattr(self.weights, name) > 0]
        maps_of = self.features.maps
        with torch.autocast(image.device.type, enabled=False):
            image = image.float()
            s, t = matching(self.features, self.objective, sources, target)
            with torch.no_grad():
                real = maps_of(target, compared) if compared else {}
            fake = maps_of(image, compared) if compared else {}
            terms: dict[str, Tensor] = self.objective(s, t, [p.flow for p in predictions])
            if truth is not None:
                corrected = [
                    None if r is None else p.flow + r for p, r in zip(used, residuals, strict=True)
                ]
                terms |= self.supervision(predictions, truths, target.shape[-2], corrected)
            terms["l1"] = self.weights.l1 * (image - target).abs().mean()
            for name in compared:
                loss = getattr(losses, name)
                terms[name] = getattr(self.weights, name) * loss(fake[name], real[name])
        return terms, image


@torch.no_grad()
def matching(
    features: FeatureSet, objective: FlowObjective, sources: Tensor, target: Tensor
) -> tuple[list[Tensor], list[Tensor]]:
    """Features for :class:`FlowObjective` of sources (N, K, 3, H, W) and target, if needed."""
    if not objective.matches:
        return [], []
    s, t = (features.maps(x, ["matching"])["matching"] for x in (sources.flatten(0, 1), target))
    return s, t


class DiscriminatorStage(nn.Module):
    """The adversarial part of stage 2: both sides of Eq. 11."""

    def __init__(self, discriminator: nn.Module, config: TrainConfig) -> None:
        super().__init__()
        self.discriminator = discriminator
        self.weight = config.weights.adversarial
        self.adversarial = config.adversarial

    def adversarial_loss(self, image: Tensor) -> Tensor:
        """The generator's loss, weighted, on its image (N, 3, H, W); the discriminator is fixed."""
        with frozen(self.discriminator):
            logits = self.discriminator(image).float()
        return self.weight * losses.adversarial_generator(logits, self.adversarial)

    def forward(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """The discriminator's loss on real and generated images, both (N, 3, H, W) in [-1, 1]."""
        logits = self.discriminator(torch.cat([real, fake.detach()])).float()
        of_real, of_fake = logits.chunk(2)
        loss = losses.adversarial_discriminator(of_real, of_fake, self.adversarial)
        return {"discriminator": loss}
