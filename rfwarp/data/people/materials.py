"""Surfaces of people: cloth patterns, and marks printed on them.

A surface has two coordinates: ``turns``, the fraction of a turn around it, 0 at the front and
+-0.5 at the back, and ``along``, metres. They belong to the surface, not to the pose: a pattern
moves with the cloth.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Colour = tuple[float, float, float]

PLAIN, STRIPES, BANDS, CHECKS, PLAID, DOTS = range(6)
"""Patterns: one colour; lines along; lines around; squares; both kinds of lines; discs."""


@dataclass(frozen=True)
class Cloth:
    """Two RGB colours in [0, 1]; the pattern repeats every ``period`` metres."""

    pattern: int
    first: Colour
    second: Colour
    period: float = 1.0

    @classmethod
    def plain(cls, colour: Colour) -> Cloth:
        return cls(PLAIN, colour, colour)


@dataclass(frozen=True)
class Mark:
    """A print, a button, an eye: a stencil on a surface.

    Args:
        stencil: a key of :data:`STENCILS`.
        turns, along: its middle.
        half_width: in turns.
        half_height: metres.
        colour: RGB in [0, 1].
    """

    stencil: str
    turns: float
    along: float
    half_width: float
    half_height: float
    colour: Colour


@dataclass(frozen=True)
class Surface:
    """A cloth laid around something of ``girth`` metres, so that whole periods fit around it."""

    cloth: Cloth
    girth: float
    marks: tuple[Mark, ...] = ()


_GRID = 16
_DIGITS = {
    "1": "##. .#. .#. .#. ###",
    "2": "### ..# ### #.. ###",
    "3": "### ..# ### ..# ###",
    "4": "#.# #.# ### ..# ..#",
    "7": "### ..# .#. .#. .#.",
    "8": "### #.# ### #.# ###",
}


def _stencils() -> dict[str, npt.NDArray[np.bool_]]:
    """(16, 16) each; row 0 is the top, column 0 is to the left of a viewer in front."""
    x = (np.arange(_GRID) + 0.5) * 2 / _GRID - 1
    x, y = x[None, :], -x[:, None]
    radius = np.hypot(x, y)
    shapes = {
        "disc": radius < 1,
        "ring": (radius < 1) & (radius > 0.55),
        "square": np.maximum(abs(x), abs(y)) < 2,
        "frame": np.maximum(abs(x), abs(y)) > 0.6,
        "diamond": abs(x) + abs(y) < 1,
        "triangle": abs(x) < (1 - y) / 2,
        "cross": np.minimum(abs(x), abs(y)) < 0.34,
        "heart": (x * x + (1.1 * y - 0.75 * np.sqrt(abs(x))) ** 2) < 0.72,
        "chevron": abs(y - 0.5 + abs(x)) < 0.42,
        "hourglass": abs(x) < abs(y) + 0.1,
    }
    for name, text in _DIGITS.items():
        cells = np.array([[cell == "#" for cell in row] for row in text.split()])
        rows, columns = np.arange(_GRID) * 5 // _GRID, np.arange(_GRID) * 3 // _GRID
        shapes[name] = cells[rows][:, columns]
    return shapes


STENCILS = _stencils()


def _wave(x: Array) -> Array:
    """A wave of period 1 between 0 and 1, with steep flanks."""
    phase = x - np.floor(x)
    return np.clip(3.0 - 10.0 * np.abs(phase - 0.5), 0.0, 1.0)


def _mix(pattern: int, around: Array, along: Array) -> Array:
    """Share of the second colour; both coordinates in periods."""
    if pattern == STRIPES:
        return _wave(around)
    if pattern == BANDS:
        return _wave(along)
    if pattern == CHECKS:
        parity = np.floor(2 * around) + np.floor(2 * along)
        return parity - 2 * np.floor(parity / 2)
    if pattern == PLAID:
        return 0.5 * (_wave(around) + _wave(along))
    # Rows of discs, every other row moved by half a period.
    row = np.floor(along)
    x = around + 0.5 * (row - 2 * np.floor(row / 2))
    return np.asarray(np.hypot(x - np.floor(x) - 0.5, along - row - 0.5) < 0.3, np.float64)


def paint(
    surfaces: Sequence[Surface], index: npt.NDArray[np.intp], turns: Array, along: Array
) -> Array:
    """Colours of M samples.

    Args:
        surfaces: the surfaces of an image.
        index: (M,) numbers of the samples' surfaces.
        turns, along: (M,) coordinates on them.

    Returns:
        (3, M) RGB in [0, 1].
    """
    colour = np.array([s.cloth.first for s in surfaces]).T[:, index]
    for number, surface in enumerate(surfaces):
        cloth = surface.cloth
        if cloth.pattern == PLAIN and not surface.marks:
            continue
        here = np.flatnonzero(index == number)
        if not len(here):
            continue
        u, v = turns[here], along[here]
        if cloth.pattern != PLAIN:
            repeats = max(1, math.floor(surface.girth / cloth.period + 0.5))
            mix = _mix(cloth.pattern, u * repeats, v / cloth.period)
            first, second = np.array(cloth.first)[:, None], np.array(cloth.second)[:, None]
            colour[:, here] = (1 - mix) * first + mix * second
        for mark in surface.marks:
            x = u - mark.turns
            x = (x - np.floor(x + 0.5)) / mark.half_width
            y = (v - mark.along) / mark.half_height
            near = np.flatnonzero((np.abs(x) < 1) & (np.abs(y) < 1))
            columns = ((x[near] + 1) * (_GRID / 2)).astype(np.intp)
            rows = ((1 - y[near]) * (_GRID / 2)).astype(np.intp)
            inked = STENCILS[mark.stencil][np.minimum(rows, _GRID - 1), columns]
            colour[:, here[near[inked]]] = np.array(mark.colour)[:, None]
    return colour
