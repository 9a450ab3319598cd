"""Things that stand in a street: houses, trees, signs and lamps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rfwarp.data.seeds import Dice
from rfwarp.data.streets.polygons import UP, Array, Builder, Colour, Paint, Place
from rfwarp.data.streets.textures import Noise


@dataclass(frozen=True)
class Looks:
    """Numbers of the textures that things share."""

    roof: Sequence[int]
    wall: int
    bark: int
    leaves: Sequence[int]
    hedge: int
    fence: int
    stone: int
    signs: Sequence[int]


def house(
    builder: Builder,
    looks: Looks,
    dice: Dice,
    place: Place,
    width: float,
    depth: float,
    height: float,
    front: Paint,
    wall: Paint,
    trim: Colour,
    storeys: int,
    gabled: bool,
) -> None:
    """A house whose front begins at a place, runs ahead from it, and looks to the left of it.

    Args:
        place: the front's corner; the house stands to its right.
        width: of the front; ``depth`` away from the street; ``height`` of its walls, metres.
        front: facade, whose texture is as large as the front.
        wall: of the other sides.
        trim: colour of their windows' frames.
        storeys: number of them.
        gabled: whether it has a pitched roof, or a flat one.
    """

    def at(right: float, up: float, forward: float) -> Array:
        return place.at(right, up, forward)

    left, ahead = -place.right, place.forward
    start = at(0, height, 0)
    builder.polygon(
        [start, at(0, height, width), at(0, 0, width), at(0, 0, 0)],
        front,
        toward=left,
        across=ahead,
        down=-UP,
        start=start,
    )
    rise = dice.uniform(0.35, 0.6) * depth if gabled else 0.0
    for forward, toward in ((0.0, -ahead), (width, ahead)):
        side = [
            at(0, 0, forward),
            at(0, height, forward),
            at(depth, height, forward),
            at(depth, 0, forward),
        ]
        if gabled:
            side.insert(2, at(depth / 2, height + rise, forward))
        builder.polygon(side, wall, toward=toward, across=place.right, down=-UP)
        for level in range(storeys):
            for deep in (0.2, 0.5, 0.8):
                if not dice.chance(0.7):
                    continue
                low = level * height / storeys + 0.95
                for half, paint, out in (
                    (0.5, Paint(0, trim), 0.01),
                    (0.41, Paint(0, (0.17, 0.2, 0.24)), 0.02),
                ):
                    corners = [
                        at(deep * depth + x, y, forward) + out * toward
                        for x, y in (
                            (-half, low + 0.65 + half * 1.4),
                            (half, low + 0.65 + half * 1.4),
                            (half, low + 0.65 - half * 1.4),
                            (-half, low + 0.65 - half * 1.4),
                        )
                    ]
                    builder.polygon(corners, paint, toward=toward)
    back = [at(depth, 0, 0), at(depth, height, 0), at(depth, height, width), at(depth, 0, width)]
    builder.polygon(back, wall, toward=place.right, across=ahead, down=-UP)
    roof = Paint(looks.roof[dice.integer(0, len(looks.roof) - 1)], (1, 1, 1), (4.0, 4.0))
    if not gabled:
        lid = [
            at(0, height, 0),
            at(0, height, width),
            at(depth, height, width),
            at(depth, height, 0),
        ]
        builder.polygon(lid, Paint(0, (0.4, 0.4, 0.4)), toward=UP)
        return
    eaves, drop = 0.45, 0.45 * rise / (depth / 2)
    for near, far, toward in ((-eaves, depth / 2, left), (depth + eaves, depth / 2, -left)):
        low, high = height - drop, height + rise
        slope = np.hypot(far - near, high - low)
        down = (at(near, low, 0) - at(far, high, 0)) / slope
        builder.polygon(
            [
                at(far, high, -0.3),
                at(far, high, width + 0.3),
                at(near, low, width + 0.3),
                at(near, low, -0.3),
            ],
            roof,
            toward=toward + UP,
            across=ahead,
            down=down,
        )
    # The eaves from below, as seen from the street.
    builder.polygon(
        [
            at(-eaves, height - drop, 0),
            at(-eaves, height - drop, width),
            at(0, height - 0.02, width),
            at(0, height - 0.02, 0),
        ],
        Paint(0, (0.5, 0.47, 0.43)),
        toward=-UP,
    )
    if dice.chance(0.6):
        along = dice.uniform(0.2, 0.8) * width
        builder.box(
            place.moved(depth * 0.38, along),
            (-0.35, height, -0.4),
            (0.35, height + rise + 0.9, 0.4),
            Paint(looks.wall, (0.6, 0.35, 0.28)),
        )
    if dice.chance(0.45) and width > 7:
        _dormer(builder, dice, place, width, depth, height, rise)


def _dormer(
    builder: Builder,
    dice: Dice,
    place: Place,
    width: float,
    depth: float,
    height: float,
    rise: float,
) -> None:
    slope = rise / (depth / 2)
    at = depth * 0.1
    low = height + at * slope
    top = min(low + 1.4, height + rise - 0.2)
    if top - low < 0.8:
        return
    for part in (0.3, 0.7) if width > 9 and dice.chance(0.6) else (0.5,):
        centre = width * part
        body = place.moved(at, centre)
        back = (top - height) / slope - at
        builder.box(body, (0, low, -0.8), (back, top, 0.8), Paint(0, (0.62, 0.6, 0.57)))
        front = body.points(
            [
                (-0.02, top - 0.2, -0.55),
                (-0.02, top - 0.2, 0.55),
                (-0.02, low + 0.15, 0.55),
                (-0.02, low + 0.15, -0.55),
            ]
        )
        builder.polygon(front, Paint(0, (0.2, 0.24, 0.28)), toward=-place.right)


def tree(
    builder: Builder,
    looks: Looks,
    dice: Dice,
    noise: Noise,
    place: Place,
    height: float,
    tint: Colour,
) -> None:
    """A trunk and a crown of sprays of leaves around a dark core."""
    trunk = dice.uniform(0.3, 0.42) * height
    radius = 0.018 * height + 0.05
    ring = [(radius * np.cos(a), radius * np.sin(a)) for a in np.arange(6) * np.pi / 3]
    builder.prism(
        place, ring, 0.0, trunk + 0.25 * height, Paint(looks.bark, (1, 1, 1), (0.6, 1.2)), taper=0.6
    )
    wide = dice.uniform(0.24, 0.36) * height
    tall = (height - trunk) / 2
    count = int(np.clip(26 * wide * tall, 50, 150))
    crown(
        builder,
        looks,
        noise,
        place.at(0, trunk + tall, 0),
        np.array([wide, tall, wide]),
        count,
        tint,
    )


def bush(
    builder: Builder, looks: Looks, noise: Noise, place: Place, size: float, tint: Colour
) -> None:
    crown(
        builder,
        looks,
        noise,
        place.at(0, size * 0.75, 0),
        np.array([size, size * 0.8, size]),
        22,
        tint,
    )


def crown(
    builder: Builder,
    looks: Looks,
    noise: Noise,
    centre: Array,
    radii: Array,
    count: int,
    tint: Colour,
) -> None:
    """Sprays of leaves on and in an ellipsoid, lit as if it were one."""
    random = noise.white(count, 12)
    direction = random[:, :3] + np.array([0, -0.05, 0])
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    depth = 1 - 0.55 * ((random[:, 3:4] + 1) / 2) ** 2
    # Lumps: some directions reach farther.
    lump = 0.85 + 0.22 * np.sin(5 * direction[:, :1] + 3 * random[0, 9]) * np.cos(
        4 * direction[:, 2:] + 3 * direction[:, 1:2] + 3 * random[0, 10]
    )
    middle = centre + direction * radii * depth * lump
    size = 0.42 * float(radii.mean()) * (1 + 0.35 * random[:, 4:5]) + 0.12
    facing = direction + 0.7 * random[:, 5:8]
    facing /= np.linalg.norm(facing, axis=1, keepdims=True)
    across = np.cross(facing, random[:, 8:11] + 1e-3)
    across *= size / np.linalg.norm(across, axis=1, keepdims=True)
    down = np.cross(facing, across)
    corners = np.stack(
        [
            middle - across - down,
            middle + across - down,
            middle + across + down,
            middle - across + down,
        ],
        1,
    )
    # What is deep inside is dark, as little light gets there.
    tone = (0.45 + 0.6 * (depth - 0.45) / 0.55) * (1 + 0.12 * random[:, 11:12])
    texture = np.array(looks.leaves)[(np.arange(count) * 7) % len(looks.leaves)]
    builder.cards(corners, direction, texture, tone * np.array(tint), builder.surface())


def bin_or_box(builder: Builder, dice: Dice, place: Place) -> None:
    """A dustbin, or a box of the telephone or power network."""
    if dice.chance(0.6):
        colour: Colour = dice.choose(
            {
                (0.2, 0.22, 0.24): 2.0,
                (0.16, 0.24, 0.42): 1.0,
                (0.62, 0.55, 0.14): 1.0,
                (0.24, 0.32, 0.18): 1.0,
            }
        )
        shade = tuple(0.8 * c for c in colour)
        builder.prism(
            place,
            [(-0.26, -0.3), (0.26, -0.3), (0.26, 0.3), (-0.26, 0.3)],
            0.0,
            1.0,
            Paint(0, colour),
            taper=1.08,
        )
        builder.box(place, (-0.3, 1.0, -0.34), (0.3, 1.08, 0.34), Paint(0, shade))  # type: ignore[arg-type]
    else:
        wide, high = dice.uniform(0.5, 1.1), dice.uniform(0.9, 1.5)
        grey = dice.uniform(0.5, 0.66)
        builder.box(
            place, (-0.18, 0, -wide), (0.18, high, wide), Paint(0, (grey, grey * 1.01, grey * 0.95))
        )


def lamp(builder: Builder, place: Place, height: float, reach: float) -> None:
    """A street lamp whose arm reaches to its right, or to the left if negative."""
    metal = Paint(0, (0.42, 0.44, 0.44))
    builder.prism(place, _ring(0.07), 0.0, height, metal, taper=0.6)
    low, high = sorted((0.0, reach))
    builder.box(place, (low, height - 0.06, -0.04), (high, height, 0.04), metal)
    low, high = sorted((reach, reach * 1.35))
    builder.box(
        place, (low, height - 0.12, -0.12), (high, height + 0.03, 0.12), Paint(0, (0.7, 0.7, 0.66))
    )


def sign(builder: Builder, looks: Looks, dice: Dice, place: Place) -> None:
    """A traffic sign that faces backward of its place."""
    height = dice.uniform(2.1, 2.5)
    builder.prism(place, _ring(0.035), 0.0, height + 0.3, Paint(0, (0.55, 0.56, 0.57)))
    number = dice.integer(0, len(looks.signs) - 1)
    half = 0.32
    shape = {0: 8, 1: 3, 2: 4}[min(number, 2)]
    turn = np.arange(shape) * 2 * np.pi / shape + {8: np.pi / 8, 3: np.pi / 2, 4: np.pi / 4}[shape]
    reach = half / np.cos(np.pi / shape) if shape != 3 else 0.42
    plan = np.stack([reach * np.cos(turn), height + reach * np.sin(turn)], 1)
    for back in (False, True):
        forward = -0.05 if not back else -0.045
        points = place.points(np.column_stack([plan, np.full(shape, forward)]))
        paint = (
            Paint(0, (0.5, 0.5, 0.5))
            if back
            else Paint(looks.signs[number], (1, 1, 1), (2 * reach, 2 * reach))
        )
        builder.polygon(
            points,
            paint,
            toward=place.forward if back else -place.forward,
            across=place.right,
            down=-UP,
            start=place.at(-reach, height + reach, forward),
        )


def _ring(radius: float) -> list[tuple[float, float]]:
    return [(radius * np.cos(a), radius * np.sin(a)) for a in np.arange(5) * 2 * np.pi / 5]
