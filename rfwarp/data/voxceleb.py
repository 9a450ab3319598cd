"""VoxCeleb2: frames of talking faces, posed by drawings of their landmarks."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from sys import intern

import numpy as np
import torch
from torch import Tensor

from rfwarp.data.catalog import DataConfig, DatasetRecord, Split
from rfwarp.data.check_report import Options, Progress, Report
from rfwarp.data.paper_results import PAPER, results_of
from rfwarp.data.sampling import check_draw, generator, integers, orders
from rfwarp.data.tuples import Row, Sample
from rfwarp.files import shortened
from rfwarp.images import RESIZE_FILTER, load_image
from rfwarp.poses.landmarks import FaceLandmarks
from rfwarp.poses.text import read_array

FRAMES = 8
"""Frames of each video; one is the target."""

SIZE = 224
"""Side of the images in the paper, pixels."""

FOLDERS = {"train": ("train", "dev"), "test": ("test",)}
ENDINGS = (".jpg", ".jpeg", ".png")
HEADER = ("video", *(f"frame_{i}" for i in range(FRAMES)))

Video = tuple[str, ...]
"""Path of the folder below the root, with slashes, and names of :data:`FRAMES` frames in it."""


class VoxCelebVideos:
    r"""A :class:`rfwarp.data.TupleDataset` of folders of frames, one for each video.

    ``ROOT/SPLIT/**/VIDEO/*.jpg`` or ``.png``, cropped to the face and square, each with its
    landmarks beside it, ``NAME.npy`` (68, 2), x and y in pixels; the training split may be called
    ``dev``, as the download calls it. ``rfwarp prepare voxceleb2`` chooses the frames, detects
    their landmarks, and lists them in ``voxceleb2-SPLIT.csv``.

    Args:
        root: folder of the splits.
        split: "train" or "test".
        size: side of the images for the network, pixels.

    Raises:
        FileNotFoundError: if there is no list of the split.
        ValueError: if it is malformed; the message has the line's number.

    Example:
        >>> from pathlib import Path
        >>> import numpy as np
        >>> from PIL import Image
        >>> from rfwarp.data import VoxCelebVideos
        >>> from rfwarp.viz import write_image
        >>> names = [f"{frame}.png" for frame in range(8)]
        >>> for name in names:
        ...     write_image(Path("test/id1/video1", name), Image.new("RGB", (16, 16)))
        ...     np.save(Path("test/id1/video1", name).with_suffix(".npy"), np.zeros((68, 2)))
        >>> header = ["video", *(f"frame_{i}" for i in range(8))]
        >>> table = [",".join(line) for line in (header, ["test/id1/video1", *names])]
        >>> _ = Path("voxceleb2-test.csv").write_text("\n".join(table))
        >>> dataset = VoxCelebVideos(Path(), "test", size=32)
        >>> dataset.max_sources, dataset.load((0, 1, 2)).poses.shape
        (7, torch.Size([2, 3, 32, 32]))
    """

    pose_kind = FaceLandmarks.kind
    max_sources = FRAMES - 1

    def __init__(self, root: Path, split: Split, size: int = SIZE) -> None:
        self.height = self.width = size
        self._root = root
        self._videos = read_videos(root, split)

    def draw(self, seed: int, step: int, batch_size: int, sources: int) -> list[Row]:
        check_draw(batch_size, sources, self.max_sources)
        random = generator(seed, step)
        videos = integers(random, len(self._videos), batch_size) * FRAMES
        rows = (videos[:, None] + orders(random, batch_size, FRAMES)).tolist()
        return [(*row[1 : sources + 1], row[0]) for row in rows]

    def evaluation_rows(self, seed: int, count: int, sources: int) -> list[Row]:
        """The rows of step 0 of training with this seed."""
        return self.draw(seed, 0, count, sources)

    def load(self, row: Row) -> Sample:
        loaded = [self._load(self._path(frame)) for frame in row]
        images, codes = (torch.stack(parts) for parts in zip(*loaded, strict=True))
        return Sample(images[:-1], codes[:-1], images[-1], codes[-1])

    def _path(self, frame: int) -> Path:
        folder, *names = self._videos[frame // FRAMES]
        return self._root / folder / names[frame % FRAMES]

    def _load(self, path: Path) -> tuple[Tensor, Tensor]:
        if not path.is_file():
            raise ValueError(f"{path} is missing")
        frame = load_image(str(path), path)
        face = read_landmarks(path.with_suffix(".npy"), frame.height, frame.width)
        if frame.width != frame.height:
            raise ValueError(f"{path} must be square, got {frame.width} x {frame.height}")
        size = (self.width, self.height)
        if frame.size != size:
            frame = frame.resize(size, RESIZE_FILTER)
        drawn = face.draw(self.height, self.width)
        pixels, code = (torch.from_numpy(np.array(x)) for x in (frame, drawn))
        return pixels.permute(2, 0, 1).contiguous(), code.permute(2, 0, 1).contiguous()


def table(root: Path, split: str) -> Path:
    """The list of a split's videos."""
    return root / f"voxceleb2-{split}.csv"


def read_videos(root: Path, split: str) -> list[Video]:
    """The list that ``rfwarp prepare`` wrote; see :class:`VoxCelebVideos`."""
    path = table(root, split)
    if not path.is_file():
        raise FileNotFoundError(
            f"there is no {path}: make it by rfwarp prepare voxceleb2 --root {root}"
        )
    with path.open(newline="", encoding="utf-8") as file:
        lines = csv.reader(file)
        try:
            if (header := tuple(next(lines, ()))) != HEADER:
                raise ValueError(
                    f"expected {','.join(HEADER)}, got {shortened(','.join(header))!r}"
                )
            # A million videos share the names of their frames.
            videos = [tuple(map(intern, _checked(line))) for line in lines]
        except (ValueError, csv.Error) as error:
            raise ValueError(f"{path}, line {max(1, lines.line_num)}: {error}") from error
    if not videos:
        raise ValueError(f"{path} has no videos")
    return videos


def _checked(line: list[str]) -> list[str]:
    if len(line) != len(HEADER) or len(set(line)) < len(line):
        raise ValueError(
            f"expected a folder and {FRAMES} different frames, got {shortened(','.join(line))!r}"
        )
    return line


def find_videos(root: Path, split: str) -> Iterator[tuple[Path, list[str], set[str]]]:
    """Every folder with frames below a split's: the folder, its frames in order, and those of them
    that have landmarks.

    Raises:
        FileNotFoundError: if there is no folder of the split.
    """
    folders = [root / name for name in FOLDERS[split]]
    top = next((folder for folder in folders if folder.is_dir()), None)
    if top is None:
        raise FileNotFoundError(f"there is no folder {' or '.join(map(str, folders))}")
    for folder, inner, files in os.walk(top):
        inner.sort()
        there = set(files)
        frames = sorted(name for name in files if name.lower().endswith(ENDINGS))
        if frames:
            posed = {name for name in frames if Path(name).stem + ".npy" in there}
            yield Path(folder), frames, posed


def spread(frames: Sequence[str], count: int = FRAMES) -> list[str]:
    """``count`` frames, or all if there are fewer, evenly spread over the video: neighbouring
    frames are almost equal."""
    n, count = len(frames), min(count, len(frames))
    return [frames[(2 * i + 1) * n // (2 * count)] for i in range(count)]


def read_landmarks(path: Path, height: int, width: int) -> FaceLandmarks:
    """The landmarks in a ``.npy`` file, of an image of that size.

    Raises:
        ValueError: if it cannot be read, or holds anything but (68, 2) finite numbers.
    """
    try:
        return FaceLandmarks(read_array(path), height, width)
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} holds no landmarks: {error}") from error


def open_voxceleb(config: DataConfig, split: Split) -> VoxCelebVideos:
    """The :class:`VoxCelebVideos` that a configuration with a root describes."""
    assert config.root is not None
    return VoxCelebVideos(config.root, split, config.side(SIZE))


def prepare_voxceleb(
    root: Path, split: Split, options: Options, report: Report, progress: Progress
) -> None:
    """See :func:`rfwarp.data.face_preparation.prepare_faces`."""
    from rfwarp.data.face_preparation import prepare_faces  # which reads this module

    prepare_faces(root, split, options, report, progress)


RECORD = DatasetRecord(
    name="voxceleb2",
    title="VoxCeleb2",
    open=open_voxceleb,
    options=("root",),
    pose_kind=VoxCelebVideos.pose_kind,
    max_sources=VoxCelebVideos.max_sources,
    description="VoxCeleb2: {size} pixels, 68 facial landmarks drawn as lines.",
    limits="It knows faces as interviews show them. It can make a real person seem to look or "
    "speak as they never did: ask them before you use it so. Parts that no source shows are "
    "guessed.",
    tag="face-reenactment",
    image_files="JPEG or PNG",
    origins=("https://www.robots.ox.ac.uk/~vgg/data/voxceleb/vox2.html",),
    prepare=prepare_voxceleb,
    paper_results=results_of(
        "Table 3",
        (2, "NH-FF", 37.266, 0.3150),
        (2, PAPER, 7.100, 0.2130),
        (4, "NH-FF", 37.457, 0.3131),
        (4, PAPER, 7.690, 0.2084),
    ),
)
