"""The clocks of a GPU."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Mapping

import torch

from harness.timing import Call, Timing


def interleave_cuda(
    calls: Mapping[str, Call], *, slots: int, seconds: float, seed: int, profile: bool = True
) -> dict[str, dict[str, Timing]]:
    """Times the calls in turn, in a new order every round, with four clocks.

    * graph: a CUDA graph of at least 20 calls, by events, per call: no launch overhead.
    * kernel: the sum of the kernels' durations, by the profiler.
    * event: one call launched from Python, between two events: what an idle GPU waits for the
      host counts.
    * wall: from before the call until the GPU is done.

    Args:
        calls: by name.
        slots: how many sets of inputs there are to rotate through.
        seconds: how long to go on; there are 3 rounds at least and 300 at most.
        seed: of the orders.
        profile: read the clock `kernel` too, which takes seconds for each call.

    Returns:
        The timings, by call and clock.
    """
    repeats = math.ceil(20 / slots)  # a replay costs microseconds itself
    graphs = _capture(calls, slots, repeats)
    samples: dict[str, dict[str, list[float]]] = {
        name: {"graph": [], "event": [], "wall": []} for name in calls
    }
    held: list[object] = [None] * slots
    order, shuffle = list(calls), random.Random(seed)
    slot, rounds, begin = 0, 0, time.perf_counter()
    while rounds < 3 or (rounds < 300 and time.perf_counter() - begin < seconds):
        shuffle.shuffle(order)
        for name in order:
            slot = (slot + 1) % slots
            call, active = calls[name]
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            with active():
                torch.cuda.synchronize()
                before = time.perf_counter()
                start.record()
                held[slot] = call(slot)
                end.record()
                torch.cuda.synchronize()
                after = time.perf_counter()
            samples[name]["wall"].append(after - before)
            samples[name]["event"].append(start.elapsed_time(end) / 1e3)
            start.record()
            graphs[name].replay()
            end.record()
            torch.cuda.synchronize()
            samples[name]["graph"].append(start.elapsed_time(end) / 1e3 / (slots * repeats))
        rounds += 1
    timings = {n: {c: Timing.of(s) for c, s in by.items()} for n, by in samples.items()}
    for name in calls if profile else ():
        timings[name]["kernel"] = _kernel_time(calls[name], slots)
    return timings


def _capture(
    calls: Mapping[str, Call], slots: int, repeats: int
) -> dict[str, torch.cuda.CUDAGraph]:
    """Graphs that go through the slots several times.

    They share memory: nobody reads their results, and never do two replay at once.
    """
    pool = torch.cuda.graph_pool_handle()
    graphs = {}
    for name, (call, active) in calls.items():
        with active():
            stream = torch.cuda.Stream()
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                for _ in range(3):
                    call(0)
            torch.cuda.current_stream().wait_stream(stream)
            graphs[name] = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graphs[name], pool=pool):
                held: list[object] = [None] * slots
                for i in range(slots * repeats):
                    held[i % slots] = call(i % slots)
            del held
    return graphs


def _kernel_time(call: Call, slots: int, calls: int = 20) -> Timing:
    # Once: a profile takes seconds to start and to read, and what kernels take varies little.
    activities = [torch.profiler.ProfilerActivity.CUDA]
    with call.active(), torch.profiler.profile(activities=activities) as profile:
        for i in range(calls):
            call.run(i % slots)
        torch.cuda.synchronize()
    device_us = sum(event.self_device_time_total for event in profile.key_averages())
    return Timing.of([device_us / 1e6 / calls])
