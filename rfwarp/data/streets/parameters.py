"""Parameters of a street and of the drive along it, from a seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rfwarp.data.seeds import Dice, checked_seed
from rfwarp.data.streets.textures import Roadway

Kind = Literal["homes", "town", "green"]
Way = Literal["straight", "curve", "left", "right"]


@dataclass(frozen=True)
class StreetParameters:
    """What decides the plan of a street; details are drawn as it is built.

    Example:
        >>> from rfwarp.data.streets import StreetParameters
        >>> street = StreetParameters.from_seed(7)
        >>> street.speed > 0, street == StreetParameters.from_seed(7)
        (True, True)
    """

    seed: int
    kind: Kind
    """Houses in gardens, rows of houses, or trees and few houses."""
    way: Way
    """Way of the drive: along the street, which may bend, or around a corner."""
    roadway: Roadway
    crossing_roadway: Roadway
    pavement: float
    """Width of the pavements, metres."""
    setback: float
    """Distance of the houses from the pavement, metres."""
    curvature: float
    """Of a bending street, 1 / metres, positive to the right."""
    crossing: float | None
    """Place of a crossing along the street, metres from the start of the drive; None without."""
    speed: float
    """Metres per frame, where nothing needs a lower one."""
    sun: tuple[float, float] | None
    """Azimuth and elevation of the sun, radians; None under clouds."""

    @classmethod
    def from_seed(cls, seed: int) -> StreetParameters:
        """Parameters of a seed.

        Raises:
            ValueError: if it is negative or not an integer.
        """
        dice = Dice([checked_seed("street", seed), 0])
        kind: Kind = dice.choose({"homes": 0.5, "town": 0.3, "green": 0.2})
        way: Way = dice.choose({"straight": 0.56, "curve": 0.14, "left": 0.15, "right": 0.15})
        roadway, crossing_roadway = _roadway(dice), _roadway(dice)
        turns = way in ("left", "right")
        crossing = None
        at, there = dice.uniform(9, 15) if turns else dice.uniform(25, 80), dice.chance(0.55)
        if turns or (way == "straight" and there):
            crossing = at
        bend = dice.choose({-1.0: 1.0, 1.0: 1.0}) / dice.uniform(45, 200)
        setbacks = {"homes": (2.0, 6.0), "town": (0.0, 0.6), "green": (4.0, 10.0)}
        sunny = dice.chance(0.6)
        sun = (dice.uniform(-3.14, 3.14), dice.uniform(0.45, 1.0))
        return cls(
            seed=seed,
            kind=kind,
            way=way,
            roadway=roadway,
            crossing_roadway=crossing_roadway,
            pavement=dice.uniform(1.5, 2.8),
            setback=dice.uniform(*setbacks[kind]),
            curvature=bend if way == "curve" else 0.0,
            crossing=crossing,
            speed=dice.choose({0.3: 0.08, 0.6: 0.17, 0.9: 0.33, 1.08: 0.27, 1.25: 0.15})
            * dice.uniform(0.9, 1.1),
            sun=sun if sunny else None,
        )


def _roadway(dice: Dice) -> Roadway:
    parking = dice.choose({0.0: 0.35, 2.1: 0.65})
    lane = dice.uniform(2.4, 3.1) if parking else dice.uniform(2.9, 3.8)
    return Roadway(lane + parking, parking, dice.chance(0.45))
