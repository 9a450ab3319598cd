"""Alignment of the people in sources with the target's, in place and size, as in the paper, and of
faces in photographs with those that the bundled weights know."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from rfwarp.images import RESIZE_FILTER
from rfwarp.poses.keypoints import Keypoints
from rfwarp.poses.landmarks import FaceLandmarks

NECK, SHOULDERS, HIPS = 1, (2, 5), (8, 11)
FACE_HEIGHT, FACE_CENTRE = 0.46, (0.48, 0.62)
"""Mean height of the landmarks and place of their middle in procedural faces, in image heights."""
_MOST = 2  # height of a face over its image's larger side: more is no face in it


def torso_height(keypoints: Keypoints) -> float:
    """Pixels from the middle of the shoulders down to that of the hips.

    Raises:
        ValueError: if a shoulder or a hip is missing, or the hips are not below the shoulders.
    """
    if not keypoints.has(*SHOULDERS, *HIPS):
        raise ValueError("alignment needs both shoulders and both hips")
    y = keypoints.points[:, 1]
    height = float(y[list(HIPS)].mean() - y[list(SHOULDERS)].mean())
    if height <= 0:
        raise ValueError("alignment needs an upright person: the hips are above the shoulders")
    return height


def retarget(poses: Sequence[Keypoints], source: Keypoints) -> list[Keypoints]:
    """The poses of a driving clip, brought to the place and size of the person in a source.

    The paper's alignment, once for the whole clip, so that all motion stays, in the source's scale:
    with h the height of the torso and n the neck, joint p of every pose becomes
    s p + n(source) - s median n(pose), s = h(source) / median h(pose). The medians are over the
    poses that have these joints, and stand upright; proportions of limbs stay the driver's.

    Args:
        poses: of one image size.
        source: the pose of the source; its size is that of the result.

    Raises:
        ValueError: if the source or all poses lack the neck, a shoulder or a hip, or the sizes
            differ.

    Example:
        >>> from rfwarp.data import render_person
        >>> from rfwarp.poses import Keypoints, retarget
        >>> source = Keypoints(render_person(0, [0], 64).keypoints[0], 64, 64)
        >>> driver = [Keypoints(x, 256, 256) for x in render_person(1, [0, 1, 2], 256).keypoints]
        >>> moved = retarget(driver, source)
        >>> moved[0].height, bool(abs(moved[1].points[1] - source.points[1]).max() < 5)  # the neck
        (64, True)
    """
    sizes = {(pose.height, pose.width) for pose in poses}
    if len(sizes) > 1:
        raise ValueError(f"the poses of a clip must be of one image size, got {sorted(sizes)}")
    if not source.has(NECK):
        raise ValueError("alignment needs the source's neck")
    height = torso_height(source)
    measured = [pose for pose in poses if pose.has(NECK, *SHOULDERS, *HIPS) and _upright(pose)]
    if not measured:
        raise ValueError("no pose of the clip has the neck, both shoulders and both hips, upright")
    scale = height / float(np.median([torso_height(pose) for pose in measured]))
    neck = np.median([pose.points[NECK, :2] for pose in measured], axis=0)
    shift = source.points[NECK, :2] - scale * neck
    return [_moved_pose(pose, scale, shift, source) for pose in poses]


def _upright(pose: Keypoints) -> bool:
    y = pose.points[:, 1]
    return bool(y[list(HIPS)].mean() > y[list(SHOULDERS)].mean())


def _moved_pose(
    pose: Keypoints, scale: float, shift: npt.NDArray[np.floating[Any]], onto: Keypoints
) -> Keypoints:
    """Joints p at scale p + shift, in an image of the size of another pose."""
    places = scale * pose.points[:, :2] + shift
    return Keypoints(np.concatenate([places, pose.points[:, 2:]], axis=1), onto.height, onto.width)


def align_person(
    image: Image.Image,
    keypoints: Keypoints,
    target: Keypoints,
    fill: Literal["edge"] | tuple[int, int, int] = (255, 255, 255),
) -> tuple[Image.Image, Keypoints]:
    """A source scaled and moved so that it fits the target's pose.

    It is scaled by the ratio of both torsos' heights, and its neck moves onto the target's.

    Args:
        image: the source, an RGB image.
        keypoints: its pose, of the image's size.
        target: the target's pose; its size is that of the result.
        fill: RGB of what lies beyond the image, or ``"edge"`` for its outermost pixels.

    Returns:
        The image and its pose, of the target's size.

    Raises:
        ValueError: if the neck, a shoulder or a hip is missing in either pose, or the image is of
            another size than its pose.

    Example:
        >>> from PIL import Image
        >>> from rfwarp.data import render_person
        >>> from rfwarp.poses import Keypoints, align_person
        >>> people = render_person(0, [0, 1], 64)
        >>> source, target = (Keypoints(points, 64, 64) for points in people.keypoints)
        >>> image = Image.fromarray(people.images[0].permute(1, 2, 0).numpy())
        >>> moved, pose = align_person(image, source, target)
        >>> bool(abs(pose.points[1] - target.points[1]).max() < 1e-3)  # the necks are at one place
        True
    """
    if image.size != (keypoints.width, keypoints.height):
        raise ValueError(
            f"the image has {image.width} x {image.height} pixels, "
            f"its pose is of one of {keypoints.width} x {keypoints.height}"
        )
    if not (keypoints.has(NECK) and target.has(NECK)):
        raise ValueError("alignment needs both necks")
    scale = torso_height(target) / torso_height(keypoints)
    shift = target.points[NECK, :2] - scale * keypoints.points[NECK, :2]
    moved = _moved_pose(keypoints, scale, shift, target)
    return _moved(image, scale, shift.tolist(), (target.width, target.height), fill), moved


class FaceSquare(NamedTuple):
    """The square of a photograph that shows a face as procedural faces are shown.

    From brows to chin the landmarks fill 46 % of its height, and their middle is at 62 % of it. It
    may reach beyond the photograph.

    Attributes:
        left, top, side: pixels, from the corner of the photograph.

    Example:
        >>> from PIL import Image
        >>> from rfwarp.data.faces import FacePose, render_expressions
        >>> from rfwarp.poses import FaceLandmarks, FaceSquare
        >>> faces = render_expressions(0, [FacePose({}, scale=0.5)], 128)  # small in its image
        >>> photo = Image.fromarray(faces.images[0].permute(1, 2, 0).numpy())
        >>> landmarks = FaceLandmarks(faces.landmarks[0].numpy(), 128, 128)
        >>> square = FaceSquare.around(landmarks)
        >>> rows = square.move(landmarks, 64).points[:, 1]
        >>> square.cut(photo, 64).size, round(float(rows.max() - rows.min()))
        ((64, 64), 29)
    """

    left: float
    top: float
    side: float

    @classmethod
    def around(cls, face: FaceLandmarks) -> FaceSquare:
        """The square of a face.

        Raises:
            ValueError: if the landmarks have no height, lie outside of their image or are much
                larger than it.
        """
        points = face.points.astype(np.float64) + 0.5
        low, high = points.min(axis=0), points.max(axis=0)
        middle, height = (low + high) / 2, high[1] - low[1]
        size = (face.width, face.height)
        if not 0 < height < _MOST * max(size) or (middle < 0).any() or (middle > size).any():
            raise ValueError(
                f"there is no face in the image of {face.width} x {face.height} pixels: the "
                f"landmarks are {height:.0f} pixels high, around ({middle[0]:.0f}, {middle[1]:.0f})"
            )
        side = float(height) / FACE_HEIGHT
        left, top = middle - side * np.array(FACE_CENTRE)
        return cls(float(left), float(top), side)

    def cut(self, photo: Image.Image, size: int) -> Image.Image:
        """What the square shows of an RGB photograph, at a size in pixels; beyond its border, the
        colours of the border."""
        box = np.array([self.left, self.top, self.left + self.side, self.top + self.side])
        before = np.ceil(np.maximum(0, -box[:2])).astype(int)
        after = np.ceil(np.maximum(0, box[2:] - photo.size)).astype(int)
        (left, top), (right, bottom) = before, after
        margins = ((top, bottom), (left, right), (0, 0))
        whole = Image.fromarray(np.pad(np.array(photo), margins, mode="edge"))
        box += np.tile(before, 2)
        return whole.resize((size, size), RESIZE_FILTER, tuple(box.tolist()))

    def move(self, face: FaceLandmarks, size: int) -> FaceLandmarks:
        """Landmarks of the photograph, in the square at a size in pixels."""
        points = (face.points + 0.5 - [self.left, self.top]) * size / self.side - 0.5
        return FaceLandmarks(points.astype(np.float32), size, size)


def _moved(
    image: Image.Image,
    scale: float,
    shift: Sequence[float],
    size: tuple[int, int],
    fill: Literal["edge"] | tuple[int, int, int],
) -> Image.Image:
    """The image with its pixel p moved to scale p + shift."""
    if scale < 1:  # else PIL would skip pixels
        width, height = (max(1, round(scale * side)) for side in image.size)
        along = (width / image.width, height / image.height)
        image = image.resize((width, height), RESIZE_FILTER)
        # A pixel's centre at p is at along (p + 1/2) - 1/2 now.
        rest = [scale / a for a in along]
        offset = [s + scale * 0.5 * (1 / a - 1) for s, a in zip(shift, along, strict=True)]
    else:
        rest, offset = [scale, scale], list(shift)
    if fill == "edge":
        # As far as the result's corners reach, and the two pixels that bicubic weights look at.
        pads = [
            (max(0, math.ceil(o / r)) + 2, max(0, math.ceil((new - o) / r) - old) + 2)
            for r, o, new, old in zip(rest, offset, size, image.size, strict=True)
        ]
        pixels = np.pad(np.array(image), (pads[1], pads[0], (0, 0)), mode="edge")
        image = Image.fromarray(pixels)
        offset = [o - pad[0] * r for o, pad, r in zip(offset, pads, rest, strict=True)]
    # PIL maps edges of result pixels to edges of source pixels.
    inverse = [(1 / r, (0.5 - 0.5 / r) - o / r) for r, o in zip(rest, offset, strict=True)]
    (ax, cx), (ay, cy) = inverse
    return image.transform(
        size,
        Image.Transform.AFFINE,
        (ax, 0.0, cx, 0.0, ay, cy),
        Image.Resampling.BICUBIC,
        fillcolor=None if fill == "edge" else fill,
    )
