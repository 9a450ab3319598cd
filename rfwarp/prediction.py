"""Images of a dataset's samples: its codes of poses as maps, on the generator's device."""

from __future__ import annotations

from torch import Tensor

from rfwarp.nn import Generator
from rfwarp.poses.kinds import PoseKind


def predict_images(
    generator: Generator, kind: PoseKind, sources: Tensor, poses: Tensor, target_poses: Tensor
) -> Tensor:
    """Images (N, 3, H, W) on the generator's device; arguments as of :func:`network_inputs`."""
    return generator(*network_inputs(generator, kind, sources, poses, target_poses))


def network_inputs(
    generator: Generator, kind: PoseKind, sources: Tensor, poses: Tensor, target_poses: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Inputs on the generator's device and in its precision: sources, poses, target poses.

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
