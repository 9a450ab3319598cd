"""The plan of a run: the table, checked as a whole, less the rows that are done."""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt

from rfwarp.jobs.log import Results
from rfwarp.jobs.table import Job, hash64, read_table

_BLOCK = 4096  # rows looked up at a time


@dataclass(frozen=True)
class Share:
    """The rows of one process: blocks of consecutive rows are dealt out to all in turn.

    A row's process follows from its number alone, never from what is done already, so that
    processes that start at different times agree. Rows with the same sources tend to stay together.
    """

    rank: int
    world_size: int
    block: int

    def __contains__(self, row: int) -> bool:
        return row // self.block % self.world_size == self.rank


@dataclass(frozen=True)
class Plan:
    """The rows to work on, in 9 bytes per row of the table.

    Attributes:
        pending: (rows,) bool, the rows of this process that are not done.
        keys: (rows,) uint64, see :meth:`Job.key`.
        skipped: number of rows of this process that are done.
    """

    table: Path
    settings: str
    pending: npt.NDArray[np.bool_]
    keys: npt.NDArray[np.uint64]
    skipped: int

    def chunks(self, size: int) -> Iterator[list[Job]]:
        """The pending rows, ``size`` at a time, read as they are asked for.

        Raises:
            ValueError: if the table has changed since it was checked.
        """
        jobs = self._jobs()
        while chunk := list(islice(jobs, size)):
            yield chunk

    def _jobs(self) -> Iterator[Job]:
        row, rows = -1, len(self.keys)
        for row, job in enumerate(read_table(self.table)):
            if row >= rows or job.key(self.settings) != self.keys[row]:
                raise ValueError(f"{self.table} was changed during the run, in row {row} (from 0)")
            if self.pending[row]:
                yield job
        if row + 1 < rows:
            raise ValueError(f"{self.table} was cut during the run, from {rows} to {row + 1} rows")


def make_plan(table: Path, out: Path, settings: str, share: Share, results: Results) -> Plan:
    """Read the table once.

    Args:
        table: see :func:`rfwarp.jobs.read_table`.
        out: the folder of the outputs.
        settings: what the images depend on besides their rows.
        share: which rows are this process's.
        results: what was done before. A row counts as done if its output was last made from the
            same row with the same settings, and is there.

    Raises:
        ValueError: if the table is malformed, has no rows, if two rows have the same output, or if
            an output would replace a source.
    """
    outs, keys, inputs = array("Q"), array("Q"), array("Q")
    root = os.path.join(os.path.realpath(out), "")
    pending = bytearray()
    jobs = read_table(table)
    while block := list(islice(jobs, _BLOCK)):
        block_outs = np.array([hash64(job.out) for job in block], np.uint64)
        block_keys = np.array([job.key(settings) for job in block], np.uint64)
        done = results.done(block_outs, block_keys)
        pending.extend(
            job.row in share and not (logged and _is_there(out / job.out))
            for job, logged in zip(block, done, strict=True)
        )
        outs.frombytes(block_outs.tobytes())
        keys.frombytes(block_keys.tobytes())
        for path in {path for job in block for path in job.sources}:
            for source in _places(table.parent / path):
                if source.startswith(root):
                    inputs.append(hash64(Path(source[len(root) :]).as_posix()))
    if not keys:
        raise ValueError(f"{table} has no rows")
    _check_outputs(table, np.array(outs, np.uint64), np.array(inputs, np.uint64))
    left = np.frombuffer(pending, np.bool_)
    mine = sum(row in share for row in range(len(left)))
    return Plan(table, settings, left, np.array(keys, np.uint64), mine - int(left.sum()))


def _places(path: Path) -> set[str]:
    """Where a file is, and where the one is that it links to."""
    try:
        return {os.path.join(os.path.realpath(path.parent), path.name), os.path.realpath(path)}
    except ValueError:  # no name of a file
        return set()


def _is_there(path: Path) -> bool:
    try:
        return os.stat(path).st_size > 0  # 0 after a loss of power
    except (FileNotFoundError, NotADirectoryError):
        return False


def _check_outputs(
    table: Path, outs: npt.NDArray[np.uint64], inputs: npt.NDArray[np.uint64]
) -> None:
    """Raise ValueError if two rows have one output, or an output is among the inputs."""
    outs.sort()
    doubled = set(outs[1:][outs[1:] == outs[:-1]].tolist())
    replacing = set(np.intersect1d(outs, inputs).tolist())
    if not doubled and not replacing:
        return
    first: dict[str, int] = {}
    for job in read_table(table):  # once more, for their names
        if hash64(job.out) in replacing:
            raise ValueError(
                f"{table}: row {job.row} (from 0) would replace a source by its output {job.out!r}"
            )
        if hash64(job.out) in doubled and first.setdefault(job.out, job.row) != job.row:
            raise ValueError(
                f"{table}: rows {first[job.out]} and {job.row} (from 0) have the same output, "
                f"{job.out!r}"
            )
