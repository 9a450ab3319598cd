"""Inference: the images of batches of rows."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from rfwarp.images import from_uint8, to_uint8
from rfwarp.jobs.reader import Batch
from rfwarp.jobs.table import Job
from rfwarp.memory import is_out_of_memory
from rfwarp.nn import Generator
from rfwarp.nn.results import EncodedSources

logger = logging.getLogger(__name__)

KEPT_SETS = 4  # encoded sets of sources; enough where rows with the same sources stand together


@dataclass(frozen=True)
class InferenceResult:
    """Rows that went through the network together.

    Attributes:
        images: (M, 3, H, W) uint8 on the CPU.
        errors: for each row None, or why it has no image.
        seconds: time of the network, divided by M.
    """

    jobs: list[Job]
    images: Tensor
    errors: list[str | None]
    seconds: float


class Inference:
    """Generates the images of batches; sources that several rows share are encoded once.

    Args:
        generator: rows are computed on the device and in the precision of its weights.
    """

    def __init__(self, generator: Generator) -> None:
        self._generator = generator
        weights = next(generator.appearance.parameters())  # other parts can be in float32
        self._device, self._dtype = weights.device, weights.dtype
        self._kept: OrderedDict[object, EncodedSources] = OrderedDict()

    @torch.inference_mode()
    def run(self, batch: Batch) -> Iterator[InferenceResult]:
        """Compute every row of the batch once, in an order that suits the network."""
        rows_of: dict[int, list[int]] = {}
        for row, number in enumerate(batch.set_of):
            rows_of.setdefault(number, []).append(row)
        alone = [rows[0] for rows in rows_of.values() if len(rows) == 1]
        shared = [rows for rows in rows_of.values() if len(rows) > 1]
        for rows in [alone, *shared] if alone else shared:
            yield from self._attempt(batch, rows)

    def _attempt(self, batch: Batch, rows: list[int]) -> Iterator[InferenceResult]:
        """Compute rows together, or in halves if the device's memory does not hold them."""
        begin = time.perf_counter()
        jobs = [batch.jobs[row] for row in rows]
        try:
            images, finite = self._draw(batch, rows)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            images = None  # handled below: in this block the error still holds what was computed
        if images is not None:
            errors = [None if ok else "the network gave non-finite values" for ok in finite]
            seconds = (time.perf_counter() - begin) / len(rows)
            yield InferenceResult(jobs, images, errors, seconds)
            return
        self._kept.clear()
        height, width = batch.sources.shape[-2:]
        size = f"{len(rows)} x {height} x {width} pixels do not fit into the device's memory"
        if len(rows) == 1:
            yield InferenceResult(jobs, torch.empty(1, 3, 0, 0, dtype=torch.uint8), [size], 0.0)
            return
        logger.warning("%s: trying half as many rows", size)
        middle = len(rows) // 2
        for half in (rows[:middle], rows[middle:]):
            yield from self._attempt(batch, half)

    def _draw(self, batch: Batch, rows: list[int]) -> tuple[Tensor, list[bool]]:
        sets = sorted({batch.set_of[row] for row in rows})
        if len(sets) == 1:
            encoded = self._encode_shared(batch, sets[0], batch.jobs[rows[0]])
        else:
            sets = [batch.set_of[row] for row in rows]
            encoded = self._encode(batch, sets)
        height, width = batch.sources.shape[-2:]
        targets = self._moved(batch.targets[rows]).expand(-1, -1, height, width)
        decoded = self._generator.decode(encoded, targets)
        finite = decoded.isfinite().flatten(1).all(dim=1)
        return to_uint8(decoded).cpu(), finite.tolist()

    def _encode_shared(self, batch: Batch, number: int, job: Job) -> EncodedSources:
        name = (job.sources, job.poses)
        if name not in self._kept:
            self._kept[name] = self._encode(batch, [number])
            if len(self._kept) > KEPT_SETS:
                self._kept.popitem(last=False)
        self._kept.move_to_end(name)
        return self._kept[name]

    def _encode(self, batch: Batch, sets: list[int]) -> EncodedSources:
        counts = torch.tensor([batch.counts[number] for number in sets])
        most = int(counts.max())
        height, width = batch.sources.shape[-2:]
        sources = from_uint8(batch.sources[sets, :most].to(self._device)).to(self._dtype)
        poses = self._moved(batch.poses[sets, :most]).expand(-1, -1, -1, height, width)
        present = None
        if int(counts.min()) < most:
            present = (torch.arange(most) < counts[:, None]).to(self._device)
        return self._generator.encode(sources, poses, present)

    def _moved(self, poses: Tensor) -> Tensor:
        return poses.to(self._device, self._dtype)
