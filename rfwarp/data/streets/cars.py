"""Parked cars."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from rfwarp.data.seeds import Dice
from rfwarp.data.streets.polygons import UP, Array, Builder, Colour, Paint, Place

COLOURS: dict[Colour, float] = {
    (0.78, 0.79, 0.8): 3.0,
    (0.55, 0.57, 0.59): 3.0,
    (0.1, 0.1, 0.11): 3.0,
    (0.9, 0.9, 0.88): 2.0,
    (0.16, 0.2, 0.34): 2.0,
    (0.5, 0.08, 0.08): 1.5,
    (0.14, 0.26, 0.18): 0.7,
    (0.6, 0.55, 0.42): 0.6,
    (0.75, 0.62, 0.1): 0.3,
    (0.22, 0.42, 0.62): 1.0,
}

Kind = Literal["saloon", "hatch", "estate", "van"]
REAR: dict[Kind, tuple[float, float]] = {
    "saloon": (-0.36, -0.22),
    "hatch": (-0.47, -0.36),
    "estate": (-0.48, -0.42),
    "van": (-0.49, -0.47),
}
"""Lower and upper end of the rear window, in lengths of the car ahead of its middle."""

DARK, GLASS = Paint(0, (0.08, 0.085, 0.09)), Paint(0, (0.13, 0.16, 0.19))
HUB, PLATE = Paint(0, (0.5, 0.5, 0.52)), Paint(0, (0.88, 0.88, 0.86))
HEADLAMP, TAILLAMP = Paint(0, (0.85, 0.86, 0.84)), Paint(0, (0.55, 0.05, 0.04))


def car(builder: Builder, dice: Dice, place: Place) -> None:
    """A parked car, its middle at the place, facing forward."""
    colour = dice.choose(COLOURS)
    kind: Kind = dice.choose({"saloon": 2.0, "hatch": 3.0, "estate": 2.0, "van": 1.0})
    long, half = dice.uniform(3.7, 4.6), dice.uniform(0.82, 0.9)
    waist, roof = dice.uniform(0.9, 0.98), dice.uniform(1.4, 1.5)
    if kind == "van":
        long, half, waist, roof = dice.uniform(4.6, 5.4), 0.97, 1.15, dice.uniform(1.85, 2.3)
    hood = waist - dice.uniform(0.1, 0.2) if kind != "van" else waist - 0.1
    closed = kind == "van" and dice.chance(0.5)
    shape = _Car(builder, place, colour, kind, long, half, waist, roof, hood)
    sides = shape.body()
    shape.cabin(Paint(0, colour) if closed else GLASS)
    shape.wheels(sides)
    shape.ends()
    shape.below()


@dataclass(frozen=True)
class _Car:
    builder: Builder
    place: Place
    colour: Colour
    kind: Kind
    long: float
    half: float
    """Half of its width; this and what follows in metres."""
    waist: float
    """Height of the windows' lower edge."""
    roof: float
    hood: float
    """Height of the bonnet."""

    @property
    def tail(self) -> float:
        return -self.long / 2

    @property
    def nose(self) -> float:
        return self.long / 2

    @property
    def screen(self) -> tuple[float, float]:
        """Lower and upper end of the windscreen, as REAR."""
        return (0.36, 0.26) if self.kind == "van" else (0.26, 0.06)

    def _solid(
        self,
        profile: Sequence[tuple[float, float]],
        narrow: Sequence[float],
        paints: Sequence[Paint],
    ) -> Array:
        """Add a solid with a convex profile of (forward, up).

        Args:
            profile: n corners.
            narrow: parts of the width at them.
            paints: of the faces: along the profile's edges, then left and right.

        Returns:
            (2, n, 3) corners of the left and the right side.
        """
        plan, count = np.array(profile), len(profile)
        across = self.half * np.array(narrow)
        sides = np.stack([np.stack([sign * across, plan[:, 1], plan[:, 0]], 1) for sign in (-1, 1)])
        points = self.place.points(sides)
        faces: list[Sequence[int]] = [range(count), range(count, 2 * count)]
        faces[:0] = [(i, (i + 1) % count, count + (i + 1) % count, count + i) for i in range(count)]
        self.builder.solid(points.reshape(-1, 3), faces, paints)
        return points

    def body(self) -> Array:
        """Add sills, bumpers, bonnet and boot; returns the corners of the sides."""
        paint = Paint(0, self.colour)
        profile = [
            (self.tail + 0.06, 0.22),
            (self.tail, 0.5),
            (self.tail + 0.05, self.waist),
            (self.screen[0] * self.long, self.waist),
            (self.nose - 0.12, self.hood - 0.08),
            (self.nose, 0.55),
            (self.nose - 0.05, 0.22),
        ]
        narrow = (0.97, 1.0, 0.98, 0.98, 0.94, 0.97, 0.95)
        paints = [DARK, paint, paint, paint, paint, DARK, DARK, paint, paint]
        return self._solid(profile, narrow, paints)

    def cabin(self, back: Paint) -> None:
        """Add the roof, its pillars, and windows, of which the rear one may be closed."""
        paint = Paint(0, self.colour)
        (rear_low, rear_high), (front_low, front_high) = REAR[self.kind], self.screen
        profile = [
            (rear_low * self.long, self.waist - 0.01),
            (rear_high * self.long, self.roof),
            (front_high * self.long, self.roof),
            (front_low * self.long, self.waist - 0.01),
        ]
        paints = [back, paint, GLASS, DARK, paint, paint]
        sides = self._solid(profile, (0.95, 0.76, 0.76, 0.95), paints)
        panes = [(0.68, 0.93)] if self.kind == "van" else [(0.1, 0.48), (0.52, 0.9)]
        for side, sign in zip(sides, (-1, 1), strict=True):
            out = sign * self.place.right * 0.012
            for begin, end in panes:
                places = ((begin, 0.1), (begin, 0.86), (end, 0.86), (end, 0.1))
                pane = [_between(side, along, up) + out for along, up in places]
                self.builder.polygon(pane, GLASS, toward=out)

    def wheels(self, sides: Array) -> None:
        """Add wheels, and a moulding on both sides of the body."""
        turn = np.arange(8) * np.pi / 4 + np.pi / 8
        r, g, b = (0.55 * c for c in self.colour)
        for side, sign in zip(sides, (-1, 1), strict=True):
            out = sign * self.place.right
            line = [side[1] + 0.01 * out, side[5] + 0.01 * out]
            strip = [
                line[0] + UP * 0.02,
                line[1] + UP * 0.02,
                line[1] - UP * 0.06,
                line[0] - UP * 0.06,
            ]
            self.builder.polygon(strip, Paint(0, (r, g, b)), toward=out)
            for axle in (self.tail + 0.2 * self.long, self.nose - 0.19 * self.long):
                for radius, paint, offset in ((0.33, DARK, 0.015), (0.2, HUB, 0.025)):
                    across = np.full(8, sign * (self.half + offset))
                    up, ahead = 0.33 + radius * np.sin(turn), axle + radius * np.cos(turn)
                    rim = self.place.points(np.stack([across, up, ahead], 1))
                    self.builder.polygon(rim, paint, toward=out)

    def ends(self) -> None:
        """Add lamps and number plates."""
        for sign, lamp, low, high in ((-1, TAILLAMP, 0.62, 0.86), (1, HEADLAMP, 0.56, 0.7)):
            toward, ahead = sign * self.place.forward, self.nose if sign > 0 else self.tail
            for side in (-1, 1):
                inner, outer = side * self.half * 0.55, side * self.half * 0.92
                corners = ((inner, low), (inner, high), (outer, high), (outer, low))
                points = [
                    self.place.at(across, up, self._end(sign, up)) + toward * 0.015
                    for across, up in corners
                ]
                self.builder.polygon(points, lamp, toward=toward)
            corners = ((-0.26, 0.4), (-0.26, 0.51), (0.26, 0.51), (0.26, 0.4))
            plate = [self.place.at(across, up, ahead) + toward * 0.02 for across, up in corners]
            self.builder.polygon(plate, PLATE, toward=toward)

    def _end(self, sign: int, up: float) -> float:
        """How far ahead the sloping front (sign 1) or back is at a height above the bumpers."""
        if sign > 0:
            return self.nose - 0.12 * (up - 0.55) / (self.hood - 0.08 - 0.55)
        return self.tail + 0.05 * (up - 0.5) / (self.waist - 0.5)

    def below(self) -> None:
        """Add the dark under it, where light comes from nowhere."""
        x, back, front = self.half, self.tail + 0.1, self.nose - 0.1
        corners = [(-x, 0.012, back), (x, 0.012, back), (x, 0.012, front), (-x, 0.012, front)]
        self.builder.polygon(self.place.points(corners), Paint(0, (0.1, 0.1, 0.1)), toward=UP)


def _between(side: Array, along: float, up: float) -> Array:
    """(3,) a point of a cabin's side (4, 3), from the back forward and from the waist up."""
    low = side[0] + along * (side[3] - side[0])
    high = side[1] + along * (side[2] - side[1])
    point: Array = low + up * (high - low)
    return point
