"""Object viewpoints: the pose of a thing that stands on a turntable."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from numbers import Real
from typing import ClassVar

import torch
from torch import Tensor

from rfwarp.deprecation import warn
from rfwarp.poses.encoding import tile


@dataclass(frozen=True)
class Viewpoint:
    """One of the 54 views of the ShapeNet-chair protocol: 18 azimuths x 3 elevations.

    Args:
        azimuth: degrees, one of 0, 20, ..., 340. Values outside [0, 360) wrap around.
        elevation: degrees above the horizon, one of 0, 10, 20.

    Raises:
        TypeError: if the angles are no numbers.
        ValueError: if they are not on that grid.

    Convention: azimuth 0 looks at the front of the object, and a growing azimuth moves the camera
    counter-clockwise as seen from above.

    Example:
        >>> from rfwarp.poses import Viewpoint
        >>> view = Viewpoint(azimuth=-20, elevation=10)
        >>> view
        Viewpoint(azimuth=340, elevation=10)
        >>> view.code().nonzero().flatten().tolist()  # two ones
        [17, 19]
        >>> Viewpoint(30, 10)
        Traceback (most recent call last):
            ...
        ValueError: azimuth must be one of 0, 20, ..., 340 degrees, got 30
    """

    azimuth: int
    elevation: int

    AZIMUTHS: ClassVar[tuple[int, ...]] = tuple(range(0, 360, 20))
    ELEVATIONS: ClassVar[tuple[int, ...]] = (0, 10, 20)
    channels: ClassVar[int] = 21
    kind: ClassVar[str] = "viewpoint"

    def __post_init__(self) -> None:
        for name, grid in (("azimuth", self.AZIMUTHS), ("elevation", self.ELEVATIONS)):
            given = getattr(self, name)
            if not isinstance(given, Real):
                raise TypeError(f"{name} must be a number of degrees, got {given!r}")
            angle = given % 360 if name == "azimuth" else given
            if angle not in grid:
                raise ValueError(
                    f"{name} must be one of {', '.join(map(str, grid))} degrees, got {given!r}"
                )
            object.__setattr__(self, name, int(angle))

    @classmethod
    def grid(cls) -> Iterator[Viewpoint]:
        """All 54 viewpoints in index order: elevation varies fastest."""
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
        """(54, 21) float32: :meth:`code` of every viewpoint, in index order."""
        return torch.stack([view.code() for view in cls.grid()])

    @property
    def index(self) -> int:
        """Position in :meth:`grid`."""
        row = self.AZIMUTHS.index(self.azimuth)
        return row * len(self.ELEVATIONS) + self.ELEVATIONS.index(self.elevation)

    def code(self) -> Tensor:
        """(21,) float32: one-hot azimuth (18), then one-hot elevation (3)."""
        code = torch.zeros(self.channels)
        code[self.AZIMUTHS.index(self.azimuth)] = 1.0
        code[len(self.AZIMUTHS) + self.ELEVATIONS.index(self.elevation)] = 1.0
        return code

    def vector(self) -> Tensor:
        """Former name of :meth:`code`."""
        warn("vector", "code", 3)
        return self.code()

    def encode(self, height: int, width: int) -> Tensor:
        """(21, height, width) float32: :meth:`code` tiled over the image, without copying."""
        return tile(self.code(), height, width)
