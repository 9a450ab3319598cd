"""Peak memory of one forward and backward of warp_fuse, against the alternatives in PyTorch.

    python benchmarks/memory.py --out benchmarks/results/<name>

Every number comes from a process of its own. On a CPU it is the high-water mark of the resident
memory, which, unlike a profiler of PyTorch's allocator, sees what kernels allocate for themselves
and what the C library keeps; on a GPU torch.cuda.max_memory_allocated.
"""

from __future__ import annotations

import ctypes
import gc
import multiprocessing
import re
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple, get_args

import torch
import tyro
from harness import machine
from harness.warp.candidates import baselines, ours
from harness.warp.cases import Case, DType, Layout, Shape, make_inputs
from harness.warp.checking import Reference
from harness.warp.measure import runner
from harness.warp.report import heading, markdown, write_results
from torch import Tensor
from tqdm import tqdm

from rfwarp.files import write_atomically


class Memory(NamedTuple):
    """Bytes of one forward and backward, beside its inputs and the gradient of the output."""

    peak: int
    """Most that was in use at once: temporaries, output and gradients."""
    saved: int
    """Tensors that the forward keeps for the backward."""
    results: int
    """Output and gradients: nobody can do with less."""


@dataclass(frozen=True)
class MemoryBenchmark:
    """Peak memory of forward and backward, rfwarp's against eager PyTorch and torch.compile."""

    shape: tuple[str, ...] = ("1,4,128,64,64", "8,4,128,64,64", "64,2,256,32,32")
    """N,K,C,H,W, with +shared behind it for one set of sources."""
    layout: tuple[Layout, ...] = get_args(Layout)
    dtype: tuple[DType, ...] = ("float32",)
    device: str = "cpu"
    compile: bool = True
    """Measure torch.compile too."""
    out: Path | None = None
    """Folder for memory.json and memory.md."""

    def names(self, case: Case) -> list[str]:
        every = (*baselines(case, compiled=self.compile, max_autotune=False), *ours(case))
        return [candidate.name for candidate in every]

    def run(self) -> dict[str, Any]:
        shapes = map(Shape.parse, self.shape)
        cases = [
            Case(shape, layout, dtype, "forward+backward", device=self.device)
            for shape, layout, dtype in product(shapes, self.layout, self.dtype)
        ]
        jobs = [(case, name) for case in cases for name in self.names(case)]
        with ProcessPoolExecutor(
            1, mp_context=multiprocessing.get_context("spawn"), max_tasks_per_child=1
        ) as processes:
            found = list(tqdm(processes.map(measure, *zip(*jobs, strict=True)), total=len(jobs)))
        measurements = [
            {"case": case.to_json(), "name": name, **memory._asdict()}
            for (case, name), memory in zip(jobs, found, strict=True)
        ]
        settings = {k: str(v) if isinstance(v, Path) else v for k, v in asdict(self).items()}
        return {
            "schema": "memory 1",
            "machine": machine.facts(self.device),
            "settings": settings,
            "measurements": measurements,
        }


def measure(case: Case, name: str) -> Memory:
    """Check a candidate, then measure it. In a fresh process, or the heap's past counts."""
    if case.device == "cpu":
        torch.set_num_threads(1)
    every = (*baselines(case, compiled=True, max_autotune=False), *ours(case))
    (candidate,) = (c for c in every if c.name == name)
    inputs = make_inputs(case, seed=0)
    run = runner(case, candidate, [inputs])
    with candidate.active():
        results = run(0)  # compiles, and loads what is loaded once
        Reference(case, inputs).check(name, results)
        size = sum(result.nbytes for result in results)
        del results
        saved = _saved(run, inputs)
        peak = Peak(case.device)
        run(0)
        return Memory(peak.read(), saved, size)


def _saved(run: Any, inputs: Sequence[Tensor]) -> int:
    """Bytes of the storages that autograd keeps and that are not inputs."""
    own = {x.untyped_storage().data_ptr() for x in inputs}
    storages: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        run(0)
    return sum(storages.values())


class Peak:
    """Peak memory since its creation, beyond the memory in use then."""

    def __init__(self, device: str) -> None:
        self._device = device
        gc.collect()
        if device != "cpu":
            torch.cuda.reset_peak_memory_stats(device)
            self._before = torch.cuda.memory_allocated(device)
            return
        if not sys.platform.startswith("linux"):
            raise RuntimeError(f"resident memory is measured on Linux only, not on {sys.platform}")
        ctypes.CDLL(None).malloc_trim(0)  # what is free is given back, so that its next use counts
        Path("/proc/self/clear_refs").write_text("5")  # resets VmHWM
        self._before = _status("VmRSS")

    def read(self) -> int:
        if self._device != "cpu":
            return torch.cuda.max_memory_allocated(self._device) - self._before
        return _status("VmHWM") - self._before


def _status(field: str) -> int:
    match = re.search(rf"^{field}:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.M)
    assert match is not None
    return int(match[1]) * 2**10


def table(measurements: Iterable[dict[str, Any]]) -> str:
    """A table in Markdown: MiB, and the peak as a share of eager PyTorch's."""
    measurements = list(measurements)
    eager = {str(m["case"]): m["peak"] for m in measurements if m["name"] == "eager"}
    lines = [["N,K,C,H,W", "layout", "dtype", "which", "peak MiB", "of eager", "saved", "results"]]
    for m in measurements:
        mib = [f"{m[key] / 2**20:.1f}" for key in ("peak", "saved", "results")]
        case = [m["case"][key] for key in ("shape", "layout", "dtype")]
        lines.append(
            [*case, m["name"], mib[0], f"{m['peak'] / eager[str(m['case'])]:.0%}", *mib[1:]]
        )
    return markdown(lines)


def main() -> None:
    config = tyro.cli(MemoryBenchmark)
    results = config.run()
    text = f"{heading(results)}\n\n{table(results['measurements'])}\n"
    if config.out is not None:
        write_results(results, config.out / "memory.json")
        write_atomically(config.out / "memory.md", lambda path: path.write_text(text))
    print(text)


if __name__ == "__main__":
    main()
