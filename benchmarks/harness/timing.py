"""The clocks of a CPU, calls in turn, and the load by other processes meanwhile."""

from __future__ import annotations

import os
import random
import statistics
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

Clock = Callable[[], float]


class Call(NamedTuple):
    """One thing to time: it computes a slot, within a context that is not timed."""

    run: Callable[[int], object]
    active: Callable[[], AbstractContextManager[object]]


@dataclass(frozen=True)
class Timing:
    """Milliseconds per call."""

    median: float
    p20: float
    p80: float
    calls: int

    @classmethod
    def of(cls, seconds: list[float]) -> Timing:
        ordered = sorted(seconds)

        def quantile(share: float) -> float:
            return 1e3 * ordered[round(share * (len(ordered) - 1))]

        return cls(1e3 * statistics.median(ordered), quantile(0.2), quantile(0.8), len(ordered))

    def to_json(self) -> dict[str, float]:
        return {name: float(f"{value:.5g}") for name, value in asdict(self).items()}


class Load(NamedTuple):
    """Use of the machine's cores by others during a measurement, as shares of their time."""

    others: float | None
    """Other processes; None where the system does not say."""
    stolen: float | None
    """Other virtual machines, by the hypervisor's account."""

    @property
    def invalidates(self) -> str | None:
        """Why a wall time measured meanwhile is not valid; None if it is."""
        if self.others is None or self.stolen is None:
            return "the system does not say what else ran"
        if self.stolen > 0.02:
            return f"the hypervisor took {self.stolen:.0%} of the cores' time"
        if self.others > 0.05:
            return f"other processes took {self.others:.0%} of the cores' time"
        return None


class LoadMeter:
    """Measures the use of the cores by others between its creation and `read`."""

    def __init__(self) -> None:
        self._start = self._now()

    def read(self) -> Load:
        """The load since the start."""
        now = self._now()
        if self._start is None or now is None:
            return Load(None, None)
        busy, stolen, own, capacity = (b - a for a, b in zip(self._start, now, strict=True))
        return Load(max(0.0, busy - own) / capacity, stolen / capacity)

    @staticmethod
    def _now() -> tuple[float, float, float, float] | None:
        """Seconds that our cores were busy, stolen, ours, and in all; on Linux only."""
        stat = Path("/proc/stat")
        if not stat.is_file():
            return None
        cores = {f"cpu{core}" for core in os.sched_getaffinity(0)}
        busy = stolen = 0
        for line in stat.read_text().splitlines():
            name, *counts = line.split()
            if name in cores:
                user, nice, system, _, _, irq, softirq, steal, *_ = map(int, counts)
                busy += user + nice + system + irq + softirq
                stolen += steal
        tick = 1 / os.sysconf("SC_CLK_TCK")
        capacity = len(cores) * time.perf_counter()
        return busy * tick, stolen * tick, time.process_time(), capacity


class Turn(NamedTuple):
    """Calls in a row of the same candidate.

    The first one finds the code, the heap and the page tables as another candidate left them, which
    costs up to 0.3 ms whatever it computes. So the first ones are not timed. All are on successive
    slots: data that is cold stays cold.
    """

    untimed: int
    timed: int


def interleave(
    calls: Mapping[str, Call],
    clocks: Mapping[str, Clock],
    *,
    slots: int,
    turn: Turn,
    seconds: float,
    seed: int,
    rounds: int = 3,
) -> dict[str, dict[str, Timing]]:
    """Times the calls in turns, in a new order every round, each call on the next slot.

    The result of a call lives until its slot's next use, so outputs rotate with the inputs; its
    allocation, and the release of the previous one, are timed.

    Args:
        calls: by name.
        clocks: by name, in seconds; read around every call.
        slots: how many sets of inputs there are to rotate through.
        turn: how many calls each gets per round.
        seconds: how long to go on; there are 300 rounds at most.
        seed: of the orders.
        rounds: at least.

    Returns:
        The timings, by call and clock.
    """
    samples: dict[str, dict[str, list[float]]] = {n: {c: [] for c in clocks} for n in calls}
    held: list[object] = [None] * slots
    order, shuffle = list(calls), random.Random(seed)
    slot, done, start = 0, 0, time.perf_counter()
    while done < rounds or (done < 300 and time.perf_counter() - start < seconds):
        shuffle.shuffle(order)
        for name in order:
            call, active = calls[name]
            with active():
                for i in range(turn.untimed + turn.timed):
                    slot = (slot + 1) % slots
                    before = [clock() for clock in clocks.values()]
                    held[slot] = call(slot)
                    after = [clock() for clock in clocks.values()]
                    if i >= turn.untimed:
                        for clock, a, b in zip(clocks, before, after, strict=True):
                            samples[name][clock].append(b - a)
        done += 1
    return {n: {c: Timing.of(s) for c, s in by.items()} for n, by in samples.items()}
