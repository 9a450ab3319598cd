"""Object viewpoints: the pose of a thing that stands on a turntable."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from numbers import Real
from typing import ClassVar

import torch
from torch import Tensor

from rfwarp.deprecation import warn
from rfwarp.poses.encoding import tile

AZIMUTH_STEP = 20  # degrees
ELEVATION_STEP = 10


@dataclass(frozen=True)
class Viewpoint:
    """A viewing direction: one of the 54 of the ShapeNet-chair protocol (18 azimuths x 3
    elevations), or any other.

    Args:
        azimuth: degrees. Values outside [0, 360) wrap around.
        elevation: degrees above the horizon, -90 to 90; straight down is 90.

    Raises:
        TypeError: if the angles are no numbers.
        ValueError: if they are not finite, or the elevation is out of range.

    Convention: azimuth 0 looks at the front of the object, and a growing azimuth moves the camera
    counter-clockwise as seen from above.

    The code of a view of the protocol is two one-hots. Between two angles of the protocol, it has
    the weights of their linear interpolation. Elevations above 20 and below 0 degrees are linearly
    extrapolated, but slowly, so that the code stays small: 90 has the weights 0, -1 and 2, and -90
    has 2, -1 and 0. Networks trained on the protocol alone know nothing of other views; those
    between its own they draw more or less well.

    Example:
        >>> from rfwarp.poses import Viewpoint
        >>> view = Viewpoint(azimuth=-20, elevation=10)
        >>> view
        Viewpoint(azimuth=340, elevation=10)
        >>> view.code().nonzero().flatten().tolist()  # two ones
        [17, 19]
        >>> Viewpoint(30, 10).code()[:3].tolist()  # between two of the protocol
        [0.0, 0.5, 0.5]
    """

    azimuth: float
    elevation: float

    AZIMUTHS: ClassVar[tuple[int, ...]] = tuple(range(0, 360, 20))
    ELEVATIONS: ClassVar[tuple[int, ...]] = (0, 10, 20)
    channels: ClassVar[int] = 21
    kind: ClassVar[str] = "viewpoint"

    def __post_init__(self) -> None:
        for name in ("azimuth", "elevation"):
            given = getattr(self, name)
            if not isinstance(given, Real):
                raise TypeError(f"{name} must be a number of degrees, got {given!r}")
            angle = float(given)
            if not math.isfinite(angle):
                raise ValueError(f"{name} must be finite, got {given!r}")
            if name == "elevation" and not -90 <= angle <= 90:
                raise ValueError(f"elevation must lie in -90..90 degrees, got {given!r}")
            if name == "azimuth":
                angle = angle % 360 % 360  # of -1e-20 the remainder is 360 itself
            object.__setattr__(self, name, int(angle) if angle.is_integer() else angle)

    @classmethod
    def grid(cls) -> Iterator[Viewpoint]:
        """All 54 viewpoints of the protocol in index order: elevation varies fastest."""
        return (cls(a, e) for a in cls.AZIMUTHS for e in cls.ELEVATIONS)

    @classmethod
    def from_index(cls, index: int) -> Viewpoint:
        """The viewpoint at a position of :meth:`grid`, 0 to 53."""
        count = len(cls.ELEVATIONS)
        if not 0 <= index < len(cls.AZIMUTHS) * count:
            raise ValueError(f"viewpoint index must lie in 0..53, got {index}")
        return cls(cls.AZIMUTHS[index // count], cls.ELEVATIONS[index % count])

    @classmethod
    def codes(cls) -> Tensor:
        """(54, 21) float32: :meth:`code` of every viewpoint of the protocol, in index order."""
        return torch.stack([view.code() for view in cls.grid()])

    @property
    def index(self) -> int:
        """Position in :meth:`grid`.

        Raises:
            ValueError: if it is not there.
        """
        place = []
        for name, grid in (("azimuth", self.AZIMUTHS), ("elevation", self.ELEVATIONS)):
            angle = getattr(self, name)
            if angle not in grid:
                raise ValueError(
                    f"{name} must be one of {', '.join(map(str, grid))} degrees, got {angle!r}"
                )
            place.append(grid.index(angle))
        return place[0] * len(self.ELEVATIONS) + place[1]

    def code(self) -> Tensor:
        """(21,) float32: weights of the azimuths (18), then of the elevations (3)."""
        code = torch.zeros(self.channels)
        turn, rise = code[: len(self.AZIMUTHS)], code[len(self.AZIMUTHS) :]
        before, part = divmod(self.azimuth / AZIMUTH_STEP, 1)
        turn[int(before)] = 1 - part
        turn[(int(before) + 1) % len(turn)] += part
        low, middle, high = self.ELEVATIONS
        if self.elevation > high:
            beyond = (self.elevation - high) / (90 - high)
            rise[1], rise[2] = -beyond, 1 + beyond
        elif self.elevation < low:
            beyond = (low - self.elevation) / (low + 90)
            rise[0], rise[1] = 1 + beyond, -beyond
        else:
            part = (self.elevation - middle) / ELEVATION_STEP
            rise[0], rise[1], rise[2] = max(0, -part), 1 - abs(part), max(0, part)
        return code

    def vector(self) -> Tensor:
        """Former name of :meth:`code`."""
        warn("vector", "code", 3)
        return self.code()

    def encode(self, height: int, width: int) -> Tensor:
        """(21, height, width) float32: :meth:`code` tiled over the image, without copying."""
        return tile(self.code(), height, width)


def angles(codes: Tensor) -> tuple[Tensor, Tensor]:
    """Azimuth and elevation in degrees of (..., 21) codes, see :meth:`Viewpoint.code`; exact on
    the grid of the protocol.

    A code of zeros, which is no viewpoint, counts as the first one.
    """
    turn, (low, middle, high) = codes[..., : len(Viewpoint.AZIMUTHS)], codes[..., -3:].unbind(-1)
    nearest = turn.argmax(-1, keepdim=True)
    beside = turn.roll(-1, -1) - turn.roll(1, -1)  # weight of the next one, less the previous one's
    azimuth = AZIMUTH_STEP * (nearest + beside.gather(-1, nearest)).squeeze(-1)
    first, mid, last = Viewpoint.ELEVATIONS
    above, below = last - (90 - last) * middle, first + (first + 90) * middle
    elevation = torch.where(
        middle < 0, torch.where(high > low, above, below), mid * middle + last * high
    )
    return azimuth, elevation
