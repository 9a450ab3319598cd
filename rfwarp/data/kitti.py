"""KITTI odometry: images of a drive, posed by camera motion."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from rfwarp.data.catalog import DataConfig, DatasetRecord, Split
from rfwarp.data.check_report import Options, Progress, Report
from rfwarp.data.paper_results import PAPER, results_of
from rfwarp.data.sampling import check_draw, generator, integers, orders
from rfwarp.data.tuples import Row, Sample
from rfwarp.images import RESIZE_FILTER, open_image, to_rgb
from rfwarp.poses.camera import Array, CameraMotion, read_kitti_poses

OFFSETS = (*range(-10, 0), *range(1, 10))
"""Offsets of possible sources from the target, in frames: -10 to +9, without 0."""

SEQUENCES = {
    "train": tuple(f"{number:02d}" for number in range(9)),
    "test": ("09", "10"),
}
"""The eleven that have poses; the last two, as is usual in odometry, are for testing."""

SIZE = 256
"""Side of the images in the paper, pixels."""

TARGETS = "id_{split}.txt"
"""Optional lists of targets, lines ``SEQUENCE_FRAME``, as Sun et al. (2018) publish them. Sources
are then any frames near them, those of the other list included."""


class KittiFrames:
    r"""A :class:`rfwarp.data.TupleDataset` of ``sequences/NN/image_2/*.png`` and ``poses/NN.txt``.

    Images are cropped to their middle square and resized. A pose is the camera's motion relative
    to the target's frame: so it does not grow along the drive, and that of the target is zero.

    Args:
        root: folder with ``sequences`` and ``poses``.
        split: "train" or "test": the targets of the list ``id_SPLIT.txt`` if that is in the folder,
            else all frames of sequences 00 to 08, or 09 and 10.
        size: height and width of the images for the network, pixels.

    Raises:
        FileNotFoundError: if a sequence's images or poses are missing.
        ValueError: if a file of poses is malformed, or has another number of frames than there are
            images, or a target is not among them.

    Example:
        >>> from pathlib import Path
        >>> from PIL import Image
        >>> from rfwarp.data import KittiFrames
        >>> from rfwarp.viz import write_image
        >>> for frame in range(10):
        ...     write_image(f"sequences/09/image_2/{frame:06d}.png", Image.new("RGB", (64, 48)))
        >>> Path("poses").mkdir()
        >>> _ = Path("poses/09.txt").write_text(10 * "1 0 0 0 0 1 0 0 0 0 1 0\n")
        >>> _ = Path("id_test.txt").write_text("09_000005\n")
        >>> dataset = KittiFrames(Path(), "test", size=(32, 32))
        >>> dataset.draw(seed=0, step=0, batch_size=1, sources=2)[0][-1]  # the listed target
        5
    """

    pose_kind = CameraMotion.kind
    max_sources: ClassVar[int] = len(OFFSETS) // 2  # as many as at the ends of a sequence

    def __init__(self, root: Path, split: Split, size: tuple[int, int] = (SIZE, SIZE)) -> None:
        self.height, self.width = size
        self._images: list[Path] = []
        self._poses: list[Array] = []
        self._bounds: list[tuple[int, int]] = []  # of the sequence that a frame is in
        self._targets: list[int] = []
        for name, listed in read_targets(root, split).items():
            images, poses = read_sequence(root, name)
            begin = len(self._images)
            self._bounds += [(begin, begin + len(images))] * len(images)
            self._images += images
            self._poses += list(poses)
            targets = range(len(images)) if listed is None else listed
            if max(targets) >= len(images):
                raise ValueError(
                    f"{root / TARGETS.format(split=split)} has frame {max(targets)} of sequence "
                    f"{name}, which ends at {len(images) - 1}"
                )
            self._targets += [begin + frame for frame in targets]

    def draw(self, seed: int, step: int, batch_size: int, sources: int) -> list[Row]:
        return draw_near(seed, step, batch_size, sources, self._targets, self._bounds.__getitem__)

    def evaluation_rows(self, seed: int, count: int, sources: int) -> list[Row]:
        """The rows of step 0 of training with this seed."""
        return self.draw(seed, 0, count, sources)

    def load(self, row: Row) -> Sample:
        reference = self._poses[row[-1]]
        codes = [CameraMotion.relative(self._poses[frame], reference).code() for frame in row]
        images = torch.stack([self._load(self._images[frame]) for frame in row])
        poses = torch.stack(codes)
        return Sample(images[:-1], poses[:-1], images[-1], poses[-1])

    def _load(self, path: Path) -> Tensor:
        image = to_rgb(open_image(path))
        side = min(image.size)
        left, upper = ((extent - side) // 2 for extent in image.size)
        square = image.crop((left, upper, left + side, upper + side))
        resized = square.resize((self.width, self.height), RESIZE_FILTER)
        return torch.from_numpy(np.array(resized)).permute(2, 0, 1).contiguous()


def draw_near(
    seed: int,
    step: int,
    batch_size: int,
    sources: int,
    targets: Sequence[int],
    bounds: Callable[[int], tuple[int, int]],
) -> list[Row]:
    """Random targets, each with sources in random order within OFFSETS of it.

    Args:
        seed, step, batch_size, sources: see :class:`.TupleDataset`.
        targets: frames to choose from.
        bounds: tells the first frame of a target's sequence, and the one after its last.
    """
    check_draw(batch_size, sources, len(OFFSETS) // 2)
    random = generator(seed, step)
    chosen = integers(random, len(targets), batch_size).tolist()
    offsets = orders(random, batch_size, len(OFFSETS)).tolist()
    rows = []
    for target, order in zip((targets[i] for i in chosen), offsets, strict=True):
        begin, end = bounds(target)
        near = (target + OFFSETS[i] for i in order)
        rows.append((*[frame for frame in near if begin <= frame < end][:sources], target))
    return rows


def read_targets(root: Path, split: Split) -> dict[str, tuple[int, ...] | None]:
    """The split's sequences, each with the frames that are targets, or None for all.

    Raises:
        ValueError: if a line of the list is malformed; the message has its number.
    """
    path = root / TARGETS.format(split=split)
    if not path.is_file():
        return dict.fromkeys(SEQUENCES[split])
    frames: dict[str, set[int]] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        match = re.fullmatch(r"(\d\d)_(\d{6})", line.strip(), re.ASCII)
        if match is None:
            raise ValueError(f"{path}, line {number}: expected SEQUENCE_FRAME, got {line!r}")
        frames.setdefault(match[1], set()).add(int(match[2]))
    if not frames:
        raise ValueError(f"{path} is empty")
    return {name: tuple(sorted(listed)) for name, listed in sorted(frames.items())}


def read_sequence(root: Path, name: str) -> tuple[list[Path], Array]:
    """The images of a sequence in order, and (frames, 3, 4) poses.

    Raises:
        FileNotFoundError, ValueError: see :class:`KittiFrames`.
    """
    folder, poses = root / "sequences" / name / "image_2", root / "poses" / f"{name}.txt"
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder}")
    if not poses.is_file():
        raise FileNotFoundError(f"there is no file {poses}")
    read = read_kitti_poses(poses)
    images = [folder / f"{frame:06d}.png" for frame in range(len(read))]
    there = {path.name for path in folder.glob("*.png")}
    missing = [path.name for path in images if path.name not in there]
    if missing or len(there) != len(images):
        lacking = f", without {_listed(missing)}" if missing else ""
        raise ValueError(
            f"{poses} has {len(read)} poses, so {folder} must hold 000000.png to "
            f"{images[-1].name}, but it holds {len(there)} images{lacking}"
        )
    if len(read) <= KittiFrames.max_sources:
        raise ValueError(f"{poses} has {len(read)} frames, too few to have sources")
    return images, read


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - 20} more" if len(names) > 20 else ""
    return ", ".join(names[:20]) + more


def prepare_kitti(
    root: Path, split: Split, options: Options, report: Report, progress: Progress
) -> None:
    """Check a split's sequences; see :class:`KittiFrames` for what it raises."""
    frames, failures, sequences = 0, 0, list(read_targets(root, split))
    for done, name in enumerate(sequences, start=1):
        try:
            images, _ = read_sequence(root, name)
        except (FileNotFoundError, ValueError) as error:
            report.complain(error)
            failures += 1
            images = []
        frames += len(images)
        for path in images if options.decode else ():
            try:
                open_image(path)
            except ValueError as error:
                report.complain(error)
                failures += 1
        progress(done, len(sequences))
    report.usable[f"{split} frames"] = frames
    if failures:
        raise ValueError(f"{failures} of its sequences or images are missing or broken")
    KittiFrames(root, split)  # checks that the targets are there


def open_kitti(config: DataConfig, split: Split) -> KittiFrames:
    """The :class:`KittiFrames` that a configuration with a root describes."""
    assert config.root is not None
    return KittiFrames(config.root, split, config.shape(SIZE))


RECORD = DatasetRecord(
    name="kitti",
    title="KITTI odometry",
    open=open_kitti,
    options=("root",),
    pose_kind=KittiFrames.pose_kind,
    max_sources=KittiFrames.max_sources,
    description="KITTI odometry: {size} pixels, sources within ten frames of the target.",
    limits="It knows streets as seen from one car, and small motions of its camera. Parts that no "
    "source shows are guessed.",
    tag="novel-view-synthesis",
    image_files="PNG",
    origins=("https://www.cvlibs.net/datasets/kitti/eval_odometry.php",),
    prepare=prepare_kitti,
    paper_results=results_of(
        "Table 2",
        (2, "M2N", 18.798, 0.1958),
        (2, PAPER, 8.505, 0.1721),
    ),
)
