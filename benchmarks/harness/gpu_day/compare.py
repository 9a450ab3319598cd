"""The installed CUDA kernels and variants of them, checked against float64 and timed in turns.

python -m harness.gpu_day.compare --shape 8,4,128,64,64 [NAME=LIBRARY ...]

Prints a line of JSON for each case: microseconds of one call of the raw operator in a CUDA graph,
and of the host's time for it. With ``--calls`` it only makes that many calls of each case, for a
profiler.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from itertools import product
from typing import Any, cast, get_args

import torch
from torch import Tensor

from harness.cuda import interleave_cuda
from harness.timing import Call
from harness.warp.cases import Case, DType, Inputs, Layout, Shape, make_inputs
from harness.warp.checking import Reference
from rfwarp.ops import use_backend
from rfwarp.ops.schema import OPERATORS, operators

INSTALLED = "rfwarp"


def load(name: str, library: str) -> Any:
    """torch.ops.NAME from the library of a variant, with the operators' schemas of this version."""
    for operator in OPERATORS:
        schema = str(getattr(operators, operator).default._schema)
        torch.library.define(f"{name}::{operator}", schema[schema.index("(") :])
    torch.ops.load_library(library)
    return getattr(torch.ops, name)


def forward(ops: Any, inputs: Inputs) -> Tensor:
    return ops.warp_fuse(*inputs[:6], None, "zeros")


def backward(ops: Any, inputs: Inputs) -> tuple[Tensor, ...]:
    return ops.warp_fuse_backward(inputs.grad_out, *inputs[:6], None, "zeros", [True] * 5)


def check(name: str, ops: Any, case: Case, inputs: Inputs, reference: Reference) -> None:
    """Raise Mismatch if output or gradients are wrong."""
    features, flow, *others = backward(ops, inputs)
    reference.check(name, [forward(ops, inputs), features, flow, flow, *others])


def measure(variants: dict[str, Any], case: Case, seconds: float) -> dict[str, Any]:
    """Check and time all variants on a case."""
    first = make_inputs(case, 0)
    cache = torch.cuda.get_device_properties(case.device).L2_cache_size
    slots = min(24, math.ceil(3 * cache / first.bytes))
    sets = [first, *(make_inputs(case, i) for i in range(1, slots))]
    sets = [Inputs(*(x.detach() for x in inputs)) for inputs in sets]
    reference = Reference(case, first)
    for name, ops in variants.items():
        check(name, ops, case, sets[0], reference)
    del reference
    found: dict[str, Any] = {"case": str(case), "slots": slots}
    for what in (forward, backward):
        calls = {
            name: Call(lambda slot, o=ops, w=what: w(o, sets[slot]), nullcontext)
            for name, ops in variants.items()
        }
        timed = interleave_cuda(calls, slots=slots, seconds=seconds, seed=0, profile=False)
        found[f"{what.__name__}_us"] = {
            name: round(1e3 * clocks["graph"].median, 2) for name, clocks in timed.items()
        }
    found["host_us"] = {n: host_time(lambda o=o: forward(o, sets[0])) for n, o in variants.items()}
    return found


def host_time(call: Callable[[], object], calls: int = 200) -> float:
    """Microseconds of the host for a call that nothing waits for."""
    for _ in range(20):
        call()
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(calls):
        call()
    seconds = time.perf_counter() - start
    torch.cuda.synchronize()
    return round(1e6 * seconds / calls, 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", required=True)
    parser.add_argument("--dtype", nargs="+", choices=get_args(DType), default=["bfloat16"])
    parser.add_argument("--layout", nargs="+", choices=get_args(Layout), default=["channels_last"])
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("--calls", type=int, default=0)
    parser.add_argument("variants", nargs="*", metavar="NAME=LIBRARY")
    given = parser.parse_args()
    variants = {INSTALLED: operators}
    for variant in given.variants:
        name, _, library = variant.partition("=")
        variants[name] = load(name, library)
    cases = [
        Case(Shape.parse(given.shape), layout, dtype, "forward+backward", device="cuda")
        for dtype, layout in cast(
            "list[tuple[DType, Layout]]", list(product(given.dtype, given.layout))
        )
    ]
    with use_backend("cuda"):
        for case in cases:
            if given.calls:
                inputs = Inputs(*(x.detach() for x in make_inputs(case, 0)))
                for _ in range(given.calls):
                    forward(operators, inputs)
                    backward(operators, inputs)
                torch.cuda.synchronize()
            else:
                print(json.dumps(measure(variants, case, given.seconds)), flush=True)


if __name__ == "__main__":
    main()
