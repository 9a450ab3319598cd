"""The four kinds of pose: maps made from batches of their codes, and distances of poses.

A code is a pose in its smallest form, a tensor: every pose of :mod:`rfwarp.poses` gives its own by
``code()``, datasets hand codes out, and they are cheap to move to a device. There the (c_p, H, W)
maps are made of them, for whole batches at once.

=========  ===============================================================  ===
kind       code                                                             c_p
=========  ===============================================================  ===
viewpoint  (21,) float32, see :meth:`rfwarp.poses.Viewpoint.code`           21
keypoints  (18, 3) float32, see :meth:`rfwarp.poses.Keypoints.code`         18
camera     (6,) float32, see :meth:`rfwarp.poses.CameraMotion.code`         6
landmarks  (3, H, W) uint8, see :meth:`rfwarp.poses.FaceLandmarks.code`     3
=========  ===============================================================  ===
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from rfwarp.images import from_uint8
from rfwarp.poses.encoding import tile
from rfwarp.poses.heatmaps import keypoint_heatmaps
from rfwarp.poses.viewpoint import angles

CAMERA_DEPTH = 10.0
"""Depth, in metres, of the points whose motion measures the distance of two cameras."""


@dataclass(frozen=True)
class PoseKind:
    """One kind of pose; ``POSE_KINDS`` has them all.

    Example:
        >>> import torch
        >>> from rfwarp.poses import POSE_KINDS, Viewpoint
        >>> kind = POSE_KINDS["viewpoint"]
        >>> codes = torch.stack([Viewpoint(40, 0).code(), Viewpoint(100, 0).code()])
        >>> kind.expand(codes, height=64, width=64).shape
        torch.Size([2, 21, 64, 64])
        >>> round(kind.distance(codes[0], codes[1]).item(), 6)  # degrees
        60.0
    """

    name: str
    channels: int
    """c_p."""
    code_shape: tuple[int | None, ...]
    """Shape of a code; None is a size that differs from one image to another."""
    _expand: Callable[[Tensor, int, int], Tensor] = field(repr=False)
    _distance: Callable[[Tensor, Tensor], Tensor] = field(repr=False)

    def expand(self, codes: Tensor, height: int, width: int) -> Tensor:
        """The maps that the networks read: (..., \\*code) to (..., c_p, height, width) float32.

        They are on the device of ``codes``. Some share memory: copy before writing.

        Raises:
            ValueError: if these are no codes of this kind, or of images of another size.
        """
        self._check("codes", codes)
        return self._expand(codes, height, width)

    def distance(self, codes: Tensor, other: Tensor) -> Tensor:
        """Distance of two poses: 0 for equal ones, symmetric.

        * viewpoint: angle between the two lines of sight, degrees;
        * keypoints: mean distance of the joints that both have, pixels; infinite if there are none;
        * camera: how far a point ``CAMERA_DEPTH`` away moves at most, metres: the distance of the
          two places plus that depth times the angle between the two rotations;
        * landmarks: mean absolute difference of the drawings, in [0, 255].

        Args:
            codes, other: (..., \\*code), broadcast against each other.

        Returns:
            (...) float64.

        Raises:
            ValueError: if these are no codes of this kind, or drawings of different sizes.
        """
        self._check("codes", codes)
        self._check("other", other)
        return self._distance(codes, other)

    def _check(self, name: str, codes: Tensor) -> None:
        shape = tuple(codes.shape)[-len(self.code_shape) :]
        if len(shape) < len(self.code_shape) or any(
            size not in (None, given) for size, given in zip(self.code_shape, shape, strict=True)
        ):
            wanted = ", ".join("*" if size is None else str(size) for size in self.code_shape)
            raise ValueError(
                f"{name} of kind {self.name!r} must be (..., {wanted}), got {tuple(codes.shape)}"
            )


def _tile(codes: Tensor, height: int, width: int) -> Tensor:
    return tile(codes.float(), height, width)


def _view_angle(codes: Tensor, other: Tensor) -> Tensor:
    one, two = _lines_of_sight(codes), _lines_of_sight(other)
    # Not acos of the product, which is imprecise near 0.
    return 2 * torch.rad2deg(torch.atan2((one - two).norm(dim=-1), (one + two).norm(dim=-1)))


def _lines_of_sight(codes: Tensor) -> Tensor:
    azimuth, elevation = map(torch.deg2rad, angles(codes.double()))
    level = elevation.cos()
    return torch.stack((level * azimuth.cos(), level * azimuth.sin(), elevation.sin()), dim=-1)


def _mean_joint_distance(codes: Tensor, other: Tensor) -> Tensor:
    codes, other = codes.double(), other.double()
    both = (codes[..., 2] != 0) & (other[..., 2] != 0)
    lengths = (codes[..., :2] - other[..., :2]).norm(dim=-1)
    count = both.sum(-1)
    mean = torch.where(both, lengths, 0.0).sum(-1) / count.clamp(min=1)
    return torch.where(count > 0, mean, torch.inf)


def _camera_distance(codes: Tensor, other: Tensor) -> Tensor:
    codes, other = codes.double(), other.double()
    apart = (codes[..., 3:] - other[..., 3:]).norm(dim=-1)
    # |R - Q| (Frobenius) = 2 sqrt(2) sin(angle / 2)
    chord = (rotation_matrices(codes[..., :3]) - rotation_matrices(other[..., :3])).norm(
        dim=(-2, -1)
    )
    return apart + CAMERA_DEPTH * 2 * torch.asin((chord / 8**0.5).clamp(max=1))


def rotation_matrices(angles: Tensor) -> Tensor:
    """(..., 3) angles about x, y and z, radians, to (..., 3, 3) ``R_z R_y R_x``, of their dtype."""
    (cx, cy, cz), (sx, sy, sz) = angles.cos().unbind(-1), angles.sin().unbind(-1)
    rows = (
        (cz * cy, cz * sy * sx - sz * cx, cz * sy * cx + sz * sx),
        (sz * cy, sz * sy * sx + cz * cx, sz * sy * cx - cz * sx),
        (-sy, cy * sx, cy * cx),
    )
    return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)


def _images(codes: Tensor, height: int, width: int) -> Tensor:
    if codes.dtype != torch.uint8 or codes.shape[-2:] != (height, width):
        raise ValueError(
            f"drawings of landmarks must be uint8 of size {height} x {width}, got {codes.dtype} "
            f"of {codes.shape[-2]} x {codes.shape[-1]}: draw them anew at that size"
        )
    return from_uint8(codes)


def _mean_difference(codes: Tensor, other: Tensor) -> Tensor:
    if codes.shape[-2:] != other.shape[-2:]:
        raise ValueError(
            f"drawings must have one size, got {tuple(codes.shape)} and {tuple(other.shape)}"
        )
    return (codes.double() - other.double()).abs().mean(dim=(-3, -2, -1))


POSE_KINDS: dict[str, PoseKind] = {
    kind.name: kind
    for kind in (
        PoseKind("viewpoint", 21, (21,), _tile, _view_angle),
        PoseKind("keypoints", 18, (18, 3), keypoint_heatmaps, _mean_joint_distance),
        PoseKind("camera", 6, (6,), _tile, _camera_distance),
        PoseKind("landmarks", 3, (3, None, None), _images, _mean_difference),
    )
}
"""Every kind of pose, by name.

>>> from rfwarp.poses import POSE_KINDS
>>> {name: kind.channels for name, kind in POSE_KINDS.items()}
{'viewpoint': 21, 'keypoints': 18, 'camera': 6, 'landmarks': 3}
"""
