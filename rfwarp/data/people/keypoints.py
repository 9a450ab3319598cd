"""Positions of the 18 joints of OpenPose, their presence and their visibility."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from rfwarp.data.people.body import EAR, EYE, NOSE, face_point
from rfwarp.data.people.camera import Camera
from rfwarp.data.people.materials import Array
from rfwarp.data.people.mesh import (
    HEAD,
    LEFT_ARM,
    LEFT_LEG,
    PARTS,
    RIGHT_ARM,
    RIGHT_LEG,
    TORSO,
    Mesh,
)
from rfwarp.data.people.parameters import PersonParameters
from rfwarp.data.people.skeleton import Skeleton
from rfwarp.poses.keypoints import JOINTS

Flags = npt.NDArray[np.bool_]

# Parts that carry a joint, or whose clothes do, and their largest distance in front of the joint,
# metres.
_FACE_CARRIER = ((HEAD,), 0.03)
_CARRIERS: tuple[tuple[tuple[int, ...], float], ...] = (
    _FACE_CARRIER,
    ((TORSO, HEAD), 0.17),
    *(c for a in (RIGHT_ARM, LEFT_ARM) for c in (((a, TORSO), 0.14), ((a,), 0.14), ((a,), 0.14))),
    *(
        carrier
        for leg in (RIGHT_LEG, LEFT_LEG)
        for carrier in (
            ((RIGHT_LEG, LEFT_LEG, TORSO), 0.22),
            ((leg, TORSO), 0.28),
            ((leg, TORSO), 0.28),
        )
    ),
    *(_FACE_CARRIER,) * 4,
)
_CARRIES = np.array([[part in parts for part in range(PARTS)] for parts, _ in _CARRIERS])
_REACH = np.array([reach for _, reach in _CARRIERS])
# Hips and knees, which skirts and coats hang over, however wide.
_DRAPED = np.isin(np.arange(len(JOINTS)), (8, 9, 11, 12))

# Joints of the face, and their angles from the front of the head to its left.
_FACE = {0: 0.0, 14: -EYE[0], 15: EYE[0], 16: -EAR[0], 17: EAR[0]}
_TURNED_AWAY = -0.2
"""Cosine to the camera below which detectors do not find a point of the face."""


def joints(person: PersonParameters, skeleton: Skeleton) -> Array:
    """(18, 3) in the world. The neck is midway between the shoulders, as OpenPose has it."""
    (right, left), (right_leg, left_leg) = skeleton.arms, skeleton.legs
    neck = (right.joints[0] + left.joints[0]) / 2
    nose = face_point(person, skeleton, 0.0, NOSE)
    nose = nose + 0.01 * person.body.height * skeleton.head_frame[:, 0]
    face = [
        face_point(person, skeleton, side * angle, z) for angle, z in (EYE, EAR) for side in (-1, 1)
    ]
    limbs = [limb.joints for limb in (right, left, right_leg, left_leg)]
    return np.concatenate([nose[None], neck[None], *limbs, np.stack(face)])


def present(places: Array, skeleton: Skeleton, camera: Camera, height: int, width: int) -> Flags:
    """(18,): inside the image and, on the face, not turned away; ``places`` (18, 3) projected."""
    x, y = places[:, 0], places[:, 1]
    inside: Flags = (x >= -0.5) & (x < width - 0.5) & (y >= -0.5) & (y < height - 0.5)
    forward, left = (camera.axes()[2] @ skeleton.head_frame[:, :2]).tolist()
    for joint, angle in _FACE.items():
        inside[joint] &= math.cos(angle) * forward + math.sin(angle) * left > _TURNED_AWAY
    return inside


def visible(mesh: Mesh, corners: Array, places: Array, here: Flags) -> Flags:
    """(18,): present, and the nearest surface at the joint carries it and is close in front of it.

    Skirts and coats are looked through at hips and knees. ``corners`` (3, 3, T) and ``places``
    (18, 3) are projected: x, y and inverse distance.
    """
    plane, (x, y) = corners[:, :2], places[:, :2].T[:, :, None]
    left, top = np.minimum(np.minimum(plane[0], plane[1]), plane[2])
    right, bottom = np.maximum(np.maximum(plane[0], plane[1]), plane[2])
    boxed = (left <= x) & (x <= right) & (top <= y) & (y <= bottom) & here[:, None]
    joint, hit = np.divmod(np.flatnonzero(boxed), len(left))
    (x0, y0, z0), (x1, y1, z1), (x2, y2, z2) = corners[:, :, hit]
    dx, dy = places[joint, 0] - x0, places[joint, 1] - y0
    area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
    part, thin = mesh.part[hit], mesh.thin[hit]
    draped = _DRAPED[joint] & thin & (part == TORSO)
    area = np.where(((area < 0) | thin & (area > 0)) & ~draped, area, np.nan)
    first = ((y2 - y0) * dx - (x2 - x0) * dy) / area
    second = ((x1 - x0) * dy - (y1 - y0) * dx) / area
    inverse = z0 + first * (z1 - z0) + second * (z2 - z0)
    inside = np.flatnonzero((first >= 0) & (second >= 0) & (first + second <= 1))
    order = inside[np.argsort(inverse[inside], kind="stable")]
    joint, part = joint[order], part[order]
    before = 1 / places[joint, 2] - 1 / inverse[order]
    seen = here.copy()
    # The nearest is the last to be assigned. Where there is nothing, a joint beside a thin part is
    # in front of the background.
    seen[joint] = _CARRIES[joint, part] & (before < _REACH[joint])
    return seen
