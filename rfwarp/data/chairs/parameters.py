"""Seed -> chair: every choice that makes one chair differ from another."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from rfwarp.data.chairs.materials import Material, draw_fabric, draw_frame_material
from rfwarp.data.chairs.solids import ROUND, SQUARE
from rfwarp.data.seeds import Dice, checked_seed

BackStyle = Literal["panel", "slats", "ladder", "splat", "spindles"]
BaseStyle = Literal["legs", "pedestal", "star", "sled"]
ArmStyle = Literal["none", "posts", "panels"]
StretcherStyle = Literal["none", "h", "box"]


@dataclass(frozen=True)
class Seat:
    """Metres; ``roundness`` is that of :class:`.solids.Part`."""

    width: float
    depth: float
    height: float
    thickness: float
    roundness: float
    cushion: float

    @property
    def corner(self) -> float:
        """Coordinate at which the outline crosses its rectangle's diagonal, over the half size."""
        return min(1.0, self.roundness / math.sqrt(2))


@dataclass(frozen=True)
class Back:
    """Metres; ``recline`` in degrees; ``count`` is the number of slats, rungs or spindles."""

    style: BackStyle
    height: float
    recline: float
    thickness: float
    post: float
    roundness: float
    count: int
    gap: float
    top_rail: float


@dataclass(frozen=True)
class Base:
    """Metres; ``splay`` in degrees; ``taper`` is the foot's thickness relative to the top's."""

    style: BaseStyle
    thickness: float
    round: bool
    taper: float
    splay: float
    stretcher: StretcherStyle
    stretcher_height: float


@dataclass(frozen=True)
class Arms:
    style: ArmStyle
    height: float
    thickness: float


@dataclass(frozen=True)
class ChairParameters:
    """Everything about one chair; the same seed gives the same parameters everywhere."""

    seat: Seat
    back: Back
    base: Base
    arms: Arms
    frame_material: Material
    seat_material: Material
    back_material: Material

    @classmethod
    def from_seed(cls, seed: int) -> ChairParameters:
        """The chair of a seed.

        Raises:
            ValueError: if the seed is negative or not an integer.
        """
        dice = Dice(checked_seed("chair", seed))
        upholstered = dice.chance(0.3)
        arms = _draw_arms(dice, upholstered)
        boxed = arms.style == "panels"  # such arms close against straight edges only
        seat = _draw_seat(dice, upholstered, boxed)
        back = _draw_back(dice, upholstered, boxed)
        base = _draw_base(dice, upholstered)
        frame = draw_frame_material(dice)
        fabric = draw_fabric(dice)
        bare = not upholstered and seat.cushion == 0 and dice.chance(0.35)
        seat_material = frame if bare else fabric
        if back.style == "panel":
            choices = {"seat": seat_material, "own": draw_fabric(dice), "frame": frame}
            back_material = choices[dice.choose({"seat": 0.6, "own": 0.2, "frame": 0.2})]
        else:
            back_material = frame if dice.chance(0.75) else draw_frame_material(dice)
        return cls(seat, back, base, arms, frame, seat_material, back_material)


def _draw_seat(dice: Dice, upholstered: bool, boxed: bool) -> Seat:
    width = dice.uniform(0.40, 0.54)
    shape = dice.choose({"square": 0.5, "rounded": 0.32, "round": 0.18})
    if boxed or (upholstered and shape == "round"):
        shape = "square"
    rounded = dice.uniform(1.06, 1.2)
    return Seat(
        width=width + (0.06 if upholstered else 0.0),
        depth=width * dice.uniform(0.88, 1.06),
        height=dice.uniform(0.40, 0.50),
        thickness=dice.uniform(0.08, 0.17) if upholstered else dice.uniform(0.025, 0.06),
        roundness={"square": SQUARE, "rounded": rounded, "round": ROUND}[shape],
        cushion=dice.uniform(0.035, 0.07) if dice.chance(0.3) else 0.0,
    )


def _draw_back(dice: Dice, upholstered: bool, boxed: bool) -> Back:
    styles: dict[BackStyle, float] = {
        "panel": 0.27,
        "slats": 0.2,
        "ladder": 0.23,
        "splat": 0.14,
        "spindles": 0.16,
    }
    style = dice.choose(styles)
    return Back(
        style="panel" if upholstered else style,
        height=dice.uniform(0.36, 0.62),
        recline=dice.uniform(0.0, 14.0),
        thickness=dice.uniform(0.07, 0.12) if upholstered else dice.uniform(0.025, 0.04),
        post=dice.uniform(0.032, 0.05),
        roundness=SQUARE if boxed else _draw_panel_roundness(dice),
        count=dice.integer(2, 5),
        gap=0.0 if boxed else dice.uniform(0.0, 0.14),
        top_rail=dice.uniform(0.05, 0.10),
    )


def _draw_panel_roundness(dice: Dice) -> float:
    return dice.choose({SQUARE: 0.5, dice.uniform(1.05, 1.18): 0.35, ROUND: 0.15})


def _draw_base(dice: Dice, upholstered: bool) -> Base:
    styles: dict[BaseStyle, float] = {"legs": 0.76, "pedestal": 0.08, "star": 0.08, "sled": 0.08}
    stretchers: dict[StretcherStyle, float] = {"none": 0.5, "h": 0.25, "box": 0.25}
    style, stretcher = dice.choose(styles), dice.choose(stretchers)
    return Base(
        style=style,
        thickness=dice.uniform(0.034, 0.055),
        round=dice.chance(0.45),
        taper=dice.choose({1.0: 0.4, dice.uniform(0.5, 0.8): 0.6}),
        splay=dice.choose({0.0: 0.45, dice.uniform(3.0, 13.0): 0.55}),
        stretcher="none" if upholstered else stretcher,
        stretcher_height=dice.uniform(0.25, 0.5),
    )


def _draw_arms(dice: Dice, upholstered: bool) -> Arms:
    bare: dict[ArmStyle, float] = {"none": 0.66, "posts": 0.34}
    soft: dict[ArmStyle, float] = {"none": 0.35, "posts": 0.2, "panels": 0.45}
    style = dice.choose(soft if upholstered else bare)
    return Arms(
        style=style,
        height=dice.uniform(0.17, 0.25),
        thickness=dice.uniform(0.07, 0.11) if style == "panels" else dice.uniform(0.032, 0.045),
    )
