"""Conversion of images and poses (files, PIL images, arrays) to the generator's tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from rfwarp.images import ImageLike, load_images
from rfwarp.nn.config import GeneratorConfig
from rfwarp.poses.encoding import PoseLike, encode_pose
from rfwarp.poses.keypoints import Keypoints

ImageSize: TypeAlias = "int | tuple[int, int] | Literal['native'] | None"


def prepare(
    config: GeneratorConfig,
    sources: Sequence[ImageLike],
    poses: Sequence[PoseLike],
    targets: Mapping[str, PoseLike],
    size: ImageSize,
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Arguments and errors as in :meth:`rfwarp.nn.Generator.generate`.

    Args:
        targets: target poses by the names that errors call them.

    Returns:
        Sources (1, K, 3, H, W) in [-1, 1], their poses (1, K, c_p, H, W), and each target pose as
        (c_p, H, W); float32 on the CPU.
    """
    images, source_poses = prepare_sources(config, sources, poses, size)
    if len(targets) == 0:
        raise ValueError("at least one target pose is needed, got none")
    shape = (images.shape[-2], images.shape[-1])
    return (
        images,
        source_poses,
        [pose_map(config, name, pose, shape) for name, pose in targets.items()],
    )


def prepare_sources(
    config: GeneratorConfig,
    sources: Sequence[ImageLike],
    poses: Sequence[PoseLike],
    size: ImageSize,
) -> tuple[Tensor, Tensor]:
    """Sources (1, K, 3, H, W) and their poses (1, K, c_p, H, W), see :func:`prepare`."""
    for name, given in (("sources", sources), ("poses", poses)):
        if not isinstance(given, list | tuple):
            raise TypeError(f"{name} must be a list, got {type(given).__name__}")
    if len(sources) == 0:
        raise ValueError("at least one source image is needed, got none")
    if len(poses) != len(sources):
        raise ValueError(f"{len(sources)} sources need {len(sources)} poses, got {len(poses)}")
    if size is None:
        size = config.image_size
    images = load_images(sources, None if size == "native" else size, "sources")
    height, width = images.shape[-2:]

    source_poses = torch.stack(
        [pose_map(config, f"poses[{k}]", pose, (height, width)) for k, pose in enumerate(poses)]
    )
    return images[None], source_poses[None]


def pose_map(config: GeneratorConfig, name: str, pose: PoseLike, size: tuple[int, int]) -> Tensor:
    """A pose as (c_p, height, width), float32 on the CPU; ``name`` is what errors call it.

    Raises:
        TypeError, ValueError: see :func:`rfwarp.poses.encoding.encode_pose`; also if the pose is of
            another kind than the model's, or has no joint inside its image.
    """
    kind = getattr(pose, "kind", None)
    if kind is not None and config.pose_kind not in (None, kind):
        raise ValueError(f"{name} is a {kind}, but this model takes a {config.pose_kind}")
    if isinstance(pose, Keypoints) and not pose.inside().any():
        raise ValueError(
            f"{name} has no joint inside its image, of {pose.height} x {pose.width} pixels (H x W)"
        )
    return encode_pose(name, pose, config.pose_channels, *size)
