"""Models that turn the outputs of the flow heads into flows: level by level, coarse first.

An instance lives for one call of the network and remembers the level before: coarse-to-fine, a
level's head corrects what the coarser level predicted.
"""

from __future__ import annotations

import math
from typing import NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from rfwarp.poses.projection import RelativeCameras, depth_flow, moving_cameras, orbiting_cameras

CAMERAS = {"viewpoint": orbiting_cameras, "camera": moving_cameras}
"""Functions from poses to cameras, by the kinds of pose that give them."""

DEEP = 0.4  # that nearer and farther than its middle a thing may be, at distance 1
NEAR = 1.0  # in metres: a moving camera sees nothing nearer
FARTHEST = 0.005  # NEAR over the largest depth
TYPICAL = 20.0  # depth that networks begin with: sources a car's way ahead are then not beyond it


class Surface(NamedTuple):
    """The flow of one level, and what it was made of."""

    flow: Tensor
    """(M, K, 2, h, w), pixels of the level."""
    depth: Tensor | None = None
    """(M, 1, h, w), with a depth model."""
    foreground: Tensor | None = None
    """(M, 1, h, w) logits of showing the object, with a depth model or a silhouette."""


class FlowModel(Protocol):
    """A model that turns the head's output of a level into a flow."""

    def level(self, raw: Tensor, stride: int) -> Surface:
        """
        Args:
            raw: (M, K, outputs, h, w) of the head.
            stride: pixels of the image per pixel of the level.
        """


def outputs(flow_model: str, silhouette: bool) -> int:
    """Channels of the head: x and y, or depth; then, if needed, the silhouette and a confidence."""
    return 3 if flow_model == "depth" else 4 if silhouette else 2


def initial_value(kind: str) -> float:
    """The head's output for the depth that an untrained network should predict everywhere.

    Around an object that is the distance of its middle, by an output of 0. Of a moving camera the
    middle of the outputs is 2 metres, a few frames' way: half of all points would begin behind
    sources that drove past them, where flows have no useful gradient. So it begins at TYPICAL.
    """
    if kind == "viewpoint":
        return 0.0
    share = (NEAR / TYPICAL - FARTHEST) / (1 - FARTHEST)
    return math.log(share / (1 - share))


def fuse(values: Tensor, confidence: Tensor, present: Tensor | None) -> Tensor:
    """Mean of the values of K sources, weighted by a softmax of confidence: (M, K, h, w) both.

    Args:
        present: (M, K) bool, False for a missing source.

    Returns:
        (M, 1, h, w).
    """
    if present is not None:
        confidence = confidence.masked_fill(~present[..., None, None], -torch.inf)
    return (confidence.softmax(1) * values).sum(1, keepdim=True)


class Refined:
    """Values refined level by level, coarse first.

    Args:
        coarse_to_fine: whether a level starts from the coarser one, or is on its own.
        lengths: whether values are lengths in pixels of their level.
    """

    def __init__(self, coarse_to_fine: bool, lengths: bool) -> None:
        self.coarse_to_fine, self.lengths = coarse_to_fine, lengths
        self.values: Tensor | None = None
        self.stride = 0

    def by(self, correction: Tensor, stride: int) -> Tensor:
        """The values (..., h, w) of the next level, whose head outputs ``correction``."""
        if self.values is None or not self.coarse_to_fine:
            values = correction
        else:
            ratio = self.stride // stride
            values = correction + enlarge(self.values, ratio) * (ratio if self.lengths else 1)
        self.values, self.stride = values, stride
        return values


class FreeFlow:
    """A flow for each source on its own, added to a prior if there is one.

    Args:
        coarse_to_fine: whether a level starts from the coarser one.
        prior: (M, K, 2, H, W), pixels of the image.
        present: (M, K) bool, False for a missing source.
    """

    def __init__(self, coarse_to_fine: bool, prior: Tensor | None, present: Tensor | None) -> None:
        self.refined = Refined(coarse_to_fine, lengths=True)
        self.prior, self.present = prior, present

    def level(self, raw: Tensor, stride: int) -> Surface:
        flow = raw[:, :, :2]
        shown = fuse(raw[:, :, 2], raw[:, :, 3], self.present) if raw.shape[2] > 2 else None
        flow = self.refined.by(flow, stride)
        if self.prior is not None:
            flow = flow + F.avg_pool3d(self.prior.to(flow.dtype), (1, stride, stride)) / stride
        return Surface(flow, None, shown)


class DepthFlow:
    """Flows by projection of one depth map of the target view, fused from all sources.

    Args:
        coarse_to_fine: whether a level starts from the coarser one.
        kind: of pose, one of :data:`CAMERAS`.
        cameras: of the M targets and K sources.
        focal, size: see :func:`rfwarp.poses.projection.depth_flow`.
        present: (M, K) bool, False for a missing source.
        prior: (M, 1, H, W), depth to start from, if there is one; around an object.
    """

    def __init__(
        self,
        coarse_to_fine: bool,
        kind: str,
        cameras: RelativeCameras,
        focal: float,
        size: tuple[int, int],
        present: Tensor | None,
        prior: Tensor | None = None,
    ) -> None:
        self.refined = Refined(coarse_to_fine, lengths=False)
        self.kind, self.cameras = kind, cameras
        self.focal, self.size, self.present = focal, size, present
        self.start = None if prior is None else _value(prior)

    def level(self, raw: Tensor, stride: int) -> Surface:
        value, confidence, shown = raw.unbind(2)
        fused, shown = (fuse(x, confidence, self.present) for x in (value, shown))
        value = self.refined.by(fused, stride)
        if self.start is not None:
            value = value + F.avg_pool2d(self.start.to(value.dtype), stride)
        depth = self._depth(value)
        flow = depth_flow(depth, self.cameras, self.focal, self.size, stride)
        return Surface(flow, depth, shown)

    def _depth(self, value: Tensor) -> Tensor:
        """Depths in the camera's range: around an object at distance 1, or from NEAR on."""
        if self.kind == "viewpoint":
            return 1 + DEEP * torch.tanh(value)
        return NEAR / (FARTHEST + (1 - FARTHEST) * torch.sigmoid(value))


def _value(depth: Tensor) -> Tensor:
    """The head's output for a depth around an object."""
    return ((depth - 1) / DEEP).clamp(-0.97, 0.97).atanh()


def enlarge(x: Tensor, ratio: int) -> Tensor:
    """(..., h, w) to ``ratio`` times the size, bilinearly."""
    flat = x.flatten(0, -4) if x.ndim == 5 else x
    large = F.interpolate(flat, scale_factor=float(ratio), mode="bilinear", align_corners=False)
    return large.unflatten(0, x.shape[:-3]) if x.ndim == 5 else large
