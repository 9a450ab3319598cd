"""Faces as a folder of PNG files with their landmarks beside them."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from rfwarp.data.faces.dataset import VIEWS
from rfwarp.data.faces.render import checked_side, render_face
from rfwarp.data.seeds import checked_seed
from rfwarp.files import write_atomically


def write_faces_folder(
    out: str | os.PathLike[str],
    count: int,
    size: int,
    first_seed: int = 0,
    views: int = VIEWS,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Renders faces into PNG files ``{seed:06d}/{view:03d}.png``.

    Beside each lies a ``.npy`` file of its 68 landmarks, (68, 2) float32 pixels, as
    :class:`rfwarp.data.VoxCelebVideos` and :class:`rfwarp.data.ImageFolder` read them; it is
    written before the image. Files of the same names are overwritten; the same arguments give the
    same files.

    Args:
        out: folder, created if need be.
        count: number of faces.
        size: height and width in pixels.
        first_seed: seed of the first face; the others follow.
        views: number of images of each.
        progress: called with (faces done, count) after each face.

    Raises:
        ValueError: for a bad count, size, seed or number of views, before anything is written.

    Example:
        >>> import os
        >>> from rfwarp.data import write_faces_folder
        >>> write_faces_folder("faces", count=1, size=16, views=2)
        >>> sorted(os.listdir("faces/000000"))
        ['000.npy', '000.png', '001.npy', '001.png']
    """
    for name, value in (("count", count), ("views", views)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    checked_side(size)
    checked_seed("face", first_seed)
    for done, seed in enumerate(range(first_seed, first_seed + count), start=1):
        folder = Path(out) / f"{seed:06d}"
        folder.mkdir(parents=True, exist_ok=True)
        drawn = render_face(seed, range(views), size)
        images = drawn.images.permute(0, 2, 3, 1).contiguous().numpy()
        for view, image in enumerate(images):
            path = folder / f"{view:03d}.png"
            points = drawn.landmarks[view].numpy()
            write_atomically(path.with_suffix(".npy"), partial(_save, points))
            write_atomically(path, partial(Image.fromarray(image).save, format="PNG"))
        if progress is not None:
            progress(done, count)


def _save(points: npt.NDArray[np.float32], path: Path) -> None:
    with path.open("wb") as file:  # np.save would add an ending to a path
        np.save(file, points)
