"""A chair's parts as arrays, ready for the ray caster."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rfwarp.data.chairs.camera import fit
from rfwarp.data.chairs.materials import WOOD
from rfwarp.data.chairs.solids import Part

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Model:
    """A chair as arrays, one row per part; positions are relative to the point looked at.

    Attributes:
        corners: (P, 8, 3) hull corners, metres.
        to_local: (P, 3, 4) world -> part coordinates (u, v, w).
        shape: (P, 2) the cross-section's mean scale and its slope in w.
        roundness: (P,).
        to_texture: (P, 3, 3) part coordinates -> metres along, across and through the part.
        shift: (P, 3) texture offset, metres, so that no two boards look alike.
        look: (P, 8) pattern number, period, first and second colour.
        distance: of the camera from the point looked at, metres.
    """

    corners: Array
    to_local: Array
    shape: Array
    roundness: Array
    to_texture: Array
    shift: Array
    look: Array
    distance: float

    @classmethod
    def from_parts(cls, parts: Sequence[Part]) -> Model:
        centre, distance = fit(parts)
        to_local, to_texture = [], []
        for part in parts:
            linear = part.axes / part.half[:, None]
            offset = -(linear * (part.centre - centre)).sum(axis=1)
            to_local.append(np.concatenate([linear, offset[:, None]], axis=1))
            order = np.argsort(-part.half, kind="stable")
            to_texture.append(np.diag(part.half)[order])
        ends = np.array([part.end_scale for part in parts])
        wooden = np.array([part.material.pattern == WOOD for part in parts])
        index = np.arange(len(parts))[:, None] * np.array([0.731, 0.117, 0.071])
        return cls(
            corners=np.stack([part.corners() - centre for part in parts]),
            to_local=np.stack(to_local),
            shape=np.stack([(1 + ends) / 2, (ends - 1) / 2], axis=1),
            roundness=np.array([part.roundness for part in parts]),
            to_texture=np.stack(to_texture),
            shift=np.where(wooden[:, None], index % 0.5, 0.0),
            look=np.array(
                [
                    (p.material.pattern, p.material.scale, *p.material.first, *p.material.second)
                    for p in parts
                ]
            ),
            distance=distance,
        )
