"""Seed -> person: every choice that makes one person differ from another."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass, replace
from typing import Literal

from rfwarp.data.people.materials import (
    BANDS,
    CHECKS,
    DOTS,
    PLAID,
    PLAIN,
    STRIPES,
    Cloth,
    Colour,
)
from rfwarp.data.seeds import Dice, checked_seed

HairStyle = Literal["bald", "short", "bob", "long", "ponytail", "bun", "curls"]
Sleeves = Literal["none", "short", "long", "wide"]
Bottom = Literal["trousers", "flares", "shorts", "skirt"]

SKINS: tuple[Colour, ...] = (
    (0.96, 0.81, 0.71),
    (0.91, 0.73, 0.60),
    (0.82, 0.62, 0.47),
    (0.69, 0.49, 0.35),
    (0.54, 0.36, 0.25),
    (0.40, 0.26, 0.18),
)
HAIRS: tuple[Colour, ...] = (
    (0.10, 0.08, 0.08),
    (0.24, 0.15, 0.10),
    (0.40, 0.25, 0.14),
    (0.62, 0.32, 0.16),
    (0.85, 0.68, 0.40),
    (0.62, 0.61, 0.62),
)
EMBLEMS = ("disc", "ring", "square", "frame", "diamond", "triangle", "cross", "heart", "chevron")
BACK_PRINTS = ("1", "2", "3", "4", "7", "8", "disc", "ring", "hourglass", "diamond", "cross")


@dataclass(frozen=True)
class Body:
    """``height`` in metres; ``girth``, ``shoulders`` and ``hips`` are relative to an average."""

    height: float
    girth: float
    shoulders: float
    hips: float
    legs: float
    skin: Colour
    lips: Colour
    eyes: Colour


@dataclass(frozen=True)
class Hair:
    style: HairStyle
    colour: Colour
    length: float


@dataclass(frozen=True)
class Print:
    stencil: str
    colour: Colour
    size: float


@dataclass(frozen=True)
class Top:
    """A shirt, or the upper half of a dress. ``hem`` is how far it hangs over the hips, metres."""

    cloth: Cloth
    sleeves: Sleeves
    sleeve_cloth: Cloth
    sleeve_width: float
    hem: float
    front: Print | None
    back: Print | None


@dataclass(frozen=True)
class Lower:
    """Trousers, shorts or a skirt. ``length`` is a fraction of the leg.

    Of skirts, ``flare`` is the radius gained per metre of length, metres, ``folds`` is the number
    of folds, and ``depth`` their depth at the hem, metres.
    """

    kind: Bottom
    cloth: Cloth
    border: Cloth
    length: float
    flare: float
    folds: int
    depth: float


@dataclass(frozen=True)
class Coat:
    """Open at the front. ``length`` and ``flare`` as for :class:`Lower`; ``opening`` in radians."""

    cloth: Cloth
    length: float
    flare: float
    opening: float
    wide_sleeves: bool
    back: Print | None


@dataclass(frozen=True)
class PersonParameters:
    """Everything about one person; the same seed gives the same parameters everywhere."""

    body: Body
    hair: Hair
    top: Top
    lower: Lower
    coat: Coat | None
    shoes: Colour
    boots: bool
    background: Colour

    @classmethod
    def from_seed(cls, seed: int) -> PersonParameters:
        """The person of a seed.

        Raises:
            ValueError: if the seed is negative or not an integer.
        """
        dice = Dice([checked_seed("person", seed), 0])
        body = _draw_body(dice)
        hair = _draw_hair(dice)
        top, lower, spare = _draw_top(dice), _draw_lower(dice), _draw_coat(dice)
        if lower.kind == "skirt" and dice.chance(0.45):  # a dress
            plain = dice.chance(0.4)
            cloth = Cloth.plain(top.cloth.first) if plain else top.cloth
            lower = replace(lower, cloth=cloth)
            top = replace(top, hem=0.0)
        coat = spare if dice.chance(0.24) else None
        grey = dice.uniform(0.86, 0.97)
        tint = [grey + dice.uniform(-0.025, 0.025) for _ in range(3)]
        return cls(
            body,
            hair,
            top,
            lower,
            coat,
            shoes=_draw_colour(dice, dark=0.6),
            boots=dice.chance(0.25),
            background=(tint[0], tint[1], tint[2]),
        )


def _draw_body(dice: Dice) -> Body:
    skin = dice.choose(dict.fromkeys(SKINS, 1.0))
    tone = dice.uniform(0.94, 1.05)
    skin = (min(1.0, skin[0] * tone), min(1.0, skin[1] * tone), min(1.0, skin[2] * tone))
    rosy = dice.uniform(0.55, 0.85)
    feminine = dice.uniform(0.0, 1.0)
    return Body(
        height=dice.uniform(1.56, 1.90),
        girth=dice.uniform(0.90, 1.18),
        shoulders=1.10 - 0.17 * feminine + dice.uniform(-0.03, 0.03),
        hips=0.94 + 0.14 * feminine + dice.uniform(-0.03, 0.03),
        legs=dice.uniform(0.97, 1.04),
        skin=skin,
        lips=(skin[0] * 0.86, skin[1] * rosy * 0.78, skin[2] * rosy * 0.85),
        eyes=dice.choose(
            {(0.16, 0.10, 0.07): 0.6, (0.15, 0.25, 0.42): 0.2, (0.18, 0.30, 0.2): 0.2}
        ),
    )


def _draw_hair(dice: Dice) -> Hair:
    styles: dict[HairStyle, float] = {
        "bald": 0.04,
        "short": 0.30,
        "bob": 0.15,
        "long": 0.20,
        "ponytail": 0.12,
        "bun": 0.10,
        "curls": 0.09,
    }
    style = dice.choose(styles)
    colour = dice.choose({**dict.fromkeys(HAIRS, 1.0), HAIRS[-1]: 0.35})
    tone = dice.uniform(0.85, 1.15)
    return Hair(
        style,
        (min(1.0, colour[0] * tone), min(1.0, colour[1] * tone), min(1.0, colour[2] * tone)),
        dice.uniform(0.0, 1.0),
    )


def _draw_colour(dice: Dice, dark: float = 0.25, pale: float = 0.15) -> Colour:
    """Mostly clear colours; also dark and pale ones with the given probabilities."""
    hue, kind = dice.uniform(0.0, 1.0), dice.uniform(0.0, 1.0)
    a, b = dice.uniform(0.0, 1.0), dice.uniform(0.0, 1.0)
    if kind < dark:
        return colorsys.hsv_to_rgb(hue, 0.6 * a, 0.14 + 0.22 * b)
    if kind < dark + pale:
        return colorsys.hsv_to_rgb(hue, 0.12 * a, 0.86 + 0.1 * b)
    return colorsys.hsv_to_rgb(hue, 0.42 + 0.36 * a, 0.55 + 0.38 * b)


def _contrast(dice: Dice, colour: Colour) -> Colour:
    """Another colour, that differs visibly."""
    light = 0.3 * colour[0] + 0.59 * colour[1] + 0.11 * colour[2]
    hue, _, _ = colorsys.rgb_to_hsv(*colour)
    kind = dice.choose({"grey": 0.45, "hue": 0.55})
    turn, strength = dice.uniform(0.3, 0.7), dice.uniform(0.55, 0.85)
    value = dice.uniform(0.9, 0.98) if light < 0.5 else dice.uniform(0.13, 0.34)
    if kind == "grey":
        return (value, value, value)
    return colorsys.hsv_to_rgb((hue + turn) % 1.0, strength, value)


def _draw_cloth(dice: Dice, plain: float, finest: float = 0.08) -> Cloth:
    pattern = dice.choose(
        {
            PLAIN: plain,
            STRIPES: (1 - plain) * 0.2,
            BANDS: (1 - plain) * 0.27,
            CHECKS: (1 - plain) * 0.13,
            PLAID: (1 - plain) * 0.2,
            DOTS: (1 - plain) * 0.2,
        }
    )
    first = _draw_colour(dice)
    second = _contrast(dice, first)
    period = dice.uniform(finest, 2 * finest)
    return Cloth.plain(first) if pattern == PLAIN else Cloth(pattern, first, second, period)


def _draw_print(dice: Dice, cloth: Cloth, stencils: tuple[str, ...], share: float) -> Print | None:
    stencil = dice.choose(dict.fromkeys(stencils, 1.0))
    colour = _contrast(dice, cloth.first)
    size = dice.uniform(0.065, 0.10)
    wanted = dice.chance(share)
    return Print(stencil, colour, size) if wanted and cloth.pattern in (PLAIN, STRIPES) else None


def _draw_top(dice: Dice) -> Top:
    cloth = _draw_cloth(dice, plain=0.5)
    raglan = Cloth.plain(_contrast(dice, cloth.first))
    sleeves: dict[Sleeves, float] = {"none": 0.14, "short": 0.36, "long": 0.28, "wide": 0.22}
    return Top(
        cloth,
        dice.choose(sleeves),
        sleeve_cloth=raglan if dice.chance(0.2) and cloth.pattern == PLAIN else cloth,
        sleeve_width=dice.uniform(0.05, 0.10),
        hem=dice.choose({0.0: 0.3, dice.uniform(0.05, 0.16): 0.7}),
        front=_draw_print(dice, cloth, EMBLEMS, 0.75),
        back=_draw_print(dice, cloth, BACK_PRINTS, 0.6),
    )


def _draw_lower(dice: Dice) -> Lower:
    kinds: dict[Bottom, float] = {"trousers": 0.34, "flares": 0.1, "shorts": 0.14, "skirt": 0.42}
    kind = dice.choose(kinds)
    cloth = _draw_cloth(dice, plain=0.45 if kind == "skirt" else 0.75, finest=0.1)
    border = Cloth.plain(_contrast(dice, cloth.first)) if dice.chance(0.3) else cloth
    return Lower(
        kind,
        cloth,
        border,
        length={
            "trousers": 1.0,
            "flares": 0.97,
            "shorts": dice.uniform(0.30, 0.46),
            "skirt": dice.uniform(0.38, 0.85),
        }[kind],
        flare=dice.uniform(0.06, 0.34),
        folds=dice.integer(3, 5),
        depth=dice.uniform(0.025, 0.075),
    )


def _draw_coat(dice: Dice) -> Coat:
    cloth = _draw_cloth(dice, plain=0.6, finest=0.1)
    return Coat(
        cloth,
        length=dice.uniform(0.25, 0.72),
        flare=dice.uniform(0.08, 0.26),
        opening=dice.uniform(0.5, 1.1),
        wide_sleeves=dice.chance(0.4),
        back=_draw_print(dice, cloth, BACK_PRINTS, 0.5),
    )
