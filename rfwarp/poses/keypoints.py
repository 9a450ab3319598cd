"""Body keypoints: the pose of a person as the 18 joints of OpenPose."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from rfwarp.files import write_atomically
from rfwarp.poses.heatmaps import keypoint_heatmaps

JOINTS = (
    *("nose", "neck", "right shoulder", "right elbow", "right wrist", "left shoulder"),
    *("left elbow", "left wrist", "right hip", "right knee", "right ankle", "left hip"),
    *("left knee", "left ankle", "right eye", "left eye", "right ear", "left ear"),
)
"""Names of the 18 joints, in the order of OpenPose's COCO model. Right is the person's right."""

LIMBS = (
    *((1, 2), (2, 3), (3, 4), (1, 5), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10)),
    *((1, 11), (11, 12), (12, 13), (1, 0), (0, 14), (14, 16), (0, 15), (15, 17)),
)
"""Pairs of joints that a skeleton is drawn with."""

_MIRRORED = [0, 1, 5, 6, 7, 2, 3, 4, 11, 12, 13, 8, 9, 10, 15, 14, 17, 16]
# COCO-17: nose, eyes, ears, shoulders, elbows, wrists, hips, knees, ankles, each left before right.
_FROM_COCO = {0: 0, 2: 6, 3: 8, 4: 10, 5: 5, 6: 7, 7: 9, 8: 12, 9: 14, 10: 16, 11: 11, 12: 13}
_FROM_COCO |= {13: 15, 14: 2, 15: 1, 16: 4, 17: 3}
# BODY_25 has the hips' middle at 8, and feet from 19 on.
_FROM_BODY_25 = [0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18]
ANNOTATION_HEADER = ("name", "keypoints_y", "keypoints_x")


@dataclass(frozen=True, eq=False)
class Keypoints:
    """The 18 OpenPose joints of a person in an image.

    Args:
        points: (18, 2) or (18, 3), anything that becomes an array: x and y in pixels, and in the
            third column 0 for a missing joint, else anything positive. In two columns a joint is
            missing if a coordinate is NaN or both are -1. Joints may lie outside of the image.
        height, width: of the image, pixels.

    Raises:
        ValueError: if the shape is another, a present joint is not finite, or a size is below 1.

    Convention: x goes right and y down; whole numbers are the centres of pixels, (0, 0) that of the
    upper left one. Joints are in the order of ``JOINTS``.

    Example:
        >>> import numpy as np
        >>> from rfwarp.poses import Keypoints
        >>> points = np.full((18, 2), -1)  # all missing
        >>> points[0] = 20, 10  # but the nose: x and y
        >>> person = Keypoints(points, height=64, width=48)
        >>> person.has(0), person.has(0, 1)
        (True, False)
        >>> person.code()[0]
        tensor([20., 10.,  1.])
        >>> person.encode(height=128, width=96).shape
        torch.Size([18, 128, 96])
    """

    points: npt.NDArray[np.float32]
    height: int
    width: int

    channels: ClassVar[int] = len(JOINTS)
    kind: ClassVar[str] = "keypoints"

    def __post_init__(self) -> None:
        given = np.asarray(self.points, dtype=np.float32)
        columns = given.shape[-1] if given.ndim == 2 and len(given) == 18 else 0
        if columns not in (2, 3):
            raise ValueError(f"points must be (18, 2) or (18, 3), got {given.shape}")
        if min(self.height, self.width) < 1:
            raise ValueError(f"the picture has {self.height} x {self.width} pixels")
        xy = given[:, :2]
        if columns == 3:
            present = given[:, 2] > 0
        else:
            present = ~(np.isnan(xy).any(axis=1) | (xy == -1).all(axis=1))
        if not np.isfinite(xy[present]).all():
            raise ValueError("a present joint has coordinates that are not finite")
        points = np.zeros((18, 3), np.float32)
        points[present, :2], points[:, 2] = xy[present], present
        points.setflags(write=False)
        object.__setattr__(self, "points", points)

    @classmethod
    def from_scores(cls, points: Any, height: int, width: int, threshold: float = 0.1) -> Keypoints:
        """From a detector's (18, 3): x, y, confidence; below the threshold a joint is missing."""
        array = np.array(points, dtype=np.float32)
        if array.shape != (18, 3):
            raise ValueError(f"points with confidences must be (18, 3), got {array.shape}")
        array[:, 2] = (array[:, 2] > 0) & (array[:, 2] >= threshold)
        return cls(array, height, width)

    @classmethod
    def from_coco(cls, points: Any, height: int, width: int, threshold: float = 0.1) -> Keypoints:
        """From COCO's 17 joints, (17, 3): x, y and confidence. The neck is the middle of the
        shoulders, and as confident as the less confident of them."""
        coco = np.asarray(points, dtype=np.float32)
        if coco.shape != (17, 3):
            raise ValueError(f"COCO keypoints must be (17, 3), got {coco.shape}")
        ours = np.zeros((18, 3), np.float32)
        ours[list(_FROM_COCO)] = coco[list(_FROM_COCO.values())]
        ours[1] = (coco[5] + coco[6]) / 2
        ours[1, 2] = min(coco[5, 2], coco[6, 2])
        return cls.from_scores(ours, height, width, threshold)

    @classmethod
    def from_openpose(
        cls,
        path: str | os.PathLike[str],
        height: int,
        width: int,
        *,
        person: int | None = None,
        threshold: float = 0.1,
    ) -> Keypoints:
        """From a JSON file that OpenPose wrote, with its COCO (18) or BODY_25 model.

        Args:
            height, width: of the picture that it was run on.
            person: which of the people found; None takes the most confident one.
            threshold: below which confidence a joint is missing.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: if the file is malformed or of another model, or has no such person.
        """
        try:
            people = json.loads(Path(path).read_text(encoding="utf-8"))["people"]
            found = [_openpose_joints(p["pose_keypoints_2d"]) for p in people]
        except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path} is no file of OpenPose keypoints: {error!r}") from error
        if not found:
            raise ValueError(f"{path}: OpenPose found nobody")
        if person is None:
            person = max(range(len(found)), key=lambda i: float(found[i][:, 2].sum()))
        if not 0 <= person < len(found):
            raise ValueError(f"{path} has {len(found)} people, so there is no person {person}")
        return cls.from_scores(found[person], height, width, threshold)

    def code(self) -> Tensor:
        """(18, 3) float32: x, y, and 1 for a present joint; zeros for a missing one."""
        return torch.from_numpy(self.points.copy())

    def encode(self, height: int, width: int) -> Tensor:
        """(18, height, width) float32 heatmaps, the pose scaled to that size."""
        return keypoint_heatmaps(self.scaled(height, width).code(), height, width)

    def scaled(self, height: int, width: int) -> Keypoints:
        """The same pose in the picture resized."""
        factors = np.array([width / self.width, height / self.height], np.float32)
        # Pixels' edges keep their place, not their centres.
        return self._moved((self.points[:, :2] + 0.5) * factors - 0.5, height, width)

    def mirrored(self) -> Keypoints:
        """The pose in the picture flipped left to right: left joints become right ones."""
        points = self.points[_MIRRORED].copy()
        points[:, 0] = self.width - 1 - points[:, 0]
        return Keypoints(points, self.height, self.width)

    def _moved(self, xy: npt.NDArray[np.float32], height: int, width: int) -> Keypoints:
        return Keypoints(np.concatenate([xy, self.points[:, 2:]], axis=1), height, width)

    def has(self, *joints: int) -> bool:
        """Whether all these joints are present."""
        return bool(self.points[list(joints), 2].all())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Keypoints):
            return NotImplemented
        sizes = (self.height, self.width) == (other.height, other.width)
        return sizes and np.array_equal(self.points, other.points)

    def __hash__(self) -> int:
        return hash((self.points.tobytes(), self.height, self.width))


def _openpose_joints(flat: Sequence[float]) -> npt.NDArray[np.float32]:
    array = np.asarray(flat, dtype=np.float32)
    if array.size not in (54, 75):
        raise ValueError(f"a person has 54 or 75 numbers, got {array.size}")
    joints = array.reshape(-1, 3)
    return joints if len(joints) == 18 else joints[_FROM_BODY_25]


def read_annotations(path: str | os.PathLike[str], height: int, width: int) -> dict[str, Keypoints]:
    r"""Keypoints by image, from an annotation table as PATN and GFLA distribute it.

    Its first line is ``name:keypoints_y:keypoints_x``; each further one has an image's name and
    two JSON lists of 18 integers, -1 for a missing joint.

    Args:
        height, width: of the space that the coordinates are in (256 x 176 for DeepFashion).

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if a line is malformed or a name comes twice; the message has the line's number.

    Example:
        >>> from pathlib import Path
        >>> from rfwarp.poses import read_annotations
        >>> x, y = [20] + [-1] * 17, [10] + [-1] * 17  # a nose
        >>> table = f"name:keypoints_y:keypoints_x\na.jpg: {y}: {x}\n"
        >>> _ = Path("keypoints.csv").write_text(table)
        >>> read_annotations("keypoints.csv", height=256, width=176)["a.jpg"].code()[0]
        tensor([20., 10.,  1.])
    """
    found: dict[str, Keypoints] = {}
    with open(path, newline="", encoding="utf-8") as file:
        lines = csv.reader(file, delimiter=":", quoting=csv.QUOTE_NONE)
        try:
            header = tuple(next(lines, ()))
            if header != ANNOTATION_HEADER:
                raise ValueError(
                    f"expected {':'.join(ANNOTATION_HEADER)}, got {':'.join(header)!r}"
                )
            for line in lines:
                name, keypoints = _annotation(line, height, width)
                if name in found:
                    raise ValueError(f"{name!r} was listed before")
                found[name] = keypoints
        except (ValueError, csv.Error) as error:
            raise ValueError(f"{path}, line {max(1, lines.line_num)}: {error}") from error
    return found


def _annotation(line: list[str], height: int, width: int) -> tuple[str, Keypoints]:
    if len(line) != 3:
        raise ValueError(f"expected 3 fields separated by ':', got {len(line)}")
    columns = []
    for field, text in zip(ANNOTATION_HEADER[1:], line[1:], strict=True):
        values = json.loads(text)
        if not isinstance(values, list) or len(values) != 18:
            raise ValueError(f"{field} must be a JSON list of 18 integers, got {text.strip()}")
        if not all(type(value) is int for value in values):
            raise ValueError(f"{field} must hold integers, got {text.strip()}")
        columns.append(np.array(values, np.float32))
    y, x = columns
    present = (x != -1) & (y != -1)
    return line[0], Keypoints(np.stack([x, y, present], axis=1), height, width)


def write_annotations(path: Path, keypoints: dict[str, Keypoints]) -> None:
    """The table that :func:`read_annotations` reads; coordinates are rounded to whole pixels.

    Raises:
        ValueError: if a name has ``:`` or a line break.

    Example:
        >>> from pathlib import Path
        >>> import numpy as np
        >>> from rfwarp.poses import Keypoints, read_annotations, write_annotations
        >>> pose = Keypoints(np.full((18, 2), 20.0), height=256, width=176)
        >>> write_annotations(Path("keypoints.csv"), {"a.jpg": pose})
        >>> read_annotations("keypoints.csv", 256, 176)["a.jpg"] == pose
        True
    """
    lines = [":".join(ANNOTATION_HEADER)]
    for name, pose in keypoints.items():
        if ":" in name or "\n" in name:
            raise ValueError(f"a picture's name cannot have ':' or a line break here, got {name!r}")
        whole = np.floor(pose.points[:, :2] + 0.5)
        x, y = np.where(pose.points[:, 2:] > 0, whole, -1).astype(int).T.tolist()
        lines.append(f"{name}:{json.dumps(y)}:{json.dumps(x)}")
    # As bytes: Windows would turn the ends of lines into its own.
    text = ("\n".join(lines) + "\n").encode("utf-8")
    write_atomically(path, lambda temporary: temporary.write_bytes(text))
