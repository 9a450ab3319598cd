"""Jobs of the ray caster: one for every part of a chair in every image of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rfwarp.data.chairs.camera import FOCAL, camera_axes
from rfwarp.data.chairs.model import Array, Model
from rfwarp.poses import Viewpoint


@dataclass(frozen=True)
class Jobs:
    """One row per (image, part) pair; float rows are stored column by column for gathering.

    A ray through sample (i, j) has the direction d0 + i dx + j dy in the part's coordinates.
    """

    image: Tensor  # (J,) int64
    box: Tensor  # (J, 4) int64: first column, first row, width, height in samples
    cast: Tensor  # (15, J) float32: origin, d0, dx, dy (3 each), scale, slope, roundness
    shade: Tensor  # (29, J) float32: normal matrix (9), to_texture (9), shift (3), look (8)


def _dot(a: Array, b: Array) -> Array:
    """Inner product over the last axis, of 3; elementwise, so that no batch shape changes it."""
    return a[..., 0] * b[..., 0] + a[..., 1] * b[..., 1] + a[..., 2] * b[..., 2]


def _boxes(model: Model, axes: Array, samples: int) -> Array:
    """(V, P, 4): first column, first row, width and height of the samples that parts may cover."""
    local = _dot(model.corners[:, :, None], axes[:, None, None])  # (V, P, 8, 3)
    image = FOCAL * local[..., :2] / (model.distance - local[..., 2:])
    position = (image * (1, -1) + 1) * samples / 2 - 0.5
    low = np.clip(np.floor(position.min(2)), 0, samples - 1)
    high = np.clip(np.ceil(position.max(2)), 0, samples - 1)
    return np.concatenate([low, high - low + 1], -1)


def make_jobs(model: Model, views: Sequence[Viewpoint], samples: int, first_image: int) -> Jobs:
    """Jobs of every part of a model at every view, computed in float64, stored in float32."""
    axes = camera_axes(views)
    count, parts = len(views), len(model.corners)
    linear, offset = model.to_local[:, :, :3], model.to_local[:, :, 3]
    right, up, back = axes[:, 0], axes[:, 1], axes[:, 2]
    step = 2.0 / samples
    corner = (step / 2 - 1) * right + (1 - step / 2) * up - FOCAL * back
    rays = np.stack([back * model.distance, corner, step * right, -step * up], 1)  # (V, 4, 3)
    moved = _dot(linear[:, None], rays[:, None, :, None])  # (V, P, 4, 3)
    moved[:, :, 0] += offset
    per_part = np.concatenate([model.shape, model.roundness[:, None]], 1)
    cast = np.concatenate(
        [moved.reshape(count, parts, 12), np.broadcast_to(per_part, (count, parts, 3))], -1
    )
    shade = np.concatenate(
        [linear.reshape(parts, 9), model.to_texture.reshape(parts, 9), model.shift, model.look], 1
    )
    return Jobs(
        torch.from_numpy(np.repeat(np.arange(first_image, first_image + count), parts)),
        torch.from_numpy(_boxes(model, axes, samples).reshape(-1, 4).astype(np.int64)),
        torch.from_numpy(cast.reshape(-1, 15).T.astype(np.float32)),
        torch.from_numpy(np.tile(shade, (count, 1)).T.astype(np.float32)),
    )
