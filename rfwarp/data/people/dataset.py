"""People as data: rendered on demand, kept on disk or in memory, and drawn reproducibly."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from rfwarp.data.disk_cache import Array, DiskCache, Forms, Kept
from rfwarp.data.draws import sample_view_sets
from rfwarp.data.people.correspondence import (
    TRACE_VERSION,
    person_truth,
    trace_arrays,
    trace_person,
)
from rfwarp.data.people.render import RENDERER_VERSION, People, checked_size, render_person
from rfwarp.data.seeds import checked_seeds
from rfwarp.data.truth import Truth
from rfwarp.data.tuples import Row, Sample
from rfwarp.poses import Keypoints

VIEWS = 24
"""Pictures of each person."""


class ProceduralPeople:
    """A :class:`rfwarp.data.TupleDataset` of people of consecutive seeds.

    Each has the same number of images, all in poses of their own; image p * views + v is
    image v of person p. All images of a person are rendered when one is first asked for (about
    7 ms each at 64 x 64 on one core) and kept: in ``cache``, which several processes may share and
    which outlives them, or else in memory. The code of a pose is the keypoints of :class:`.People`.

    Args:
        first_seed: seed of person 0.
        count: number of people.
        size: height and width in pixels, one number if they are equal.
        views: number of images of each person.
        cache: a folder for the images, 3 * H * W bytes each. It is created if need be; an
            existing one must have been made with the same arguments and renderer version.
        memory_people: how many people are kept in memory when there is no cache.
        truth: give true correspondences with every tuple. What they are made from is kept with the
            pictures: see :func:`person_bytes`, and 4 ms more for each when it is rendered. A cache
            folder that was made with truth is not one without, nor the other way round.

    Raises:
        ValueError: for bad numbers, for seeds on both sides of ``HELD_OUT_FIRST_SEED``, or for a
            cache folder that holds something else.

    Example:
        >>> from rfwarp.data import ProceduralPeople
        >>> people = ProceduralPeople(first_seed=0, count=2, size=(32, 16), views=3)
        >>> sample = people.load((3, 4, 5))  # the pictures of person 1
        >>> sample.sources.shape, sample.poses.shape, sample.target.shape
        (torch.Size([2, 3, 32, 16]), torch.Size([2, 18, 3]), torch.Size([3, 32, 16]))
    """

    pose_kind = "keypoints"

    def __init__(
        self,
        first_seed: int,
        count: int,
        size: int | tuple[int, int],
        *,
        views: int = VIEWS,
        cache: str | os.PathLike[str] | None = None,
        memory_people: int = 256,
        truth: bool = False,
    ) -> None:
        for name, value, least in (("views", views, 2), ("memory_people", memory_people, 1)):
            if value < least:
                raise ValueError(f"{name} must be at least {least}, got {value}")
        self.seeds = checked_seeds("people", first_seed, count)
        """Seed of every person."""
        self.view_count = views
        self._size, self._truth = checked_size(size), truth
        self._kept = Kept(None if cache is None else self._disk_cache(Path(cache)), memory_people)

    @property
    def count(self) -> int:
        """Number of people."""
        return len(self.seeds)

    @property
    def height(self) -> int:
        return self._size[0]

    @property
    def width(self) -> int:
        return self._size[1]

    @property
    def max_sources(self) -> int:
        return self.view_count - 1

    def draw(self, seed: int, step: int, batch_size: int, sources: int) -> list[Row]:
        """See :func:`rfwarp.data.sample_view_sets`."""
        views = self.view_count
        drawn = sample_view_sets(seed, step, batch_size, sources, self.count, range(views))
        return drawn.rows(views)

    def evaluation_rows(self, seed: int, count: int, sources: int) -> list[Row]:
        """As step 0 of training with this seed."""
        return self.draw(seed, 0, count, sources)

    def load(self, row: Row) -> Sample:
        """The pictures and keypoints of a row.

        Raises:
            IndexError: if there is no such picture.
            ValueError: if the pictures are not of one person.
        """
        people = sorted({picture // self.view_count for picture in row})
        if len(people) != 1:
            raise ValueError(f"a row must name pictures of one person, got those of {people}")
        views = [picture % self.view_count for picture in row]
        drawn = self.pictures(people[0], views)
        images, codes = drawn.pictures, drawn.keypoints
        truth = self.truth(people[0], views) if self._truth else None
        return Sample(images[:-1], codes[:-1], images[-1], codes[-1], truth)

    def pictures(self, person: int, views: Sequence[int]) -> People:
        """Pictures 0..views-1 of a person, with keypoints and their visibility.

        Raises:
            IndexError: if there is no such person or picture.
        """
        self._check(person, views)
        kept, chosen = self._kept.get(person, self._render), list(views)
        # Copies: what is kept must not change with what the caller does.
        return People(*(torch.from_numpy(np.array(kept[name][chosen])) for name in People._fields))

    def truth(self, person: int, views: Sequence[int]) -> Truth:
        """True correspondences of pictures of a person: the sources, then the target.

        Raises:
            IndexError: if there is no such person or picture.
            ValueError: if the dataset was not made for them, or without a target.
        """
        if not self._truth:
            raise ValueError("these ProceduralPeople were made with truth=False")
        if not views:
            raise ValueError("views must end with the target, got none")
        self._check(person, views)
        return person_truth(self._kept.get(person, self._render), views)

    def _check(self, person: int, views: Sequence[int]) -> None:
        for name, values, count in (
            ("person", [person], self.count),
            ("views", views, self.view_count),
        ):
            if values and not 0 <= min(values) <= max(values) < count:
                raise IndexError(f"{name} must lie in 0..{count - 1}, got {list(values)}")

    def _render(self, person: int) -> dict[str, Array]:
        seed, views = self.seeds[person], range(self.view_count)
        drawn = render_person(seed, views, self._size)
        made: dict[str, Array] = {name: value.numpy() for name, value in drawn._asdict().items()}
        return {**made, **trace_person(seed, views, self._size)} if self._truth else made

    def _disk_cache(self, folder: Path) -> DiskCache:
        views, (height, width) = self.view_count, self._size
        key = {
            "renderer_version": RENDERER_VERSION,
            "first_seed": self.seeds[0],
            "count": self.count,
            "views": views,
            "height": height,
            "width": width,
        }
        if self._truth:  # older caches have no such key
            key["truth"] = TRACE_VERSION
        arrays = kept_arrays(views, height, width, self._truth)
        return DiskCache(folder, "people", key, self.count, arrays)


def kept_arrays(views: int, height: int, width: int, truth: bool) -> Forms:
    """Shapes and dtypes of what is kept of a person."""
    arrays: Forms = {
        "pictures": ((views, 3, height, width), np.uint8),
        "keypoints": ((views, Keypoints.channels, 3), np.float32),
        "visible": ((views, Keypoints.channels), np.bool_),
    }
    return {**arrays, **trace_arrays(views, height, width)} if truth else arrays


def person_bytes(views: int, height: int, width: int, truth: bool) -> int:
    """Of what is kept of a person: at 64 x 64, 24 views take 0.3 MB, with truth 1.3 MB.

    At 128 x 128 it is 1.2 and 2.8 MB.
    """
    arrays = kept_arrays(views, height, width, truth).values()
    return sum(math.prod(shape) * np.dtype(dtype).itemsize for shape, dtype in arrays)
