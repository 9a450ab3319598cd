"""Chair parameters -> solid parts.

World axes, in metres: x to the chair's front, z up, y such that the frame is right-handed. The
floor is z = 0 and the seat's centre is on the z axis.
"""

from __future__ import annotations

import math

from rfwarp.data.chairs.bases import base_parts
from rfwarp.data.chairs.materials import Material
from rfwarp.data.chairs.parameters import ChairParameters
from rfwarp.data.chairs.solids import ROUND, SQUARE, Part, Point, beam


def chair_parts(chair: ChairParameters) -> list[Part]:
    """The solid parts of a chair; neighbours overlap, so that nothing floats."""
    return _seat(chair) + _back(chair) + base_parts(chair) + _arms(chair)


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


class _BackPlane:
    """Positions on the reclined plane of the back: across (y), and up from the seat."""

    def __init__(self, chair: ChairParameters) -> None:
        seat, back = chair.seat, chair.back
        angle = math.radians(back.recline)
        self._up = (-math.sin(angle), math.cos(angle))
        # A rounded seat is narrow at its rear: the back moves in to where its feet meet the seat.
        foot = 0.32 if back.style == "panel" else seat.corner
        edge = min(1.0, math.sqrt(seat.roundness**2 - foot**2))
        self._x = -seat.depth / 2 * edge + back.thickness / 2
        self._z = chair.seat.height

    def at(self, across: float, up: float, out: float = 0.0) -> Point:
        """``out`` moves the point off the plane, to the front."""
        x = self._x + up * self._up[0] + out * self._up[1]
        return (x, across, self._z + up * self._up[1] - out * self._up[0])


def _back_span(chair: ChairParameters) -> float:
    """Distance between the centres of the two back posts, metres."""
    return chair.seat.width * chair.seat.corner - chair.back.post


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
    inner, low = 2 * half - post, back.gap
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
    else:
        low = sink
    return parts + _uprights(chair, plane, inner, low, top)


def _uprights(
    chair: ChairParameters, plane: _BackPlane, inner: float, low: float, top: float
) -> list[Part]:
    """One splat, or evenly spaced slats or spindles, over the width ``inner`` between the posts."""
    count = chair.back.count
    widths, thick, roundness = {
        "splat": ([inner * 0.42], 0.022, SQUARE),
        "slats": ([inner / count * 0.55] * count, 0.022, SQUARE),
        "spindles": ([0.026] * (count + 1), 0.026, ROUND),
    }[chair.back.style]
    parts = []
    for i, wide in enumerate(widths):
        across = inner * ((i + 0.5) / len(widths) - 0.5)
        start, end = plane.at(across, low), plane.at(across, top)
        parts.append(beam(start, end, wide, thick, chair.back_material, roundness=roundness))
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
