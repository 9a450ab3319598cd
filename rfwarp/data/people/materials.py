"""Colours of points on a solid: patterns, prints and faces."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from rfwarp.data.people.parameters import Color, Pattern, PrintStyle
from rfwarp.data.people.solids import Cloth, Picture

Mask = npt.NDArray[np.bool_]


def colors(cloth: Cloth, points: list[Picture], length: float, radius: float) -> Picture:
    """(3, N) RGB, 0 to 1.

    Args:
        points: x, y and z in the solid's frame, its depth made as wide as its width.
        length, radius: of the solid; the radius is the mean of both ends'.
    """
    x, y, z = points
    pattern = cloth.pattern
    if pattern.style == "plain":
        figure = np.zeros(x.shape, bool)
    else:
        figure = _is_figure(pattern, np.arctan2(x, z) * np.float32(radius), y)
    found = np.where(figure, _column(pattern.figure), _column(pattern.ground))
    for (style, color), half in ((cloth.front, z > 0), (cloth.back, z < 0)):
        if style != "none":
            mask = half & _in_print(style, x / radius, (y - 0.66 * length) / radius)
            found = np.where(mask, _column(color), found)
    if cloth.line is not None:
        found = np.where((z > 0) & (abs(x) < cloth.line_width), _column(cloth.line), found)
    if cloth.hem < 1:
        found = np.where(y > cloth.hem * length, _column(cloth.skin), found)
    if cloth.face:
        found = _faced(found, x / radius, (y - length / 2) / radius, z)
    return found.astype(np.float32)


def _column(color: Color) -> Picture:
    return np.array(color, np.float32)[:, None]


def _is_figure(pattern: Pattern, u: Picture, v: Picture) -> Mask:
    du, dv = (w / np.float32(pattern.scale) % 1 for w in (u, v))
    if pattern.style == "stripes":
        return dv < 0.42
    if pattern.style == "columns":
        return du < 0.42
    if pattern.style == "checks":
        return (du < 0.5) ^ (dv < 0.5)
    return (du - 0.5) ** 2 + (dv - 0.5) ** 2 < 0.09


def _in_print(style: PrintStyle, u: Picture, v: Picture) -> Mask:
    """Coordinates in radii of the chest, from its middle."""
    if style == "disc":
        return u * u + v * v < 0.27
    if style == "square":
        return (abs(u) < 0.42) & (abs(v) < 0.42)
    if style == "bar":
        return abs(v) < 0.24
    return (abs(u) < 0.16) & (abs(v) < 0.6) | (abs(v) < 0.16) & (abs(u) < 0.6)


def _faced(skin: Picture, u: Picture, v: Picture, z: Picture) -> Picture:
    """Eyes, brows and a mouth."""
    front = z > 0
    white = front & (abs(abs(u) - 0.38) < 0.17) & (abs(v - 0.12) < 0.1)
    dark = front & (abs(abs(u) - 0.38) < 0.1) & (abs(v - 0.12) < 0.12)
    dark |= front & (abs(abs(u) - 0.38) < 0.2) & (abs(v - 0.36) < 0.05)
    mouth = front & (abs(u) < 0.26) & (abs(v + 0.52) < 0.07)
    found = np.where(white, np.float32(0.93), skin)
    found = np.where(dark, np.float32(0.1), found)
    return np.where(mouth, _column((0.68, 0.25, 0.25)), found)
