"""VoxCeleb2: frames of talking faces, posed by drawings of their landmarks."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from rfwarp.data.draws import check_draw, generator
from rfwarp.data.tuples import Row, Sample
from rfwarp.images import load_image
from rfwarp.poses.landmarks import FaceLandmarks

FRAMES = 8
"""Of each video; one is the target."""


class VoxCelebVideos:
    """A :class:`rfwarp.data.TupleDataset` of folders of frames, one for each video.

    ``ROOT/SPLIT/**/VIDEO/*.jpg``, cropped to the face and square, each with its landmarks
    beside it, ``NAME.npy`` (68, 2), x and y in pixels; ``rfwarp prepare voxceleb2`` detects them.
    Of a video the first :data:`FRAMES` frames are used; one with fewer is left out.

    Args:
        root: folder of the splits.
        split: "train" or "test".
        size: side of the pictures for the network, pixels.

    Raises:
        FileNotFoundError: if there is no folder of the split.
        ValueError: if it has no video with enough frames that have landmarks.
    """

    pose_kind = FaceLandmarks.kind
    max_sources = FRAMES - 1

    def __init__(self, root: Path, split: Literal["train", "test"], size: int = 224) -> None:
        self.height = self.width = size
        self._frames = [path for video in find_videos(root / split) for path in video]

    def draw(self, seed: int, step: int, batch_size: int, sources: int) -> list[Row]:
        check_draw(batch_size, sources, self.max_sources)
        random = generator(seed, step)
        videos = random.integers(len(self._frames) // FRAMES, size=batch_size) * FRAMES
        orders = random.random((batch_size, FRAMES)).argsort(axis=1, kind="stable")
        rows = (videos[:, None] + orders).tolist()
        return [(*row[1 : sources + 1], row[0]) for row in rows]

    def evaluation_rows(self, seed: int, count: int, sources: int) -> list[Row]:
        """As step 0 of training with this seed."""
        return self.draw(seed, 0, count, sources)

    def load(self, row: Row) -> Sample:
        loaded = [self._load(self._frames[frame]) for frame in row]
        pictures, codes = (torch.stack(parts) for parts in zip(*loaded, strict=True))
        return Sample(pictures[:-1], codes[:-1], pictures[-1], codes[-1])

    def _load(self, path: Path) -> tuple[Tensor, Tensor]:
        picture = load_image(str(path), path)
        face = read_landmarks(path.with_suffix(".npy"), picture.height, picture.width)
        if picture.width != picture.height:
            raise ValueError(f"{path} must be square, got {picture.width} x {picture.height}")
        size = (self.width, self.height)
        if picture.size != size:
            picture = picture.resize(size, Image.Resampling.LANCZOS)
        drawn = face.draw(self.height, self.width)
        pixels, code = (torch.from_numpy(np.array(image)) for image in (picture, drawn))
        return pixels.permute(2, 0, 1).contiguous(), code.permute(2, 0, 1).contiguous()


def find_videos(folder: Path) -> list[list[Path]]:
    """The first :data:`FRAMES` frames with landmarks of every video below a folder."""
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder}")
    videos: dict[Path, list[Path]] = {}
    for path in sorted(folder.rglob("*.jpg")):
        if path.with_suffix(".npy").is_file():
            videos.setdefault(path.parent, []).append(path)
    found = [frames[:FRAMES] for frames in videos.values() if len(frames) >= FRAMES]
    if not found:
        raise ValueError(
            f"{folder} has no video with {FRAMES} frames (.jpg) that have landmarks (.npy) beside "
            "them; rfwarp prepare voxceleb2 detects landmarks"
        )
    return found


def read_landmarks(path: Path, height: int, width: int) -> FaceLandmarks:
    """The landmarks in a ``.npy`` file, of a picture of that size.

    Raises:
        ValueError: if it cannot be read, or holds anything but (68, 2) finite numbers.
    """
    try:
        return FaceLandmarks(np.load(path, allow_pickle=False), height, width)
    except (OSError, ValueError, EOFError) as error:
        raise ValueError(f"{path} holds no landmarks: {error}") from error
