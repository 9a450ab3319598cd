"""Face and pose -> mesh."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from rfwarp.data.faces.extras import HAIR, glasses, locks
from rfwarp.data.faces.head import Head, Integers, load_head
from rfwarp.data.faces.parameters import FaceParameters
from rfwarp.data.faces.pose import PIVOT, FacePose
from rfwarp.data.faces.regions import hairline, outgrowth, smooth
from rfwarp.data.people.materials import Array
from rfwarp.data.people.mesh import cross, unit


@dataclass(frozen=True)
class FaceModel:
    """One face at rest, P points and T triangles.

    Those of the head come first, then those of hair and glasses.

    ``shape`` (P, 3) places of the points; ``grown`` (P, 3) what hair and clothes add; ``paint``
    (P, 3) coordinates for :mod:`.paint`; ``sky`` (P,); ``triangles`` (3, T); ``part`` (T,);
    ``thin`` (T,) whether both sides are seen; ``sheet`` (T,) numbers of surfaces that do not hang
    together; ``share`` (P,) of the head's turn that a point takes.
    """

    face: FaceParameters
    head: Head
    shape: Array
    grown: Array
    paint: Array
    sky: Array
    triangles: Integers
    part: Integers
    thin: npt.NDArray[np.bool_]
    sheet: Integers
    share: Array

    @classmethod
    def of(cls, face: FaceParameters) -> FaceModel:
        head = load_head()
        shape = head.points + sum(w * head.moves[name] for name, w in face.shape.items())
        triangles = np.concatenate([head.quads[:, [0, 1, 2]], head.quads[:, [0, 2, 3]]]).T
        part = np.tile(head.parts, 2)
        out = outgrowth(head, face)
        grown = out[:, None] * normals(shape, triangles)
        scalp = (hairline(head.points.T, face) > 0) & (head.points[:, 1] > 7.3)
        sheets = locks(face, shape + grown, scalp) + glasses(face, shape, shape[head.landmarks])
        points, paint = [shape], [head.points]
        corners, parts, numbers = [triangles], [part], [part]
        begin = len(shape)
        for number, sheet in enumerate(sheets):
            rows, columns = sheet.points.shape[:2]
            points.append(sheet.points.reshape(-1, 3))
            paint.append(sheet.paint.reshape(-1, 3))
            found = begin + _grid(rows, columns)
            corners.append(found)
            parts.append(np.full(found.shape[1], sheet.part))
            # Ribbons of hair touch: they are one surface.
            own = HAIR if sheet.part == HAIR else HAIR + 1 + number
            numbers.append(np.full(found.shape[1], own))
            begin += rows * columns
        added = begin - len(shape)
        _, y, z = head.points.T
        share = smooth(y - 0.04 * z + 0.55 * np.clip(z - 0.35, 0, 1) - 0.05, 5.5, 6.3)
        tail = np.concatenate(points[1:])[:, 1] if added else np.zeros(0)
        part = np.concatenate(parts)
        return cls(
            face,
            head,
            np.concatenate(points),
            np.concatenate([grown, np.zeros((added, 3))]),
            np.concatenate(paint),
            np.concatenate([head.sky, np.ones(added)]),
            np.concatenate(corners, 1),
            part,
            part >= HAIR,
            np.concatenate(numbers),
            # Long hair lies on the shoulders, which stay.
            np.concatenate([share, smooth(tail, 5.2, 6.6)]),
        )

    def posed(self, pose: FacePose) -> tuple[Array, Array]:
        """(P, 3) points, and (68, 3) landmarks, which lie on the skin, under any hair."""
        moved = self.shape.copy()
        head = len(self.head.points)
        for name, weight in pose.units.items():
            moved[:head] += weight * self.head.moves[name]
        torso = self.face.torso * (1 - self.share)

        def turned(points: Array, share: Array, torso: Array) -> Array:
            local = pose.turn(points - np.array(PIVOT), share)
            cos, sin = np.cos(torso), np.sin(torso)
            x, z = local[:, 0], local[:, 2]
            local = np.stack([cos * x + sin * z, local[:, 1], cos * z - sin * x], -1)
            return local + np.array(PIVOT)

        marks = self.head.landmarks
        return (
            turned(moved + self.grown, self.share, torso),
            turned(moved[marks], self.share[marks], torso[marks]),
        )


def _grid(rows: int, columns: int) -> Integers:
    """(3, 2 (R - 1) (C - 1)) triangles of a sheet."""
    corner = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)).reshape(-1)
    right, up = corner + 1, corner + columns
    first, second = np.stack([corner, right, up]), np.stack([right, up + 1, up])
    return np.concatenate([first, second], 1)


def normals(points: Array, triangles: Integers) -> Array:
    """(P, 3) outward unit normals, means of those of the triangles (3, T) by their areas."""
    a, b, c = points[triangles[0]], points[triangles[1]], points[triangles[2]]
    faces = cross(b - a, c - a)
    corners = triangles.reshape(-1)
    total = [np.bincount(corners, np.tile(faces[:, axis], 3), len(points)) for axis in range(3)]
    return unit(np.stack(total, -1))


@lru_cache(maxsize=8)
def face_model(seed: int) -> FaceModel:
    """The face of a seed, at rest."""
    return FaceModel.of(FaceParameters.from_seed(seed))
