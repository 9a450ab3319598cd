"""Materials of chairs: colours and solid textures.

Patterns are several centimetres wide, which is several pixels of a 64 x 64 image. They use only
arithmetic that IEEE 754 rounds exactly (no sine), so a pixel never depends on how the samples
around it were vectorised.
"""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

import torch
from torch import Tensor

from rfwarp.data.seeds import Dice

Colour = tuple[float, float, float]

PLAIN, WOOD, STRIPES, PLAID, CHECKER = range(5)

_WOODS: tuple[tuple[Colour, Colour], ...] = (
    ((0.87, 0.70, 0.47), (0.70, 0.49, 0.27)),  # oak
    ((0.80, 0.56, 0.33), (0.58, 0.35, 0.17)),  # teak
    ((0.66, 0.42, 0.26), (0.43, 0.24, 0.13)),  # walnut
    ((0.80, 0.45, 0.29), (0.57, 0.25, 0.14)),  # cherry
    ((0.90, 0.79, 0.60), (0.76, 0.61, 0.41)),  # birch
)


@dataclass(frozen=True)
class Material:
    """Two RGB colours in [0, 1], mixed by a pattern whose period is ``scale`` metres."""

    pattern: int
    first: Colour
    second: Colour
    scale: float


def _paint(dice: Dice) -> Colour:
    """A clear colour; blues and violets, which look dark, are mixed with white."""
    red, green, blue = colorsys.hsv_to_rgb(
        dice.uniform(0.0, 1.0), dice.uniform(0.35, 0.82), dice.uniform(0.68, 0.95)
    )
    luminance = 0.3 * red + 0.59 * green + 0.11 * blue
    white = max(0.0, (0.36 - luminance) / (1 - luminance))
    return (
        red + white * (1 - red),
        green + white * (1 - green),
        blue + white * (1 - blue),
    )


def _linear(colour: Colour, factor: float, offset: float = 0.0) -> Colour:
    red, green, blue = (min(1.0, factor * c + offset) for c in colour)
    return (red, green, blue)


def draw_frame_material(dice: Dice) -> Material:
    """Wood, or plain paint."""
    if dice.chance(0.7):
        light, dark = dice.choose(dict.fromkeys(_WOODS, 1.0))
        tone = dice.uniform(0.9, 1.08)
        period = dice.uniform(0.05, 0.085)
        return Material(WOOD, _linear(light, tone), _linear(dark, tone), period)
    colour = _paint(dice)
    return Material(PLAIN, colour, colour, 1.0)


def draw_fabric(dice: Dice) -> Material:
    """A plain, striped, plaid or checked covering in two colours that differ visibly."""
    pattern = dice.choose({PLAIN: 0.25, STRIPES: 0.27, PLAID: 0.22, CHECKER: 0.26})
    first = _paint(dice)
    if pattern == PLAIN:
        return Material(PLAIN, first, first, 1.0)
    kind = dice.choose({"pale": 0.45, "deep": 0.25, "other": 0.30})
    red, green, blue = _paint(dice)
    second = {
        "pale": _linear(first, 0.25, 0.68),
        "deep": _linear(first, 0.5),
        "other": _linear((green, blue, red), 0.9),
    }[kind]
    return Material(pattern, first, second, dice.uniform(0.11, 0.19))


def _wave(x: Tensor) -> Tensor:
    """A sine-like wave of period 1 between 0 and 1, made of parabolas."""
    phase = x - torch.floor(x)
    half = torch.where(phase < 0.5, phase, phase - 0.5)
    bump = 8.0 * half * (0.5 - half)
    return torch.where(phase < 0.5, 0.5 + bump, 0.5 - bump)


def _sharpen(wave: Tensor, slope: float) -> Tensor:
    """Steeper flanks for a wave in [0, 1]."""
    return ((wave - 0.5) * slope + 0.5).clamp(0.0, 1.0)


def _wood(along: Tensor, across: Tensor, depth: Tensor, scale: Tensor) -> Tensor:
    """Year rings around an axis beside the board, wobbling slowly along the grain."""
    wobble = 0.35 * _wave(along * 2.3 + 1.7 * across) + 0.2 * _wave(along * 5.1 + 0.3)
    side, below = across + 0.03, depth + 0.05
    radius = torch.sqrt(side * side + below * below)
    return 0.8 * _sharpen(_wave(radius / scale + wobble), 1.3)


def _stripes(along: Tensor, across: Tensor, depth: Tensor, scale: Tensor) -> Tensor:
    return _sharpen(_wave(across / scale + 0.25), 4.0)


def _plaid(along: Tensor, across: Tensor, depth: Tensor, scale: Tensor) -> Tensor:
    warp = _sharpen(_wave(across / scale + 0.25), 3.0)
    weft = _sharpen(_wave(along / scale + 0.25), 3.0)
    return 0.5 * (warp + weft)


def _checker(along: Tensor, across: Tensor, depth: Tensor, scale: Tensor) -> Tensor:
    parity = torch.floor(2.0 * along / scale + 0.5) + torch.floor(2.0 * across / scale + 0.5)
    return parity - 2.0 * torch.floor(parity * 0.5)


_PATTERNS = {WOOD: _wood, STRIPES: _stripes, PLAID: _plaid, CHECKER: _checker}


def pattern_mix(pattern: Tensor, position: Tensor, scale: Tensor) -> Tensor:
    """Share of a material's second colour at each sample.

    Args:
        pattern: (M,) integer, one of this module's pattern numbers.
        position: (3, M) metres in the part's own axes, sorted from its longest to its shortest.
        scale: (M,) the pattern's period in metres.

    Returns:
        (M,) in [0, 1].
    """
    mix = torch.zeros_like(scale)
    for number, paint in _PATTERNS.items():
        chosen = (pattern == number).nonzero()[:, 0]
        along, across, depth = position[:, chosen]
        mix[chosen] = paint(along, across, depth, scale[chosen])
    return mix
