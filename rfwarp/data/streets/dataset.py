"""Streets as data: frames rendered on demand, kept on disk or in memory."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from rfwarp.data.disk_cache import Array, DiskCache, Forms, Kept, byte_size
from rfwarp.data.kitti import OFFSETS, draw_near
from rfwarp.data.seeds import checked_seeds
from rfwarp.data.streets.correspondence import street_truth
from rfwarp.data.streets.drive import MOST_FRAMES
from rfwarp.data.streets.render import (
    RENDERER_VERSION,
    checked_size,
    poses,
    render_street,
    trace_street,
)
from rfwarp.data.truth import Truth
from rfwarp.data.tuples import Row, Sample
from rfwarp.poses import CameraMotion

FRAMES = 32
"""Frames of each street."""


class ProceduralStreets:
    """A :class:`rfwarp.data.TupleDataset` of drives along streets of consecutive seeds.

    Each has the same number of frames, taken at 10 Hz; image s * frames + f is frame f of street s.
    Sources are within -10 to +9 frames of the target, as in KITTI's protocol, and a pose is the
    camera's motion relative to the target's frame, in metres. A frame is rendered when first asked
    for (some 0.1 s at 128 x 128 on one core) and kept: in ``cache``, which several processes may
    share and which outlives them, or else in memory.

    Args:
        first_seed: seed of street 0.
        count: number of streets.
        size: height and width in pixels, one number if they are equal.
        frames: of each street, 10 to 64.
        cache: a folder for the frames, 3 * H * W bytes each, with truth 9 * H * W. It is created if
            need be; an existing one must have been made with the same arguments and renderer
            version.
        memory_frames: how many frames are kept in memory when there is no cache.
        truth: give true correspondences with every tuple; the sky is the background. For them,
            depth and surfaces are kept with the frames: a cache folder made with truth cannot be
            used without, and vice versa.

    Raises:
        ValueError: for bad numbers, for seeds on both sides of ``HELD_OUT_FIRST_SEED``, or for a
            cache folder that holds something else.

    Example:
        >>> from rfwarp.data import ProceduralStreets
        >>> streets = ProceduralStreets(first_seed=0, count=2, size=32)
        >>> sample = streets.load((35, 40, 38))  # frames 3 and 8 of street 1, to see frame 6
        >>> sample.sources.shape, sample.poses.shape, sample.target.shape
        (torch.Size([2, 3, 32, 32]), torch.Size([2, 6]), torch.Size([3, 32, 32]))
        >>> sample.poses[0, 5] < 0 < sample.poses[1, 5]  # metres behind and ahead
        tensor(True)
    """

    pose_kind = CameraMotion.kind

    def __init__(
        self,
        first_seed: int,
        count: int,
        size: int | tuple[int, int],
        *,
        frames: int = FRAMES,
        cache: str | os.PathLike[str] | None = None,
        memory_frames: int = 2048,
        truth: bool = False,
    ) -> None:
        if memory_frames < 1:
            raise ValueError(f"memory_frames must be at least 1, got {memory_frames}")
        self.seeds = checked_seeds("streets", first_seed, count)
        """Seed of every street."""
        self.frames = checked_frames(frames)
        self._size, self._truth = checked_size(size), truth
        self._kept = Kept(None if cache is None else self._disk_cache(Path(cache)), memory_frames)

    @property
    def count(self) -> int:
        """Number of streets."""
        return len(self.seeds)

    @property
    def height(self) -> int:
        return self._size[0]

    @property
    def width(self) -> int:
        return self._size[1]

    @property
    def max_sources(self) -> int:
        return len(OFFSETS) // 2

    def draw(self, seed: int, step: int, batch_size: int, sources: int) -> list[Row]:
        """Targets of all frames, and sources near them, see :class:`rfwarp.data.KittiFrames`."""
        targets = range(self.count * self.frames)

        def bounds(target: int) -> tuple[int, int]:
            begin = target - target % self.frames
            return begin, begin + self.frames

        return draw_near(seed, step, batch_size, sources, targets, bounds)

    def evaluation_rows(self, seed: int, count: int, sources: int) -> list[Row]:
        """The rows of step 0 of training with this seed."""
        return self.draw(seed, 0, count, sources)

    def load(self, row: Row) -> Sample:
        """The images and poses of a row.

        Raises:
            IndexError: if there is no such image.
            ValueError: if the images are not of one street.
        """
        for image in row:
            if not 0 <= image < self.count * self.frames:
                raise IndexError(f"images are 0..{self.count * self.frames - 1}, got {image}")
        streets = sorted({image // self.frames for image in row})
        if len(streets) != 1:
            raise ValueError(f"a row must name images of one street, got those of {streets}")
        way = poses(self.seeds[streets[0]], self.frames)[[image % self.frames for image in row]]
        codes = torch.stack([CameraMotion.relative(pose, way[-1]).code() for pose in way])
        kept = [self._kept.get(image, self._render) for image in row]
        shown = torch.from_numpy(np.stack([one["images"] for one in kept]))
        truth = self._truth_of(kept, way) if self._truth else None
        return Sample(shown[:-1], codes[:-1], shown[-1], codes[-1], truth)

    def _truth_of(self, kept: Sequence[Mapping[str, Array]], way: Array) -> Truth:
        depth, surface = (np.stack([one[name] for one in kept]) for name in ("depth", "surface"))
        return street_truth(depth, surface, way)

    def _render(self, image: int) -> dict[str, Array]:
        seed, frame = self.seeds[image // self.frames], image % self.frames
        pose = poses(seed, self.frames)[frame]
        drawn = render_street(seed, pose, self._size)
        made: dict[str, Array] = {"images": np.ascontiguousarray(drawn.transpose(2, 0, 1))}
        return made | trace_street(seed, pose, self._size)._asdict() if self._truth else made

    def _disk_cache(self, folder: Path) -> DiskCache:
        height, width = self._size
        key = {
            "renderer_version": RENDERER_VERSION,
            "first_seed": self.seeds[0],
            "count": self.count,
            "frames": self.frames,
            "height": height,
            "width": width,
            "truth": self._truth,
        }
        arrays = kept_arrays(height, width, self._truth)
        return DiskCache(folder, "street", key, self.count * self.frames, arrays)


def checked_frames(frames: int) -> int:
    """A number of frames of a street.

    Raises:
        ValueError: if there would be too few to have sources, or the street would end.
    """
    least = len(OFFSETS) // 2 + 1
    if not least <= frames <= MOST_FRAMES:
        raise ValueError(f"frames must lie in {least}..{MOST_FRAMES}, got {frames}")
    return frames


def kept_arrays(height: int, width: int, truth: bool) -> Forms:
    """Shapes and dtypes of the arrays that are kept of a frame."""
    arrays: Forms = {"images": ((3, height, width), np.uint8)}
    if not truth:
        return arrays
    traced: Forms = {
        "depth": ((height, width), np.float32),
        "surface": ((height, width), np.int16),
    }
    return {**arrays, **traced}


def frame_bytes(height: int, width: int, truth: bool) -> int:
    """Size in bytes of what is kept of a frame."""
    return byte_size(kept_arrays(height, width, truth))
