"""Textures of streets, (H, W, 4) in [0, 1] with sides that are powers of two."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rfwarp.data.seeds import Dice

Array = npt.NDArray[Any]
Colour = tuple[float, float, float]


class Noise:
    """Random fields of uniform doubles of PCG64, the same on every platform."""

    def __init__(self, seed: int | list[int]) -> None:
        self._random = np.random.Generator(np.random.PCG64(seed))

    def white(self, height: int, width: int) -> Array:
        """(height, width) in [-1, 1]."""
        return self._random.random((height, width)) * 2 - 1

    def cloudy(self, height: int, width: int, cells: tuple[int, int], octaves: int = 4) -> Array:
        """(height, width) about in [-1, 1], which repeats; its coarsest cells are so many."""
        total, weight = np.zeros((height, width)), 1.0
        for octave in range(octaves):
            rows, columns = (
                min(n << octave, m) for n, m in zip(cells, (height, width), strict=True)
            )
            total += weight * _enlarge(self.white(rows, columns), height, width)
            weight *= 0.55
        return total


def _enlarge(field: Array, height: int, width: int) -> Array:
    """Smoothly to (height, width), repeating."""
    for axis, size in ((0, height), (1, width)):
        count = field.shape[axis]
        at = np.arange(size) * (count / size)
        low = at.astype(int)
        part = at - low
        part = part * part * (3 - 2 * part)
        part = part[:, None] if axis == 0 else part
        one, two = field.take(low % count, axis), field.take((low + 1) % count, axis)
        field = one + (two - one) * part
    return field


def _painted(brightness: Array, colour: Colour) -> Array:
    """RGBA of a colour times a field around 1."""
    rgb = (brightness[..., None] * np.asarray(colour)).clip(0, 1)
    return np.concatenate([rgb, np.ones((*brightness.shape, 1))], axis=2)


def plain(colour: Colour = (1.0, 1.0, 1.0)) -> Array:
    return np.ones((1, 1, 4)) * np.array([*colour, 1.0])


class Roadway(NamedTuple):
    """Width and markings of a road, metres."""

    half: float
    """Half of its width, kerb to kerb."""
    parking: float
    """Width of the strips for parking on both sides, 0 without."""
    dashes: bool
    """Whether a dashed line parts the lanes."""


ROAD_LENGTH = 24.0
"""Length of the texture of a road, metres."""


def road(dice: Dice, noise: Noise, roadway: Roadway) -> Array:
    """Asphalt across a road (256) and along ROAD_LENGTH of it (512)."""
    height, width = 512, 256
    grain = 1 + 0.10 * noise.white(height, width) + 0.07 * noise.cloudy(height, width, (6, 4), 5)
    across = (np.arange(width) + 0.5) / width * 2 * roadway.half - roadway.half
    along = (np.arange(height) + 0.5) / height * ROAD_LENGTH
    lane = (roadway.half - roadway.parking) / 2
    # Wheels polish two tracks of a lane, and oil darkens what is between them.
    offset = np.abs(np.abs(np.abs(across) - lane) - 0.75)
    grain *= 1 + 0.06 * np.exp(-((offset / 0.28) ** 2))
    for _ in range(dice.integer(1, 4)):  # patches of repair
        x0, z0 = dice.uniform(-roadway.half, roadway.half), dice.uniform(0, ROAD_LENGTH)
        w, h, tone = dice.uniform(0.5, 2), dice.uniform(0.8, 5), dice.uniform(0.8, 1.12)
        inside = (np.abs(along - z0) < h / 2)[:, None] & (np.abs(across - x0) < w / 2)
        edge = (np.abs(along - z0) < h / 2 + 0.05)[:, None] & (np.abs(across - x0) < w / 2 + 0.05)
        grain[edge & ~inside] *= 0.72
        grain[inside] *= tone
    for _ in range(dice.integer(0, 4)):  # cracks sealed with tar
        start, sway = dice.uniform(-roadway.half, roadway.half), dice.uniform(0.1, 0.6)
        line = start + sway * noise.cloudy(height, 1, (5, 1), 4)[:, 0]
        begin, length = dice.uniform(0, ROAD_LENGTH), dice.uniform(3, 12)
        on = ((along - begin) % ROAD_LENGTH < length)[:, None]
        grain[on & (np.abs(across - line[:, None]) < 0.03)] *= 0.72
    tone = dice.uniform(0.33, 0.48)
    image = _painted(
        grain, (tone, tone * dice.uniform(0.99, 1.01), tone * dice.uniform(0.98, 1.05))
    )
    if dice.chance(0.6):  # a manhole
        x0, z0 = dice.choose({-lane: 1.0, lane: 1.0}), dice.uniform(2, ROAD_LENGTH - 2)
        far = np.hypot(along[:, None] - z0, across - x0)
        image[far < 0.36, :3] = 0.55 * tone
        image[far < 0.30, :3] = (
            tone
            * (0.7 + 0.2 * (np.arange(width) // 2 % 2))[None].repeat(height, 0)[far < 0.30][:, None]
        )
    paint = np.zeros((height, width))
    if roadway.dashes:
        paint[(along % 8 < 4)[:, None] & (np.abs(across) < 0.08)] = 1
    if roadway.parking:
        edge = np.abs(np.abs(across) - (roadway.half - roadway.parking)) < 0.06
        paint[np.broadcast_to(edge, paint.shape)] = dice.choose({1.0: 1.0, 0.0: 1.0})
    worn = paint * (0.8 + 0.25 * noise.cloudy(height, width, (32, 16), 3)).clip(0, 1)
    image[..., :3] += worn[..., None] * (0.85 - image[..., :3])
    return image


def slabs(dice: Dice, noise: Noise, rows: int = 4, columns: int = 4) -> Array:
    """Paving slabs, 128 x 128."""
    size = 128
    tones = 1 + 0.09 * noise.white(rows, columns)
    grain = np.kron(tones, np.ones((size // rows, size // columns)))
    grain = grain + 0.05 * noise.white(size, size) + 0.05 * noise.cloudy(size, size, (3, 3))
    at = np.arange(size)
    grain[at % (size // rows) < 2] *= 0.72
    odd = at // (size // rows) % 2 * (size // columns // 2)
    joint = (at[None] + odd[:, None]) % (size // columns) < 2
    grain[joint] *= 0.72
    tone = dice.uniform(0.48, 0.66)
    return _painted(grain, (tone, tone * dice.uniform(0.94, 1.0), tone * dice.uniform(0.86, 0.98)))


def stone(noise: Noise) -> Array:
    """Kerb stones one metre long, 128 x 32."""
    grain = 1 + 0.1 * noise.white(32, 128) + 0.05 * noise.cloudy(32, 128, (2, 4))
    grain[:, ::64] *= 0.65
    grain[:2] *= 1.1
    return _painted(grain, (0.62, 0.61, 0.59))


def grass(dice: Dice, noise: Noise) -> Array:
    size = 128
    grain = 1 + 0.22 * noise.white(size, size) + 0.18 * noise.cloudy(size, size, (4, 4), 5)
    image = _painted(grain, (dice.uniform(0.3, 0.42), dice.uniform(0.4, 0.46), 0.24))
    dry = noise.cloudy(size, size, (3, 3), 5)[..., None].clip(0, 1) * 0.35
    image[..., :3] += dry * (np.array([0.52, 0.47, 0.3]) - image[..., :3])
    return image


def gravel(noise: Noise) -> Array:
    grain = 1 + 0.22 * noise.white(128, 128) + 0.1 * noise.cloudy(128, 128, (4, 4))
    return _painted(grain, (0.55, 0.52, 0.47))


def bricks(dice: Dice, noise: Noise) -> Array:
    """24 courses, 12 bricks each, 256 x 256."""
    size, courses, row = 256, 24, 12
    at = np.arange(size)
    course = at * courses // size
    shift = (course % 2) * (size / row / 2)
    column = ((at[None] + shift[:, None]) * row / size).astype(int) % row
    tones = 1 + 0.16 * noise.white(courses, row)
    grain = tones[course[:, None], column] + 0.06 * noise.white(size, size)
    image = _painted(
        grain, (dice.uniform(0.5, 0.66), dice.uniform(0.27, 0.38), dice.uniform(0.2, 0.3))
    )
    joint = (at * courses % size < courses * 2)[:, None] | (
        (at[None] + shift[:, None]) * row % size < row * 2
    )
    image[joint, :3] = image[joint, :3] * 0.4 + 0.6 * np.array([0.66, 0.63, 0.58])
    return image


def plaster(noise: Noise) -> Array:
    """Nearly white, to be tinted, 256 x 256; rain has drawn streaks down it."""
    size = 256
    streaks = noise.cloudy(size, size, (1, 12), 2)
    grain = 0.97 + 0.015 * noise.white(size, size) + 0.025 * noise.cloudy(size, size, (3, 3), 5)
    return _painted(grain + 0.02 * streaks, (1.0, 1.0, 1.0))


def tiles(dice: Dice, noise: Noise) -> Array:
    """Roof tiles, 16 rows of 16, 128 x 128."""
    size, count = 128, 16
    at = np.arange(size)
    tones = 1 + 0.14 * noise.white(count, count)
    grain = np.kron(tones, np.ones((size // count,) * 2))
    grain = grain + 0.12 * noise.cloudy(size, size, (3, 3), 4)
    grain *= (0.8 + 0.3 * (at % 8) / 8)[:, None] * (0.92 + 0.12 * np.sin(at * np.pi / 4))[None]
    colour: Colour = dice.choose(
        {
            (0.56, 0.27, 0.19): 3.0,
            (0.44, 0.24, 0.2): 2.0,
            (0.32, 0.3, 0.31): 2.0,
            (0.5, 0.34, 0.26): 1.0,
        }
    )
    return _painted(grain, colour)


def hedge(dice: Dice, noise: Noise) -> Array:
    size = 128
    grain = 0.75 + 0.45 * noise.white(size, size) + 0.25 * noise.cloudy(size, size, (8, 8), 4)
    grain = (grain + np.roll(grain, 1, 0) + np.roll(grain, 1, 1)) / 2.4
    return _painted(
        grain.clip(0.15, 1.7), (dice.uniform(0.2, 0.28), dice.uniform(0.32, 0.38), 0.14)
    )


def planks(dice: Dice, noise: Noise) -> Array:
    """Upright boards of a fence, 8 on 128 x 128."""
    size = 128
    at = np.arange(size)
    tones = 1 + 0.12 * noise.white(1, 8)
    grain = np.kron(tones, np.ones((size, 16))) + 0.08 * noise.cloudy(size, size, (2, 32), 2)
    grain[:, at % 16 < 2] *= 0.35
    return _painted(grain, (dice.uniform(0.4, 0.6), dice.uniform(0.3, 0.42), 0.25))


def bark(noise: Noise) -> Array:
    grain = 0.9 + 0.25 * noise.white(64, 32) + 0.35 * noise.cloudy(64, 32, (4, 16), 2)
    return _painted(grain.clip(0.2, 1.6), (0.36, 0.3, 0.24))


def leaves(noise: Noise) -> Array:
    """A spray of leaves with holes, to be tinted, 64 x 64."""
    size = 64
    y, x = np.mgrid[0:size, 0:size] / size
    random = (noise.white(70, 5) + 1) / 2
    shade, alpha = np.full((size, size), 0.6), np.zeros((size, size))
    for u, v, turn, long, tone in random:
        r, a = 0.42 * np.sqrt(u), 2 * np.pi * v
        cx, cy, t = 0.5 + r * np.cos(a), 0.5 + r * np.sin(a), 2 * np.pi * turn
        dx, dy = x - cx, y - cy
        p, q = dx * np.cos(t) + dy * np.sin(t), dy * np.cos(t) - dx * np.sin(t)
        on = (p / (0.055 + 0.05 * long)) ** 2 + (q / (0.03 + 0.02 * long)) ** 2 < 1
        shade[on], alpha[on] = 0.55 + 0.45 * tone, 1
    return np.concatenate([np.repeat(shade[..., None], 3, 2), alpha[..., None]], 2)


class Facade(NamedTuple):
    """Dimensions of a house's front, metres, and its looks."""

    width: float
    height: float
    storeys: int
    columns: int
    """Windows of a storey."""
    ground: str
    """Ground floor: "door", "shop" or "garage"."""
    brick: bool
    wall: Colour
    trim: Colour
    """Frames and sills."""
    shutters: Colour | None


BRICK_WALL, PLASTER_WALL = 2.2, 11.0
"""Sides of the textures of walls, metres."""

TEXELS = 22.0
"""Texels of a facade per metre, at most."""


def facade(dice: Dice, noise: Noise, f: Facade, base: Array) -> Array:
    """The front of a house, of a wall's texture (256 x 256)."""
    width, height = (
        1 << int(np.clip(np.floor(np.log2(side * TEXELS)), 4, 9)) for side in (f.width, f.height)
    )
    across, down = width / f.width, height / f.height  # texels per metre
    tile = BRICK_WALL if f.brick else PLASTER_WALL
    columns = (np.arange(width) / across / tile * 256).astype(int) % 256
    rows = (np.arange(height) / down / tile * 256).astype(int) % 256
    image = base[rows[:, None], columns].copy()
    if not f.brick:
        image[..., :3] *= f.wall

    def fill(x0: float, y0: float, x1: float, y1: float, colour: Any, blend: float = 1.0) -> None:
        """Metres from the left and from the ground."""
        left, right = (round(v * across) for v in (x0, x1))
        top, bottom = (round(height - v * down) for v in (y1, y0))
        part = image[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0), :3]
        part += blend * (np.asarray(colour) - part)

    storey = f.height / f.storeys
    fill(0, 0, f.width, 0.5, np.array(f.wall) * 0.55, 0.8)  # plinth
    fill(0, f.height - 0.35, f.width, f.height, np.array(f.wall) * 0.75, 0.7)  # under the eaves
    if dice.chance(0.3):
        for level in range(1, f.storeys):
            fill(0, level * storey - 0.1, f.width, level * storey + 0.1, f.trim, 0.6)
    pitch = f.width / f.columns
    wide = min(dice.uniform(0.9, 1.5), pitch * 0.62)
    tall = min(dice.uniform(1.25, 1.75), storey * 0.6)
    sill = dice.uniform(0.85, 1.0)
    bars = dice.choose({"none": 2.0, "cross": 2.0, "two": 3.0})

    def window(x: float, y: float, w: float, h: float) -> None:
        if f.shutters:
            for side in (x - w * 0.5, x + w):
                fill(side, y, side + w * 0.47, y + h, f.shutters)
                for level in np.arange(y, y + h, 0.16):
                    fill(side, level, side + w * 0.47, level + 0.06, np.array(f.shutters) * 0.7)
        fill(x - 0.09, y - 0.09, x + w + 0.09, y + h + 0.12, f.trim)
        glass = np.array([0.16, 0.2, 0.25]) * dice.uniform(0.6, 1.5)
        fill(x, y, x + w, y + h, glass)
        fill(x, y + h * 0.55, x + w, y + h, np.array([0.5, 0.58, 0.66]), dice.uniform(0.1, 0.6))
        fill(x, y + h - 0.12, x + w, y + h, (0.06, 0.07, 0.08))  # shadow of the lintel
        if dice.chance(0.35):  # curtains
            for x0, x1 in ((x, x + w * 0.25), (x + w * 0.75, x + w)):
                fill(x0, y, x1, y + h - 0.12, (0.8, 0.78, 0.74), 0.75)
        elif dice.chance(0.2):  # a blind
            fill(x, y + h * dice.uniform(0.2, 0.8), x + w, y + h, (0.78, 0.77, 0.74))
        if bars in ("cross", "two"):
            fill(x + w / 2 - 0.04, y, x + w / 2 + 0.04, y + h, f.trim)
        if bars == "cross":
            fill(x, y + h * 0.6 - 0.04, x + w, y + h * 0.6 + 0.04, f.trim)
        fill(x - 0.14, y - 0.14, x + w + 0.14, y - 0.06, np.array(f.trim) * 0.8)
        fill(x - 0.1, y - 0.24, x + w + 0.1, y - 0.14, (0, 0, 0), 0.25)

    door = dice.integer(0, f.columns - 1)
    for level in range(f.storeys):
        y = level * storey + sill
        if level == 0 and f.ground == "shop":
            fill(0.2, 2.7, f.width - 0.2, 3.2, [dice.uniform(0.1, 0.9) for _ in range(3)])
            for column in range(f.columns):
                x = column * pitch + 0.3
                fill(x - 0.08, 0.25, x + pitch - 0.6 + 0.08, 2.65, f.trim)
                fill(x, 0.45, x + pitch - 0.6, 2.6, (0.14, 0.16, 0.18))
                for _ in range(3):
                    at, w = dice.uniform(0, pitch - 1.2), dice.uniform(0.2, 0.6)
                    goods = [dice.uniform(0.2, 0.8) for _ in range(3)]
                    fill(x + at, 0.5, x + at + w, dice.uniform(0.8, 1.9), goods, 0.7)
                fill(x, 1.9, x + pitch - 0.6, 2.6, (0.5, 0.56, 0.62), 0.3)
            continue
        for column in range(f.columns):
            x = column * pitch + (pitch - wide) / 2
            if level == 0 and f.ground == "garage" and column == door:
                fill(x - 0.7, 0.1, x + wide + 0.7, 2.4, f.trim)
                shade = dice.uniform(0.5, 0.9)
                fill(x - 0.6, 0.1, x + wide + 0.6, 2.3, (shade, shade, shade * 0.97))
                for line in np.arange(0.5, 2.3, 0.4):
                    fill(x - 0.6, line, x + wide + 0.6, line + 0.06, (shade * 0.75,) * 3)
            elif level == 0 and f.ground == "door" and column == door:
                middle = x + wide / 2
                fill(middle - 0.65, 0.1, middle + 0.65, 2.45, f.trim)
                leaf = np.array(
                    dice.choose(
                        {
                            (0.3, 0.18, 0.1): 2.0,
                            (0.15, 0.25, 0.2): 1.0,
                            (0.5, 0.5, 0.5): 1.0,
                            (0.4, 0.1, 0.1): 1.0,
                        }
                    )
                )
                fill(middle - 0.52, 0.15, middle + 0.52, 2.3, leaf)
                fill(middle - 0.35, 1.3, middle + 0.35, 2.1, (0.3, 0.35, 0.4))
            else:
                window(x, y, wide, tall)
    if dice.chance(0.5):  # rainwater
        x = dice.choose({0.25: 1.0, f.width - 0.35: 1.0})
        fill(x, 0.3, x + 0.11, f.height, (0.45, 0.43, 0.4))
    return image


def treeline(dice: Dice, noise: Noise) -> Array:
    """Woods and roofs far away, 256 x 64, with a ragged upper edge."""
    height, width = 64, 256
    top = 0.35 + 0.2 * noise.cloudy(1, width, (1, 8), 5)[0]
    y = (np.arange(height) + 0.5)[:, None] / height
    grain = 0.85 + 0.25 * noise.cloudy(height, width, (8, 32), 4)
    image = _painted(grain, (dice.uniform(0.28, 0.36), dice.uniform(0.36, 0.42), 0.3))
    image[..., 3] = y > top
    return image


def sky(dice: Dice, noise: Noise, overcast: bool) -> Array:
    """(128, 512, 3): down from 40 degrees above the horizon to 5 below, and all around."""
    height, width = 128, 512
    rise = np.linspace(1, 0, height)[:, None, None]
    if overcast:
        low, high = np.array([0.86, 0.87, 0.88]), np.array([0.7, 0.73, 0.77])
    else:
        low, high = np.array([0.8, 0.87, 0.93]), np.array([0.32, 0.52, 0.8])
    image = low + (high - low) * rise**0.7
    cover = dice.uniform(-0.5, 0.6) if not overcast else 0.7
    clouds = noise.cloudy(height, width, (5, 8), 6) * 0.8 + cover - 0.25 * (1 - rise[..., 0])
    amount = (clouds * 1.4).clip(0, 1)[..., None]
    light = 0.93 - 0.16 * noise.cloudy(height, width, (6, 10), 4)[..., None].clip(0, 1)
    image = image + amount * (light * np.array([0.99, 1.0, 1.02]) - image)
    return image.clip(0, 1)


def signs() -> list[Array]:
    """A limit (round), a warning (triangle) and a notice (square), 32 x 32."""
    size = 32
    y, x = (np.mgrid[0:size, 0:size] + 0.5) / size * 2 - 1
    red, white, blue = np.array([0.75, 0.08, 0.1]), np.array([0.92, 0.92, 0.9]), (0.1, 0.25, 0.6)
    images = []
    radius = np.hypot(x, y)
    limit = np.where((radius < 0.72)[..., None], white, red)
    limit[(np.abs(y) < 0.38) & (np.abs(np.abs(x) - 0.25) < 0.13)] = 0.08
    inside = np.minimum(np.minimum(0.62 - y, 1 + y - 1.73 * np.abs(x)), 2)
    warning = np.where((inside > 0.32)[..., None], white, red)
    warning[(np.abs(x) < 0.09) & (np.abs(y - 0.05) < 0.3)] = 0.08
    notice = np.broadcast_to(np.array(blue), (size, size, 3)).copy()
    notice[np.maximum(np.abs(x), np.abs(y)) > 0.9] = white
    notice[(np.abs(x + 0.22) < 0.13) & (np.abs(y) < 0.62)] = white
    notice[np.abs(np.hypot(x - 0.05, y + 0.25) - 0.3) < 0.1] = white
    for image in (limit, warning, notice):
        images.append(np.concatenate([image, np.ones((size, size, 1))], 2))
    return images
