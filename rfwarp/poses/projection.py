"""Flow from depth and known cameras: the point of each pixel, projected to another camera.

Points of a camera are (x right, y down, z forward). A focal length f is relative to half of the
image's height, so a point projects to ``x_pixel = (W + f H X / Z - 1) / 2``, and y alike.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from rfwarp.poses.kinds import rotation_matrices
from rfwarp.poses.viewpoint import angles

NEAREST = 0.05  # in the unit of depth: points behind a camera are projected as if here


class RelativeCameras(NamedTuple):
    """K source cameras relative to a target camera: a point X in the target's axes is at
    ``rotation X + translation`` in the source's.

    Example:
        >>> import torch
        >>> from rfwarp.poses import RelativeCameras
        >>> cameras = RelativeCameras(torch.eye(3).expand(1, 2, 3, 3), torch.zeros(1, 2, 3))
        >>> cameras.rotation.shape, cameras.translation.shape
        (torch.Size([1, 2, 3, 3]), torch.Size([1, 2, 3]))
    """

    rotation: Tensor
    """(N, K, 3, 3)."""
    translation: Tensor
    """(N, K, 3), in the unit of depth."""


def orbiting_cameras(sources: Tensor, target: Tensor) -> RelativeCameras:
    """Cameras of viewpoints, all at distance 1 from the point that they look at.

    Args:
        sources: (N, K, 21) codes of :class:`rfwarp.poses.Viewpoint`.
        target: (N, 21).

    Example:
        >>> import torch
        >>> from rfwarp.poses import Viewpoint, orbiting_cameras
        >>> front, back = Viewpoint(0, 0).code(), Viewpoint(180, 0).code()
        >>> cameras = orbiting_cameras(back[None, None], front[None])
        >>> cameras.translation[0, 0].round().tolist()  # from the front 2 units behind the thing
        [0.0, 0.0, 2.0]
    """
    seen, wanted = _orbit_axes(sources), _orbit_axes(target)[:, None]
    rotation = seen @ wanted.transpose(-1, -2)
    # The object's centre is at (0, 0, 1) of every camera.
    forward = torch.tensor([0.0, 0.0, 1.0], dtype=rotation.dtype, device=rotation.device)
    return RelativeCameras(rotation, forward - rotation[..., 2])


def _orbit_axes(codes: Tensor) -> Tensor:
    """(..., 21) to (..., 3, 3): rows are the camera's x, y and z axis in the object's space."""
    azimuth, elevation = angles(codes)
    (ca, sa), (ce, se) = _direction(azimuth), _direction(elevation)
    rows = (
        (-sa, ca, torch.zeros_like(ca)),
        (ca * se, sa * se, -ce),
        (-ca * ce, -sa * ce, -se),
    )
    return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)


def _direction(degrees: Tensor) -> tuple[Tensor, Tensor]:
    """Cosine and sine, divided by their length: it is 1 but for rounding, and dividing by it keeps
    the flows of older weights to the bit."""
    angle = degrees.deg2rad()
    c, s = angle.cos(), angle.sin()
    length = (c * c + s * s).sqrt()
    return c / length, s / length


def moving_cameras(sources: Tensor, target: Tensor) -> RelativeCameras:
    """Cameras of motions relative to one frame, in whose unit depth is.

    Args:
        sources: (N, K, 6) codes of :class:`rfwarp.poses.CameraMotion`.
        target: (N, 6).

    Example:
        >>> import torch
        >>> from rfwarp.poses import CameraMotion, moving_cameras
        >>> here, ahead = (CameraMotion((0, 0, 0), (0, 0, z)).code() for z in (0, 3))
        >>> moving_cameras(ahead[None, None], here[None]).translation[0, 0].tolist()
        [0.0, 0.0, -3.0]
    """
    seen, wanted = rotation_matrices(sources[..., :3]), rotation_matrices(target[:, None, :3])
    back = seen.transpose(-1, -2)
    apart = target[:, None, 3:] - sources[..., 3:]
    return RelativeCameras(back @ wanted, (back @ apart[..., None])[..., 0])


def pixel_rays(like: Tensor, focal: float, size: tuple[int, int], stride: int) -> Tensor:
    """(3, h, w): the point at depth 1 that each pixel of a map (..., h, w) shows, in its type;
    arguments as of :func:`depth_flow`."""
    height, width = size
    h, w = like.shape[-2:]
    same: dict[str, Any] = {"dtype": like.dtype, "device": like.device}
    y = ((torch.arange(h, **same) + 0.5) * stride * 2 - height) / (focal * height)
    x = ((torch.arange(w, **same) + 0.5) * stride * 2 - width) / (focal * height)
    return torch.stack([x.expand(h, w), y[:, None].expand(h, w), torch.ones(h, w, **same)])


def depth_flow(
    depth: Tensor, cameras: RelativeCameras, focal: float, size: tuple[int, int], stride: int = 1
) -> Tensor:
    """The flow of a surface of known depth in the target, to each of K sources.

    Args:
        depth: (N, 1, h, w) along the target's optical axis, positive.
        cameras: of N targets and K sources, of the depth's type.
        focal: focal length of all of them, over half of the image's height.
        size: height and width of the image whose middle the optical axis goes through.
        stride: pixels of that image per pixel of ``depth``.

    Returns:
        (N, K, 2, h, w), pixels of ``depth``, channel 0 = x: from a target pixel to its source
        position, as :func:`rfwarp.ops.warp` takes it.

    Example:
        >>> import torch
        >>> from rfwarp.poses import CameraMotion, depth_flow, moving_cameras
        >>> here, right = (CameraMotion((0, 0, 0), (x, 0, 0)).code() for x in (0, 1))
        >>> cameras = moving_cameras(right[None, None], here[None])
        >>> flow = depth_flow(torch.full((1, 1, 4, 4), 2.0), cameras, focal=1.0, size=(4, 4))
        >>> flow[0, 0, :, 0, 0].tolist()  # 2 metres away, points move by 2 of 4 pixels / 2
        [-1.0, 0.0]
    """
    height, (h, w) = size[0], depth.shape[-2:]
    rays = pixel_rays(depth, focal, size, stride)
    turned = (cameras.rotation @ rays.flatten(1)).unflatten(-1, (h, w))  # (N, K, 3, h, w)
    points = depth[:, None] * turned + cameras.translation[..., None, None]
    scaled = points[:, :, :2] / points[:, :, 2:].clamp_min(NEAREST) * focal * height
    return (scaled / (2 * stride)) - (rays[:2] * focal * height / (2 * stride))
