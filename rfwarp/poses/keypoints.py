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

from rfwarp.files import shortened, write_atomically
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
            raise ValueError(f"the image has {self.height} x {self.width} pixels")
        xy = given[:, :2]
        if columns == 3:
            present = given[:, 2] > 0
        else:
            present = ~(np.isnan(xy).any(axis=1) | (xy == -1).all(axis=1))
        if not np.isfinite(xy[present]).all():
            raise ValueError("a present joint has coordinates that are not finite")
        points = np.zeros((18, 3), np.float32)
        points[present, :2], points[:, 2] = xy[present] + 0.0, present  # equal: 0.0 for -0.0
        points.setflags(write=False)
        object.__setattr__(self, "points", points)

    @classmethod
    def from_scores(cls, points: Any, height: int, width: int, threshold: float = 0.1) -> Keypoints:
        """Make them from a detector's (18, 3): x, y, confidence.

        Below the threshold a joint is missing.
        """
        array = np.array(points, dtype=np.float32)
        if array.shape != (18, 3):
            raise ValueError(f"points with confidences must be (18, 3), got {array.shape}")
        array[:, 2] = (array[:, 2] > 0) & (array[:, 2] >= threshold)
        return cls(array, height, width)

    @classmethod
    def from_coco(cls, points: Any, height: int, width: int, threshold: float = 0.1) -> Keypoints:
        """Make them from COCO's 17 joints, (17, 3): x, y and confidence. The neck is the middle of
        the shoulders, with the lower of their confidences."""
        return cls.from_scores(openpose_from_coco(points), height, width, threshold)

    @classmethod
    def from_openpose(
        cls,
        path: str | os.PathLike[str],
        height: int | None = None,
        width: int | None = None,
        *,
        person: int | None = None,
        threshold: float = 0.1,
    ) -> Keypoints:
        """Make them from a JSON file that OpenPose wrote, with its COCO (18) or BODY_25 model.

        Files of others that say ``canvas_height`` and ``canvas_width`` are read too, also if they
        hold a list of one such object.

        Args:
            height, width: of the image that OpenPose was run on; None takes what the file says.
            person: number of the person in the file; None takes the most confident one.
            threshold: confidence below which a joint is missing.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: if the file is malformed, of another model or of an image of another or an
                unknown size, or has no such person.
        """
        data = Path(path).read_bytes()
        return cls.from_openpose_data(str(path), data, height, width, person, threshold)

    @classmethod
    def from_openpose_data(
        cls,
        name: str,
        data: str | bytes,
        height: int | None = None,
        width: int | None = None,
        person: int | None = None,
        threshold: float = 0.1,
    ) -> Keypoints:
        """:meth:`from_openpose` of a file that was read already, which errors call ``name``."""
        found, size = openpose_people(name, data, height, width)
        if not found:
            raise ValueError(f"{name}: OpenPose found nobody")
        if person is None:
            return cls.from_scores(most_confident(found), *size, threshold)
        if not 0 <= person < len(found):
            raise ValueError(f"{name} has {len(found)} people, so there is no person {person}")
        return cls.from_scores(found[person], *size, threshold)

    def code(self) -> Tensor:
        """(18, 3) float32: x, y, and 1 for a present joint; zeros for a missing one."""
        return torch.from_numpy(self.points.copy())

    def encode(self, height: int, width: int) -> Tensor:
        """(18, height, width) float32 heatmaps, the pose scaled to that size."""
        return keypoint_heatmaps(self.scaled(height, width).code(), height, width)

    def scaled(self, height: int, width: int) -> Keypoints:
        """The same pose in the image resized."""
        factors = np.array([width / self.width, height / self.height], np.float32)
        # Pixels' edges keep their place, not their centres.
        return self._moved((self.points[:, :2] + 0.5) * factors - 0.5, height, width)

    def mirrored(self) -> Keypoints:
        """The pose in the image flipped left to right: left joints become right ones."""
        points = self.points[_MIRRORED].copy()
        points[:, 0] = self.width - 1 - points[:, 0]
        return Keypoints(points, self.height, self.width)

    def _moved(self, xy: npt.NDArray[np.float32], height: int, width: int) -> Keypoints:
        return Keypoints(np.concatenate([xy, self.points[:, 2:]], axis=1), height, width)

    def has(self, *joints: int) -> bool:
        """Whether all these joints are present."""
        return bool(self.points[list(joints), 2].all())

    def inside(self) -> npt.NDArray[np.bool_]:
        """(18,) whether a joint is present and lies in the image."""
        x, y, present = self.points.T
        within = (x >= -0.5) & (x < self.width - 0.5) & (y >= -0.5) & (y < self.height - 0.5)
        return within & (present > 0)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Keypoints):
            return NotImplemented
        sizes = (self.height, self.width) == (other.height, other.width)
        return sizes and np.array_equal(self.points, other.points)

    def __hash__(self) -> int:
        return hash((self.points.tobytes(), self.height, self.width))


def openpose_from_coco(points: Any) -> npt.NDArray[np.float32]:
    """(18, 3) of COCO's (17, 3), as :meth:`Keypoints.from_coco` takes them.

    Raises:
        ValueError: for another shape.
    """
    coco = np.asarray(points, dtype=np.float32)
    if coco.shape != (17, 3):
        raise ValueError(f"COCO keypoints must be (17, 3), got {coco.shape}")
    ours = np.zeros((18, 3), np.float32)
    ours[list(_FROM_COCO)] = coco[list(_FROM_COCO.values())]
    ours[1] = (coco[5] + coco[6]) / 2
    ours[1, 2] = min(coco[5, 2], coco[6, 2])
    return ours


def openpose_people(
    name: str, data: str | bytes, height: int | None, width: int | None
) -> tuple[list[npt.NDArray[np.float32]], tuple[int, int]]:
    """The people of a file of OpenPose, (18, 3) with confidences, and the image's height and width.

    Raises:
        ValueError: see :meth:`Keypoints.from_openpose`.
    """
    try:
        return _openpose_people(json.loads(data), (height, width))
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise ValueError(
            f"{name} is no file of OpenPose keypoints: {shortened(error, 400)}"
        ) from error


def most_confident(people: Sequence[npt.NDArray[np.float32]]) -> npt.NDArray[np.float32]:
    """The person, of (18, 3) each, whose joints have the highest confidence together."""
    return max(people, key=lambda joints: float(joints[:, 2].sum()))


def _openpose_people(
    given: Any, size: tuple[int | None, int | None]
) -> tuple[list[npt.NDArray[np.float32]], tuple[int, int]]:
    content = given[0] if isinstance(given, list) and len(given) == 1 else given
    if not isinstance(content, dict) or not isinstance(content.get("people"), list):
        raise ValueError('an object with a list "people" is expected')
    sides: list[int] = []
    for name, expected in zip(("canvas_height", "canvas_width"), size, strict=True):
        side = content.get(name, expected)
        if expected is None:
            if type(side) is not int or side < 1:
                raise ValueError(f"it does not say its {name}, so the size must be given")
            expected = side
        sides.append(expected)
        if side != expected:
            raise ValueError(
                f"its {name} is {shortened(repr(content[name]))}, "
                f"but the image is {size[0]} x {size[1]} (H x W)"
            )
    found = []
    for number, person in enumerate(content["people"]):
        joints = person.get("pose_keypoints_2d") if isinstance(person, dict) else None
        if joints is None:
            raise ValueError(f'person {number} has no "pose_keypoints_2d", the joints of the body')
        found.append(_openpose_joints(joints))
    return found, (sides[0], sides[1])


def _openpose_joints(flat: Sequence[float]) -> npt.NDArray[np.float32]:
    array = np.asarray(flat, dtype=np.float32)
    if array.size not in (54, 75):
        raise ValueError(f"a person has 54 or 75 numbers, got {array.size}")
    joints = array.reshape(-1, 3)
    return joints if len(joints) == 18 else joints[_FROM_BODY_25]


def read_annotations(path: str | os.PathLike[str], height: int, width: int) -> dict[str, Keypoints]:
    r"""Keypoints by image, from an annotation table as PATN and GFLA distribute it.

    Its first line is ``name:keypoints_y:keypoints_x``; each further one has an image's name and
    two JSON lists of 18 numbers, -1 for a missing joint. Blank lines are skipped.

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
    with open(path, newline="", encoding="utf-8-sig") as file:  # editors can write a BOM
        lines = csv.reader(file, delimiter=":", quoting=csv.QUOTE_NONE)
        try:
            header = tuple(next(lines, ()))
            if header != ANNOTATION_HEADER:
                raise ValueError(
                    f"expected {':'.join(ANNOTATION_HEADER)}, got {shortened(':'.join(header))!r}"
                )
            for line in filter(any, lines):
                name, keypoints = _annotation(line, height, width)
                if name in found:
                    raise ValueError(f"{name!r} was listed before")
                found[name] = keypoints
        except (ValueError, OverflowError, RecursionError, csv.Error) as error:
            raise ValueError(
                f"{path}, line {max(1, lines.line_num)}: {shortened(error, 400)}"
            ) from error
    return found


def _annotation(line: list[str], height: int, width: int) -> tuple[str, Keypoints]:
    if len(line) < 3:
        raise ValueError(f"expected 3 fields separated by ':', got {len(line)}")
    name = ":".join(line[:-2])  # as some names have colons
    columns = []
    for field, text in zip(ANNOTATION_HEADER[1:], line[-2:], strict=True):
        values = json.loads(text)
        if not isinstance(values, list) or len(values) != 18:
            raise ValueError(f"{field} must be a JSON list of 18 numbers, got {shortened(text)}")
        if not all(type(value) in (int, float) for value in values):
            raise ValueError(f"{field} must hold numbers, got {shortened(text)}")
        columns.append(np.array(values, np.float32))
    y, x = columns
    present = (x != -1) & (y != -1)
    return name, Keypoints(np.stack([x, y, present], axis=1), height, width)


def write_annotations(path: Path, keypoints: dict[str, Keypoints]) -> None:
    """The table that :func:`read_annotations` reads; coordinates are rounded to whole pixels,
    and -1, which stands for a missing joint there, to 0.

    Raises:
        ValueError: if a name has a line break.

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
        if len(name.splitlines()) != 1:
            raise ValueError(f"an image's name cannot have a line break here, got {name!r}")
        whole = np.floor(pose.points[:, :2] + 0.5)
        whole[whole == -1] = 0  # -1 says that a joint is missing
        x, y = np.where(pose.points[:, 2:] > 0, whole, -1).astype(int).T.tolist()
        lines.append(f"{name}:{json.dumps(y)}:{json.dumps(x)}")
    # As bytes: Windows would turn the ends of lines into its own.
    text = ("\n".join(lines) + "\n").encode("utf-8")
    write_atomically(path, lambda temporary: temporary.write_bytes(text))


def write_openpose(path: Path, people: Sequence[Keypoints]) -> None:
    """The file of one image's people that :meth:`Keypoints.from_openpose` reads back exactly.

    In place of confidences, 1 says that a joint is present and 0 that it is missing.

    Raises:
        ValueError: if there is nobody, or the people are of images of several sizes.

    Example:
        >>> from pathlib import Path
        >>> import numpy as np
        >>> from rfwarp.poses import Keypoints, write_openpose
        >>> pose = Keypoints(np.full((18, 2), 20.3), height=256, width=176)
        >>> write_openpose(Path("person.json"), [pose])
        >>> Keypoints.from_openpose("person.json", 256, 176) == pose
        True
    """
    text = json.dumps(openpose_content(people))
    write_atomically(path, lambda temporary: temporary.write_text(text))


def openpose_content(people: Sequence[Keypoints]) -> dict[str, Any]:
    """What :func:`write_openpose` writes, as values of JSON; its errors too."""
    sizes = {(person.height, person.width) for person in people}
    if len(sizes) != 1:
        raise ValueError(f"people of one image are written, got {len(sizes)} sizes of images")
    height, width = sizes.pop()
    joints = [{"pose_keypoints_2d": person.points.ravel().tolist()} for person in people]
    return {"canvas_height": height, "canvas_width": width, "people": joints}
