"""Runs a table of jobs in bounded memory, going on where an earlier run ended."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from collections import abc
from collections.abc import Callable, Iterable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch.utils.data import DataLoader

from rfwarp.images import height_and_width
from rfwarp.interrupts import noted_interrupts, outlive_interrupts
from rfwarp.jobs.inference import Inference
from rfwarp.jobs.lock import FolderLock
from rfwarp.jobs.log import Results, ResultsLog
from rfwarp.jobs.plan import Plan, Share, make_plan
from rfwarp.jobs.reader import Chunk, JobReader
from rfwarp.jobs.writer import ImageWriter
from rfwarp.nn import Generator
from rfwarp.nn.image_inputs import ImageSize

logger = logging.getLogger(__name__)

PREFETCH = 2  # chunks that each reader process is ahead


@dataclass(frozen=True)
class Summary:
    """Outcome of the rows of one process.

    Attributes:
        done: rows whose images were written now.
        skipped: rows that were done before.
        failed: rows without an image.
        seconds: from the first row read to the last image written.
        first_failure: what happened to the first failed row.
        log: the log of this process.

    Example:
        >>> from pathlib import Path
        >>> from rfwarp.jobs import Summary
        >>> summary = Summary(3, 0, 1, 0.5, "no image file at b.png", Path("jobs-log-0.jsonl"))
        >>> summary.done, summary.failed
        (3, 1)
    """

    done: int
    skipped: int
    failed: int
    seconds: float
    first_failure: str | None
    log: Path


def run_jobs(
    generator: Generator,
    table: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    batch_size: int = 8,
    workers: int = 2,
    size: ImageSize = None,
    dtype: torch.dtype | None = None,
    rank: int = 0,
    world_size: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Summary:
    r"""Draw the images that a table asks for.

    The whole table is checked before anything is drawn. A row that cannot be read or drawn is
    entered in the log as failed, and the next run tries it again; rows that are done are skipped.
    A row is done if the log says so, if neither it nor the weights, the size and the precision have
    changed since, and if its image is there. That a source was replaced by another image of the
    same name is not noticed.

    Consecutive rows with the same sources are drawn from the same encoding of them; other rows go
    through the network together if their images have one size.

    Args:
        generator: computes where its weights are, in the form of
            :meth:`rfwarp.nn.Generator.optimize`.
        table: see :func:`rfwarp.jobs.read_table`.
        out: folder of the images, created if missing, and of the log ``jobs-log-RANK.jsonl``,
            see :class:`rfwarp.jobs.log.ResultsLog`.
        batch_size: rows that go through the network at a time.
        workers: processes that read images; 0 reads them in between.
        size: that sources are resized to, as in :meth:`rfwarp.nn.Generator.generate`.
        dtype: floating-point type to compute in; None takes that of the weights.
        rank, world_size: which share of the rows is this process's, of how many. Processes that
            share ``out`` must be given the same table, ``batch_size`` and ``world_size``.
        progress: called with (rows ended, rows to do) of this process.

    Raises:
        FileNotFoundError, ValueError, ImportError: for a bad table or argument, before anything is
            drawn.
        BlockingIOError: if another process with this ``rank`` is writing to ``out``.
        OSError: if ``out`` cannot be written to, the disk is full, or a reader process died.
        KeyboardInterrupt: on Ctrl-C or SIGTERM, when what was begun is written.

    Example:
        >>> from pathlib import Path
        >>> from rfwarp import Generator
        >>> from rfwarp.data import write_chair_folder
        >>> from rfwarp.jobs import run_jobs
        >>> write_chair_folder("chairs", count=1, size=64, views=[0])
        >>> _ = Path("chairs/jobs.csv").write_text("source_0,target\n000000_000_00.png,60:10\n")
        >>> generator = Generator.from_pretrained("chairs-64")
        >>> run_jobs(generator, "chairs/jobs.csv", "out", workers=0).done
        1
        >>> run_jobs(generator, "chairs/jobs.csv", "out", workers=0).skipped  # done before
        1
    """
    if batch_size < 1 or workers < 0 or not 0 <= rank < world_size:
        raise ValueError(
            "batch_size must be at least 1, workers at least 0, and rank in 0..world_size - 1; "
            f"got {batch_size}, {workers}, and {rank} of {world_size}"
        )
    table, out = Path(table), Path(out)
    if size is None:
        size = generator.config.image_size or "native"
    if size != "native":
        height_and_width(size)
    settings = f"{_fingerprint(generator)} {size} {dtype}"
    if out.exists() and not out.is_dir():
        raise NotADirectoryError(f"{out} exists and is no folder")
    out.mkdir(parents=True, exist_ok=True)
    with ExitStack() as opened:
        opened.enter_context(FolderLock(out, rank))
        plan = make_plan(table, out, settings, Share(rank, world_size, batch_size), Results(out))
        log = opened.enter_context(ResultsLog(out, rank))
        todo = int(plan.pending.sum())
        logger.info("%s: %d rows, of which %d are to do here", table, len(plan.keys), todo)
        begin = time.perf_counter()
        inference = Inference(generator.optimize(dtype))
        chunks = _read(plan, JobReader(table.parent, generator.config, size), batch_size, workers)
        writer = ImageWriter(out, log, limit=2 * batch_size)
        with writer, noted_interrupts() as interrupts, closing(chunks):
            for chunk in chunks:
                _work_on(chunk, plan, inference, writer)
                if progress is not None:
                    progress(writer.done + writer.failed, todo)
                if interrupts:
                    break
            writer.finish()
        if interrupts and writer.done + writer.failed < todo:
            raise KeyboardInterrupt(f"{writer.done} images written; the same command resumes")
        if progress is not None:
            progress(todo, todo)
        seconds = time.perf_counter() - begin
    return Summary(
        writer.done, plan.skipped, writer.failed, seconds, writer.first_failure, log.path
    )


def _read(
    plan: Plan, reader: JobReader, batch_size: int, workers: int
) -> abc.Generator[Chunk, None, None]:
    """Chunks in the order of the table, read ahead by worker processes.

    This process reads the table, as the workers ask for more.
    """
    loader = DataLoader(
        reader,
        batch_size=None,
        sampler=cast("Iterable[int]", plan.chunks(batch_size)),  # what the reader is indexed with
        num_workers=workers,
        prefetch_factor=PREFETCH if workers else None,
        worker_init_fn=outlive_interrupts,
    )
    chunks = iter(loader)
    try:
        yield from chunks
    except RuntimeError as error:  # DataLoader has no other type for it
        if "DataLoader worker" not in str(error):
            raise
        reason = str(error).strip().splitlines()[-1]
        raise ChildProcessError(
            f"a reader process failed, {reason}; if memory ran out, take fewer --workers or a "
            "smaller --batch-size"
        ) from error
    finally:
        if workers:
            # Tracebacks can hold on to the iterator until the program ends, which would then wait
            # for the workers to notice.
            cast(Any, chunks)._shutdown_workers()


def _work_on(chunk: Chunk, plan: Plan, inference: Inference, writer: ImageWriter) -> None:
    for job, error in chunk.failures:
        writer.fail(job, int(plan.keys[job.row]), error)
    for batch in chunk.batches:
        for result in inference.run(batch):
            rows = zip(result.jobs, result.images, result.errors, strict=True)
            for job, image, problem in rows:
                key = int(plan.keys[job.row])
                if problem is None:
                    writer.write(job, key, image, result.seconds)
                else:
                    writer.fail(job, key, problem, result.seconds)


def _fingerprint(generator: Generator) -> str:
    """Changes with the configuration and with any weight."""
    digest = hashlib.sha256(json.dumps(generator.config.to_dict()).encode())
    for name, tensor in generator.state_dict().items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.cpu().contiguous().view(-1).view(torch.uint8).numpy())
    return digest.hexdigest()[:16]
