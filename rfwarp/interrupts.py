"""Ctrl-C and SIGTERM end a run between two steps, not in the middle of one."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

GRACE = 60  # seconds that a worker process lives on after SIGTERM


@contextmanager
def noted_interrupts() -> Iterator[list[signal.Signals]]:
    """While inside, SIGINT and SIGTERM are added to the list; a second one acts as usual.

    Only the main thread may handle signals: in another the list stays empty. A signal that is
    ignored (as SIGINT is in a shell's background jobs), or handled outside of Python, stays so.
    """
    noted: list[signal.Signals] = []
    if threading.current_thread() is not threading.main_thread():
        yield noted
        return
    found = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    before = {n: handler for n, handler in found.items() if handler not in (None, signal.SIG_IGN)}

    def note(number: int, frame: FrameType | None) -> None:
        noted.append(signal.Signals(number))
        signal.signal(number, before[signal.Signals(number)])

    for number in before:
        signal.signal(number, note)
    try:
        yield noted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def outlive_interrupts(worker: int = 0) -> None:
    """Initialise a worker process: a signal sent to the whole group (Ctrl-C, ``timeout``, a batch
    system) reaches it too, but its parent decides, and still needs batches to end well.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform != "win32":
        # Not ignored for ever: SIGTERM is also how multiprocessing ends a worker left behind.
        signal.signal(signal.SIGTERM, lambda number, frame: signal.alarm(GRACE))
