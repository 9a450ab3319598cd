"""One case: inputs, the check against float64, then the clock."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor

from harness import machine
from harness.cuda import interleave_cuda
from harness.timing import Call, Clock, LoadMeter, Timing, Turn, interleave
from harness.warp import roofline
from harness.warp.candidates import Candidate
from harness.warp.cases import Case, Inputs, make_inputs
from harness.warp.checking import Reference

Results: TypeAlias = tuple[Tensor, ...]
Timed: TypeAlias = dict[str, Any]
Caches = Literal["cold", "hot"]


@dataclass(frozen=True)
class Settings:
    """Settings of a measurement."""

    threads: int = 1
    seconds: float = 3.0
    """Seconds per case and state of the caches; 3 rounds at least."""
    seed: int = 0
    cache_bytes: int = 0
    """Size of the last-level cache; cold calls rotate through thrice as much. 0: ask the system."""
    profile: bool = True
    """On a GPU, the clock `kernel` too."""

    def last_level_cache(self, device: str) -> int:
        return self.cache_bytes or machine.last_level_cache(device)


def measure(
    case: Case, candidates: Iterable[Candidate], settings: Settings
) -> Iterator[dict[str, Any]]:
    """Check all candidates of a case, then time them beside the speed of light.

    Yields:
        One JSON-able measurement with cold caches, and one with hot caches if a call's inputs and
        results fit the last-level cache.

    Raises:
        Mismatch: if a candidate's output or a gradient is wrong; nothing has been timed then.
    """
    torch.compiler.reset()  # or torch.compile gives up after a few shapes
    if case.device == "cpu":
        torch.set_num_threads(settings.threads)
    cache = settings.last_level_cache(case.device)
    first = make_inputs(case, settings.seed)
    slots = max(1, math.ceil(3 * cache / first.bytes))
    sets = [first, *(make_inputs(case, settings.seed + i) for i in range(1, slots))]
    reference = Reference(case, first)
    calls: dict[str, Call] = {}
    kinds: dict[str, str] = {}
    errors: dict[str, dict[str, dict[str, float]]] = {}
    for candidate in candidates:
        run = runner(case, candidate, sets)
        with candidate.active():
            results = run(0)
        found = reference.check(candidate.name, results)
        errors[candidate.name] = {what: error.to_json() for what, error in found.items()}
        calls[candidate.name] = Call(run, candidate.active)
        kinds[candidate.name] = candidate.kind
    del reference, results
    calls |= _speed_of_light(case, sets)
    kinds |= {"stream": "light", "copy": "light"}
    states: Sequence[Caches] = ("cold", "hot") if 2 * case.minimal_bytes <= cache else ("cold",)
    for caches in states:
        in_turn = slots if caches == "cold" else 1
        if case.device == "cpu":
            # A call on a single set of cold data is long, and refills the caches by itself.
            turn = Turn(untimed=1, timed=1 if caches == "cold" and slots == 1 else 3)
            timed = _time_on_cpu(calls, settings, in_turn, turn)
        else:
            timed = _time_on_cuda(case, calls, settings, in_turn)
        yield {
            "case": case.to_json(),
            "threads": settings.threads,
            "caches": caches,
            "slots": in_turn,
            "minimal_bytes": case.minimal_bytes,
            "kinds": kinds,
            "errors": errors,
            **timed,
        }


def runner(case: Case, candidate: Candidate, sets: Sequence[Inputs]) -> Callable[[int], Results]:
    """The candidate on a slot: its output and, if the case has a backward, six gradients."""
    fuse, n = candidate.fuse, case.shape.n

    def forward(inputs: Inputs) -> Tensor:
        features = inputs.features
        if case.shape.shared:
            features = features.expand(n, -1, -1, -1, -1)
        return fuse(features, *inputs[1:6])

    def run(slot: int) -> Results:
        inputs = sets[slot]
        if not case.backward:
            with torch.no_grad():
                return (forward(inputs),)
        out = forward(inputs)
        return (out, *torch.autograd.grad(out, inputs.differentiable, inputs.grad_out))

    return run


def _speed_of_light(case: Case, sets: Sequence[Inputs]) -> dict[str, Call]:
    stream = roofline.stream(case, sets)
    roofline.check(stream(0), sets[0])
    return {
        "stream": Call(stream, nullcontext),
        "copy": Call(roofline.copy(case, len(sets)), nullcontext),
    }


def _time_on_cuda(case: Case, calls: dict[str, Call], settings: Settings, slots: int) -> Timed:
    with torch.cuda.device(case.device):
        timings = interleave_cuda(
            calls,
            slots=slots,
            seconds=settings.seconds,
            seed=settings.seed,
            profile=settings.profile,
        )
    return {"clock": "graph", "timings": _json(timings), "load": None, "invalid": None}


def _time_on_cpu(calls: dict[str, Call], settings: Settings, slots: int, turn: Turn) -> Timed:
    clocks: dict[str, Clock] = {"wall": time.perf_counter}
    if settings.threads == 1:
        clocks["cpu"] = time.thread_time
    meter = LoadMeter()
    timings = interleave(
        calls,
        clocks,
        slots=slots,
        turn=turn,
        seconds=settings.seconds,
        seed=settings.seed,
    )
    load = meter.read()
    return {
        "clock": "cpu" if settings.threads == 1 else "wall",
        "timings": _json(timings),
        "load": load._asdict(),
        "invalid": load.invalidates,
    }


def _json(timings: dict[str, dict[str, Timing]]) -> dict[str, dict[str, dict[str, float]]]:
    return {n: {clock: t.to_json() for clock, t in by.items()} for n, by in timings.items()}
