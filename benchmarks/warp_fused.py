"""rfwarp.warp_fuse against all alternatives in PyTorch, and against the speed of light.

    python benchmarks/warp_fused.py --quick
    python benchmarks/warp_fused.py --out benchmarks/results/<name>

Every output and gradient is checked against float64 first; a mismatch ends the run. With --out it
writes results.json, table.md and plot.png; `benchmarks/report.py` draws them again from the JSON.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any, get_args

from harness import machine
from harness.warp.candidates import (
    Candidate,
    Capability,
    Unavailable,
    baselines,
    ours,
    require_kernels,
)
from harness.warp.cases import SHAPES, Case, DType, Flow, Layout, Pass, Shape
from harness.warp.checking import Mismatch
from harness.warp.measure import Settings, measure
from harness.warp.report import SCHEMA, heading, rows, table, write_results
from tqdm import tqdm

QUICK = ("1,2,256,32,32", "1,4,128,64,64")
TYPICAL = Shape.parse("1,4,128,64,64")


@dataclass(frozen=True)
class WarpFused:
    """Time rfwarp.warp_fuse, forward and backward, against the alternatives in PyTorch.

    Without a selection: all shapes and layouts in float32 with a smooth flow, and all types and
    flows on one shape. With one: the product of what is selected, other axes as said there.
    """

    shape: tuple[str, ...] = ()
    """N,K,C,H,W, with +shared behind it for one set of sources. Default: all."""
    layout: tuple[Layout, ...] = get_args(Layout)
    """Memory formats of features and target."""
    dtype: tuple[DType, ...] = ()
    """Types of features and target. Default: float32."""
    flow: tuple[Flow, ...] = ()
    """Kinds of flow. Default: smooth."""
    passes: tuple[Pass, ...] = get_args(Pass)
    """With or without a backward."""
    threads: tuple[int, ...] = (1,)
    """CPU threads. One: thread CPU time. More: wall time, INVALID where the machine is loaded."""
    device: str = "cpu"
    """cpu, cuda, cuda:1."""
    capability: tuple[Capability, ...] = ()
    """Time the CPU kernels with these instruction sets too."""
    quick: bool = False
    """Two small shapes, no torch.compile: under a minute on two CPU cores."""
    full: bool = False
    """The whole product of shapes, layouts, types, passes and flows."""
    compile: bool = True
    """Time torch.compile too. It takes most of the time of a run."""
    max_autotune: bool = False
    """Time torch.compile(mode="max-autotune") too; on a GPU it always is."""
    profile: bool = True
    """On a GPU, sum kernel times by the profiler too: seconds for each candidate."""
    seconds: float | None = None
    """Seconds for each case and state of the caches; 3 rounds at least. Default: 3, quick: 0.5."""
    max_gib: float = 0.25
    """Size of the features in float32 above which a shape is left out, unless named by --shape."""
    llc_mib: int = 0
    """Size of the last-level cache; 0 asks the system."""
    seed: int = 0
    """Seed of inputs and orders."""
    out: Path | None = None
    """Folder for results.json, table.md and plot.png."""

    def cases(self) -> list[Case]:
        """The selected cases, without repetitions."""
        names = self.shape or (QUICK if self.quick else ())
        shapes = [Shape.parse(name) for name in names]
        if not shapes:
            shapes = [s for s in SHAPES if 4 * s.elements <= self.max_gib * 2**30]
        flows, dtypes = self.flow or ("smooth",), self.dtype or ("float32",)
        if self.full:
            flows, dtypes = self.flow or get_args(Flow), self.dtype or get_args(DType)
        chosen = list(product(shapes, dtypes, flows))
        if not (self.shape or self.dtype or self.flow or self.quick or self.full):
            chosen += [(TYPICAL, dtype, "smooth") for dtype in get_args(DType)]
            chosen += [(TYPICAL, "float32", flow) for flow in get_args(Flow)]
        return [
            Case(shape, layout, dtype, passes, flow, self.device)
            for shape, dtype, flow in dict.fromkeys(chosen)
            for layout, passes in product(self.layout, self.passes)
        ]

    def candidates(self, case: Case) -> Iterator[Candidate]:
        """All candidates for a case."""
        yield from baselines(
            case,
            compiled=self.compile and not self.quick,
            max_autotune=self.max_autotune or case.device != "cpu",
        )
        yield from ours(case, self.capability)

    def run(self) -> dict[str, Any]:
        """Measure, and write the results as they come.

        Raises:
            Mismatch: if a candidate is wrong.
            Unavailable: if there are no kernels for the device.
        """
        require_kernels(self.device)
        facts = machine.facts(self.device)
        settings = {k: str(v) if isinstance(v, Path) else v for k, v in asdict(self).items()}
        results: dict[str, Any] = {
            "schema": SCHEMA,
            "machine": facts,
            "settings": settings,
            "measurements": [],
        }
        for case, threads in tqdm(list(product(self.cases(), self.threads)), unit="case"):
            seconds = self.seconds or (0.5 if self.quick else 3.0)
            cache = self.llc_mib * 2**20
            how = Settings(threads, seconds, self.seed, cache, self.profile)
            for measurement in measure(case, self.candidates(case), how):
                results["measurements"].append(measurement)
                if self.out is not None:
                    write_results(results, self.out / "results.json")
        return results


def main() -> None:
    import tyro  # harness.gpu_day runs WarpFused on images that lack it

    config = tyro.cli(WarpFused)
    try:
        results = config.run()
    except (Mismatch, Unavailable, ValueError) as error:
        sys.exit(f"warp_fused.py: error: {error}")
    if config.out is not None:
        from harness.warp.plot import render  # needs matplotlib

        render(results, config.out)
    print(heading(results), table(rows(results)), sep="\n\n")


if __name__ == "__main__":
    main()
