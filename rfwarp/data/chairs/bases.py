"""Bases of chairs: everything between the floor and the seat."""

from __future__ import annotations

import math

from rfwarp.data.chairs.parameters import ChairParameters
from rfwarp.data.chairs.solids import ROUND, SQUARE, Part, Point, beam


def base_parts(chair: ChairParameters) -> list[Part]:
    """Parts of the base: legs with their stretchers, a pedestal, a star, or a sled."""
    build = {"legs": _legs, "pedestal": _pedestal, "star": _star, "sled": _sled}
    return build[chair.base.style](chair)


def _leg_position(chair: ChairParameters, thickness: float) -> tuple[float, float]:
    """(x, y) of a leg's centre under the seat's front left corner.

    Legs stand a little inside the seat's outline: two faces in one plane would flicker.
    """
    seat, inset = chair.seat, thickness / 2 + 0.004
    return seat.depth / 2 * seat.corner - inset, seat.width / 2 * seat.corner - inset


def _legs(chair: ChairParameters) -> list[Part]:
    seat, base = chair.seat, chair.base
    top = seat.height - seat.thickness * 0.5
    x0, y0 = _leg_position(chair, base.thickness)
    if base.splay > 0:
        x0, y0 = x0 - 0.015, y0 - 0.015
    reach = math.tan(math.radians(base.splay)) * top

    def leg_at(sx: int, sy: int, height: float) -> Point:
        out = reach * (1 - height / top)
        return (sx * (x0 + out), sy * (y0 + out * 0.8), height)

    parts = [
        beam(
            leg_at(sx, sy, top),
            leg_at(sx, sy, 0.0),
            base.thickness,
            base.thickness,
            chair.frame_material,
            end_scale=base.taper,
            roundness=ROUND if base.round else SQUARE,
        )
        for sx in (-1, 1)
        for sy in (-1, 1)
    ]
    if base.stretcher == "none":
        return parts

    height = base.stretcher_height * top
    thick = base.thickness * 0.62
    shape = ROUND if base.round else SQUARE

    def bar(a: Point, b: Point) -> Part:
        return beam(a, b, thick, thick, chair.frame_material, side=(0, 0, 1), roundness=shape)

    parts += [bar(leg_at(-1, sy, height), leg_at(1, sy, height)) for sy in (-1, 1)]
    if base.stretcher == "h":
        right, left = leg_at(1, -1, height), leg_at(1, 1, height)
        parts.append(bar((0.0, right[1], height), (0.0, left[1], height)))
    else:
        higher = height + 0.05
        parts += [bar(leg_at(sx, -1, higher), leg_at(sx, 1, higher)) for sx in (-1, 1)]
    return parts


def _column(chair: ChairParameters, foot: float) -> Part:
    top = chair.seat.height - chair.seat.thickness * 0.5
    thick = chair.base.thickness * 1.5
    return beam((0, 0, foot), (0, 0, top), thick, thick, chair.frame_material, roundness=ROUND)


def _pedestal(chair: ChairParameters) -> list[Part]:
    wide = min(chair.seat.width, chair.seat.depth) * 0.92
    disc = beam(
        (0, 0, 0), (0, 0, 0.035), wide, wide, chair.frame_material, roundness=ROUND, end_scale=0.9
    )
    return [disc, _column(chair, 0.02)]


def _star(chair: ChairParameters) -> list[Part]:
    arms, reach, thick = 5, 0.29, chair.base.thickness
    parts = [_column(chair, 0.05)]
    for i in range(arms):
        angle = 2 * math.pi * i / arms
        end = (reach * math.cos(angle), reach * math.sin(angle), thick * 0.4)
        parts.append(
            beam(
                (0, 0, 0.09), end, thick, thick, chair.frame_material, side=(0, 0, 1), end_scale=0.6
            )
        )
    return parts


def _sled(chair: ChairParameters) -> list[Part]:
    """Two closed side frames on runners."""
    seat, thick = chair.seat, chair.base.thickness * 0.85
    x0, y0 = _leg_position(chair, thick)
    top = seat.height - seat.thickness * 0.5
    parts = []
    for sy in (-1, 1):
        y = sy * y0
        parts += [
            beam((sx * x0, y, thick / 2), (sx * x0, y, top), thick, thick, chair.frame_material)
            for sx in (-1, 1)
        ]
        # The runner is stouter than the posts that end inside it.
        reach, runner = x0 + thick * 0.55, thick * 1.1
        ends = (-reach, y, runner / 2), (reach, y, runner / 2)
        parts.append(beam(*ends, runner, runner, chair.frame_material))
    return parts
