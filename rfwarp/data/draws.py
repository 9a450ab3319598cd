"""Random numbers that depend on seed and step alone, made of uniform doubles of PCG64.

Those are the same on every machine and with every version of NumPy, which may change how it draws
integers and permutations from them.
"""

from __future__ import annotations

import zlib

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]


def generator(seed: int, *keys: int | str) -> np.random.Generator:
    """A stream of its own for each seed and keys.

    Raises:
        ValueError: if a number is negative.
    """
    numbers = [key if isinstance(key, int) else zlib.crc32(key.encode("utf-8")) for key in keys]
    if min(seed, *numbers) < 0:
        raise ValueError(f"seed and step must be at least 0, got {seed} and {numbers}")
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, *numbers])))


def integers(random: np.random.Generator, count: int, size: int) -> Integers:
    """(size,) numbers in 0..count-1."""
    return (random.random(size) * count).astype(np.int64)


def orders(random: np.random.Generator, size: int, count: int) -> Integers:
    """(size, count): in each row 0..count-1 in random order."""
    return random.random((size, count)).argsort(axis=1, kind="stable")


def check_draw(batch_size: int, sources: int, max_sources: int) -> None:
    """Raise ValueError unless rows can be drawn."""
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    if not 1 <= sources <= max_sources:
        raise ValueError(f"sources must lie in 1..{max_sources}, got {sources}")
