"""The visual hull: what silhouettes alone say of the shape of a thing seen from several sides.

Nothing is learned. A point of space belongs to the hull if every source shows the thing where it
sees that point (Laurentini, 1994). Seen from the target, the hull gives a silhouette and a depth: a
first guess for a network to correct, never smaller than the thing, and blind to its hollows.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from rfwarp.ops import warp
from rfwarp.poses.projection import RelativeCameras, depth_flow, pixel_rays

_ROWS = 64  # of pixels that the hull is computed at: finer edges are for a network
_PLANES = 33
_NEAREST, _FARTHEST = 0.6, 1.4  # depths of the first and the last plane; the thing's middle is at 1
_RADIUS = 0.36  # of a ball around it that things fit in
_INWARD = 0.5  # surfaces lie behind that of the hull by so much of its thickness squared
_INK = 0.04  # of [0, 1]: what differs from white by more is the thing


class Hull(NamedTuple):
    """What the target would see of a visual hull; all (N, 1, h, w).

    Attributes:
        depth: nearer to that of the thing's middle, 1, the thicker the hull; 1 where there is none.
        there: whether there is a hull, in [0, 1].
        known: how much it says of the depth, in [0, 1].

    Example:
        >>> import torch
        >>> from rfwarp.poses import Viewpoint, hull_depth, orbiting_cameras
        >>> front = Viewpoint(0, 0).code()
        >>> cameras = orbiting_cameras(front[None, None], front[None])
        >>> hull = hull_depth(torch.zeros(1, 1, 1, 64, 64), cameras, 3.2, (64, 64))  # sees nothing
        >>> hull.depth.mean().item(), hull.there.max().item(), hull.known.max().item()
        (1.0, 0.0, 0.0)
    """

    depth: Tensor
    there: Tensor
    known: Tensor


def foreground_on_white(images: Tensor) -> Tensor:
    """Where images of a thing on white show it: (..., 3, H, W) in [-1, 1], one leading axis at
    least, to (..., 1, h, w) in [0, 1], of fewer than 128 rows as long as H is below 4096; H / h is
    1, 2, 4, 8, 16 or 32.

    Example:
        >>> import torch
        >>> from rfwarp.poses import foreground_on_white
        >>> image = torch.ones(1, 3, 128, 96)
        >>> image[..., 32:64, :] = 0
        >>> foreground_on_white(image).shape, foreground_on_white(image).mean().item()
        (torch.Size([1, 1, 64, 48]), 0.25)
    """
    ink = (1 - images).amax(-3, keepdim=True) / 2
    there = (ink / _INK).clamp(0, 1)
    cell = 1
    while cell < 32 and images.shape[-2] >= 2 * cell * _ROWS:
        cell *= 2
    return F.avg_pool2d(there.flatten(0, -4), cell).unflatten(0, images.shape[:-3])


def hull_depth(
    foreground: Tensor,
    cameras: RelativeCameras,
    focal: float,
    size: tuple[int, int],
    stride: int = 1,
    present: Tensor | None = None,
) -> Hull:
    """The visual hull of K sources, seen from the target.

    Args:
        foreground: (N, K, 1, h, w) in [0, 1], see :func:`foreground_on_white`.
        cameras: of viewpoints, see :func:`orbiting_cameras`.
        focal, size, stride: see :func:`depth_flow`.
        present: (N, K) bool, False for a missing source, which carves nothing.

    Example:
        >>> import torch
        >>> from rfwarp.poses import Viewpoint, hull_depth, orbiting_cameras
        >>> line = torch.linspace(-1, 1, 64)
        >>> disc = (line**2 + line[:, None] ** 2 < 0.5**2).float()  # a ball, from two sides
        >>> codes = torch.stack([Viewpoint(azimuth, 0).code() for azimuth in (0, 90, 45)])
        >>> cameras = orbiting_cameras(codes[None, :2], codes[2:])
        >>> hull = hull_depth(disc.expand(1, 2, 1, 64, 64), cameras, 3.2, (64, 64))
        >>> 0.85 < hull.depth[0, 0, 32, 32].item() < 0.96, hull.there[0, 0, 32, [2, 32]].tolist()
        (True, [0.0, 1.0])
    """
    n, k, _, h, w = foreground.shape
    like = {"dtype": foreground.dtype, "device": foreground.device}
    planes = torch.linspace(_NEAREST, _FARTHEST, _PLANES, **like)  # type: ignore[call-overload]
    flow = depth_flow(
        planes[:, None, None, None].expand(-1, -1, h, w).repeat(n, 1, 1, 1),
        RelativeCameras(*(x.repeat_interleave(_PLANES, 0) for x in cameras)),
        focal,
        size,
        stride,
    )  # (N * planes, K, 2, h, w)
    flow = flow.unflatten(0, (n, _PLANES)).transpose(1, 2).flatten(0, 1)  # (N * K, planes, ...)
    seen = warp(foreground.flatten(0, 1), flow).unflatten(0, (n, k))[:, :, :, 0]
    if present is not None:
        seen = seen.where(present[:, :, None, None, None], torch.ones_like(seen))
    depths = planes[:, None, None]
    across = pixel_rays(foreground, focal, size, stride)[:2].square().sum(0)
    ball = across * depths.square() + (depths - 1).square() < _RADIUS**2
    inside = seen.amin(1) * ball  # (N, planes, h, w)
    # The first plane inside, softly: what light from there passes all those before.
    passed = torch.cat([torch.ones_like(inside[:, :1]), (1 - inside).cumprod(1)[:, :-1]], 1)
    share = passed * inside
    there = share.sum(1, keepdim=True)
    front = (share * depths).sum(1, keepdim=True) / there.clamp_min(1e-3)
    thickness = inside.sum(1, keepdim=True) * ((_FARTHEST - _NEAREST) / (_PLANES - 1))
    surface = (front + _INWARD * thickness.square()).clamp(_NEAREST, _FARTHEST)
    # A hull as thick as the ball, as one source leaves it, says nothing of the depth.
    known = there * (1 - (thickness / (2 * _RADIUS)).square()).clamp_min(0.0)
    return Hull(1 + known * (surface - 1), there, known)
