"""Camera motion: how the viewer of a scene moved."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from rfwarp.deprecation import warn
from rfwarp.files import shortened
from rfwarp.poses.encoding import tile

Array = npt.NDArray[np.float64]
_ORTHONORMAL = 1e-3  # KITTI's numbers have some six digits
_LOCKED = 1e-12  # cosine of the angle about y, below which z is noise


@dataclass(frozen=True)
class CameraMotion:
    """Rotation and translation of a view relative to a frame of reference.

    Args:
        rotation: three angles about x, y and z, radians.
        translation: position of the view's origin in the frame of reference, in its units (metres
            in KITTI).

    Raises:
        ValueError: if these are not three finite numbers each.

    Convention: as in KITTI, x points right, y down and z forward. A point p of the view is at
    ``R p + t`` in the frame of reference, with ``R = R_z(angle z) R_y(angle y) R_x(angle x)``. The
    angle about y is in [-pi/2, pi/2] when it comes from a matrix; at its ends, where the other two
    turn about one axis, that about z is 0.

    Example:
        >>> from rfwarp.poses import CameraMotion
        >>> motion = CameraMotion(rotation=(0, 0.5, 0), translation=(0, 0, 1.5))
        >>> motion.code()
        tensor([0.0000, 0.5000, 0.0000, 0.0000, 0.0000, 1.5000])
        >>> motion.encode(height=64, width=96).shape
        torch.Size([6, 64, 96])
    """

    rotation: tuple[float, float, float]
    translation: tuple[float, float, float]

    channels: ClassVar[int] = 6
    kind: ClassVar[str] = "camera"

    def __post_init__(self) -> None:
        for name in ("rotation", "translation"):
            given = np.asarray(getattr(self, name), dtype=np.float64)
            if given.shape != (3,) or not np.isfinite(given).all():
                raise ValueError(f"{name} must be three finite numbers, got {getattr(self, name)}")
            object.__setattr__(self, name, tuple(given.tolist()))

    @classmethod
    def from_matrix(cls, matrix: Any) -> CameraMotion:
        """Make it from [R | t], (3, 4), or (4, 4) with 0 0 0 1 below.

        Raises:
            ValueError: if it is no such matrix, or R no rotation.
        """
        m = _checked(matrix)
        r, cosine = m[:, :3], float(np.hypot(m[0, 0], m[1, 0]))
        y = float(np.arctan2(-r[2, 0], cosine))
        z = float(np.arctan2(r[1, 0], r[0, 0])) if cosine > _LOCKED else 0.0
        # Of R_z^-1 R = R_y R_x, whose middle row is 0, cos x, -sin x: x makes up for whatever z
        # has lost, however close the two axes are.
        _, cos_x, minus_sin_x = math.cos(z) * r[1] - math.sin(z) * r[0]
        x = math.atan2(-minus_sin_x, cos_x)
        tx, ty, tz = m[:, 3].tolist()
        return cls((x, y, z), (tx, ty, tz))

    @classmethod
    def relative(cls, pose: Any, reference: Any) -> CameraMotion:
        """Motion of a view relative to another, both given by their matrices in a third frame."""
        pose, reference = _checked(pose), _checked(reference)
        back = reference[:, :3].T
        rotation = back @ pose[:, :3]
        translation = back @ (pose[:, 3] - reference[:, 3])
        return cls.from_matrix(np.concatenate([rotation, translation[:, None]], axis=1))

    def to_matrix(self) -> Array:
        """[R | t], (3, 4) float64."""
        (cx, cy, cz), (sx, sy, sz) = np.cos(self.rotation), np.sin(self.rotation)
        about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
        about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
        about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
        rotation = about_z @ about_y @ about_x
        matrix: Array = np.concatenate([rotation, np.array(self.translation)[:, None]], axis=1)
        return matrix

    def code(self) -> Tensor:
        """(6,) float32: the rotation's angles, then the translation."""
        return torch.tensor([*self.rotation, *self.translation])

    def vector(self) -> Tensor:
        """Former name of :meth:`code`."""
        warn("vector", "code", 3)
        return self.code()

    def encode(self, height: int, width: int) -> Tensor:
        """(6, height, width) float32: :meth:`code` tiled over the image, without copying."""
        return tile(self.code(), height, width)


def _checked(matrix: Any) -> Array:
    m = np.asarray(matrix, dtype=np.float64)
    if m.shape == (4, 4) and np.array_equal(m[3], [0, 0, 0, 1]):
        m = m[:3]
    if m.shape != (3, 4):
        raise ValueError(f"a pose is (3, 4), or (4, 4) with 0 0 0 1 below, got {m.shape}")
    if not np.isfinite(m).all():
        raise ValueError("a pose has values that are not finite")
    r = m[:, :3]
    off = float(np.abs(r @ r.T - np.eye(3)).max())
    if off > _ORTHONORMAL or np.linalg.det(r) < 0:
        raise ValueError(f"its first three columns are no rotation: off by {off:.2g}")
    return m


def read_kitti_poses(path: str | os.PathLike[str]) -> Array:
    r"""(frames, 3, 4) float64: KITTI odometry's poses of every frame in that of the first camera.

    A line has 12 numbers, [R | t] row by row.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if a line has other than 12 numbers or is no pose; the message has its number.

    Example:
        >>> from pathlib import Path
        >>> from rfwarp.poses import read_kitti_poses
        >>> _ = Path("09.txt").write_text("1 0 0 0 0 1 0 0 0 0 1 0\n1 0 0 0 0 1 0 0 0 0 1 0.9\n")
        >>> poses = read_kitti_poses("09.txt")
        >>> poses.shape, poses[1, :, 3].tolist()  # 0.9 metres ahead
        ((2, 3, 4), [0.0, 0.0, 0.9])
    """
    poses = []
    try:
        text = Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} must be UTF-8: {error}") from error
    for number, line in enumerate(text.splitlines(), start=1):
        try:
            values = [float(value) for value in line.split()]
            if len(values) != 12:
                raise ValueError(f"expected 12 numbers, got {len(values)}")
            poses.append(_checked(np.array(values).reshape(3, 4)))
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: {shortened(error, 400)}") from error
    if not poses:
        raise ValueError(f"{path} is empty")
    return np.stack(poses)
