"""A lock that keeps two runs from sharing an output folder."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import TracebackType


class FolderLock:
    """Lock of the outputs of one rank in a folder, held as a context; on Windows it does nothing.

    It is a file of its own, ``.jobs-RANK.lock``, that nobody else opens: a process loses its lock
    when it closes any descriptor of the file. Unlike flock's, such locks are not inherited by
    reader processes, which can outlive us for a few seconds, and they work on network file systems.

    Raises:
        BlockingIOError: on entering, if another process holds it.
        OSError: if the folder cannot be written to.
    """

    def __init__(self, folder: Path, rank: int) -> None:
        self._path = folder / f".jobs-{rank}.lock"
        self._descriptor: int | None = None

    def __enter__(self) -> FolderLock:
        if sys.platform == "win32":
            return self
        import fcntl

        while self._descriptor is None:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                current = self._path.exists() and os.path.samestat(
                    os.fstat(descriptor), os.stat(self._path)
                )
            except (BlockingIOError, PermissionError) as error:
                os.close(descriptor)
                raise BlockingIOError(
                    f"another process is writing to {self._path.parent}: two runs must not share "
                    "an output folder"
                ) from error
            if current:
                self._descriptor = descriptor
            else:  # its last holder has just removed it
                os.close(descriptor)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._descriptor is not None:
            self._path.unlink(missing_ok=True)  # before others can have it
            os.close(self._descriptor)
            self._descriptor = None
