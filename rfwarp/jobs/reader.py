"""The images and poses of rows, read in worker processes and collated into batches."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset, get_worker_info

from rfwarp.images import load_images, to_uint8
from rfwarp.jobs.table import Job, PoseText
from rfwarp.nn.config import GeneratorConfig
from rfwarp.nn.image_inputs import ImageSize, pose_map
from rfwarp.poses.encoding import PoseLike
from rfwarp.poses.text import parse_pose, viewpoint_of_file


@dataclass(frozen=True)
class Batch:
    """Rows of one size (H, W), with S distinct sets of at most K sources.

    Attributes:
        jobs: M rows.
        set_of: the set of each row, M numbers.
        counts: how many sources each set has, S numbers; the other ones are zeros.
        sources: (S, K, 3, H, W) uint8.
        poses: float32, (S, K, c_p, H, W), or (S, K, c_p, 1, 1) if they do not vary over an image.
        targets: float32, (M, c_p, H, W) or (M, c_p, 1, 1).
    """

    jobs: list[Job]
    set_of: list[int]
    counts: list[int]
    sources: Tensor
    poses: Tensor
    targets: Tensor


@dataclass(frozen=True)
class Chunk:
    """Consecutive rows: batches, one per size, and the errors of the rows in none of them."""

    batches: list[Batch]
    failures: list[tuple[Job, str]]


@dataclass(frozen=True)
class _Sources:
    images: Tensor  # (K, 3, H, W) uint8
    poses: list[Tensor]


class JobReader(Dataset[Chunk]):
    """``reader[jobs]`` is the chunk of a list of rows. A bad row is a failure of its chunk.

    Args:
        folder: that the paths of sources and poses are relative to.
        config: of the model.
        size: that sources are resized to, see :meth:`rfwarp.nn.Generator.generate`.
    """

    def __init__(
        self, folder: str | os.PathLike[str], config: GeneratorConfig, size: ImageSize
    ) -> None:
        self.folder = Path(folder)
        self.config = config
        self.size = None if size == "native" else size

    def __getitem__(self, jobs: list[Job]) -> Chunk:
        sets: dict[object, _Sources | str] = {}
        by_size: dict[tuple[int, int], list[tuple[Job, Tensor, _Sources]]] = {}
        failures: list[tuple[Job, str]] = []
        for job in jobs:
            name = (job.sources, job.poses)
            if name not in sets:
                sets[name] = self._sources(job)
            sources = sets[name]
            target = sources if isinstance(sources, str) else self._target(job, sources)
            if isinstance(sources, str) or isinstance(target, str):
                failures.append((job, str(target)))
            else:
                height, width = sources.images.shape[-2:]
                by_size.setdefault((height, width), []).append((job, target, sources))
        return Chunk([_batch(rows) for rows in by_size.values()], failures)

    def _sources(self, job: Job) -> _Sources | str:
        """The sources of a row, or what is wrong with them."""
        try:
            images = to_uint8(load_images([self.folder / s for s in job.sources], self.size))
            poses = job.poses or (None,) * len(job.sources)
            height, width = images.shape[-2:]
            return _Sources(
                images,
                [
                    self._pose(f"poses[{k}]", pose, source, height, width)
                    for k, (pose, source) in enumerate(zip(poses, job.sources, strict=True))
                ],
            )
        except Exception as error:  # damaged files make decoders raise whatever comes
            return _described(error)

    def _target(self, job: Job, sources: _Sources) -> Tensor | str:
        try:
            height, width = sources.images.shape[-2:]
            return self._pose("target", job.target, job.sources[0], height, width)
        except Exception as error:  # as above
            return _described(error)

    def _pose(
        self, name: str, text: PoseText | None, image: str, height: int, width: int
    ) -> Tensor:
        """(c_p, H, W), or (c_p, 1, 1) if it is the same everywhere."""
        pose: PoseLike
        if text is None:
            pose = viewpoint_of_file(image)
        elif isinstance(text, str):
            pose = parse_pose(text, self.folder, image)
        else:
            pose = np.array(text)
        encoded = pose_map(self.config, name, pose, (height, width))
        return encoded[:, :1, :1] if encoded.stride()[1:] == (0, 0) else encoded


def _described(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if isinstance(error, OSError | ValueError) and text else f"{error!r}"


def _batch(rows: list[tuple[Job, Tensor, _Sources]]) -> Batch:
    sets = list({id(sources): sources for _, _, sources in rows}.values())
    number = {id(sources): s for s, sources in enumerate(sets)}
    poses = _alike([pose for sources in sets for pose in sources.poses], sets[0].images)
    counts = [len(sources.poses) for sources in sets]
    tensors = [
        pad_sequence([sources.images for sources in sets], batch_first=True),
        pad_sequence(torch.stack(poses).split(counts), batch_first=True),
        torch.stack(_alike([target for _, target, _ in rows], sets[0].images)),
    ]
    if get_worker_info() is not None:
        # They would be anyway, but in a thread whose errors (shared memory is often scarce in
        # containers) get lost, so that the main process waits for ever.
        tensors = [tensor.share_memory_() for tensor in tensors]
    return Batch(
        [job for job, _, _ in rows],
        [number[id(sources)] for _, _, sources in rows],
        counts,
        *tensors,
    )


def _alike(poses: list[Tensor], images: Tensor) -> list[Tensor]:
    """Poses of one form: vectors if all are, else maps."""
    if all(pose.shape[1:] == (1, 1) for pose in poses):
        return poses
    return [pose.expand(-1, *images.shape[-2:]) for pose in poses]
