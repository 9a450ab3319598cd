"""The results of rows: one JSON object per line, appended as rows end."""

from __future__ import annotations

import json
import os
import time
from array import array
from pathlib import Path
from types import TracebackType

import numpy as np
import numpy.typing as npt

from rfwarp.jobs.table import Job, hash64

PATTERN = "jobs-log-*.jsonl"
DONE, FAILED = "done", "failed"


class ResultsLog:
    """Appends to the log of one rank.

    A line has ``row``, ``out``, ``key`` (16 hexadecimal digits: of the row and of the weights, size
    and precision), ``status`` ("done" or "failed"), ``error`` (a string or null), ``seconds`` (time
    of the network for the batch, divided by its rows; null if the row did not get that far) and
    ``time`` (seconds since 1970).

    Raises:
        OSError: if it cannot be written.
    """

    def __init__(self, folder: Path, rank: int = 0) -> None:
        self.path = folder / PATTERN.replace("*", str(rank))
        self._file = self.path.open("a+b", buffering=0)
        try:
            # A process that was killed, or had no space left, can leave half a line.
            if self._file.seek(0, os.SEEK_END):
                self._file.seek(-1, os.SEEK_END)
                if self._file.read(1) != b"\n":
                    self._file.write(b"\n")
        except OSError:
            self._file.close()
            raise

    def append(
        self, job: Job, key: int, error: str | None = None, seconds: float | None = None
    ) -> None:
        """Add a line; it is in the file when this returns."""
        entry = {
            "row": job.row,
            "out": job.out,
            "key": f"{key:016x}",
            "status": DONE if error is None else FAILED,
            "error": error,
            "seconds": None if seconds is None else round(seconds, 6),
            "time": round(time.time(), 3),
        }
        line = json.dumps(entry).encode() + b"\n"
        if self._file.write(line) != len(line):
            raise OSError(f"{self.path} could only be written in part: is the disk full?")

    def __enter__(self) -> ResultsLog:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()


class Results:
    """The outputs that the logs of all ranks in a folder report as done; 16 bytes for each.

    Where an output was written more than once, the last time counts: that is what the file holds.
    """

    def __init__(self, folder: Path) -> None:
        outs, keys, times = array("Q"), array("Q"), array("d")
        for path in sorted(folder.glob(PATTERN)):
            # Bad bytes are replaced: half a line can end inside a character.
            with path.open(encoding="utf-8", errors="replace") as file:
                for line in file:
                    entry = _done_entry(line)
                    if entry is not None:
                        outs.append(entry[0])
                        keys.append(entry[1])
                        times.append(entry[2])
        order = np.lexsort((np.array(times), np.array(outs)))
        self._outs = np.array(outs, np.uint64)[order]
        self._keys = np.array(keys, np.uint64)[order]

    def done(
        self, outs: npt.NDArray[np.uint64], keys: npt.NDArray[np.uint64]
    ) -> npt.NDArray[np.bool_]:
        """Whether each output, given by its hash, was last made from a row with the given key."""
        if self._outs.size == 0:
            return np.zeros(outs.shape, np.bool_)
        last = np.maximum(np.searchsorted(self._outs, outs, side="right") - 1, 0)
        return (self._outs[last] == outs) & (self._keys[last] == keys)


def _done_entry(line: str) -> tuple[int, int, float] | None:
    """Hash of the output, key and time; None for what is not done, or only half a line."""
    try:
        entry = json.loads(line)
        if entry["status"] != DONE:
            return None
        return hash64(entry["out"]), int(entry["key"], 16), float(entry["time"])
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
