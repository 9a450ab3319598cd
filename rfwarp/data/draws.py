"""Random numbers that depend on seed and step alone."""

from __future__ import annotations

import zlib

import numpy as np


def generator(seed: int, *keys: int | str) -> np.random.Generator:
    """The same stream on every machine for the same seed and keys."""
    numbers = [key if isinstance(key, int) else zlib.crc32(key.encode("utf-8")) for key in keys]
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, *numbers])))


def check_draw(batch_size: int, sources: int, max_sources: int) -> None:
    """Raise ValueError unless rows can be drawn."""
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    if not 1 <= sources <= max_sources:
        raise ValueError(f"sources must lie in 1..{max_sources}, got {sources}")
