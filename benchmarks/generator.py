"""The whole generator: time per image, first call and memory, against plain PyTorch.

    python benchmarks/generator.py --out benchmarks/results/<name>

Every candidate's images are checked against the plain network in float64 first; a mismatch ends
the run. With --out it writes generator.json, generator.md and two plots.
"""

from __future__ import annotations

import copy
import math
import multiprocessing
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from itertools import chain, product
from pathlib import Path
from typing import Any, get_args

import torch
import torch._inductor.config
import tyro
from harness import machine
from harness.cuda import interleave_cuda
from harness.generator.candidates import (
    Candidate,
    Case,
    DType,
    Job,
    candidates,
    make_inputs,
    network,
)
from harness.generator.profile import Shares, where_time_goes
from harness.generator.report import render
from harness.generator.runtimes import Files, runtimes
from harness.timing import Call, LoadMeter, Turn, interleave
from harness.warp.checking import Mismatch
from harness.warp.report import write_results
from memory import Peak
from torch import Tensor
from tqdm import tqdm

SCHEMA = "generator 1"
CHECKED = 4  # images of a batch or a stream
# Largest error of values in [-1, 1] in float32, against float64, through some forty layers.
TOLERANCE = 1e-4
# In 16 bits: how many times eager's own error, root mean square, as single pixels say little there.
OF_EAGER = 1.5


@dataclass(frozen=True)
class GeneratorBenchmark:
    """Time the paper's network at 256 x 256, plain and as rfwarp runs it."""

    k: tuple[int, ...] = (1, 2, 4)
    """Numbers of sources."""
    n: tuple[int, ...] = (1, 16)
    """Batch sizes. Beyond 1 with --batched-k sources only."""
    batched_k: int = 2
    job: tuple[Job, ...] = get_args(Job)
    """An image from its sources, the next image of the same sources, a stream of targets."""
    stream: int = 100
    """Images in a stream, with the middle one of --k sources."""
    dtype: tuple[DType, ...] = ("float32",)
    device: str = "cpu"
    size: int = 256
    width: float = 1.0
    """Width of the network; 1 is the paper's."""
    seconds: float = 20.0
    """Seconds for each case; 3 rounds at least."""
    compile: bool = True
    """Time torch.compile too. It takes minutes per case."""
    runtimes: bool = False
    """Time ONNX Runtime and OpenVINO too (CPU; pip install ".[export,int8,openvino]"), beside
    bfloat16 in 8 bits as well. Exports take minutes."""
    first_call: bool = True
    """Measure first calls and memory, each in a process of its own, with one image."""
    seed: int = 0
    out: Path | None = None
    """Folder for generator.json, generator.md, generator.png and generator-profile.png."""

    def cases(self) -> list[Case]:
        middle = self.k[len(self.k) // 2]
        chosen = [
            Case(n, k, job, self.size, dtype, self.device, self.stream)
            for dtype, job, n, k in product(self.dtype, self.job, self.n, self.k)
            if (n == 1 or (k == self.batched_k and job == "image"))
            and (job != "stream" or k == middle)
        ]
        return list(dict.fromkeys(chosen))

    def run(self) -> dict[str, Any]:
        """Measure, and write the results as they come.

        Raises:
            Mismatch: if a candidate is wrong.
        """
        if self.device == "cpu":
            torch.set_num_threads(1)
        settings = {k: str(v) if isinstance(v, Path) else v for k, v in asdict(self).items()}
        results: dict[str, Any] = {
            "schema": SCHEMA,
            "machine": machine.facts(self.device),
            "settings": settings,
            "measurements": [],
        }
        plain = network(self.seed, self.width)
        with tempfile.TemporaryDirectory() as folder:
            files = Files(plain, self.size, Path(folder)) if self.runtimes else None
            for case in tqdm(self.cases(), unit="case"):
                results["measurements"].append(self._measure(case, plain, files))
                self._write(results)
        if self.first_call:
            results["first_calls"] = self._first_calls()
            self._write(results)
        results["profile"] = self._profile(plain)
        self._write(results)
        return results

    def _write(self, results: dict[str, Any]) -> None:
        if self.out is not None:
            write_results(results, self.out / "generator.json")

    def _measure(self, case: Case, plain: Any, files: Files | None) -> dict[str, Any]:
        torch.compiler.reset()
        inputs = make_inputs(case, self.seed)
        # The first images tell whether a batch is right, and a stream need not run twice.
        first = inputs
        if case.job == "stream":
            first = inputs._replace(targets=inputs.targets[:CHECKED])
        expected = _in_float64(plain, inputs)
        calls: dict[str, Call] = {}
        kinds, errors, psnr = {}, {}, {}
        rivals = () if files is None else runtimes(case, files)
        for candidate in chain(candidates(case, plain, compiled=self.compile), rivals):
            with candidate.active():
                images = candidate.runner(case, first)(0)
                allowed = (
                    TOLERANCE if case.dtype == "float32" else OF_EAGER * errors.get("eager", 1)
                )
                if candidate.kind == "runtime":
                    # In fewer bits they round flows too: what that costs is shown beside the time.
                    allowed = 10 * TOLERANCE if case.dtype == "float32" else math.inf
                errors[candidate.name] = check(candidate.name, case, images, expected, allowed)
                psnr[candidate.name] = decibels(images, expected)
            run = candidate.runner(case, inputs)
            calls[candidate.name] = Call(run, candidate.active)
            kinds[candidate.name] = candidate.kind
        measured: dict[str, Any] = {"case": asdict(case), "kinds": kinds, "errors": errors}
        measured["psnr"] = psnr
        if case.device != "cpu":
            timings = interleave_cuda(calls, slots=1, seconds=self.seconds, seed=self.seed)
            measured |= {"clock": "graph", "load": None, "invalid": None}
        else:
            meter = LoadMeter()
            timings = interleave(
                calls,
                # Of the whole process: a runtime may compute in a thread of its own.
                {"wall": time.perf_counter, "cpu": time.process_time},
                slots=1,
                turn=Turn(untimed=0, timed=1),
                rounds=1 if case.job == "stream" else 3,
                seconds=self.seconds,
                seed=self.seed,
            )
            load = meter.read()
            measured |= {"clock": "cpu", "load": load._asdict(), "invalid": load.invalidates}
        per_image = case.images
        measured["timings"] = {
            name: {
                clock: {
                    key: value if key == "calls" else value / per_image
                    for key, value in timing.to_json().items()
                }
                for clock, timing in by.items()
            }
            for name, by in timings.items()
        }
        return measured

    def _first_calls(self) -> list[dict[str, Any]]:
        k = self.k[len(self.k) // 2]
        case = Case(1, k, "image", self.size, self.dtype[0], self.device)
        plain = network(self.seed, self.width)
        names = [c.name for c in candidates(case, plain, compiled=self.compile)]
        with ProcessPoolExecutor(
            1, mp_context=multiprocessing.get_context("spawn"), max_tasks_per_child=1
        ) as processes:
            jobs = [processes.submit(first_call, case, name, self.width) for name in names]
            return [{"name": n, **job.result()} for n, job in zip(names, jobs, strict=True)]

    def _profile(self, plain: Any) -> dict[str, Shares]:
        case = Case(1, self.k[len(self.k) // 2], "image", self.size, self.dtype[0], self.device)
        inputs = make_inputs(case, self.seed)
        found = {}
        for candidate in candidates(case, plain, compiled=False):
            if candidate.kind != "reference":
                with candidate.active():
                    run = candidate.runner(case, inputs)
                    found[candidate.name] = where_time_goes(candidate.generator, run)
        return found


def _in_float64(plain: Any, inputs: Any) -> Tensor:
    """The plain network's images, one target at a time."""
    exact = copy.deepcopy(plain).double()
    sources, poses, targets = (x.cpu().double() for x in inputs)
    shared = sources.shape[0] != targets.shape[0]
    checked = range(min(CHECKED, len(targets)))
    with torch.no_grad():
        return torch.cat(
            [
                exact(
                    sources[:1] if shared else sources[i : i + 1],
                    poses[:1] if shared else poses[i : i + 1],
                    targets[i : i + 1],
                )
                for i in checked
            ]
        )


def decibels(images: Tensor, expected: Tensor) -> float:
    """PSNR of the first images against float64, values in [-1, 1]."""
    squares = (images[: len(expected)].cpu().double() - expected).square().mean()
    return float(10 * torch.log10(4 / squares))


def check(name: str, case: Case, images: Tensor, expected: Tensor, allowed: float) -> float:
    """The error of the first images: the largest, in 16-bit types the root mean square.

    Raises:
        Mismatch: if it is more than allowed.
    """
    errors = (images[: len(expected)].cpu().double() - expected).abs()
    error = float(errors.max() if case.dtype == "float32" else errors.square().mean().sqrt())
    if not error <= allowed:
        raise Mismatch(f"{name} on {case} is off by {error:.2g}, more than {allowed:.2g}")
    return error


def first_call(case: Case, name: str, width: float) -> dict[str, float]:
    """Seconds of the first call, compilation included, and bytes of a later one's peak memory."""
    if case.device == "cpu":
        torch.set_num_threads(1)
    # As on a machine that has not compiled this before.
    torch._inductor.config.force_disable_caches = True
    every = candidates(case, network(0, width), compiled=True)
    candidate: Candidate = next(c for c in every if c.name == name)
    inputs = make_inputs(case, 0)
    with candidate.active():
        begin = time.perf_counter()
        run = candidate.runner(case, inputs)
        run(0)
        if case.device != "cpu":
            torch.cuda.synchronize()
        seconds = time.perf_counter() - begin
        peak = Peak(case.device)
        run(0)
        return {"seconds": seconds, "peak": peak.read()}


def main() -> None:
    config = tyro.cli(GeneratorBenchmark)
    try:
        results = config.run()
    except (Mismatch, ValueError) as error:
        sys.exit(f"generator.py: error: {error}")
    print(render(results, config.out))


if __name__ == "__main__":
    main()
