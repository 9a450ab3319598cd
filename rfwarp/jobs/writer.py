"""Writing of images by a few threads, and of their rows to the log before and after."""

from __future__ import annotations

import errno
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from PIL import Image
from torch import Tensor

from rfwarp.jobs.log import ResultsLog
from rfwarp.jobs.table import Job
from rfwarp.viz import write_image

THREADS = 4  # encoders of images release the GIL
# Errors of one name, not of the disk or the folder.
_OF_ONE_FILE = {errno.ENAMETOOLONG, errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.EILSEQ}


class _Unfinished(NamedTuple):
    job: Job
    key: int
    seconds: float
    written: Future[None]


class ImageWriter:
    """Keeps at most ``limit`` images in memory; its methods are for one thread.

    Args:
        folder: that the rows' outputs are relative to.
        log: where rows are entered before their image is written, and when they end.
        limit: :meth:`write` waits while so many images are unfinished.

    Attributes:
        done, failed: numbers of rows that ended.
        first_failure: what happened to the first failed row.
    """

    def __init__(self, folder: Path, log: ResultsLog, limit: int) -> None:
        self.done = self.failed = 0
        self.first_failure: str | None = None
        self._folder, self._log, self._limit = folder, log, limit
        self._unfinished: deque[_Unfinished] = deque()
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="rfwarp-writer")

    def write(self, job: Job, key: int, image: Tensor, seconds: float) -> None:
        """Write an image (3, H, W) uint8, in the background.

        Raises:
            OSError: if this or an earlier image could not be written, and others could not be
                either: the disk is full, the folder cannot be written to, ...
        """
        while len(self._unfinished) >= self._limit:
            self._finish_oldest()
        # A killed run must not leave an image of other weights under the row of an earlier one.
        self._log.begin(job, key)
        written = self._pool.submit(_write, self._folder / job.out, image)
        self._unfinished.append(_Unfinished(job, key, seconds, written))

    def fail(self, job: Job, key: int, error: str, seconds: float | None = None) -> None:
        """Log a row that has no image."""
        self._log.append(job, key, error, seconds)
        self.failed += 1
        if self.first_failure is None:
            self.first_failure = f"row {job.row} ({job.out}): {error}"

    def finish(self) -> None:
        """Wait for all images; errors as of :meth:`write`."""
        while self._unfinished:
            self._finish_oldest()

    def _finish_oldest(self) -> None:
        job, key, seconds, written = self._unfinished.popleft()
        try:
            written.result()
        except (OSError, ValueError) as error:
            # Pillow refuses sizes that a format cannot hold with a ValueError or a bare OSError.
            if isinstance(error, OSError) and error.errno not in {None, *_OF_ONE_FILE}:
                raise
            self.fail(job, key, str(error), seconds)
        else:
            self._log.append(job, key, None, seconds)
            self.done += 1

    def __enter__(self) -> ImageWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._pool.shutdown(cancel_futures=True)


def _write(path: Path, image: Tensor) -> None:
    write_image(path, Image.fromarray(image.permute(1, 2, 0).numpy()))
