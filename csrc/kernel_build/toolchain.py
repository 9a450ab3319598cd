"""The tools on this machine that can build the kernels, and the reasons why others cannot."""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import NamedTuple

CSRC = Path(__file__).resolve().parents[1]
OLDEST_TORCH = (2, 11)
OLDEST_CUDA_ARCHITECTURE = 75
# Memory set aside for one compiler, more than twice what was seen, so that a build does not take
# all of it.
CXX_BYTES, NVCC_BYTES = 1 * 2**30, 2 * 2**30


# Of what the kernels use, what compilers had last: shuffles of vectors, gcc since 12.
PROBE = """#include <optional>
typedef int Vector __attribute__((vector_size(16)));
Vector probe(Vector v) { return __builtin_shufflevector(v, v, 3, 2, 1, 0); }
"""


class Missing(Exception):
    """The reason why something cannot be built here."""


class Toolchain(NamedTuple):
    """Attributes:
    torch: its folder.
    version: of that torch.
    cxx: path of the C++ compiler.
    nvcc: path, or None where no CUDA kernels are built.
    without_cuda: why there is no nvcc.
    """

    torch: Path
    version: str
    cxx: str
    nvcc: str | None
    without_cuda: str


def find_toolchain(asked: str) -> Toolchain:
    """The tools to build with.

    Args:
        asked: ``"cuda"``, ``"cpu"``, ``"none"``, or ``"auto"`` for as much as is possible.

    Raises:
        Missing: if nothing can be built, or not what is asked for.
    """
    if asked not in ("auto", "cuda", "cpu", "none"):
        sys.exit(f"RFWARP_BUILD must be cuda, cpu or none (unset: what is possible), got {asked!r}")
    if asked == "none":
        raise Missing("RFWARP_BUILD=none")
    if sys.platform != "linux":
        raise Missing(f"they build on Linux, and this is {sys.platform}")
    if importlib.util.find_spec("ninja") is None:
        raise Missing("the Python package ninja is not installed")
    torch, version = find_torch()
    cxx = find_compiler()
    if asked == "cpu":
        return Toolchain(torch, version, cxx, None, "RFWARP_BUILD=cpu")
    try:
        return Toolchain(torch, version, cxx, find_nvcc(cxx), "")
    except Missing as missing:
        if asked == "cuda":
            raise
        return Toolchain(torch, version, cxx, None, str(missing))


def find_torch() -> tuple[Path, str]:
    """Folder and version of this Python's torch, without importing it.

    pip's isolated builds hide the packages of the environment, but sysconfig still knows where
    they are.

    Raises:
        Missing: if there is none, or it is too old.
    """
    spec = importlib.util.find_spec("torch")
    folders = list(spec.submodule_search_locations or []) if spec else []
    folders += [f"{sysconfig.get_path(scheme)}/torch" for scheme in ("purelib", "platlib")]
    for version_file in (Path(folder) / "version.py" for folder in folders):
        if not version_file.is_file():
            continue
        version = re.search(r"__version__ = '((\d+)\.(\d+)[^']*)'", version_file.read_text())
        if version is None:
            raise Missing(f"{version_file} does not say which torch this is")
        if (int(version[2]), int(version[3])) < OLDEST_TORCH:
            oldest = ".".join(map(str, OLDEST_TORCH))
            raise Missing(f"torch {version[1]} is installed, they need {oldest} or later")
        return version_file.parent, version[1]
    raise Missing("torch is not installed here, or this build is isolated from it")


def find_compiler() -> str:
    """$CXX, or the first of c++, g++ and clang++, if it compiles what the kernels are written in.

    Raises:
        Missing: if there is none.
    """
    names = [os.environ["CXX"]] if os.environ.get("CXX") else ["c++", "g++", "clang++"]
    compiler = next(filter(None, map(shutil.which, names)), None)
    if compiler is None:
        reason = f"there is no C++ compiler ({', '.join(names)})"
        if len(names[0].split()) > 1:
            reason += (
                ": CXX is one program; flags go into CXXFLAGS, ccache is used where it is found"
            )
        raise Missing(reason)
    _try_to_compile([compiler, "-std=c++17"], "probe.cpp", PROBE)
    return compiler


def builds_python_modules() -> bool:
    """Whether pybind11 and the headers of this Python are there."""
    header = Path(sysconfig.get_path("include"), "Python.h")
    return importlib.util.find_spec("pybind11") is not None and header.is_file()


def find_nvcc(cxx: str) -> str:
    """nvcc of $CUDA_HOME, of PATH, or of /usr/local/cuda, if it works with the C++ compiler.

    Raises:
        Missing: if there is none.
    """
    if not any((CSRC / "cuda").glob("*.cu")):
        raise Missing("this version has none")
    home = os.environ.get("CUDA_HOME")
    names = [f"{home}/bin/nvcc"] if home else ["nvcc", "/usr/local/cuda/bin/nvcc"]
    nvcc = next(filter(None, map(shutil.which, names)), None)
    if nvcc is None:
        raise Missing(f"there is no nvcc ({', '.join(names)})")
    _try_to_compile([nvcc, "-std=c++17", "-ccbin", cxx], "probe.cu", "#include <optional>\n")
    return nvcc


def _try_to_compile(compiler: list[str], name: str, code: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / name).write_text(code)
        command = [*compiler, "-c", name, "-o", "probe.o"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = [*done.stderr.splitlines(), "no message"]
        error = next((line for line in lines if "error" in line), lines[0])
        raise Missing(f"{compiler[0]} does not work: {error.strip()}")


def cuda_architectures(nvcc: str) -> list[str]:
    """Compute capabilities to compile for, such as ``["80", "90+PTX"]``.

    $RFWARP_CUDA_ARCHS, separated by semicolons, or "native" for the GPUs of this machine: for one
    capability, 9.0 if nvcc knows it, where it has none. Without it, the first capability of each
    generation that nvcc knows (code for 8.0 runs on 8.6 and 8.9 too), and PTX for GPUs to come.
    """
    listed = subprocess.run([nvcc, "--list-gpu-code"], capture_output=True, text=True, check=True)
    known = sorted(re.findall(r"^sm_(\d+)$", listed.stdout, re.MULTILINE), key=int)
    asked = os.environ.get("RFWARP_CUDA_ARCHS")
    if asked == "native":
        here = _capabilities()
        return [number for number in known if number in here] or [
            "90" if "90" in known else known[-1]
        ]
    if asked:
        architectures = [word.strip().replace(".", "") for word in asked.split(";") if word.strip()]
        unknown = [a for a in architectures if a.removesuffix("+PTX") not in known]
        if unknown or not architectures:
            sys.exit(
                f"RFWARP_CUDA_ARCHS: expected some of {';'.join(known)}, +PTX or not, got {asked!r}"
            )
        return architectures
    generations: dict[int, str] = {}
    for number in known:
        if int(number) >= OLDEST_CUDA_ARCHITECTURE:
            generations.setdefault(int(number) // 10, number)
    *others, last = generations.values()
    return [*others, f"{last}+PTX"]


def _capabilities() -> set[str]:
    """Of the GPUs of this machine."""
    if shutil.which("nvidia-smi") is None:
        return set()
    command = ["nvidia-smi", "--query-gpu=compute_cap", "--format=csv,noheader"]
    listed = subprocess.run(command, capture_output=True, text=True, check=False)
    return {line.strip().replace(".", "") for line in listed.stdout.splitlines()}


def job_counts() -> tuple[int, int]:
    """Number of compilers at once, and of nvcc among them, by $MAX_JOBS, cores and memory."""
    asked = os.environ.get("MAX_JOBS") or ""
    if asked and not (asked.isdecimal() and int(asked) > 0):
        sys.exit(f"MAX_JOBS must be a positive whole number, got {asked!r}")
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    container = Path("/sys/fs/cgroup/memory.max")
    if container.is_file() and container.read_text().strip().isdecimal():
        memory = min(memory, int(container.read_text()))
    cores = len(os.sched_getaffinity(0))
    jobs = int(asked) if asked else max(1, min(cores, memory // CXX_BYTES))
    return jobs, max(1, min(jobs, memory // NVCC_BYTES))


def is_x86() -> bool:
    return platform.machine() in ("x86_64", "AMD64")


def version_line(program: str, containing: str = "") -> str:
    """The line of ``program --version`` that contains a word."""
    done = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    return next(line for line in done.stdout.splitlines() if containing in line)
