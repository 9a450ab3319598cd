"""Random numbers that depend on seed and step alone, made of uniform doubles of PCG64.

Those are the same on every machine and with every version of NumPy, which may change how it draws
integers and permutations from them.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Integers = npt.NDArray[np.int64]


def generator(seed: int, *keys: int | str) -> np.random.Generator:
    """A separate stream of random numbers for each seed and keys.

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


class ViewSets(NamedTuple):
    """Things, source views and target views that make up one batch; all int64.

    Example:
        >>> from rfwarp.data import sample_view_sets
        >>> drawn = sample_view_sets(0, 0, batch_size=2, sources=2, things=5, available=range(4))
        >>> drawn.sources.shape, drawn.targets.shape
        (torch.Size([2, 2]), torch.Size([2]))
        >>> thing, view = drawn.things[0].item(), drawn.targets[0].item()
        >>> drawn.rows(stride=4)[0][-1] == thing * 4 + view
        True
    """

    things: Tensor
    """(B,) numbers of chairs, people, ..."""
    sources: Tensor
    """(B, K) view indices, distinct within a row."""
    targets: Tensor
    """(B,) view indices, never among the row's sources."""

    def rows(self, stride: int) -> list[tuple[int, ...]]:
        """Rows of a :class:`rfwarp.data.TupleDataset` in which image ``thing * stride + v`` is view
        v of a thing."""
        views = torch.cat([self.sources, self.targets[:, None]], dim=1)
        return [tuple(row) for row in (self.things[:, None] * stride + views).tolist()]


def sample_view_sets(
    seed: int,
    step: int,
    batch_size: int,
    sources: int,
    things: int,
    available: Sequence[int],
) -> ViewSets:
    """Random source and target views of one thing each: a pure function, so that training can
    resume at any step.

    With the other arguments equal, fewer sources are a prefix of more sources, with the same things
    and targets: results for different K compare like with like.

    Args:
        seed: of the whole run.
        step: batch number.
        batch_size: B.
        sources: K.
        things: number of chairs, people, ... to choose from.
        available: view indices to choose from.

    Raises:
        ValueError: if a number is out of range, or there are not K + 1 views.

    Example:
        >>> from rfwarp.data import sample_view_sets
        >>> two = sample_view_sets(0, 3, batch_size=4, sources=2, things=9, available=range(54))
        >>> three = sample_view_sets(0, 3, batch_size=4, sources=3, things=9, available=range(54))
        >>> three.sources.shape, (three.sources[:, :2] == two.sources).all().item()
        (torch.Size([4, 3]), True)
    """
    if things < 1:
        raise ValueError(f"things must be at least 1, got {things}")
    check_draw(batch_size, sources, len(available) - 1)
    random = generator(seed, step)
    chosen = torch.from_numpy(integers(random, things, batch_size))
    order = orders(random, batch_size, len(available))[:, : sources + 1]
    picked = torch.from_numpy(np.asarray(available, dtype=np.int64)[order])
    return ViewSets(chosen, picked[:, 1:], picked[:, 0])
