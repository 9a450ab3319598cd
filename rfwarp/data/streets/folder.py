"""Streets as a folder in the layout of KITTI odometry."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from rfwarp.data.kitti import SEQUENCES, TARGETS
from rfwarp.data.seeds import checked_seed
from rfwarp.data.streets.dataset import FRAMES, checked_frames
from rfwarp.data.streets.render import FOCAL, poses, render_street
from rfwarp.files import write_atomically
from rfwarp.poses.camera import CameraMotion

SEQUENCE_COUNT = sum(map(len, SEQUENCES.values()))
"""Number of KITTI's sequences that have poses."""

ASPECT = 1241 / 376
"""Width of KITTI's images over their height."""

SECONDS = 0.1
"""Time from frame to frame."""


def write_street_folder(
    out: str | os.PathLike[str],
    count: int = SEQUENCE_COUNT,
    size: int = 128,
    first_seed: int = 0,
    frames: int = FRAMES,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Renders drives along streets into the files of KITTI odometry, one sequence a street.

    ``sequences/NN`` has ``image_2/FFFFFF.png``, ``calib.txt`` with the projection ``P2`` and
    ``times.txt`` in seconds; ``poses/NN.txt`` has the camera's poses in the first frame. The last
    fifth of the sequences, at least one, are listed in ``id_test.txt``, the others in
    ``id_train.txt``: of eleven the two that KITTI tests on. :class:`rfwarp.data.KittiFrames` reads
    all that. Files of the same names are overwritten; the same arguments give the same files.

    Args:
        out: folder, created if need be.
        count: number of streets, at most 100.
        size: height of the images in pixels. They have KITTI's aspect, so that their middle square
            is what :class:`rfwarp.data.ProceduralStreets` shows.
        first_seed: seed of the first street; the others follow.
        frames: of each street.
        progress: called with (streets done, count) after each street.

    Raises:
        ValueError: for a bad count, size, seed or number of frames, or a folder that holds other
            frames than these, before anything is written.

    Example:
        >>> import os
        >>> from rfwarp.data import write_street_folder
        >>> write_street_folder("streets", count=1, size=16, frames=10)
        >>> sorted(os.listdir("streets")), len(os.listdir("streets/sequences/00/image_2"))
        (['id_test.txt', 'poses', 'sequences'], 10)
    """
    if not 1 <= count <= 100:
        raise ValueError(f"count must lie in 1..100, got {count}")
    if size < 1:
        raise ValueError(f"size must be at least 1, got {size}")
    checked_seed("street", first_seed)
    checked_frames(frames)
    folder, names = Path(out), [f"{number:02d}" for number in range(count)]
    files = [f"{frame:06d}.png" for frame in range(frames)]
    for name in names:
        images = folder / "sequences" / name / "image_2"
        others = sorted({path.name for path in images.glob("*.png")} - set(files))
        if others:
            raise ValueError(f"{images} holds {others[0]}, no frame of 0..{frames - 1}")
    width = size + 2 * math.floor((ASPECT - 1) * size / 2 + 0.5)  # with a middle square
    testing = max(1, count // 5)
    lists = {"train": names[:-testing], "test": names[-testing:]}
    (folder / "poses").mkdir(parents=True, exist_ok=True)
    # What an earlier, different run wrote must not describe half-written sequences.
    for split in lists:
        (folder / TARGETS.format(split=split)).unlink(missing_ok=True)
    for number, name in enumerate(names):
        (folder / "poses" / f"{name}.txt").unlink(missing_ok=True)
        _write_sequence(folder, name, files, first_seed + number, (size, width))
        if progress is not None:
            progress(number + 1, count)
    for split, listed in lists.items():
        lines = [f"{name}_{Path(file).stem}" for name in listed for file in files]
        if lines:
            _write_lines(folder / TARGETS.format(split=split), lines)


def _write_sequence(
    folder: Path, name: str, files: list[str], seed: int, size: tuple[int, int]
) -> None:
    sequence = folder / "sequences" / name
    (sequence / "image_2").mkdir(parents=True, exist_ok=True)
    way = poses(seed, len(files))
    for file, pose in zip(files, way, strict=True):
        image = Image.fromarray(render_street(seed, pose, size))
        write_atomically(sequence / "image_2" / file, partial(image.save, format="PNG"))
    height, width = size
    focal = FOCAL * height / 2
    # Pixel (0, 0) is the middle of the first pixel.
    projection = [focal, 0, (width - 1) / 2, 0, 0, focal, (height - 1) / 2, 0, 0, 0, 1, 0]
    _write_lines(sequence / "calib.txt", ["P2: " + _numbers(projection)])
    times = np.arange(len(files)) * SECONDS
    _write_lines(sequence / "times.txt", [_numbers([time]) for time in times])
    relative = [CameraMotion.relative(pose, way[0]).to_matrix() for pose in way]
    lines = [_numbers(matrix.ravel()) for matrix in relative]
    _write_lines(folder / "poses" / f"{name}.txt", lines)


def _numbers(values: object) -> str:
    return " ".join(f"{value:.9e}" for value in np.asarray(values, float))


def _write_lines(path: Path, lines: list[str]) -> None:
    text = "\n".join(lines) + "\n"
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
