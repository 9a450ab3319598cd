"""What datasets of rendered things have in common: several images of each, kept once drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from rfwarp.data.disk_cache import Array, DiskCache, Forms, Kept
from rfwarp.data.moving_meshes import moving_mesh_truth
from rfwarp.data.sampling import sample_view_sets
from rfwarp.data.seeds import checked_seeds
from rfwarp.data.truth import Truth
from rfwarp.data.tuples import Row


class RenderedViews:
    """Things of consecutive seeds with ``views`` images each, which bend from one to another.

    Image p * views + v is image v of thing p. All images of a thing are drawn when one is first
    asked for, by ``_render``, and kept. Subclasses name the things and call :meth:`_keep`.
    """

    thing: ClassVar[str]
    things: ClassVar[str]

    def __init__(self, first_seed: int, count: int, views: int, memory: int, truth: bool) -> None:
        for name, value, least in (("views", views, 2), (f"memory_{self.things}", memory, 1)):
            if value < least:
                raise ValueError(f"{name} must be at least {least}, got {value}")
        self.seeds = checked_seeds(self.things, first_seed, count)
        """Seed of every thing."""
        self.view_count = views
        self._memory, self._truth = memory, truth

    def _keep(self, cache: Path | None, key: Mapping[str, Any], arrays: Forms) -> None:
        """Sets where images are kept; see :class:`.DiskCache` for what a cache folder needs."""
        made = None if cache is None else DiskCache(cache, self.things, key, self.count, arrays)
        self._kept = Kept(made, self._memory)

    def _render(self, number: int) -> dict[str, Array]:
        raise NotImplementedError

    @property
    def count(self) -> int:
        """Number of things."""
        return len(self.seeds)

    @property
    def max_sources(self) -> int:
        return self.view_count - 1

    def draw(self, seed: int, step: int, batch_size: int, sources: int) -> list[Row]:
        """See :func:`rfwarp.data.sample_view_sets`."""
        views = self.view_count
        drawn = sample_view_sets(seed, step, batch_size, sources, self.count, range(views))
        return drawn.rows(views)

    def evaluation_rows(self, seed: int, count: int, sources: int) -> list[Row]:
        """The rows of step 0 of training with this seed."""
        return self.draw(seed, 0, count, sources)

    def truth(self, number: int, views: Sequence[int]) -> Truth:
        """True correspondences of images of one thing: the sources, then the target.

        Raises:
            IndexError: if there is no such thing or image.
            ValueError: if the dataset was not made for them, or without a target.
        """
        if not self._truth:
            raise ValueError(f"these {type(self).__name__} were made with truth=False")
        if not views:
            raise ValueError("views must end with the target, got none")
        self._check(number, views)
        return moving_mesh_truth(self._kept.get(number, self._render), views)

    def _views(self, row: Row) -> tuple[int, list[int]]:
        """The thing that a row shows, and the numbers of its images."""
        numbers = sorted({image // self.view_count for image in row})
        if len(numbers) != 1:
            raise ValueError(f"a row must name images of one {self.thing}, got those of {numbers}")
        return numbers[0], [image % self.view_count for image in row]

    def _check(self, number: int, views: Sequence[int]) -> None:
        for name, values, count in (
            (self.thing, [number], self.count),
            ("views", views, self.view_count),
        ):
            if values and not 0 <= min(values) <= max(values) < count:
                raise IndexError(f"{name} must lie in 0..{count - 1}, got {list(values)}")
