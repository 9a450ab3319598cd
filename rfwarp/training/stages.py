"""What is optimised: modules from a batch to its losses, so that any launcher can wrap them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from rfwarp.images import from_uint8
from rfwarp.nn import Generator
from rfwarp.poses.kinds import PoseKind
from rfwarp.training import losses
from rfwarp.training.batches import Batch
from rfwarp.training.config import TrainConfig
from rfwarp.training.features import FeatureSet
from rfwarp.training.networks import frozen

WINDOWS = (3, 5)  # of the affine regularisation, coarse level first


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
    """Pictures to [-1, 1] and pose codes to maps, on the device where they are."""
    height, width = batch["target"].shape[-2:]
    return Inputs(
        from_uint8(batch["sources"]),
        kind.expand(batch["poses"], height, width),
        from_uint8(batch["target"]),
        kind.expand(batch["target_pose"], height, width),
    )


class FlowObjective(nn.Module):
    """Eq. 7: weighted sampling correctness and affine regularisation, summed over both levels."""

    def __init__(self, config: TrainConfig) -> None:
        super().__init__()
        self.weights = config.weights
        self.sampler = config.sampler

    def forward(
        self, sources: Sequence[Tensor], target: Sequence[Tensor], flows: Sequence[Tensor]
    ) -> dict[str, Tensor]:
        """Weighted terms.

        Args:
            sources, target: for each level features for matching, (N*K, C, h, w), sources of one
                sample after each other, and (N, C, h, w).
            flows: for each level (N, K, 2, h, w).
        """
        terms = {"correctness": flows[0].new_zeros(()), "affine": flows[0].new_zeros(())}
        for window, s, t, flow in zip(WINDOWS, sources, target, flows, strict=True):
            n, k = flow.shape[:2]
            flat = flow.flatten(0, 1).float()
            t = t[:, None].expand(n, k, *t.shape[1:]).flatten(0, 1)
            correctness = losses.sampling_correctness(s, t, flat, sampler=self.sampler)
            affine = losses.affine_regularisation(flat, window)
            terms["correctness"] = terms["correctness"] + self.weights.correctness * correctness
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
        # The confidences have no loss in this stage.
        self.idle = [
            p for n, p in self.flow.named_parameters() if ".attention." in n or ".occlusion." in n
        ]
        self.features = features
        self.objective = FlowObjective(config)

    def forward(self, batch: Batch) -> tuple[dict[str, Tensor], None]:
        """The weighted losses of Eq. 7 by name; there is no image yet."""
        sources, poses, target, target_pose = expand(batch, self.kind)
        predictions = self.flow(self.flow.encode(sources, poses), target_pose)
        with torch.autocast(target.device.type, enabled=False):
            with torch.no_grad():
                s, t = (
                    self.features.maps(x, ["matching"])["matching"]
                    for x in (sources.flatten(0, 1), target)
                )
            terms: dict[str, Tensor] = self.objective(s, t, [p.flow for p in predictions])
        # Every parameter takes part in the graph, as data-parallel training demands.
        terms["affine"] = terms["affine"] + sum(p.sum() * 0 for p in self.idle)
        return terms, None


class FullStage(nn.Module):
    """Stage 2: the whole generator, Eq. 8 without the adversarial term."""

    name = "full"

    def __init__(
        self, generator: Generator, kind: PoseKind, features: FeatureSet, config: TrainConfig
    ) -> None:
        super().__init__()
        self.generator = generator
        self.kind = kind
        self.weights = config.weights
        self.features = features
        self.objective = FlowObjective(config)

    def forward(self, batch: Batch) -> tuple[dict[str, Tensor], Tensor]:
        """The weighted losses by name, and the image (N, 3, H, W) in [-1, 1]."""
        sources, poses, target, target_pose = expand(batch, self.kind)
        image, maps = self.generator(sources, poses, target_pose, return_maps=True)
        judged = [name for name in ("perceptual", "style") if getattr(self.weights, name) > 0]
        maps_of = self.features.maps
        with torch.autocast(image.device.type, enabled=False):
            image = image.float()
            with torch.no_grad():
                of_sources = maps_of(sources.flatten(0, 1), ["matching"])
                real = maps_of(target, ["matching", *judged])
            fake = maps_of(image, judged) if judged else {}
            flows = [m.flow for m in maps]
            terms: dict[str, Tensor] = self.objective(
                of_sources["matching"], real["matching"], flows
            )
            terms["l1"] = self.weights.l1 * (image - target).abs().mean()
            for name in judged:
                loss = getattr(losses, name)
                terms[name] = getattr(self.weights, name) * loss(fake[name], real[name])
        return terms, image


class DiscriminatorStage(nn.Module):
    """Beside stage 2: both sides of Eq. 11."""

    def __init__(self, discriminator: nn.Module, config: TrainConfig) -> None:
        super().__init__()
        self.discriminator = discriminator
        self.weight = config.weights.adversarial
        self.adversarial = config.adversarial

    def judge(self, image: Tensor) -> Tensor:
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
