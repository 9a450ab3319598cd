"""People as tuples of sources and a target."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rfwarp.data.chairs.dataset import sample_view_sets
from rfwarp.data.chairs.parameters import HELD_OUT_FIRST_SEED
from rfwarp.data.people.parameters import PersonParameters
from rfwarp.data.people.render import render_person
from rfwarp.data.people.skeleton import sample_pose
from rfwarp.data.tuples import Row, Sample
from rfwarp.poses.keypoints import Keypoints

VIEWS = 24
"""Poses of each person."""


class ProceduralPeople:
    """A :class:`rfwarp.data.TupleDataset` of people of consecutive seeds, rendered when first asked
    for; picture p * views + v is person p in pose v.

    All poses of a person are rendered together (about 0.1 s at 64 x 64 on one core) and kept in
    memory, in each process for itself.

    Args:
        first_seed: seed of person 0.
        count: number of people.
        size: height and width in pixels.
        views: number of poses of each person.
        memory_people: how many people are kept, those of the latest use; 0 keeps none, and renders
            only the poses asked for, each time anew.

    Raises:
        ValueError: for bad numbers, or for seeds on both sides of ``HELD_OUT_FIRST_SEED``.
    """

    pose_kind = Keypoints.kind

    def __init__(
        self,
        first_seed: int,
        count: int,
        size: int,
        *,
        views: int = VIEWS,
        memory_people: int = 1024,
    ) -> None:
        for name, value, least in (
            ("first_seed", first_seed, 0),
            ("count", count, 1),
            ("size", size, 1),
            ("views", views, 2),
            ("memory_people", memory_people, 0),
        ):
            if value < least:
                raise ValueError(f"{name} must be at least {least}, got {value}")
        if first_seed < HELD_OUT_FIRST_SEED < first_seed + count:
            raise ValueError(
                f"seeds {first_seed}..{first_seed + count - 1} mix training people with held-out "
                f"people, which start at seed {HELD_OUT_FIRST_SEED}"
            )
        self.first_seed, self.count, self.size, self.view_count = first_seed, count, size, views
        self._memory_people = memory_people
        self._memory: OrderedDict[int, tuple[Tensor, Tensor]] = OrderedDict()

    @property
    def height(self) -> int:
        return self.size

    @property
    def width(self) -> int:
        return self.size

    @property
    def max_sources(self) -> int:
        return self.view_count - 1

    @property
    def seeds(self) -> range:
        """Seed of every person."""
        return range(self.first_seed, self.first_seed + self.count)

    def draw(self, seed: int, step: int, batch_size: int, sources: int) -> list[Row]:
        """See :func:`rfwarp.data.sample_view_sets`."""
        views = self.view_count
        drawn = sample_view_sets(seed, step, batch_size, sources, self.count, range(views))
        wanted = torch.cat([drawn.sources, drawn.targets[:, None]], dim=1)
        return [tuple(row) for row in (drawn.chairs[:, None] * views + wanted).tolist()]

    def evaluation_rows(self, seed: int, count: int, sources: int) -> list[Row]:
        """As step 0 of training with this seed."""
        return self.draw(seed, 0, count, sources)

    def load(self, row: Row) -> Sample:
        """All pictures of a row are of one person."""
        person, indices = row[0] // self.view_count, [p % self.view_count for p in row]
        pictures, codes = self.views(person, indices)
        return Sample(pictures[:-1], codes[:-1], pictures[-1], codes[-1])

    def views(self, person: int, indices: list[int]) -> tuple[Tensor, Tensor]:
        """(V, 3, H, W) uint8 RGB pictures and (V, 18, 3) keypoints of one person.

        Raises:
            IndexError: if the person is not in 0..count-1, or a view not in 0..views-1.
        """
        if not 0 <= person < self.count:
            raise IndexError(f"person must lie in 0..{self.count - 1}, got {person}")
        if not all(0 <= index < self.view_count for index in indices):
            raise IndexError(f"views must lie in 0..{self.view_count - 1}, got {indices}")
        if self._memory_people == 0:
            return self._render(person, indices)
        if person not in self._memory:
            self._memory[person] = self._render(person, range(self.view_count))
            if len(self._memory) > self._memory_people:
                self._memory.popitem(last=False)
        self._memory.move_to_end(person)
        pictures, codes = self._memory[person]
        return pictures[indices], codes[indices]

    def _render(self, person: int, indices: list[int] | range) -> tuple[Tensor, Tensor]:
        seed = self.seeds[person]
        parameters = PersonParameters.from_seed(seed)
        pictures = torch.empty(len(indices), 3, self.size, self.size, dtype=torch.uint8)
        codes = torch.empty(len(indices), 18, 3)
        for i, view in enumerate(indices):
            pose = sample_pose(seed, view)
            picture, points = render_person(parameters, pose, self.size, self.size)
            pictures[i] = torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)))
            codes[i] = Keypoints(points, self.size, self.size).code()
        return pictures, codes

    def __getstate__(self) -> dict[str, Any]:
        # A worker process fills its own memory; sending ours would cost more than it saves.
        return {**self.__dict__, "_memory": OrderedDict()}
