"""Chair parameters -> solid parts.

World axes, in metres: x to the chair's front, z up, y such that the frame is right-handed. The
floor is z = 0 and the seat's centre is on the z axis.
"""

from __future__ import annotations

import math

from rfwarp.data.chairs.materials import Material
from rfwarp.data.chairs.parameters import ChairParameters, Seat
from rfwarp.data.chairs.solids import ROUND, SQUARE, Part, Point, beam


def chair_parts(chair: ChairParameters) -> list[Part]:
    """The solid parts of a chair; neighbours overlap, so that nothing floats."""
    return _seat(chair) + _back(chair) + _base(chair) + _arms(chair)


def _seat(chair: ChairParameters) -> list[Part]:
    seat = chair.seat
    bottom, top = seat.height - seat.thickness, seat.height
    has_cushion = seat.cushion > 0
    parts = [
        beam(
            (0, 0, bottom),
            (0, 0, top),
            seat.width,
            seat.depth,
            chair.frame_material if has_cushion else chair.seat_material,
            roundness=seat.roundness,
        )
    ]
    if has_cushion:
        parts.append(
            beam(
                (0, 0, top - 0.005),
                (0, 0, top + seat.cushion),
                seat.width * 0.94,
                seat.depth * 0.94,
                chair.seat_material,
                roundness=min(seat.roundness, 1.3),
                end_scale=0.93,
            )
        )
    return parts


def _corner(seat: Seat) -> float:
    """Where the seat's outline meets the diagonal of its rectangle, over the half size."""
    return min(1.0, seat.roundness / math.sqrt(2))


class _BackPlane:
    """Positions on the reclined plane of the back: across (y), and up from the seat."""

    def __init__(self, chair: ChairParameters) -> None:
        seat, back = chair.seat, chair.back
        angle = math.radians(back.recline)
        self._up = (-math.sin(angle), math.cos(angle))
        # A rounded seat is narrow at its rear: the back moves in to where its feet meet the seat.
        foot = 0.32 if back.style == "panel" else _corner(seat)
        edge = min(1.0, math.sqrt(seat.roundness**2 - foot**2))
        self._x = -seat.depth / 2 * edge + back.thickness / 2
        self._z = chair.seat.height

    def at(self, across: float, up: float, out: float = 0.0) -> Point:
        """``out`` moves the point off the plane, to the front."""
        x = self._x + up * self._up[0] + out * self._up[1]
        return (x, across, self._z + up * self._up[1] - out * self._up[0])


def _back_span(chair: ChairParameters) -> float:
    """Distance between the centres of the two back posts, metres."""
    return chair.seat.width * _corner(chair.seat) - chair.back.post


def _back(chair: ChairParameters) -> list[Part]:
    back, plane = chair.back, _BackPlane(chair)
    if back.style == "panel":
        return _panel_back(chair, plane)
    half, wood, post = _back_span(chair) / 2, chair.frame_material, back.post
    roundness = ROUND if chair.base.round else SQUARE
    sink = -chair.seat.thickness * 0.8
    parts = [
        beam(
            plane.at(side * half, sink),
            plane.at(side * half, back.height),
            post,
            post,
            wood,
            roundness=roundness,
        )
        for side in (-1, 1)
    ]
    top = back.height - back.top_rail / 2

    def rail(up: float, tall: float, material: Material) -> Part:
        return beam(
            plane.at(-half, up), plane.at(half, up), tall, post * 0.7, material, side=(0, 0, 1)
        )

    parts.append(rail(top, back.top_rail, wood))
    inner = 2 * half - post
    low = back.gap
    if back.style == "ladder":
        rungs = back.count - 1 + (back.height > 0.45)
        pitch = (top - low) / (rungs + 0.3)
        parts += [
            rail(top - (i + 1) * pitch, min(0.065, pitch * 0.55), chair.back_material)
            for i in range(rungs)
        ]
        return parts
    if low > 0.04:
        parts.append(rail(low, 0.04, wood))
        foot = low
    else:
        foot = sink
    if back.style == "splat":
        widths = [inner * 0.42]
    elif back.style == "slats":
        widths = [inner / back.count * 0.55] * back.count
    else:
        widths = [0.026] * (back.count + 1)
    for i, wide in enumerate(widths):
        across = inner * ((i + 0.5) / len(widths) - 0.5)
        thick = wide if back.style == "spindles" else 0.022
        shape = ROUND if back.style == "spindles" else SQUARE
        parts.append(
            beam(
                plane.at(across, foot),
                plane.at(across, top),
                wide,
                thick,
                chair.back_material,
                roundness=shape,
            )
        )
    return parts


def _panel_back(chair: ChairParameters, plane: _BackPlane) -> list[Part]:
    """One board, resting on the seat or carried above it by two posts."""
    back, seat = chair.back, chair.seat
    lift = back.gap if back.gap > 0.05 and back.height > 0.42 else 0.0
    low = lift if lift else -seat.thickness * 0.5
    # An oval panel must reach into its supports, whose edge is not where its outline is widest.
    roundness = max(back.roundness, 1.12) if not lift else back.roundness
    middle, tall = (low + back.height) / 2, back.height - low
    wide = seat.width * (0.8 if seat.roundness == ROUND else 0.96)
    thick = back.thickness / 2
    panel = beam(
        plane.at(0, middle, -thick),
        plane.at(0, middle, thick),
        wide,
        tall,
        chair.back_material,
        roundness=roundness,
    )
    if not lift:
        return [panel]
    posts = [
        beam(
            plane.at(side * wide * 0.28, -seat.thickness * 0.8, -thick * 0.5),
            plane.at(side * wide * 0.28, middle, -thick * 0.5),
            back.post,
            min(back.post, back.thickness) * 0.8,
            chair.frame_material,
        )
        for side in (-1, 1)
    ]
    return [panel, *posts]


def _base(chair: ChairParameters) -> list[Part]:
    return {"legs": _legs, "pedestal": _pedestal, "star": _star, "sled": _sled}[chair.base.style](
        chair
    )


def _legs(chair: ChairParameters) -> list[Part]:
    seat, base = chair.seat, chair.base
    top = seat.height - seat.thickness * 0.5
    x0 = seat.depth / 2 * _corner(seat) - base.thickness / 2
    y0 = seat.width / 2 * _corner(seat) - base.thickness / 2
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
    x0 = seat.depth / 2 * _corner(seat) - thick / 2
    y0 = seat.width / 2 * _corner(seat) - thick / 2
    top = seat.height - seat.thickness * 0.5
    parts = []
    for sy in (-1, 1):
        y = sy * y0
        parts += [
            beam((sx * x0, y, 0), (sx * x0, y, top), thick, thick, chair.frame_material)
            for sx in (-1, 1)
        ]
        reach = x0 + thick / 2
        parts.append(
            beam((-reach, y, thick / 2), (reach, y, thick / 2), thick, thick, chair.frame_material)
        )
    return parts


def _arms(chair: ChairParameters) -> list[Part]:
    seat, arms = chair.seat, chair.arms
    if arms.style == "none":
        return []
    top_of_seat = seat.height + seat.cushion
    if arms.style == "panels":
        y = seat.width / 2 + arms.thickness / 2 - 0.004
        low, high = seat.height - seat.thickness, top_of_seat + arms.height * 0.75
        return [
            beam(
                (0, sy * y, low),
                (0, sy * y, high),
                arms.thickness,
                seat.depth * 0.98,
                chair.seat_material,
            )
            for sy in (-1, 1)
        ]
    # The arm runs from the back's plane to a post that stands on the seat.
    plane = _BackPlane(chair)
    height = seat.cushion + arms.height
    y = _back_span(chair) / 2 if chair.back.style != "panel" else seat.width * 0.46
    if seat.roundness < 1.3:
        y = min(y, seat.width * 0.36)
    post_x = seat.depth * (0.12 if seat.roundness < 1.3 else 0.3)
    parts = []
    for sy in (-1, 1):
        rear = plane.at(sy * y, height)
        parts.append(
            beam(
                (rear[0], rear[1], rear[2]),
                (post_x + 0.05, sy * y, rear[2]),
                arms.thickness * 1.5,
                arms.thickness * 0.9,
                chair.frame_material,
            )
        )
        parts.append(
            beam(
                (post_x, sy * y, seat.height - seat.thickness * 0.5),
                (post_x, sy * y, rear[2]),
                arms.thickness,
                arms.thickness,
                chair.frame_material,
                roundness=ROUND if chair.base.round else SQUARE,
            )
        )
    return parts
