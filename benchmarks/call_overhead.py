"""Host time of one call of the operators, on tensors of a few numbers, against F.grid_sample.

    python benchmarks/call_overhead.py

Every call is timed by the CPU time of one thread, in turns with the others; the least of all rounds
counts, which other processes on the machine disturb least.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
import tyro
from torch import Tensor

from rfwarp.ops import backend, warp, warp_fuse


def calls() -> dict[str, Callable[[], Tensor]]:
    """What is timed, by name; ``F.grid_sample`` is the measure."""

    def inputs(requires_grad: bool) -> list[Tensor]:
        shapes = ((1, 2, 4, 2, 2), *[(1, 2, 2, 2, 2)] * 2, *[(1, 2, 1, 2, 2)] * 2, (1, 4, 2, 2))
        return [torch.randn(shape, requires_grad=requires_grad) for shape in shapes]

    plain, leaves = inputs(False), inputs(True)
    image, grid = plain[-1], torch.rand(1, 2, 2, 2)
    leaf, flow = leaves[-1], torch.zeros(1, 2, 2, 2)
    return {
        "F.grid_sample": lambda: F.grid_sample(image, grid, align_corners=True),
        "warp": lambda: warp(image, flow),
        "warp_fuse": lambda: warp_fuse(*plain),
        "F.grid_sample, gradient": lambda: F.grid_sample(leaf, grid, align_corners=True),
        "warp, gradient": lambda: warp(leaf, flow),
        "warp_fuse, gradient": lambda: warp_fuse(*leaves),
    }


def measure(rounds: int, repeats: int) -> dict[str, float]:
    """Least seconds of a call, by name."""
    least: dict[str, float] = {}
    for _ in range(rounds):
        for name, call in calls().items():
            start = time.thread_time()
            for _ in range(repeats):
                call()
            seconds = (time.thread_time() - start) / repeats
            least[name] = min(seconds, least.get(name, seconds))
    return least


@dataclass(frozen=True)
class CallOverhead:
    """Host time of a call of warp and warp_fuse, on tensors of a few numbers."""

    rounds: int = 50
    repeats: int = 50
    """Calls in a row, in each round."""

    def run(self) -> None:
        if self.rounds < 1 or self.repeats < 1:
            raise SystemExit("call_overhead.py: error: rounds and repeats must be at least 1")
        torch.set_num_threads(1)
        print(f"torch {torch.__version__}; {backend().cpu.reason}")
        least = measure(self.rounds, self.repeats)
        for name, seconds in least.items():
            ratio = seconds / least["F.grid_sample"]
            print(f"{name:24} {seconds * 1e6:6.1f} us  {ratio:5.1f} x F.grid_sample")


if __name__ == "__main__":
    tyro.cli(CallOverhead).run()
