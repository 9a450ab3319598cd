"""The tasks of the day, in four steps."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from harness.gpu_day import reading
from harness.gpu_day.runner import Task

HERE = Path(__file__).parent
STEPS = {1: "build and truth", 2: "sanitizers", 3: "variants", 4: "headline"}

# By worth: a day that ends early has the first ones.
SHAPES = ("64,4,128,64,64", "8,4,128,64,64", "64,2,256,32,32", "1,4,128,64,64")
SHAPES = (*SHAPES, "8,4,16,256,256", "64,10,128,64,64", "1,2,256,32,32", "3,3,100,37,53")
TYPES = ("bfloat16", "float32")

OPERATORS = "tests/gpu/test_operators_on_gpu.py"
# A checker, its seconds, and tests for them, by worth: it slows kernels down 10 to 100 times, and
# what it does not come to is left out.
SANITIZERS = {
    "memcheck": (200.0, ("warp_fuse", "warp", "both_results", "warp_of_any_axes")),
    "racecheck": (160.0, ("warp_fuse", "flows")),
    "initcheck": (90.0, ("without_residual", "sample_without_sources_is_zero", "absent_inputs")),
    "synccheck": (90.0, ("every_subset_of_the_gradients", "flows")),
}


def tasks(
    work: Path, capability: str, variants: Mapping[str, Path], shapes: Iterable[str] = SHAPES
) -> list[Task]:
    """All tasks.

    Args:
        work: folder for programs that are built.
        capability: of the card, "9.0".
        variants: folders like csrc, by name.
        shapes: to time.
    """
    return [
        *truth(work, capability),
        *sanitizers(),
        *comparison(work, capability, variants, tuple(shapes)),
        *headline(tuple(shapes)),
    ]


def _python(*arguments: str) -> tuple[str, ...]:
    return (sys.executable, *arguments)


def _pytest(*arguments: str) -> tuple[str, ...]:
    return _python("-m", "pytest", "-v", "-p", "no:cacheprovider", *arguments)


def _build(capability: str) -> dict[str, str]:
    return {"RFWARP_BUILD": "cuda", "RFWARP_CUDA_ARCHS": capability}


def truth(work: Path, capability: str) -> list[Task]:
    program = str(work / "reductions")
    architecture = f"-arch=sm_{capability.replace('.', '')}"
    source = str(HERE / "reductions.cu")
    build = _python("setup.py", "build_ext", "--inplace")
    return [
        Task(1, "build", build, 240, environment=_build(capability)),
        Task(1, "tests", _pytest("tests/gpu"), 400, reading.tests, after="build"),
        Task(1, "build reductions", ("nvcc", architecture, "-O3", source, "-o", program), 60),
        Task(1, "reductions", (program,), 30, reading.lines, after="build reductions"),
    ]


def sanitizers() -> list[Task]:
    found = []
    for checker, (seconds, names) in SANITIZERS.items():
        chosen = (f"{OPERATORS}::test_{name}" for name in names)
        command = ("compute-sanitizer", "--tool", checker, "--kernel-regex", "kns=rfwarp")
        command = (*command, "--error-exitcode", "1", *_pytest(*chosen))
        found.append(
            Task(
                2,
                checker,
                command,
                seconds,
                reading.sanitizer,
                # Each tensor in an allocation of its own, so that its bounds are checked.
                {"PYTORCH_NO_CUDA_MEMORY_CACHING": "1"},
                "compute-sanitizer",
                "build",
            )
        )
    return found


def comparison(
    work: Path, capability: str, variants: Mapping[str, Path], shapes: tuple[str, ...]
) -> list[Task]:
    found, built = [], []
    for name, csrc in variants.items():
        setup = _python("-m", "harness.gpu_day.variant_setup", str(csrc), name)
        setup = (*setup, "build_ext", "--build-lib", str(work))
        found.append(Task(3, f"build {name}", setup, 200, environment=_build(capability)))
        built.append(f"{name}={work / name / '_cuda.so'}")
    compare = _python("-m", "harness.gpu_day.compare")
    last = f"build {[*variants][-1]}" if variants else "build"
    for shape in shapes:
        command = (*compare, "--shape", shape, "--dtype", *TYPES)
        command = (*command, "--layout", "channels_last", "NCHW", *built)
        found.append(Task(3, f"compare {shape}", command, 90, reading.lines, after=last))
    for layout in ("channels_last", "NCHW"):
        profile = str(work / f"{layout}.ncu-rep")
        calls = (*compare, "--shape", SHAPES[0], "--layout", layout, "--calls", "1")
        record = ("ncu", "--set", "full", "--kernel-name", "regex:rfwarp", "-f", "-o", profile)
        record = (*record, "--kernel-name-base", "mangled", *calls)
        show = ("ncu", "--import", profile, "--csv", "--page", "raw")
        found += [
            Task(3, f"ncu {layout}", record, 120, tool="ncu", after="build"),
            Task(3, f"ncu {layout} read", show, 30, reading.ncu, {}, "ncu", f"ncu {layout}"),
        ]
    return found


def headline(shapes: tuple[str, ...]) -> list[Task]:
    run = _python("-m", "harness.gpu_day.headline")
    compiled = (*run, SHAPES[1], TYPES[0], "--compile")
    plain = [
        Task(4, f"{shape} {dtype}", (*run, shape, dtype), 120, reading.lines, after="build")
        for dtype in TYPES
        for shape in shapes
    ]
    with_compile = f"{SHAPES[1]} {TYPES[0]} compile"
    return [*plain, Task(4, with_compile, compiled, 300, reading.lines, after="build")]
