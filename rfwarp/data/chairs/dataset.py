"""Chairs as data: rendered on demand, kept on disk or in memory."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from rfwarp.data.chairs.render import RENDERER_VERSION, render_truth, render_views
from rfwarp.data.disk_cache import Array, DiskCache, Kept
from rfwarp.data.seeds import checked_seeds
from rfwarp.data.truth import Truth

VIEW_COUNT = 54


class ChairViews(Protocol):
    """Interface of a set of chairs: images by chair and view.

    Example:
        >>> from rfwarp.data import ChairViews, ProceduralChairs
        >>> chairs: ChairViews = ProceduralChairs(0, 3, size=16, memory_chairs=0)
        >>> chairs.count, len(chairs.available)
        (3, 54)
    """

    @property
    def count(self) -> int:
        """Number of chairs."""

    @property
    def size(self) -> int:
        """Height and width of every image, pixels."""

    @property
    def available(self) -> tuple[int, ...]:
        """View indices that exist for every chair, ascending."""

    def views(self, chair: int, indices: Sequence[int] | Tensor) -> Tensor:
        """(V, 3, size, size) uint8 RGB: chair 0..count-1 at the given view indices."""


@runtime_checkable
class TrueViews(ChairViews, Protocol):
    """Chairs whose geometry is known.

    Example:
        >>> from rfwarp.data import ProceduralChairs, TrueViews
        >>> isinstance(ProceduralChairs(0, 1, size=16), TrueViews)
        True
    """

    def truth(self, chair: int, indices: Sequence[int] | Tensor) -> Truth:
        """True correspondences of views of one chair: of K sources, then the target."""


def checked_indices(source: ChairViews, chair: int, indices: Sequence[int] | Tensor) -> list[int]:
    """The view indices as integers.

    Raises:
        IndexError: if the chair is not one of ``source.count``.
        ValueError: if a view is not available.
    """
    if not 0 <= chair < source.count:
        raise IndexError(f"chair must lie in 0..{source.count - 1}, got {chair}")
    wanted = [int(i) for i in (indices.tolist() if isinstance(indices, Tensor) else indices)]
    missing = sorted(set(wanted) - set(source.available))
    if missing:
        raise ValueError(
            f"view indices {missing} are not available; there are {len(source.available)} views "
            f"in {source.available[0]}..{source.available[-1]}"
        )
    return wanted


class ProceduralChairs:
    """Chairs of consecutive seeds, rendered when first asked for.

    All 54 views of a chair are rendered together (about 0.1 s at 64 x 64 on one core) and kept: in
    ``cache``, which several processes may share and which outlives them, or else in memory. If
    neither keeps anything, only the views asked for are rendered, each time anew.

    Args:
        first_seed: seed of chair 0.
        count: number of chairs.
        size: height and width in pixels.
        cache: a folder for the images, 54 * 3 * size^2 bytes per chair. It is created if need be;
            an existing one must have been made with the same arguments and renderer version.
        memory_chairs: how many chairs are kept in memory when there is no cache; 0 keeps none.

    Raises:
        ValueError: for bad numbers, for seeds on both sides of ``HELD_OUT_FIRST_SEED``, or for a
            cache folder that holds something else.

    Example:
        >>> from rfwarp.data import ProceduralChairs
        >>> chairs = ProceduralChairs(first_seed=0, count=10, size=16, memory_chairs=0)
        >>> chairs.views(3, [0, 27]).shape
        torch.Size([2, 3, 16, 16])
    """

    def __init__(
        self,
        first_seed: int,
        count: int,
        size: int,
        cache: str | os.PathLike[str] | None = None,
        *,
        memory_chairs: int = 256,
    ) -> None:
        for name, value, least in (("size", size, 1), ("memory_chairs", memory_chairs, 0)):
            if value < least:
                raise ValueError(f"{name} must be at least {least}, got {value}")
        self._seeds = checked_seeds("chairs", first_seed, count)
        self.first_seed, self._size = first_seed, size
        self._kept = None
        if cache is not None or memory_chairs > 0:
            disk = None if cache is None else self._disk_cache(Path(cache))
            self._kept = Kept(disk, memory_chairs)

    @property
    def count(self) -> int:
        return len(self._seeds)

    @property
    def size(self) -> int:
        return self._size

    @property
    def available(self) -> tuple[int, ...]:
        return tuple(range(VIEW_COUNT))

    @property
    def seeds(self) -> range:
        """Seed of every chair."""
        return self._seeds

    def _disk_cache(self, folder: Path) -> DiskCache:
        key = {
            "renderer_version": RENDERER_VERSION,
            "first_seed": self.seeds[0],
            "count": self.count,
            "size": self.size,
        }
        shape = (VIEW_COUNT, 3, self.size, self.size)
        return DiskCache(folder, "chair", key, self.count, {"images": (shape, np.uint8)})

    def views(self, chair: int, indices: Sequence[int] | Tensor) -> Tensor:
        """(V, 3, size, size) uint8 RGB images of one chair.

        Raises:
            IndexError: if the chair is not in 0..count-1.
            ValueError: if a view index is not in 0..53.
        """
        wanted = checked_indices(self, chair, indices)
        if self._kept is None:
            return render_views(self.seeds[chair], wanted, self.size)
        kept = self._kept.get(chair, self._render)["images"]
        return torch.from_numpy(np.array(kept[wanted]))

    def truth(self, chair: int, indices: Sequence[int] | Tensor) -> Truth:
        """True correspondences of views of one chair, computed each time anew.

        Args:
            chair: 0..count-1.
            indices: K + 1 view indices: the sources, then the target.

        Raises:
            IndexError: if the chair is not in 0..count-1.
            ValueError: if a view index is not in 0..53.
        """
        wanted = checked_indices(self, chair, indices)
        return render_truth(self.seeds[chair], wanted, self.size)

    def _render(self, chair: int) -> dict[str, Array]:
        return {"images": render_views(self.seeds[chair], range(VIEW_COUNT), self.size).numpy()}
