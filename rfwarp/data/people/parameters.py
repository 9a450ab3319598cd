"""Seed -> person: body, clothes and colours.

As for chairs, only uniform doubles of PCG64 are drawn, in a fixed order.
"""

from __future__ import annotations

import colorsys
from dataclasses import dataclass
from typing import Literal

import numpy as np

from rfwarp.data.chairs.parameters import Dice

Color = tuple[float, float, float]
"""RGB, 0 to 1, as displayed."""

TopStyle = Literal["t-shirt", "shirt", "coat"]
BottomStyle = Literal["trousers", "skirt", "shorts"]
PatternStyle = Literal["plain", "stripes", "columns", "checks", "dots"]
PrintStyle = Literal["none", "disc", "square", "bar", "cross"]

SKIN_TONES: tuple[Color, ...] = (
    (0.96, 0.82, 0.72),
    (0.90, 0.72, 0.58),
    (0.80, 0.60, 0.45),
    (0.65, 0.46, 0.32),
    (0.48, 0.33, 0.23),
    (0.34, 0.23, 0.17),
)
HAIR_COLORS: tuple[Color, ...] = (
    (0.08, 0.07, 0.07),
    (0.22, 0.14, 0.09),
    (0.42, 0.26, 0.14),
    (0.80, 0.64, 0.36),
    (0.55, 0.22, 0.10),
    (0.62, 0.62, 0.63),
)


@dataclass(frozen=True)
class Pattern:
    """Two colours; ``scale`` is the period in metres."""

    style: PatternStyle
    ground: Color
    figure: Color
    scale: float


@dataclass(frozen=True)
class Body:
    """Metres. Girths are radii at the thick end."""

    height: float
    head: float
    shoulders: float
    hips: float
    chest: float
    waist: float
    torso: float
    upper_arm: float
    forearm: float
    thigh: float
    shin: float
    arm_girth: float
    leg_girth: float


@dataclass(frozen=True)
class PersonParameters:
    """Everything about one person; the same seed gives the same person everywhere."""

    body: Body
    skin: Color
    hair: Color
    hair_length: float
    """Metres that the hair falls below the middle of the head."""
    top: TopStyle
    top_pattern: Pattern
    front_print: PrintStyle
    back_print: PrintStyle
    front_color: Color
    back_color: Color
    bottom: BottomStyle
    bottom_pattern: Pattern
    shoes: Color
    background: Color

    @classmethod
    def from_seed(cls, seed: int) -> PersonParameters:
        """The person of a seed.

        Raises:
            ValueError: if the seed is negative or not an integer.
        """
        if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
            raise ValueError(f"a person's seed must be an integer of at least 0, got {seed!r}")
        dice = Dice(int(seed))
        body = _draw_body(dice)
        skin = SKIN_TONES[dice.integer(0, len(SKIN_TONES) - 1)]
        hair = HAIR_COLORS[dice.integer(0, len(HAIR_COLORS) - 1)]
        hair_length = dice.choose({0.0: 0.5, dice.uniform(0.08, 0.36): 0.5})
        tops: dict[TopStyle, float] = {"t-shirt": 0.45, "shirt": 0.35, "coat": 0.2}
        bottoms: dict[BottomStyle, float] = {"trousers": 0.5, "skirt": 0.25, "shorts": 0.25}
        top_pattern = _draw_pattern(dice, 0.55)
        front: PrintStyle = dice.choose(
            {"disc": 0.25, "square": 0.25, "bar": 0.2, "cross": 0.2, "none": 0.1}
        )
        back: PrintStyle = dice.choose({"none": 0.6, "disc": 0.1, "square": 0.15, "bar": 0.15})
        if front == back:
            front, back = "cross", "none"
        shade = dice.uniform(0.86, 1.0)
        return cls(
            body=body,
            skin=skin,
            hair=hair,
            hair_length=hair_length,
            top=dice.choose(tops),
            top_pattern=top_pattern,
            front_print=front,
            back_print=back,
            front_color=_contrasting(dice, top_pattern.ground),
            back_color=_contrasting(dice, top_pattern.ground),
            bottom=dice.choose(bottoms),
            bottom_pattern=_draw_pattern(dice, 0.25),
            shoes=_draw_color(dice),
            background=(
                shade * dice.uniform(0.96, 1.0),
                shade * dice.uniform(0.96, 1.0),
                shade * dice.uniform(0.96, 1.0),
            ),
        )


def _draw_body(dice: Dice) -> Body:
    height = dice.uniform(1.52, 1.92)
    build = dice.uniform(0.85, 1.2)
    legs = dice.uniform(0.96, 1.04)
    return Body(
        height=height,
        head=height * dice.uniform(0.066, 0.072),
        shoulders=height * dice.uniform(0.104, 0.122),
        hips=height * dice.uniform(0.05, 0.058),
        chest=height * 0.095 * build,
        waist=height * dice.uniform(0.07, 0.085) * build,
        torso=height * 0.29,
        upper_arm=height * dice.uniform(0.165, 0.18),
        forearm=height * dice.uniform(0.14, 0.155),
        thigh=height * 0.245 * legs,
        shin=height * 0.24 * legs,
        arm_girth=height * 0.030 * build,
        leg_girth=height * 0.052 * build,
    )


def _draw_color(dice: Dice) -> Color:
    """Vivid, or with a third of the weight a grey from black to white."""
    vivid = colorsys.hsv_to_rgb(
        dice.uniform(0, 1), dice.uniform(0.45, 0.95), dice.uniform(0.35, 0.95)
    )
    grey = dice.uniform(0.1, 0.95)
    return vivid if dice.chance(0.68) else (grey, grey, grey)


def _contrasting(dice: Dice, ground: Color) -> Color:
    color = _draw_color(dice)
    if sum(abs(a - b) for a, b in zip(color, ground, strict=True)) > 0.9:
        return color
    return (0.95, 0.94, 0.9) if sum(ground) < 1.5 else (0.12, 0.12, 0.16)


def _draw_pattern(dice: Dice, patterned: float) -> Pattern:
    styles: dict[PatternStyle, float] = {
        "stripes": 0.35,
        "columns": 0.15,
        "checks": 0.3,
        "dots": 0.2,
    }
    style = dice.choose(styles)
    scale = dice.uniform(0.09, 0.17)
    ground = _draw_color(dice)
    plain = not dice.chance(patterned)
    return Pattern("plain" if plain else style, ground, _contrasting(dice, ground), scale)
