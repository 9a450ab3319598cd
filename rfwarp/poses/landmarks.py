"""Face landmarks: the pose and expression of a face as a drawing of its 68 points."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from rfwarp.files import write_atomically
from rfwarp.images import from_uint8

PARTS = (
    # first and last point, colour; open polylines, as in the protocol of Zakharov et al. (2019)
    (0, 16, (0, 128, 0)),  # jaw
    (17, 21, (255, 128, 0)),  # right brow
    (22, 26, (255, 128, 0)),  # left brow
    (27, 30, (0, 0, 255)),  # bridge of the nose
    (31, 35, (0, 0, 255)),  # nostrils
    (36, 41, (255, 0, 0)),  # right eye
    (42, 47, (255, 0, 0)),  # left eye
    (48, 59, (128, 0, 255)),  # outer lips
    (60, 67, (128, 0, 255)),  # inner lips
)
_SUPERSAMPLING = 4


@dataclass(frozen=True, eq=False)
class FaceLandmarks:
    """The 68 landmarks of a face in an image (the iBUG 300-W scheme).

    Args:
        points: (68, 2), anything that becomes an array: x and y in pixels. They may lie outside of
            the image.
        height, width: of the image, pixels.

    Raises:
        ValueError: if the shape is another, a value is not finite, or a size is below 1.

    Convention: x goes right and y down; whole numbers are the centres of pixels, (0, 0) that of the
    upper left one. The drawing has lines of a 128th of the height on white, in the colours of
    ``PARTS``.

    Example:
        >>> import numpy as np
        >>> from rfwarp.poses import FaceLandmarks
        >>> face = FaceLandmarks(np.full((68, 2), 8), height=16, width=16)  # all at one place
        >>> face.code().shape, face.code().dtype
        (torch.Size([3, 16, 16]), torch.uint8)
    """

    points: npt.NDArray[np.float32]
    height: int
    width: int

    channels: ClassVar[int] = 3
    kind: ClassVar[str] = "landmarks"

    def __post_init__(self) -> None:
        points = np.array(self.points, dtype=np.float32)
        if points.shape != (68, 2):
            raise ValueError(f"points must be (68, 2), got {points.shape}")
        if not np.isfinite(points).all():
            raise ValueError("landmarks have coordinates that are not finite")
        if min(self.height, self.width) < 1:
            raise ValueError(f"the image has {self.height} x {self.width} pixels")
        points.setflags(write=False)
        object.__setattr__(self, "points", points)

    def draw(self, height: int, width: int) -> Image.Image:
        """The landmarks in the image resized, as coloured lines on white."""
        fine = _SUPERSAMPLING
        paper = Image.new("RGB", (fine * width, fine * height), "white")
        return self._over(paper, max(fine, round(fine * height / 128))).reduce(fine)

    def draw_over(self, image: Image.Image) -> Image.Image:
        """A copy of an image, of any size, with the same lines over it."""
        return self._over(image.convert("RGB"), max(1, round(image.height / 128)))

    def _over(self, image: Image.Image, thickness: int) -> Image.Image:
        pen = ImageDraw.Draw(image)
        scale = np.array([image.width / self.width, image.height / self.height])
        # Pixels' edges keep their place, not their centres.
        points = (self.points + 0.5) * scale - 0.5
        for first, last, colour in PARTS:
            line = [(float(x), float(y)) for x, y in points[first : last + 1]]
            pen.line(line, fill=colour, width=thickness, joint="curve")
        return image

    def write(self, path: Path) -> None:
        """Writes the points to a ``.npy`` file, (68, 2), for :func:`rfwarp.poses.parse_pose`."""
        write_atomically(path, self._save)

    def _save(self, path: Path) -> None:
        with path.open("wb") as file:  # np.save would add an ending to the temporary name
            np.save(file, self.points)

    def code(self) -> Tensor:
        """(3, height, width) uint8: the drawing at the image's own size."""
        drawn = np.array(self.draw(self.height, self.width))
        return torch.from_numpy(drawn).permute(2, 0, 1).contiguous()

    def encode(self, height: int, width: int) -> Tensor:
        """(3, height, width) float32 in [-1, 1]: the drawing at that size."""
        drawn = np.array(self.draw(height, width))
        return from_uint8(torch.from_numpy(drawn).permute(2, 0, 1))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, FaceLandmarks):
            return NotImplemented
        sizes = (self.height, self.width) == (other.height, other.width)
        return sizes and np.array_equal(self.points, other.points)

    def __hash__(self) -> int:
        return hash((self.points.tobytes(), self.height, self.width))
