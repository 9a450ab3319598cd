"""The log of rows: one JSON object per line, appended as images are begun and as rows end."""

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
BEGUN, DONE, FAILED = "begun", "done", "failed"


class ResultsLog:
    """Appends to the log of one rank.

    A line has ``row``, ``out``, ``key`` (16 hexadecimal digits: of the row and of the weights, size
    and precision), ``status`` ("begun": its image is about to be written; "done" or "failed"),
    ``error`` (a string or null), ``seconds`` (time of the network for the batch, divided by its
    rows; null if the row did not get that far) and ``time`` (seconds since 1970).

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

    def begin(self, job: Job, key: int) -> None:
        """Add a line before an image is written; it is in the file when this returns."""
        self._add(job, key, BEGUN)

    def append(
        self, job: Job, key: int, error: str | None = None, seconds: float | None = None
    ) -> None:
        """Add the line of a row that ended; it is in the file when this returns."""
        self._add(job, key, DONE if error is None else FAILED, error, seconds)

    def _add(
        self,
        job: Job,
        key: int,
        status: str,
        error: str | None = None,
        seconds: float | None = None,
    ) -> None:
        entry = {
            "row": job.row,
            "out": job.out,
            "key": f"{key:016x}",
            "status": status,
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

    Where an output was begun more than once, the last time counts: that is what the file holds. If
    that time was never done, because the run was killed, nobody knows what the file holds.
    """

    def __init__(self, folder: Path) -> None:
        outs, keys, times, ends = array("Q"), array("Q"), array("d"), array("B")
        for path in sorted(folder.glob(PATTERN)):
            # Bad bytes are replaced: half a line can end inside a character.
            with path.open(encoding="utf-8", errors="replace") as file:
                for line in file:
                    entry = _image_entry(line)
                    if entry is not None:
                        outs.append(entry[0])
                        keys.append(entry[1])
                        times.append(entry[2])
                        ends.append(entry[3])
        order = np.lexsort((np.array(times), np.array(outs)))  # stable: lines of one time stay
        ordered = np.array(outs, np.uint64)[order]
        last = np.ones(ordered.shape, np.bool_)
        last[:-1] = ordered[1:] != ordered[:-1]
        done = order[last & np.array(ends, np.bool_)[order]]
        self._outs = np.array(outs, np.uint64)[done]
        self._keys = np.array(keys, np.uint64)[done]

    def done(
        self, outs: npt.NDArray[np.uint64], keys: npt.NDArray[np.uint64]
    ) -> npt.NDArray[np.bool_]:
        """Whether each output, given by its hash, was last made from a row with the given key."""
        if self._outs.size == 0:
            return np.zeros(outs.shape, np.bool_)
        place = np.minimum(np.searchsorted(self._outs, outs), self._outs.size - 1)
        return (self._outs[place] == outs) & (self._keys[place] == keys)


def _image_entry(line: str) -> tuple[int, int, float, bool] | None:
    """Hash of the output, key, time, and whether it is done; None if no image was begun (a failed
    row leaves the one that is there), or for half a line."""
    try:
        entry = json.loads(line)
        if entry["status"] not in (BEGUN, DONE):
            return None
        done = entry["status"] == DONE
        return hash64(entry["out"]), int(entry["key"], 16), float(entry["time"]), done
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
