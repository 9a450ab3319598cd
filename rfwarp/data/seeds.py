"""Seeds of procedural datasets: each makes one thing, and is for training or held out."""

from __future__ import annotations

from typing import TypeVar

import numpy as np

from rfwarp.data.catalog import HELD_OUT_FIRST_SEED

DEFAULT_SIZE = 64  # pixels, if no size is given

T = TypeVar("T")


class Dice:
    """Random choices built from uniform doubles of PCG64 alone.

    Drawn in a fixed order, they are the same on every platform and with every NumPy version.

    Args:
        seed: an integer or several, as NumPy's ``SeedSequence`` takes them.
    """

    def __init__(self, seed: int | list[int]) -> None:
        self._generator = np.random.Generator(np.random.PCG64(seed))

    def uniform(self, low: float, high: float) -> float:
        return low + (high - low) * float(self._generator.random())

    def chance(self, probability: float) -> bool:
        return float(self._generator.random()) < probability

    def choose(self, weighted: dict[T, float]) -> T:
        """One key, with probability proportional to its weight."""
        mark = float(self._generator.random()) * sum(weighted.values())
        for key, weight in weighted.items():
            mark -= weight
            if mark < 0:
                return key
        return key

    def integer(self, low: int, high: int) -> int:
        """One of low, ..., high (both included)."""
        return low + int(float(self._generator.random()) * (high - low + 1))


def checked_seed(thing: str, seed: int) -> int:
    """The seed of a chair, a person, ...

    Raises:
        ValueError: if it is negative or not an integer.
    """
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise ValueError(f"a {thing} seed must be an integer of at least 0, got {seed!r}")
    return int(seed)


def checked_seeds(things: str, first_seed: int, count: int) -> range:
    """The consecutive seeds of a dataset.

    Raises:
        ValueError: for bad numbers, or for seeds on both sides of ``HELD_OUT_FIRST_SEED``.
    """
    for name, value, least in (("first_seed", first_seed, 0), ("count", count, 1)):
        if value < least:
            raise ValueError(f"{name} must be at least {least}, got {value}")
    if first_seed < HELD_OUT_FIRST_SEED < first_seed + count:
        raise ValueError(
            f"seeds {first_seed}..{first_seed + count - 1} mix training {things} with held-out "
            f"{things}, which start at seed {HELD_OUT_FIRST_SEED}"
        )
    return range(first_seed, first_seed + count)
