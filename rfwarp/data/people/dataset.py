"""People as data: rendered on demand, kept on disk or in memory, and drawn reproducibly."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from rfwarp.data.disk_cache import Array, Forms, byte_size
from rfwarp.data.people.correspondence import (
    TRACE_VERSION,
    trace_arrays,
    trace_person,
)
from rfwarp.data.people.render import (
    RENDERER_VERSION,
    People,
    checked_size,
    render_person,
    render_poses,
)
from rfwarp.data.people.walking import walk
from rfwarp.data.rendered_views import RenderedViews
from rfwarp.data.tuples import Clip, Row, Sample
from rfwarp.poses import Keypoints

VIEWS = 24
"""Images of each person."""
CLIP_FRAMES = 16
"""Frames of a clip, somewhat more than a step."""


class ProceduralPeople(RenderedViews):
    """A :class:`rfwarp.data.TupleDataset` of people of consecutive seeds.

    Each has the same number of images, all in poses of their own; image p * views + v is image v of
    person p. All images of a person are rendered when one is first asked for (about 7 ms each at
    64 x 64 on one core) and kept: in ``cache``, which several processes may share and which
    outlives them, or else in memory. The code of a pose is the keypoints of :class:`.People`.

    Args:
        first_seed: seed of person 0.
        count: number of people.
        size: height and width in pixels, one number if they are equal.
        views: number of images of each person.
        cache: a folder for the images, 3 * H * W bytes each. It is created if need be; an
            existing one must have been made with the same arguments and renderer version.
        memory_people: how many people are kept in memory when there is no cache.
        truth: give true correspondences with every tuple. For them, the positions of surfaces are
            kept with the images: see :func:`person_bytes`, and 4 ms more for each image when it is
            rendered. A cache folder made with truth cannot be used without, and vice versa.

    Raises:
        ValueError: for bad numbers, for seeds on both sides of ``HELD_OUT_FIRST_SEED``, or for a
            cache folder that holds something else.

    Example:
        >>> from rfwarp.data import ProceduralPeople
        >>> people = ProceduralPeople(first_seed=0, count=2, size=(32, 16), views=3)
        >>> sample = people.load((3, 4, 5))  # the images of person 1
        >>> sample.sources.shape, sample.poses.shape, sample.target.shape
        (torch.Size([2, 3, 32, 16]), torch.Size([2, 18, 3]), torch.Size([3, 32, 16]))
    """

    thing, things = "person", "people"
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
        super().__init__(first_seed, count, views, memory_people, truth)
        self._size = height, width = checked_size(size)
        key = {
            "renderer_version": RENDERER_VERSION,
            "first_seed": first_seed,
            "count": count,
            "views": views,
            "height": height,
            "width": width,
        }
        if truth:  # older caches have no such key
            key["truth"] = TRACE_VERSION
        self._keep(
            None if cache is None else Path(cache), key, kept_arrays(views, height, width, truth)
        )

    @property
    def height(self) -> int:
        return self._size[0]

    @property
    def width(self) -> int:
        return self._size[1]

    def load(self, row: Row) -> Sample:
        """The images and keypoints of a row.

        Raises:
            IndexError: if there is no such image.
            ValueError: if the images are not of one person.
        """
        person, views = self._views(row)
        drawn = self.images(person, views)
        shown, codes = drawn.images, drawn.keypoints
        truth = self.truth(person, views) if self._truth else None
        return Sample(shown[:-1], codes[:-1], shown[-1], codes[-1], truth)

    def images(self, person: int, views: Sequence[int]) -> People:
        """Images 0..views-1 of a person, with keypoints and their visibility.

        Raises:
            IndexError: if there is no such person or image.
        """
        self._check(person, views)
        kept, chosen = self._kept.get(person, self._render), list(views)
        # Copies: what is kept must not change with what the caller does.
        return People(*(torch.from_numpy(np.array(kept[name][chosen])) for name in People._fields))

    def clips(self, count: int, sources: int) -> Iterator[Clip]:
        """The first people walking on the spot, each seen from another side.

        Each has its first images for sources; frames are rendered at every call.

        Raises:
            ValueError: if there are not so many sources.
        """
        if not 1 <= sources <= self.max_sources:
            raise ValueError(f"sources must lie in 1..{self.max_sources}, got {sources}")
        people = min(count, self.count)
        for person in range(people):
            shown = self.images(person, range(sources))
            motion = walk(CLIP_FRAMES, 2 * math.pi * (person + 0.5) / people)
            walking = render_poses(self.seeds[person], motion, self._size)
            yield Clip(shown.images, shown.keypoints, walking.images, walking.keypoints)

    def _render(self, person: int) -> dict[str, Array]:
        seed, views = self.seeds[person], range(self.view_count)
        drawn = render_person(seed, views, self._size)
        made: dict[str, Array] = {name: value.numpy() for name, value in drawn._asdict().items()}
        return {**made, **trace_person(seed, views, self._size)} if self._truth else made


def kept_arrays(views: int, height: int, width: int, truth: bool) -> Forms:
    """Shapes and dtypes of the arrays that are kept of a person."""
    arrays: Forms = {
        "images": ((views, 3, height, width), np.uint8),
        "keypoints": ((views, Keypoints.channels, 3), np.float32),
        "visible": ((views, Keypoints.channels), np.bool_),
    }
    return {**arrays, **trace_arrays(views, height, width)} if truth else arrays


def person_bytes(views: int, height: int, width: int, truth: bool) -> int:
    """Size in bytes of what is kept of a person: at 64 x 64, 24 views 0.3 MB, with truth 1.3 MB.

    At 128 x 128 it is 1.2 and 2.8 MB.
    """
    return byte_size(kept_arrays(views, height, width, truth))
