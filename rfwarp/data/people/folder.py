"""People as a folder of PNG files with a table of their keypoints."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

from PIL import Image

from rfwarp.data.people.render import checked_size, render_person
from rfwarp.data.seeds import checked_seed
from rfwarp.files import write_atomically
from rfwarp.poses import Keypoints, write_annotations

KEYPOINTS_FILE = "keypoints.csv"


def write_people_folder(
    out: str | os.PathLike[str],
    count: int,
    size: int | tuple[int, int],
    first_seed: int = 0,
    views: int = 24,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Renders people into PNG files ``{seed:06d}_{view:03d}.png``.

    ``keypoints.csv``, written by :func:`rfwarp.poses.write_annotations`, has the form of the
    published annotations of people. It is written last: a folder with it is complete. Files of the
    same names are overwritten; the same arguments give the same files.

    Args:
        out: folder, created if need be.
        count: number of people.
        size: height and width in pixels, one number if they are equal.
        first_seed: seed of the first person; the others follow.
        views: number of images of each.
        progress: called with (people done, count) after each person.

    Raises:
        ValueError: for a bad count, size, seed or number of views, before anything is written.

    Example:
        >>> import os
        >>> from rfwarp.data import write_people_folder
        >>> write_people_folder("people", count=1, size=16, views=2)
        >>> sorted(os.listdir("people"))
        ['000000_000.png', '000000_001.png', 'keypoints.csv']
    """
    for name, value in (("count", count), ("views", views)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    height, width = checked_size(size)
    checked_seed("person", first_seed)
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    # A table of an earlier, different run must not describe a half-written folder.
    (folder / KEYPOINTS_FILE).unlink(missing_ok=True)
    poses: dict[str, Keypoints] = {}
    for done, seed in enumerate(range(first_seed, first_seed + count), start=1):
        drawn = render_person(seed, range(views), size)
        images = drawn.images.permute(0, 2, 3, 1).contiguous().numpy()
        for view, image in enumerate(images):
            name = f"{seed:06d}_{view:03d}.png"
            file = Image.fromarray(image)
            write_atomically(folder / name, partial(file.save, format="PNG"))
            poses[name] = Keypoints(drawn.keypoints[view].numpy(), height, width)
        if progress is not None:
            progress(done, count)
    write_annotations(folder / KEYPOINTS_FILE, poses)
