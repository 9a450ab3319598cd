"""The generator's tensor inputs: checked before any work is done, stacked, and padded."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from rfwarp.nn.results import EncodedSources
from rfwarp.ops.functional import check_every_sample_has_a_source

STRIDE = 32  # the flow extractor halves the resolution five times
MIN_SIZE = 64  # below, instance normalisation at H/32 would see a single pixel


def stack_sources(name: str, tensors: Tensor | Sequence[Tensor]) -> Tensor:
    """(N, K, C, H, W) as it is, or K tensors (N, C, H, W) stacked to it."""
    if isinstance(tensors, list | tuple):
        if len(tensors) == 0:
            raise ValueError(f"{name}: at least one source is needed, got an empty list")
        for k, tensor in enumerate(tensors):
            _check_floating(f"{name}[{k}]", tensor)
            if tensor.ndim != 4 or tensor.shape != tensors[0].shape:
                raise ValueError(
                    f"{name} must be K tensors (N, C, H, W) of one shape, got "
                    f"{', '.join(str(tuple(t.shape)) for t in tensors)}"
                )
            _check_alike(f"{name}[{k}]", tensor, f"{name}[0]", tensors[0])
        return torch.stack(list(tensors), dim=1)
    if not isinstance(tensors, Tensor):
        raise TypeError(
            f"{name} must be a torch.Tensor or a list of them, got {type(tensors).__name__}"
        )
    _check_floating(name, tensors)
    if tensors.ndim != 5:
        raise ValueError(f"{name} must be (N, K, C, H, W), got {tuple(tensors.shape)}")
    return tensors


def check_sources(
    sources: Tensor, poses: Tensor, present: Tensor | None, pose_channels: int, weight: Tensor
) -> None:
    """Raise TypeError or ValueError unless the stacked sources, their poses and ``present`` fit.

    Args:
        weight: of the network, whose device and type the inputs must have.
    """
    n, k, channels, h, w = sources.shape
    if k < 1:
        raise ValueError("at least one source is needed, got K = 0")
    if channels != 3 or n < 1 or h < 1 or w < 1:
        raise ValueError(
            f"sources must be (N, K, 3, H, W) with N, H, W >= 1, got {tuple(sources.shape)}"
        )
    expected = (n, k, pose_channels, h, w)
    if tuple(poses.shape) != expected:
        raise ValueError(
            f"poses must be (N, K, c_p, H, W) = {expected} for sources "
            f"{tuple(sources.shape)}, got {tuple(poses.shape)}"
        )
    _check_alike("poses", poses, "sources", sources)
    _check_like_weights("sources", sources, weight)
    if present is not None:
        _check_present(present, n, k, sources.device)


def _check_present(present: Tensor, n: int, k: int, device: torch.device) -> None:
    if not isinstance(present, Tensor):
        raise TypeError(f"present must be a torch.Tensor, got {type(present).__name__}")
    if present.dtype != torch.bool or tuple(present.shape) != (n, k):
        raise ValueError(
            f"present must be bool (N, K) = {(n, k)}, got {present.dtype} {tuple(present.shape)}"
        )
    if present.device != device:
        raise ValueError(f"present must be on {device} like sources, got {present.device}")
    check_every_sample_has_a_source(present)


def check_target_pose(
    pose: Tensor, encoded: EncodedSources, pose_channels: int, weight: Tensor
) -> None:
    """Raise TypeError or ValueError unless the target pose fits the sources."""
    _check_floating("target_pose", pose)
    expected = (pose_channels, *encoded.size)
    if pose.ndim != 4 or tuple(pose.shape[1:]) != expected or pose.shape[0] < 1:
        raise ValueError(
            f"target_pose must be (N, c_p, H, W) = (N, {', '.join(map(str, expected))}), "
            f"got {tuple(pose.shape)}"
        )
    n = encoded.features[0].shape[0]
    if n != 1 and n != pose.shape[0]:  # torch.compile fails at `in` of symbols
        raise ValueError(f"{n} sets of sources do not fit {pose.shape[0]} target poses")
    _check_like_weights("target_pose", pose, weight)


def _check_floating(name: str, tensor: Tensor) -> None:
    if not isinstance(tensor, Tensor):
        raise TypeError(f"{name} must be a torch.Tensor, got {type(tensor).__name__}")
    if not tensor.is_floating_point():
        raise TypeError(f"{name} must be floating point, got {tensor.dtype}")


def _check_like_weights(name: str, tensor: Tensor, weight: Tensor) -> None:
    if tensor.dtype != weight.dtype and _under_autocast(weight.device.type):
        tensor = tensor.to(weight.dtype)  # autocast casts both
    _check_alike(name, tensor, "the weights", weight)


def _under_autocast(device: str) -> bool:
    return torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)


def _check_alike(name: str, tensor: Tensor, other: str, like: Tensor) -> None:
    if tensor.dtype != like.dtype:
        raise TypeError(f"{name} must be {like.dtype} like {other}, got {tensor.dtype}")
    if tensor.device != like.device:
        raise ValueError(f"{name} must be on {like.device} like {other}, got {tensor.device}")


def pad(x: Tensor) -> Tensor:
    """Edge-pad (..., C, H, W) at the bottom and right to multiples of 32, at least 64."""
    h, w = x.shape[-2:]
    bottom, right = (max(MIN_SIZE, -(-s // STRIDE) * STRIDE) - s for s in (h, w))
    if bottom == 0 and right == 0:
        return x
    padded = F.pad(x.flatten(0, -4), (0, right, 0, bottom), mode="replicate")
    return padded.unflatten(0, x.shape[:-3])
