"""Faces as data: rendered on demand, kept on disk or in memory, and drawn reproducibly."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from rfwarp.data.disk_cache import Array, Forms, byte_size
from rfwarp.data.faces.correspondence import TRACE_VERSION, trace_arrays, trace_face
from rfwarp.data.faces.render import RENDERER_VERSION, Faces, checked_side, render_face
from rfwarp.data.rendered_views import RenderedViews
from rfwarp.data.tuples import Row, Sample
from rfwarp.poses import FaceLandmarks

VIEWS = 8
"""Images of each face, as many as VoxCeleb2's protocol takes of a video."""


class ProceduralFaces(RenderedViews):
    """A :class:`rfwarp.data.TupleDataset` of faces of consecutive seeds.

    Each has the same number of images, all with an expression, a turn of the head and a framing of
    their own; image p * views + v is image v of face p. All images of a face are rendered when one
    is first asked for and kept: in ``cache``, which several processes may share and which outlives
    them, or else in memory. The code of a pose is the drawing of the 68 landmarks of
    :class:`.Faces`, all of them, hidden or not.

    Args:
        first_seed: seed of face 0.
        count: number of faces.
        size: height and width in pixels.
        views: number of images of each face.
        cache: a folder for the images, 3 * size^2 bytes each. It is created if need be; an
            existing one must have been made with the same arguments and renderer version.
        memory_faces: how many faces are kept in memory when there is no cache.
        truth: give true correspondences with every tuple. For them, the positions of surfaces are
            kept with the images: see :func:`.face_bytes`. A cache folder made with truth cannot be
            used without, and vice versa.

    Raises:
        ValueError: for bad numbers, for seeds on both sides of ``HELD_OUT_FIRST_SEED``, or for a
            cache folder that holds something else.

    Example:
        >>> from rfwarp.data import ProceduralFaces
        >>> faces = ProceduralFaces(first_seed=0, count=2, size=32, views=3)
        >>> sample = faces.load((3, 4, 5))  # the images of face 1
        >>> sample.sources.shape, sample.poses.shape, sample.target.shape
        (torch.Size([2, 3, 32, 32]), torch.Size([2, 3, 32, 32]), torch.Size([3, 32, 32]))
    """

    thing, things = "face", "faces"
    pose_kind = FaceLandmarks.kind

    def __init__(
        self,
        first_seed: int,
        count: int,
        size: int,
        *,
        views: int = VIEWS,
        cache: str | os.PathLike[str] | None = None,
        memory_faces: int = 256,
        truth: bool = False,
    ) -> None:
        super().__init__(first_seed, count, views, memory_faces, truth)
        self._size = checked_side(size)
        key = {
            "renderer_version": RENDERER_VERSION,
            "first_seed": first_seed,
            "count": count,
            "views": views,
            "size": size,
            "truth": TRACE_VERSION if truth else None,
        }
        self._keep(None if cache is None else Path(cache), key, kept_arrays(views, size, truth))

    @property
    def height(self) -> int:
        return self._size

    @property
    def width(self) -> int:
        return self._size

    def load(self, row: Row) -> Sample:
        """The images and drawn landmarks of a row.

        Raises:
            IndexError: if there is no such image.
            ValueError: if the images are not of one face.
        """
        face, views = self._views(row)
        drawn = self.images(face, views)
        codes = torch.stack(
            [FaceLandmarks(p.numpy(), self._size, self._size).code() for p in drawn.landmarks]
        )
        truth = self.truth(face, views) if self._truth else None
        return Sample(drawn.images[:-1], codes[:-1], drawn.images[-1], codes[-1], truth)

    def images(self, face: int, views: Sequence[int]) -> Faces:
        """Images 0..views-1 of a face, with landmarks and their visibility.

        Raises:
            IndexError: if there is no such face or image.
        """
        self._check(face, views)
        kept, chosen = self._kept.get(face, self._render), list(views)
        # Copies: what is kept must not change with what the caller does.
        return Faces(*(torch.from_numpy(np.array(kept[name][chosen])) for name in Faces._fields))

    def _render(self, face: int) -> dict[str, Array]:
        seed, views = self.seeds[face], range(self.view_count)
        drawn = render_face(seed, views, self._size)
        made: dict[str, Array] = {name: value.numpy() for name, value in drawn._asdict().items()}
        return {**made, **trace_face(seed, views, self._size)} if self._truth else made


def kept_arrays(views: int, size: int, truth: bool) -> Forms:
    """Shapes and dtypes of the arrays that are kept of a face."""
    arrays: Forms = {
        "images": ((views, 3, size, size), np.uint8),
        "landmarks": ((views, 68, 2), np.float32),
        "visible": ((views, 68), np.bool_),
    }
    return {**arrays, **trace_arrays(views, size)} if truth else arrays


def face_bytes(views: int, size: int, truth: bool) -> int:
    """Size in bytes of what is kept of a face: at 128 x 128, 8 views 0.4 MB, with truth 1.3 MB."""
    return byte_size(kept_arrays(views, size, truth))
