"""Seed -> face: every choice that makes one face differ from another."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass
from typing import Literal

from rfwarp.data.faces.head import ANCESTRIES, AXES, SEXES
from rfwarp.data.people.materials import Colour
from rfwarp.data.seeds import Dice, checked_seed

HairStyle = Literal["bald", "cropped", "short", "swept", "fringe", "bob", "long", "bun", "afro"]
BeardStyle = Literal["none", "stubble", "moustache", "goatee", "short", "full"]
Rims = Literal["none", "round", "square", "dark"]
Mark = Literal["none", "scar", "stripes", "dots", "star"]
Backdrop = Literal["plain", "gradient", "blobs", "stripes", "tiles"]

SKINS: dict[str, tuple[Colour, ...]] = {
    "african": ((0.45, 0.30, 0.22), (0.36, 0.23, 0.17), (0.56, 0.39, 0.29), (0.28, 0.18, 0.14)),
    "asian": ((0.87, 0.70, 0.57), (0.80, 0.62, 0.48), (0.91, 0.76, 0.65), (0.70, 0.52, 0.39)),
    "caucasian": ((0.91, 0.73, 0.64), (0.86, 0.67, 0.56), (0.94, 0.79, 0.72), (0.76, 0.57, 0.45)),
}
DARK_HAIRS: tuple[Colour, ...] = ((0.09, 0.07, 0.06), (0.14, 0.10, 0.08), (0.21, 0.14, 0.10))
LIGHT_HAIRS: tuple[Colour, ...] = (
    (0.36, 0.24, 0.15),
    (0.50, 0.35, 0.21),
    (0.72, 0.57, 0.36),
    (0.83, 0.70, 0.48),
    (0.52, 0.24, 0.11),
)
EYES: tuple[Colour, ...] = (
    (0.25, 0.14, 0.08),
    (0.35, 0.22, 0.12),
    (0.32, 0.45, 0.60),
    (0.34, 0.46, 0.34),
    (0.44, 0.50, 0.53),
)


@dataclass(frozen=True)
class Skin:
    """``ruddy`` cheeks and nose, ``freckles``, ``mottle`` and ``shine`` lie in [0, 1]; ``moles``
    are (x, y) on the front of the head at rest, decimetres, and a radius."""

    colour: Colour
    ruddy: float
    freckles: float
    mottle: float
    shine: float
    moles: tuple[tuple[float, float, float], ...]


@dataclass(frozen=True)
class Hair:
    """``volume`` and ``length`` in [0, 1]; ``receding`` and ``parting`` in decimetres."""

    style: HairStyle
    colour: Colour
    brow_colour: Colour
    volume: float
    length: float
    receding: float
    parting: float


@dataclass(frozen=True)
class Brows:
    """``thickness`` in decimetres, ``density`` in [0, 1], ``arch`` in decimetres."""

    thickness: float
    density: float
    arch: float


@dataclass(frozen=True)
class MakeUp:
    """Strengths in [0, 1]."""

    lipstick: float
    lip_colour: Colour
    shadow: float
    shadow_colour: Colour
    liner: float
    blush: float


@dataclass(frozen=True)
class Glasses:
    """``scale`` is relative to a usual size."""

    rims: Rims
    colour: Colour
    scale: float


@dataclass(frozen=True)
class Shirt:
    """``collar`` in decimetres above the collar bones."""

    first: Colour
    second: Colour
    striped: bool
    period: float
    collar: float


@dataclass(frozen=True)
class Light:
    """Of the key light: angles in radians from the camera, to the right and up."""

    azimuth: float
    elevation: float
    key: Colour
    fill: Colour


@dataclass(frozen=True)
class Background:
    kind: Backdrop
    first: Colour
    second: Colour
    seed: int


@dataclass(frozen=True)
class FaceParameters:
    """Everything about one face; the same seed gives the same parameters
    everywhere. ``shape`` has the weights of the targets of :class:`.Head`."""

    shape: dict[str, float]
    age: float
    masculine: float
    skin: Skin
    hair: Hair
    brows: Brows
    eyes: Colour
    beard: BeardStyle
    glasses: Glasses
    make_up: MakeUp
    mark: Mark
    mark_colour: Colour
    mark_place: tuple[float, float]
    shirt: Shirt
    light: Light
    background: Background
    torso: float
    """Turn of the shoulders, radians."""

    @classmethod
    def from_seed(cls, seed: int) -> FaceParameters:
        """The face of a seed.

        Raises:
            ValueError: if the seed is negative or not an integer.
        """
        dice = Dice([checked_seed("face", seed), 0])
        masculine = dice.choose({0.0: 0.4, 1.0: 0.4, dice.uniform(0.2, 0.8): 0.2})
        age = dice.uniform(0.0, 1.0) ** 1.6
        ancestry = _draw_ancestry(dice)
        shape = _draw_shape(dice, ancestry, masculine, age)
        skin = _draw_skin(dice, ancestry)
        hair = _draw_hair(dice, ancestry, masculine, age)
        brows = Brows(
            dice.uniform(0.036, 0.060) + 0.035 * masculine,
            dice.uniform(0.55, 0.95),
            dice.uniform(-0.01, 0.04) * (1 - 0.6 * masculine),
        )
        dark = ancestry["caucasian"] < 0.5
        eyes = dice.choose({c: 1.0 if i < 2 or not dark else 0.02 for i, c in enumerate(EYES)})
        beards: dict[BeardStyle, float] = {
            "none": 0.4, "stubble": 0.22, "moustache": 0.08, "goatee": 0.1, "short": 0.12,
            "full": 0.08,
        }  # fmt: skip
        beard = dice.choose(beards)
        rims: dict[Rims, float] = {"none": 0.74, "round": 0.1, "square": 0.12, "dark": 0.04}
        glasses = Glasses(
            dice.choose(rims),
            dice.choose(
                {(0.05, 0.05, 0.06): 0.5, (0.3, 0.16, 0.08): 0.2, (0.6, 0.5, 0.3): 0.15,
                 colorsys.hsv_to_rgb(dice.uniform(0, 1), 0.7, 0.5): 0.15}
            ),
            dice.uniform(0.92, 1.12),
        )  # fmt: skip
        make_up = _draw_make_up(dice, masculine)
        marks: dict[Mark, float] = {
            "none": 0.84, "scar": 0.06, "stripes": 0.04, "dots": 0.03, "star": 0.03,
        }  # fmt: skip
        mark = dice.choose(marks)
        mark_colour = colorsys.hsv_to_rgb(dice.uniform(0, 1), 0.7, dice.uniform(0.4, 0.9))
        side = -1.0 if dice.chance(0.5) else 1.0
        mark_place = (side * dice.uniform(0.34, 0.46), dice.uniform(6.85, 7.0))
        return cls(
            shape, age, masculine, skin, hair, brows, eyes,
            beard if masculine > 0.6 else "none", glasses, make_up, mark, mark_colour, mark_place,
            _draw_shirt(dice), _draw_light(dice), _draw_background(dice),
            torso=dice.uniform(-0.3, 0.3),
        )  # fmt: skip


def _draw_ancestry(dice: Dice) -> dict[str, float]:
    """Shares that add to 1; mostly of one."""
    shares = {name: dice.uniform(0.0, 1.0) ** 4 + 1e-3 for name in ANCESTRIES}
    total = sum(shares.values())
    return {name: share / total for name, share in shares.items()}


def _draw_shape(
    dice: Dice, ancestry: dict[str, float], masculine: float, age: float
) -> dict[str, float]:
    shape: dict[str, float] = {}
    weight = dice.uniform(-0.6, 0.6)
    for sex, much in zip(SEXES, (1 - masculine, masculine), strict=True):
        for when, share in (("young", 1 - age), ("old", age)):
            for name, part in ancestry.items():
                shape[f"{name}-{sex}-{when}"] = much * share * part
            ending = "maxweight" if weight > 0 else "minweight"
            shape[f"{sex}-{when}-{ending}"] = much * share * abs(weight)
    for folder, axes in AXES.items():
        for name, low, high in axes:
            # The sum of three is nearly normal; of 2 / 3 standard deviation.
            value = sum(dice.uniform(-0.6, 0.6) for _ in range(3))
            limit = 0.35 if folder in ("head", "neck", "forehead") else 0.5
            value = max(-1.0, min(1.0, value)) * limit
            shape[f"{name}-{high if value > 0 else low}"] = abs(value)
    return {name: value for name, value in shape.items() if value > 1e-3}


def _tinted(dice: Dice, colour: Colour, low: float, high: float) -> Colour:
    tone = dice.uniform(low, high)
    r, g, b = (min(1.0, c * tone * dice.uniform(0.97, 1.03)) for c in colour)
    return (r, g, b)


def _draw_skin(dice: Dice, ancestry: dict[str, float]) -> Skin:
    mixed = [0.0, 0.0, 0.0]
    for name, share in ancestry.items():
        colour = dice.choose(dict.fromkeys(SKINS[name], 1.0))
        mixed = [m + share * c for m, c in zip(mixed, colour, strict=True)]
    freckled = dice.chance(0.3)
    freckles = dice.uniform(0.3, 1.0) * ancestry["caucasian"] if freckled else 0.0
    moles = tuple(
        (dice.uniform(-0.5, 0.5), dice.uniform(6.25, 7.9), dice.uniform(0.012, 0.028))
        for _ in range(dice.integer(0, 5))
    )
    return Skin(
        _tinted(dice, (mixed[0], mixed[1], mixed[2]), 0.93, 1.06),
        dice.uniform(0.2, 1.0),
        freckles,
        dice.uniform(0.3, 1.0),
        dice.uniform(0.2, 1.0),
        moles,
    )


def _draw_hair(dice: Dice, ancestry: dict[str, float], masculine: float, age: float) -> Hair:
    men: dict[HairStyle, float] = {
        "bald": 0.08, "cropped": 0.2, "short": 0.3, "swept": 0.22, "fringe": 0.1, "long": 0.06,
        "bob": 0.04,
    }  # fmt: skip
    women: dict[HairStyle, float] = {
        "cropped": 0.03, "short": 0.07, "swept": 0.1, "fringe": 0.1, "bob": 0.24, "long": 0.32,
        "bun": 0.14,
    }  # fmt: skip
    style = dice.choose(men if masculine > dice.uniform(0.3, 0.7) else women)
    if ancestry["african"] > 0.5 and dice.chance(0.4):
        style = "afro"
    light = dice.chance(0.7 * ancestry["caucasian"])
    colour = dice.choose(dict.fromkeys(LIGHT_HAIRS if light else DARK_HAIRS, 1.0))
    brow = colour
    if dice.chance(max(0.0, age - 0.35)):
        grey = dice.uniform(0.45, 0.8)
        colour, brow = (grey, grey, grey), (grey * 0.7, grey * 0.69, grey * 0.68)
    dyed = colorsys.hsv_to_rgb(dice.uniform(0, 1), dice.uniform(0.5, 0.8), dice.uniform(0.3, 0.7))
    if dice.chance(0.04):
        colour = dyed
    colour = _tinted(dice, colour, 0.85, 1.15)
    darker = dice.uniform(0.6, 0.9)
    return Hair(
        style,
        colour,
        (brow[0] * darker, brow[1] * darker, brow[2] * darker),
        dice.uniform(0.0, 1.0),
        dice.uniform(0.0, 1.0),
        dice.uniform(-0.08, 0.08) + (0.22 * age * dice.uniform(0, 1) * masculine),
        dice.uniform(-0.3, 0.3),
    )


def _draw_make_up(dice: Dice, masculine: float) -> MakeUp:
    worn = dice.chance(0.6) and masculine < 0.5
    lips = colorsys.hsv_to_rgb(dice.uniform(0.92, 1.03) % 1, dice.uniform(0.5, 0.85), 0.62)
    shadow = colorsys.hsv_to_rgb(dice.uniform(0, 1), dice.uniform(0.2, 0.6), 0.4)
    strengths = [dice.uniform(0.2, 0.9), dice.uniform(0, 0.6), dice.uniform(0, 1)]
    blush = dice.uniform(0, 0.6)
    if not worn:
        strengths, blush = [0.0, 0.0, 0.0], 0.0
    return MakeUp(strengths[0], lips, strengths[1], shadow, strengths[2], blush)


def _draw_shirt(dice: Dice) -> Shirt:
    def cloth() -> Colour:
        hue, s, v = dice.uniform(0, 1), dice.uniform(0.05, 0.7), dice.uniform(0.12, 0.95)
        return colorsys.hsv_to_rgb(hue, s, v)

    return Shirt(
        cloth(), cloth(), dice.chance(0.35), dice.uniform(0.16, 0.4), dice.uniform(-0.1, 0.35)
    )


def _draw_light(dice: Dice) -> Light:
    warm = dice.uniform(-0.07, 0.07)
    key, fill = dice.uniform(0.75, 1.1), dice.uniform(0.28, 0.5)
    return Light(
        dice.uniform(-1.0, 1.0),
        dice.uniform(0.1, 0.9),
        (key * (1 + warm), key, key * (1 - warm)),
        (fill * (1 - warm), fill, fill * (1 + warm)),
    )


def _draw_background(dice: Dice) -> Background:
    kinds: dict[Backdrop, float] = {
        "plain": 0.25, "gradient": 0.25, "blobs": 0.3, "stripes": 0.1, "tiles": 0.1,
    }  # fmt: skip
    kind = dice.choose(kinds)
    hue, saturation = dice.uniform(0, 1), dice.uniform(0.0, 0.45)
    value = dice.uniform(0.15, 0.9)
    turn, other = dice.uniform(-0.15, 0.15), dice.uniform(0.15, 0.9)
    return Background(
        kind,
        colorsys.hsv_to_rgb(hue, saturation, value),
        colorsys.hsv_to_rgb((hue + turn) % 1, saturation, other),
        dice.integer(0, 1 << 30),
    )
