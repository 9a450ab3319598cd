"""Regions of the head at rest, as functions of the places (3, M) of its points, decimetres.

Signed ones are positive inside and about a distance near their borders.
"""

from __future__ import annotations

import numpy as np

from rfwarp.data.faces.head import Head
from rfwarp.data.faces.parameters import BeardStyle, FaceParameters, HairStyle
from rfwarp.data.people.materials import Array

# Height of the hairline by the angle from the front of the head, radians, decimetres.
_ANGLES = (0.0, 0.40, 0.66, 0.80, 0.90, 0.99, 1.12, 1.45, 1.8, 2.2, 2.7, 3.2)
_HAIRLINE = (7.93, 7.89, 7.74, 7.60, 7.32, 7.14, 7.16, 7.42, 7.2, 6.75, 6.55, 6.52)

_TOP: dict[HairStyle, float] = {
    "bald": 0.0, "cropped": 0.03, "short": 0.10, "swept": 0.17, "fringe": 0.13, "bob": 0.14,
    "long": 0.12, "bun": 0.06, "afro": 0.42,
}  # fmt: skip
_SIDE: dict[HairStyle, float] = {
    "bald": 0.0, "cropped": 0.02, "short": 0.05, "swept": 0.07, "fringe": 0.08, "bob": 0.10,
    "long": 0.08, "bun": 0.04, "afro": 0.34,
}  # fmt: skip
_BEARD: dict[BeardStyle, float] = {
    "none": 0.0, "stubble": 0.0, "moustache": 0.03, "goatee": 0.04, "short": 0.03, "full": 0.10,
}  # fmt: skip


def smooth(x: Array, low: float, high: float) -> Array:
    """0 below ``low``, 1 above ``high``, smooth between; or falling, if ``low`` is the greater."""
    t = np.clip((x - low) / (high - low), 0.0, 1.0)
    return t * t * (3 - 2 * t)


def ear(rest: Array) -> Array:
    """1 on the ears, 0 elsewhere."""
    x, y, z = rest
    side = np.interp(y, (6.7, 6.9, 7.0, 7.2, 7.4), (0.62, 0.70, 0.715, 0.735, 0.755))
    inside = (y > 6.72) & (z > 0.28) & (z < 0.72)
    return np.where(inside, smooth(np.abs(x) - side, -0.012, 0.012) * smooth(y, 7.44, 7.38), 0.0)


def hairline(rest: Array, face: FaceParameters) -> Array:
    """Signed: where hair of the head grows."""
    x, y, z = rest
    angle = np.arctan2(np.abs(x), z - 0.3)
    line = np.interp(angle, _ANGLES, _HAIRLINE)
    temple = np.exp(-(((angle - 0.6) / 0.28) ** 2))
    line = line + face.hair.receding * (smooth(angle, 1.1, 0.6) * 0.6 + 1.2 * temple)
    if face.hair.style == "fringe":
        line = np.where(angle < 0.8, line - (0.2 + 0.2 * face.hair.length) * smooth(
            angle, 0.8, 0.55), line)  # fmt: skip
    if face.masculine < 0.5:  # no sideburns
        line = line + 0.25 * np.exp(-(((angle - 1.0) / 0.12) ** 2))
    return y - line


def beard(rest: Array, face: FaceParameters) -> Array:
    """Signed: where hair of the face grows."""
    x, y, z = rest
    across = np.abs(x)
    # Below a line from the sideburns to the corner of the mouth; above the throat.
    cheek = 6.62 + 1.0 * np.maximum(across - 0.3, 0.0) ** 1.2
    chin = np.minimum(cheek - y, y - (5.95 + 0.25 * across))
    chin = np.minimum(chin, z - 0.72)
    # Upper lip, below the nose.
    moustache = np.minimum(6.80 - 0.45 * across - y, 0.34 - across)
    moustache = np.minimum(moustache, y - (6.56 - 0.1 * across))
    full = np.maximum(chin, np.where(z > 1.1, moustache, -1.0))
    bare = lips(rest) + 0.012  # around the mouth
    bare = np.maximum(bare, np.where(z > 1.3, 0.05 - np.hypot(across - 0.14, (y - 6.47) * 1.3), -1))
    style = face.beard
    if style == "moustache":
        full = np.where(z > 1.1, np.minimum(moustache, y - 6.52), -1.0)
    elif style == "goatee":
        around = np.minimum(0.33 - across, full)
        full = np.where(z > 0.95, around, -1.0)
    return np.minimum(full, -bare) if style != "none" else np.full_like(y, -1.0)


def lips(rest: Array) -> Array:
    """Signed: the red of the lips, and what lies behind them in the mouth."""
    x, y, z = rest
    across = np.abs(x)
    upper = np.interp(across, _LIP_X, _LIP_UPPER)
    lower = np.interp(across, _LIP_X, _LIP_LOWER)
    inside = np.minimum(np.minimum(upper - y, y - lower), 0.268 - across)
    return np.where(z > 1.15, inside, -1.0)


_LIP_X = (0.0, 0.03, 0.08, 0.13, 0.18, 0.23, 0.268)
_LIP_UPPER = (6.686, 6.694, 6.708, 6.694, 6.674, 6.645, 6.612)
_LIP_LOWER = (6.525, 6.525, 6.530, 6.540, 6.553, 6.578, 6.606)


def cavity(rest: Array, sky: Array) -> Array:
    """1 inside the mouth, 0 elsewhere."""
    x, y, z = rest
    box = (np.abs(x) < 0.42) & (y > 6.15) & (y < 6.98) & (z > 0.2)
    depth = smooth(1.46 - 1.6 * x * x - z, 0.0, 0.06)
    return np.where(box & (sky < 0.3), depth, 0.0)


def shirt(rest: Array, face: FaceParameters) -> Array:
    """Signed: below the neckline."""
    x, y, z = rest
    front = smooth(z, 0.1, 0.7)
    return 5.74 + face.shirt.collar * (1 - 0.3 * front) - 0.35 * front - y + 0.12 * x * x


def outgrowth(head: Head, face: FaceParameters) -> Array:
    """(P,) distance by which hair, beard and shirt lie over the skin, decimetres."""
    rest = head.points.T
    y = rest[1]
    style = face.hair.style
    top, side = _TOP[style], _SIDE[style]
    volume = 0.7 + 0.6 * face.hair.volume
    grown = hairline(rest, face)
    rise = 0.5 if style == "afro" else 0.16
    thick = (side + (top - side) * smooth(y, 7.7, 8.35)) * volume
    if style == "swept":
        thick = thick * (1 + 0.5 * smooth(rest[2], 0.6, 1.3) * smooth(y, 7.9, 8.2))
    out = thick * smooth(grown, -0.01, rise) * (1 - ear(rest)) * smooth(y, 6.3, 6.7)
    out += (
        _BEARD[face.beard]
        * smooth(beard(rest, face), 0.0, 0.12)
        * (0.6 + 0.8 * smooth(y, 6.6, 6.2))
    )
    cloth = shirt(rest, face)
    out = np.maximum(out, 0.045 * smooth(cloth, -0.02, 0.02))
    skin = np.zeros(len(y), bool)
    skin[np.unique(head.quads[head.parts == 0])] = True
    return np.where(skin & (cavity(rest, head.sky) == 0), out, 0.0)
