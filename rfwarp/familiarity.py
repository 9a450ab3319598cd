"""Notices that a model is shown something far from what it was trained on."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
from PIL import Image

from rfwarp import pretrained
from rfwarp.data.catalog import dataset_record, trained_on
from rfwarp.nn.config import GeneratorConfig
from rfwarp.poses.keypoints import Keypoints
from rfwarp.poses.viewpoint import Viewpoint

if TYPE_CHECKING:
    from rfwarp.poses import PoseLike

__all__ = ["Familiar", "strange_border"]

logger = logging.getLogger(__name__)

Background: TypeAlias = Literal["white", "plain"]

FAR = 40
"""Levels of 255 by which a pixel of the border must differ from the background to count."""
MOST = 0.3
"""Share of such pixels from which the background counts as another. Measured: 512 images of
held-out procedural people have at most 6 % (arms), 180 of chairs none; 100 studio portraits, for a
model that knows white, at least 41 %."""


@dataclass(frozen=True)
class Familiar:
    """What is known of the images that a model was trained on; None where nothing is.

    Example:
        >>> from PIL import Image
        >>> from rfwarp.familiarity import Familiar
        >>> from rfwarp.nn import GeneratorConfig
        >>> from rfwarp.poses import Viewpoint
        >>> config = GeneratorConfig(pose_channels=21, pose_kind="viewpoint", image_size=64)
        >>> familiar = Familiar.to("chairs-64", config)
        >>> familiar.subject, familiar.background, familiar.elevations
        ('procedural chairs', 'white', (0, 20))
        >>> familiar.notices([Image.new("RGB", (64, 64), "blue")], [Viewpoint(60, 10)])
        ['sources[0]: 100 % of its border is not white, as it is in what this model learned from, \
procedural chairs']
    """

    subject: str | None = None
    """Subject of the images, in a few words."""
    background: Background | None = None
    """Behind what they show: white, or plain, one colour in each image."""
    elevations: tuple[float, float] | None = None
    """Lowest and highest elevation of its viewpoints, degrees."""
    size: tuple[int, int] | None = None
    """Height and width, pixels."""

    @classmethod
    def to(cls, name: str | os.PathLike[str], config: GeneratorConfig) -> Familiar:
        """What a model's configuration says, and its card if that names the dataset.

        Args:
            name: a model as ``Generator.from_pretrained`` takes it, which has loaded it already.
            config: of that generator.

        Raises:
            FileNotFoundError: if there is no such model.
        """
        size = config.image_shape
        card = pretrained.resolve(name, local_files_only=True) / pretrained.CARD_NAME
        data = trained_on(card)
        if data is None:
            return cls(size=size)
        record = dataset_record(data.name)
        white = "background" in record.options and data.background == "white"
        background = "white" if white else record.background
        return cls(record.title, background, record.elevations, size)

    def notices(self, sources: Sequence[Image.Image], poses: Sequence[PoseLike] = ()) -> list[str]:
        """A line for whatever is far from it: backgrounds, sources that are much smaller, poses.

        Args:
            sources: RGB images as they came, before they are resized or padded.
            poses: of the sources and of the target, in any order.
        """
        found = []
        for k, source in enumerate(sources):
            found += [f"sources[{k}]: {text}" for text in self.of_image(source)]
        return found + self.of_poses(poses)

    def warn(self, sources: Sequence[Image.Image], poses: Sequence[PoseLike] = ()) -> None:
        """Log the :meth:`notices` as warnings."""
        for notice in self.notices(sources, poses):
            logger.warning("%s", notice)

    def of_image(self, image: Image.Image) -> list[str]:
        """The notices of one source."""
        found = []
        learned = f"this model learned from{'' if self.subject is None else f', {self.subject}'}"
        share = 0.0 if self.background is None else strange_border(image, self.background)
        if share >= MOST:
            said = "white" if self.background == "white" else "of one colour"
            found.append(
                f"{100 * share:.0f} % of its border is not {said}, as it is in what {learned}"
            )
        height, width = self.size or (0, 0)
        if image.height * 2 < height and image.width * 2 < width:
            found.append(
                f"{image.height} x {image.width} pixels (H x W) are few beside the "
                f"{height} x {width} of what {learned}"
            )
        return found

    def of_poses(self, poses: Sequence[PoseLike]) -> list[str]:
        """The notices of poses: a turntable at a strange elevation is one thing to say, not 18."""
        return list(dict.fromkeys(text for pose in poses for text in self._of_pose(pose)))

    def _of_pose(self, pose: PoseLike) -> list[str]:
        if isinstance(pose, Viewpoint) and self.elevations is not None:
            low, high = self.elevations
            if not low <= pose.elevation <= high:
                return [
                    f"elevation {pose.elevation}: this model learned from {low} to {high} degrees"
                ]
        if isinstance(pose, Keypoints):
            inside = int(pose.inside().sum())
            if 2 * inside < pose.channels:
                return [f"only {inside} of {pose.channels} joints of a pose lie in its image"]
        return []


def strange_border(image: Image.Image, background: Background) -> float:
    """Share of the outermost pixels of the left, right and upper side that are not of a background,
    in [0, 1]; things stand on the lower side, so it does not count.

    Args:
        background: ``white``, or ``plain``: of any one colour, the median of these pixels.

    Example:
        >>> from PIL import Image
        >>> from rfwarp.familiarity import strange_border
        >>> blue = Image.new("RGB", (8, 8), "blue")
        >>> strange_border(blue, "white"), strange_border(blue, "plain")
        (1.0, 0.0)
    """
    pixels = np.asarray(image.convert("RGB"), dtype=np.int16)
    border = np.concatenate([pixels[0], pixels[1:, 0], pixels[1:, -1]])
    expected = 255 if background == "white" else np.median(border, axis=0)
    return float((np.abs(border - expected).max(axis=1) > FAR).mean())
