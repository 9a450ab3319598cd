"""Examples of the app: things, people, faces and streets that no training saw, rendered."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from PIL import Image
from torch import Tensor

from rfwarp.data import (
    HELD_OUT_FIRST_SEED,
    ProceduralStreets,
    render_face,
    render_person,
    render_views,
)
from rfwarp.images import from_uint8, to_pil
from rfwarp.poses import CameraMotion, FaceLandmarks, Keypoints, Viewpoint

AppPose: TypeAlias = "Viewpoint | Keypoints | FaceLandmarks | CameraMotion"
Size: TypeAlias = "tuple[int, int]"

SEEDS = range(HELD_OUT_FIRST_SEED + 8, HELD_OUT_FIRST_SEED + 14)
VIEWS = (Viewpoint(120, 10), Viewpoint(320, 10))
POSES = range(3, 11)
"""Views of a person whose poses are offered for others."""
EXPRESSIONS = range(8)
"""Frames of a face likewise."""
FRAMES = (10, 16, 13)
"""Frames of a drive: two sources, and the target between them."""


@dataclass(frozen=True)
class Example:
    """Images of something that no training saw, with their poses, and a pose to draw."""

    names: Sequence[str]
    images: Sequence[Image.Image]
    poses: Sequence[AppPose]
    target: AppPose


def things(seed: int, size: Size) -> Example:
    """Two views of a chair."""
    images = [shown(x) for x in render_views(seed, VIEWS, max(size))]
    names = [f"{seed}_{v.azimuth:03d}_{v.elevation:02d}" for v in VIEWS]
    return Example(names, images, VIEWS, Viewpoint(60, 10))


def people(seed: int, size: Size) -> Example:
    """A person in two poses, to be seen in a third."""
    drawn = render_person(seed, range(3), size)
    poses = [Keypoints(x.numpy(), *size) for x in drawn.keypoints]
    return _moving(seed, drawn.images, poses)


def faces(seed: int, size: Size) -> Example:
    """A face with two expressions, to be seen with a third."""
    drawn = render_face(seed, range(3), size[0])
    poses = [FaceLandmarks(x.numpy(), *size) for x in drawn.landmarks]
    return _moving(seed, drawn.images, poses)


def streets(seed: int, size: Size) -> Example:
    """Two frames of a drive, .6 s apart, to be seen from between them; cameras in the frame of the
    first."""
    sample = ProceduralStreets(seed, 1, size).load(FRAMES)
    codes = [CameraMotion(tuple(x[:3]), tuple(x[3:])) for x in sample.poses.tolist()]
    first, *_ = matrices = [code.to_matrix() for code in codes]
    poses = [CameraMotion.relative(matrix, first) for matrix in matrices]
    still = CameraMotion((0, 0, 0), (0, 0, 0))
    images = [to_pil(from_uint8(source)) for source in sample.sources]
    names = [f"{seed}_{frame:02d}" for frame in FRAMES[:-1]]
    return Example(names, images, poses, CameraMotion.relative(still.to_matrix(), first))


EXAMPLES: dict[str, Callable[[int, Size], Example]] = {
    Viewpoint.kind: things,
    Keypoints.kind: people,
    FaceLandmarks.kind: faces,
    CameraMotion.kind: streets,
}
"""By the kind of pose; size is height and width of the model's images, pixels."""


def example_points(kind: str, size: Size) -> list[Keypoints | FaceLandmarks]:
    """Poses of one person, or expressions of one face, to draw others in."""
    if kind == Keypoints.kind:
        people = render_person(SEEDS[0], POSES, size)
        return [Keypoints(joints.numpy(), *size) for joints in people.keypoints]
    faces = render_face(SEEDS[0], EXPRESSIONS, size[0])
    return [FaceLandmarks(points.numpy(), *size) for points in faces.landmarks]


def shown(image: Tensor) -> Image.Image:
    """An image (3, H, W) uint8."""
    return to_pil(from_uint8(image))


def _moving(seed: int, images: Tensor, poses: Sequence[AppPose]) -> Example:
    names = [f"{seed}_{view}" for view in range(len(poses) - 1)]
    return Example(names, [shown(x) for x in images[:-1]], poses[:-1], poses[-1])
