"""A street with all that stands in it, from its seed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from rfwarp.data.seeds import Dice
from rfwarp.data.streets import textures
from rfwarp.data.streets.cars import car
from rfwarp.data.streets.drive import centreline
from rfwarp.data.streets.objects import Looks, bin_or_box, bush, house, lamp, sign, tree
from rfwarp.data.streets.parameters import StreetParameters
from rfwarp.data.streets.polygons import UP, Builder, Colour, Paint, Place, Polygons
from rfwarp.data.streets.ripmaps import Ripmaps
from rfwarp.data.streets.textures import ROAD_LENGTH, Facade, Noise, Roadway

Array = npt.NDArray[Any]

BEHIND, AHEAD = 12.0, 150.0
"""Ends of a street, metres from the start of the drive."""

KERB = 0.12
"""Height of a pavement above the road, metres."""

FARTHEST = 140.0
"""Distance of what closes the view, metres."""


@dataclass(frozen=True)
class Scene:
    """A street to be drawn."""

    polygons: Polygons
    textures: Ripmaps
    sky: Array
    """(H, W, 3) float32 of :func:`.textures.sky`."""
    sun: Array | None
    """(3,) unit vector towards it; None under clouds."""
    haze: Array
    """(3,) colour of the air."""
    gain: Array
    """(3,) of the camera, with the colour of the light."""


@lru_cache(maxsize=8)
def scene(seed: int) -> Scene:
    """The street of a seed; recent ones are kept."""
    return _Planner(StreetParameters.from_seed(seed)).plan()


class _Stretch:
    """One street: its middle line, and what of it is free."""

    def __init__(
        self, place: Place, curvature: float, roadway: Roadway, begin: float, end: float
    ) -> None:
        self.place, self.curvature, self.roadway = place, curvature, roadway
        self.begin, self.end = begin, end
        self.step = 3.0 if curvature else 25.0
        self._grid = np.arange(begin, end + 1, 0.5)
        self._line = centreline(curvature, self._grid)

    def at(self, along: float) -> Place:
        x, z, heading = (float(np.interp(along, self._grid, v)) for v in self._line)
        return self.place.moved(x, z, heading)

    def cells(self, begin: float, end: float) -> Iterator[tuple[float, float]]:
        """Lengths of ``step`` from one end to another."""
        count = max(1, int(np.ceil((end - begin) / self.step)))
        cuts = np.linspace(begin, end, count + 1)
        yield from zip(cuts[:-1].tolist(), cuts[1:].tolist(), strict=True)


class _Planner:
    def __init__(self, p: StreetParameters) -> None:
        self.p = p
        self.dice, self.noise = Dice([p.seed, 2]), Noise([p.seed, 3])
        self.builder = Builder()
        self.images: list[Array] = [textures.plain()]
        dice, noise = self.dice, self.noise
        self.road = self._keep(textures.road(dice, noise, p.roadway))
        self.other_road = self._keep(textures.road(dice, noise, p.crossing_roadway))
        self.pavement = self._keep(textures.slabs(dice, noise, 4, dice.choose({4: 1.0, 8: 1.0})))
        self.kerb = self._keep(textures.stone(noise))
        self.grass = self._keep(textures.grass(dice, noise))
        self.gravel = self._keep(textures.gravel(noise))
        self.plaster = textures.plaster(noise)
        self.bricks = textures.bricks(dice, noise)
        self.looks = Looks(
            roof=[self._keep(textures.tiles(dice, noise)) for _ in range(2)],
            wall=self._keep(self.plaster),
            bark=self._keep(textures.bark(noise)),
            leaves=[self._keep(textures.leaves(noise)) for _ in range(3)],
            hedge=self._keep(textures.hedge(dice, noise)),
            fence=self._keep(textures.planks(dice, noise)),
            stone=self._keep(self.bricks),
            signs=[self._keep(image) for image in textures.signs()],
        )
        self.treeline = self._keep(textures.treeline(dice, noise))
        self.season: Colour = dice.choose(
            {
                (0.36, 0.5, 0.2): 3.0,
                (0.28, 0.42, 0.17): 3.0,
                (0.5, 0.52, 0.22): 1.0,
                (0.62, 0.42, 0.16): 0.7,
            }
        )

    def _keep(self, image: Array) -> int:
        self.images.append(image)
        return len(self.images) - 1

    def plan(self) -> Scene:
        p = self.p
        origin = Place(np.zeros(3), 0.0)
        main = _Stretch(origin, p.curvature, p.roadway, -BEHIND, AHEAD)
        self._base()
        gap = None
        if p.crossing is not None:
            half = p.crossing_roadway.half
            gap = (p.crossing - half, p.crossing + half)
        through = self.dice.chance(0.7)  # else a junction of three arms
        self._surface(main, self.road)
        sides = {-1: gap, 1: gap}
        if gap is not None and not through:
            sides[-1 if p.way == "right" else 1 if p.way == "left" else self._either()] = None
        for side, cut in sides.items():
            self._side(main, side, cut)
        if gap is not None:
            self._crossing_marks(main, gap)
            for side, cut in sides.items():
                if cut is not None:
                    self._branch(main, side)
        return self._finished()

    def _crossing_marks(self, stretch: _Stretch, gap: tuple[float, float]) -> None:
        """Lines to stop at, or to walk over, before and after a crossing."""
        dice, half = self.dice, stretch.roadway.half
        worn = dice.uniform(0.68, 0.86)
        paint = Paint(self.kerb, (1.3 * worn, 1.3 * worn, 1.3 * worn), (4.0, 4.0))
        surface = self.builder.surface()
        walked = dice.chance(0.35)
        for line, side, way in ((gap[0] - 0.8, 1, -1), (gap[1] + 0.8, -1, 1)):
            if walked:
                for left in np.arange(-half + 0.4, half - 0.4, 1.0):
                    begin, end = sorted((line, line + way * 3.2))
                    self._strip(stretch, begin, end, left, left + 0.5, 0.004, paint, surface)
            else:
                left, right = sorted((side * 0.15, side * (half - stretch.roadway.parking - 0.1)))
                begin, end = sorted((line, line + way * 0.45))
                self._strip(stretch, begin, end, left, right, 0.004, paint, surface)

    def _either(self) -> int:
        return 1 if self.dice.chance(0.5) else -1

    def _branch(self, main: _Stretch, side: int) -> None:
        """An arm of the crossing street, away from the main one."""
        p = self.p
        assert p.crossing is not None
        start = Place(np.array([0.0, 0.0, p.crossing]), side * np.pi / 2)
        arm = _Stretch(start, 0.0, p.crossing_roadway, p.roadway.half, 110.0)
        self._surface(arm, self.other_road)
        for own_side in (-1, 1):
            self._side(arm, own_side, None, corner=True)

    def _base(self) -> None:
        """Ground below everything, and what closes the view."""
        size = FARTHEST + 60
        centre = Place(np.array([0.0, 0.06, 40.0]), 0.0)
        corners = centre.points(
            [(-size, 0, -size), (size, 0, -size), (size, 0, size), (-size, 0, size)]
        )
        self.builder.polygon(corners, Paint(self.grass, (0.95, 0.95, 0.95), (13, 13)), toward=UP)
        surface, count = self.builder.surface(), 28
        for i in range(count):
            one, two = (2 * np.pi * j / count for j in (i, i + 1))
            ring = [
                centre.at(FARTHEST * np.sin(a), up, FARTHEST * np.cos(a))
                for a, up in ((one, 22.0), (two, 22.0), (two, -0.5), (one, -0.5))
            ]
            self.builder.polygon(
                ring,
                Paint(self.treeline, (0.8, 0.9, 1.0), (80.0, 22.5)),
                toward=centre.origin - ring[0],
                down=-UP,
                surface=surface,
            )

    def _strip(
        self,
        stretch: _Stretch,
        begin: float,
        end: float,
        left: float,
        right: float,
        up: float,
        paint: Paint,
        surface: int,
    ) -> None:
        """Level ground between two distances to the right of the middle."""
        for low, high in stretch.cells(begin, end):
            near, far = stretch.at(low), stretch.at(high)
            middle = stretch.at((low + high) / 2)
            corners = [
                far.at(left, up, 0),
                far.at(right, up, 0),
                near.at(right, up, 0),
                near.at(left, up, 0),
            ]
            start = middle.at(left, up, -((low + high) / 2 % (8 * paint.size[1])))
            self.builder.polygon(
                corners,
                paint,
                toward=UP,
                across=middle.right,
                down=middle.forward,
                start=start,
                surface=surface,
            )

    def _upright(
        self,
        stretch: _Stretch,
        begin: float,
        end: float,
        right: float,
        low: float,
        high: float,
        side: int,
        paint: Paint,
    ) -> None:
        """A wall along the street that faces its middle, from ``right`` of it."""
        for one, two in stretch.cells(begin, end):
            near, far = stretch.at(one), stretch.at(two)
            corners = [
                near.at(right, high, 0),
                far.at(right, high, 0),
                far.at(right, low, 0),
                near.at(right, low, 0),
            ]
            self.builder.polygon(corners, paint, toward=-side * near.right, down=-UP)

    def _surface(self, stretch: _Stretch, texture: int) -> None:
        half = stretch.roadway.half
        paint = Paint(texture, (1, 1, 1), (2 * half, ROAD_LENGTH))
        surface = self.builder.surface()
        self._strip(stretch, stretch.begin, stretch.end, -half, half, 0.0, paint, surface)

    def _side(
        self, stretch: _Stretch, side: int, gap: tuple[float, float] | None, corner: bool = False
    ) -> None:
        """Kerb, pavement, gardens, and what stands on one side."""
        p, begin = self.p, stretch.begin
        half, pavement = stretch.roadway.half, p.pavement
        outer = half + pavement
        other = p.roadway if corner else p.crossing_roadway
        if corner:  # the pavement of the main street is there already
            begin += pavement
        spans = [(begin, stretch.end)]
        if gap is not None:
            spans = [(begin, gap[0]), (gap[1], stretch.end)]
        surface = self.builder.surface()
        for low, high in spans:
            inner = stretch.begin if corner else low
            self._upright(
                stretch,
                inner,
                high,
                side * half,
                0.0,
                KERB,
                side,
                Paint(self.kerb, (1, 1, 1), (2.0, KERB * 1.01)),
            )
            left, right = sorted((side * half, side * (half + 0.18)))
            self._strip(
                stretch,
                low,
                high,
                left,
                right,
                KERB,
                Paint(self.kerb, (1.05, 1.05, 1.05), (1.0, 2.0)),
                surface,
            )
            left, right = sorted((side * (half + 0.18), side * outer))
            self._strip(
                stretch,
                low,
                high,
                left,
                right,
                KERB,
                Paint(self.pavement, (1, 1, 1), (2.0, 2.0)),
                surface,
            )
        room = p.setback
        town = p.kind == "town"
        depth = outer + room + 12
        reserve = other.half + pavement + (0.5 if town else 3.0)
        if gap is not None:
            middle = (gap[0] + gap[1]) / 2
            for low, high in ((begin, middle - reserve), (middle + reserve, stretch.end)):
                self._lots(stretch, side, low, high, outer, room)
            for low, high in ((begin, gap[0] - pavement), (gap[1] + pavement, stretch.end)):
                self._ground(stretch, side, low, high, outer, depth)
            self._kerbside(stretch, side, begin, gap[0] - 5, half, pavement)
            self._kerbside(stretch, side, gap[1] + 5, stretch.end, half, pavement)
        else:
            first = begin + (room + 13 if corner else 0)
            self._lots(stretch, side, first, stretch.end, outer, room)
            self._ground(stretch, side, begin, stretch.end, outer, depth)
            self._kerbside(stretch, side, begin + (5 if corner else 0), stretch.end, half, pavement)

    def _ground(
        self, stretch: _Stretch, side: int, begin: float, end: float, outer: float, depth: float
    ) -> None:
        left, right = sorted((side * outer, side * depth))
        paint = Paint(self.grass, (1, 1, 1), (3.0, 3.0))
        if self.p.kind == "town":
            paint = Paint(self.gravel, (0.9, 0.9, 0.9), (3.0, 3.0))
        self._strip(stretch, begin, end, left, right, KERB - 0.01, paint, self.builder.surface())

    def _lots(
        self, stretch: _Stretch, side: int, begin: float, end: float, outer: float, room: float
    ) -> None:
        """Houses, gardens and trees along one side."""
        p, dice = self.p, self.dice
        at = begin + dice.uniform(0, 2)
        storeys = {"homes": 2, "town": 4, "green": 2}[p.kind]
        while at < end - 5:
            width = dice.uniform(8, 14) if p.kind != "town" else dice.uniform(9, 18)
            width = min(width, end - at)
            built = dice.chance({"homes": 0.9, "town": 0.95, "green": 0.35}[p.kind])
            if width < 5:
                break
            if built:
                levels = max(1, storeys + dice.integer(-1, 1))
                self._house(stretch, side, at, width, outer + room + dice.uniform(0, 0.3), levels)
            if p.kind != "town":
                self._garden(stretch, side, at, width, outer, room, built)
            at += width + (0.0 if p.kind == "town" else dice.uniform(1.5, 6))

    def _house(
        self, stretch: _Stretch, side: int, at: float, width: float, front: float, levels: int
    ) -> None:
        dice, p = self.dice, self.p
        storey = dice.uniform(2.7, 3.3)
        height = levels * storey + 0.4
        brick = dice.chance(0.22)
        colour: Colour = dice.choose(
            {
                (0.93, 0.9, 0.82): 3.0,
                (0.9, 0.84, 0.66): 2.0,
                (0.86, 0.76, 0.64): 1.5,
                (0.8, 0.8, 0.78): 2.0,
                (0.92, 0.92, 0.9): 2.0,
                (0.78, 0.64, 0.54): 1.0,
                (0.7, 0.76, 0.78): 0.8,
                (0.88, 0.74, 0.5): 1.0,
                (0.72, 0.78, 0.66): 0.6,
            }
        )
        shutters: Colour | None = dice.choose(
            {(0.3, 0.2, 0.12): 1.0, (0.2, 0.34, 0.26): 1.0, (0.6, 0.62, 0.6): 1.0, None: 5.0}
        )
        trim: Colour = dice.choose(
            {(0.9, 0.9, 0.88): 4.0, (0.5, 0.4, 0.32): 1.0, (0.68, 0.62, 0.55): 1.5}
        )
        ground = dice.choose(
            {"door": 0.8, "garage": 0.2} if p.kind != "town" else {"door": 0.55, "shop": 0.45}
        )
        looks = Facade(
            width,
            height,
            levels,
            max(2, int(width / dice.uniform(2.5, 3.6))),
            ground,
            brick,
            (0.85, 0.8, 0.74) if brick else colour,
            trim,
            shutters,
        )
        base = self.bricks if brick else self.plaster
        tile = textures.BRICK_WALL if brick else textures.PLASTER_WALL
        texture = self._keep(textures.facade(dice, self.noise, looks, base))
        wall = Paint(
            self.looks.stone if brick else self.looks.wall,
            (1.0, 1.0, 1.0) if brick else colour,
            (tile, tile),
        )
        # A house stands to the right of its place: on the left, places look backward.
        start, end = stretch.at(at), stretch.at(at + width)
        ends = (start, end) if side > 0 else (end, start)
        one, two = (e.at(side * front, 0, 0) for e in ends)
        way = two - one
        place = Place(one + KERB * UP, float(np.arctan2(way[0], way[2])))
        length = float(np.hypot(way[0], way[2]))
        paint = Paint(texture, (1, 1, 1), (length, height))
        house(
            self.builder,
            self.looks,
            dice,
            place,
            length,
            dice.uniform(8, 11),
            height,
            paint,
            wall,
            trim,
            levels,
            gabled=dice.chance(0.85 if p.kind != "town" else 0.6),
        )

    def _garden(
        self,
        stretch: _Stretch,
        side: int,
        at: float,
        width: float,
        outer: float,
        room: float,
        built: bool,
    ) -> None:
        dice, looks = self.dice, self.looks
        edge = dice.choose({"hedge": 3.0, "wall": 2.0, "fence": 2.0, "none": 2.0})
        line = outer + 0.1
        gate = dice.uniform(0.3, 0.6) * width
        runs = [(at, at + gate), (at + gate + 1.6, at + width)] if built else [(at, at + width)]
        for low, high in runs:
            if edge == "none" or high - low < 0.5:
                continue
            if edge == "hedge":
                up, thick = dice.uniform(0.9, 1.9), 0.7
                paint = Paint(looks.hedge, (1.2, 1.2, 1.2), (1.6, 1.6))
            elif edge == "wall":
                up, thick = dice.uniform(0.6, 1.2), 0.25
                paint = Paint(
                    looks.stone if dice.chance(0.4) else looks.wall, (0.8, 0.78, 0.74), (2.2, 2.2)
                )
            else:
                up, thick = dice.uniform(0.9, 1.4), 0.06
                paint = Paint(looks.fence, (1, 1, 1), (1.2, up))
            for one, two in stretch.cells(low, high):
                near, far = stretch.at(one), stretch.at(two)
                left, right = sorted((side * line, side * (line + thick)))
                base = np.stack(
                    [
                        near.at(left, KERB, 0),
                        near.at(right, KERB, 0),
                        far.at(right, KERB, 0),
                        far.at(left, KERB, 0),
                    ]
                )
                lid = base + (up * UP)
                self.builder.solid(
                    np.concatenate([lid, base]),
                    [(0, 1, 2, 3), (0, 3, 7, 4), (1, 2, 6, 5), (0, 1, 5, 4), (3, 2, 6, 7)],
                    paint,
                )
        if room > 1.5 or not built:
            for _ in range(dice.integer(0, 2)):
                deep = dice.uniform(1.0, max(1.1, room if built else 9))
                spot = stretch.at(at + dice.uniform(0, width)).moved(side * (outer + deep), 0)
                bush(self.builder, looks, self.noise, spot, dice.uniform(0.5, 1.1), self._green())
        if dice.chance(0.3 if built else 0.95) and (room > 3 or not built):
            deep = dice.uniform(1.5, room - 1 if built else 9)
            spot = stretch.at(at + dice.uniform(0, width)).moved(side * (outer + deep), 0)
            tree(
                self.builder,
                looks,
                dice,
                self.noise,
                spot,
                dice.uniform(4, 7 if built else 13),
                self._green(),
            )

    def _green(self) -> Colour:
        r, g, b = self.season
        tone = self.dice.uniform(0.8, 1.3)
        return (r * tone * self.dice.uniform(0.85, 1.15), g * tone, b * tone)

    def _kerbside(
        self, stretch: _Stretch, side: int, begin: float, end: float, half: float, pavement: float
    ) -> None:
        """Parked cars, and trees, lamps and signs on the pavement."""
        dice, looks, p = self.dice, self.looks, self.p
        parking = stretch.roadway.parking
        at = begin + dice.uniform(0, 4)
        crowd = dice.uniform(0.25, 0.9) if parking else dice.uniform(0.0, 0.12)
        while at < min(end, begin + 110) - 3:
            if dice.chance(crowd):
                offset = half - 1.0 + dice.uniform(-0.15, 0.1) + (0.0 if parking else 1.5)
                place = stretch.at(at + 2.4).moved(side * offset, 0, dice.uniform(-0.02, 0.02))
                if side < 0 and dice.chance(0.8):
                    place = place.moved(0, 0, np.pi)
                car(self.builder, dice, place)
            at += 5.4 + dice.uniform(0, 0.8)
        spacing = dice.uniform(22, 34)
        if side > 0 or dice.chance(0.4):
            for along in np.arange(begin + dice.uniform(0, 20), end, spacing):
                lamp(
                    self.builder,
                    stretch.at(along).moved(side * (half + 0.5), 0),
                    dice.uniform(5.5, 7.5),
                    -side * 1.2,
                )
        avenue = {"homes": 0.3, "town": 0.3, "green": 0.6}[p.kind]
        if dice.chance(avenue):
            spacing, height = dice.uniform(8, 15), dice.uniform(5, 9)
            for along in np.arange(begin + dice.uniform(2, 9), end, spacing):
                spot = stretch.at(along + dice.uniform(-1, 1)).moved(side * (half + 0.75), 0)
                tree(
                    self.builder,
                    looks,
                    dice,
                    self.noise,
                    spot,
                    height * dice.uniform(0.8, 1.15),
                    self._green(),
                )
        for _ in range(dice.integer(0, 5)):
            spot = stretch.at(dice.uniform(begin, min(end, begin + 90)))
            bin_or_box(self.builder, dice, spot.moved(side * (half + pavement - 0.35), 0))
        if p.kind == "town" and dice.chance(0.4):
            for along in np.arange(begin, min(end, begin + 70), dice.uniform(2.0, 4.0)):
                post = stretch.at(along).moved(side * (half + 0.3), 0)
                self.builder.prism(
                    post,
                    [(-0.06, -0.06), (0.06, -0.06), (0.06, 0.06), (-0.06, 0.06)],
                    0.0,
                    0.95,
                    Paint(0, (0.3, 0.31, 0.32)),
                )
        for _ in range(dice.integer(1, 3)):
            along = dice.uniform(begin, min(end, begin + 90))
            spot = stretch.at(along).moved(side * (half + 0.35), 0, 0 if side > 0 else np.pi)
            sign(self.builder, looks, dice, spot)

    def _finished(self) -> Scene:
        p, dice = self.p, self.dice
        sun = None
        if p.sun is not None:
            azimuth, rise = p.sun
            sun = np.array(
                [np.cos(rise) * np.sin(azimuth), -np.sin(rise), np.cos(rise) * np.cos(azimuth)]
            )
        sky = textures.sky(dice, self.noise, sun is None).astype(np.float32)
        warm = dice.uniform(-0.03, 0.04)
        gain = dice.uniform(1.0, 1.27) * np.array([1 + warm, 1.0, 1 - warm])
        haze = np.array([0.78, 0.83, 0.88])
        return Scene(self.builder.build(), Ripmaps.of(self.images), sky, sun, haze, gain)
