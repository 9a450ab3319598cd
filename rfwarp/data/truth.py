"""True correspondences between images, which datasets of known geometry give on request.

Convention: if a pixel p of the target shows a surface point that source k shows at q, the true flow
of p is ``q - p`` in pixels, channel 0 = x to the right, 1 = y down: what :func:`rfwarp.ops.warp`
takes. Pixel (0, 0) is the middle of the top left pixel; q may lie outside the source.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class Truth(NamedTuple):
    """Positions in K sources of the points of a target; a batch has N in front of every shape.

    The object's point at a pixel is the one that a ray through the pixel's middle meets.

    Example:
        >>> from rfwarp.data import ProceduralChairs
        >>> truth = ProceduralChairs(0, 1, size=16, memory_chairs=0).truth(0, [3, 6, 0])
        >>> truth.flow.shape, truth.visible.shape  # of two sources, to view 0
        (torch.Size([2, 2, 16, 16]), torch.Size([2, 16, 16]))
        >>> truth.flow[:, :, ~truth.foreground].abs().max().item()
        0.0
    """

    flow: Tensor
    """(K, 2, H, W) float32, pixels; 0 on the background. On the object it is known everywhere, also
    where the source does not show the point."""
    visible: Tensor
    """(K, H, W) bool: the source shows the point of this target pixel: it lies inside the image,
    faces the camera, and bilinear weights of at least 0.5 are on source pixels of the same
    surface. False on the background."""
    foreground: Tensor
    """(H, W) bool: the target shows the object."""
    depth: Tensor | None = None
    """(H, W) float32, of datasets with a camera around an object: distance along the target's
    optical axis over the distance of the camera from the point it looks at; of those with a moving
    camera: that distance in metres; 0 on the background. None if depth and cameras do not determine
    the flow."""


class LevelTruth(NamedTuple):
    """Truth at one level of a network, each of its pixels a cell of ``stride`` x ``stride``."""

    flow: Tensor
    """(N, K, 2, h, w), pixels of the level: mean over the cell's visible pixels, 0 if there are
    none."""
    seen: Tensor
    """(N, K, 1, h, w) in [0, 1]: share of the cell that is visible, the weight of ``flow``."""
    visible: Tensor
    """(N, K, 1, h, w) in [0, 1]: share of the cell's foreground that is visible; 0 without any."""
    foreground: Tensor
    """(N, 1, 1, h, w) in [0, 1]: share of the cell that shows the object."""
    depth: Tensor | None
    """(N, 1, h, w): harmonic mean of the depth over the cell's foreground, as flow goes with the
    inverse; 0 without any."""


def pool(truth: Truth, stride: int) -> LevelTruth:
    """The truth of a batch at a level.

    Args:
        truth: (N, ...), its H and W multiples of ``stride``.
        stride: pixels of the image per pixel of the level; 1 changes nothing but the form.
    """
    visible = truth.visible.unsqueeze(2).float()
    foreground = truth.foreground[:, None, None].float()
    seen, shown = _mean(visible, stride), _mean(foreground, stride)
    flow = _mean(truth.flow * visible, stride) / seen.clamp_min(1e-6) / stride
    depth = None
    if truth.depth is not None:
        inverse = torch.where(truth.foreground, 1 / truth.depth.clamp_min(1e-6), 0.0)
        mean = _mean(inverse[:, None, None], stride) / shown.clamp_min(1e-6)
        depth = torch.where(shown > 0, 1 / mean.clamp_min(1e-6), 0.0)[:, :, 0]
    return LevelTruth(flow, seen, seen / shown.clamp_min(1e-6), shown, depth)


def _mean(x: Tensor, stride: int) -> Tensor:
    if stride == 1:
        return x
    return F.avg_pool2d(x.flatten(0, 1), stride).unflatten(0, x.shape[:2])


def stack(truths: list[Truth]) -> Truth:
    """A batch of truths with equal K, H and W."""
    depths = [t.depth for t in truths if t.depth is not None]
    return Truth(
        torch.stack([t.flow for t in truths]),
        torch.stack([t.visible for t in truths]),
        torch.stack([t.foreground for t in truths]),
        torch.stack(depths) if len(depths) == len(truths) else None,
    )
