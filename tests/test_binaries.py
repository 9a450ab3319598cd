"""The compiled binaries as files: what they ask of PyTorch, and what they keep to themselves."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import rfwarp_cuda

PACKAGE = Path(rfwarp_cuda.__file__).parent
OBJECTS = PACKAGE.parent / "build" / f"rfwarp_cuda-{sys.implementation.cache_tag}"
BINARIES = sorted(PACKAGE.glob("*.so"))
SHIMS = (
    "torch/csrc/stable/c/shim.h",
    "torch/csrc/inductor/aoti_torch/c/shim.h",
    "torch/csrc/inductor/aoti_torch/generated/c_shim_aten.h",
)
INFORMATION = {
    f"rfwarp_{name}" for name in ("contract", "build_info", "cpu_capability", "set_cpu_capability")
}
# Versioned symbols, namespace std, and weak references that the linker adds.
RUNTIME = re.compile(r".*@(GLIBC|GLIBCXX|CXXABI|GCC)_|_ZNK?St|_ITM_|__gmon_start__|__cxa_finalize")

pytestmark = [
    pytest.mark.skipif(not BINARIES, reason="rfwarp is installed without compiled kernels"),
    pytest.mark.skipif(shutil.which("nm") is None, reason="there is no nm (binutils)"),
]


def output(*command: str | Path) -> list[str]:
    return subprocess.check_output(list(command), text=True).splitlines()


@pytest.mark.parametrize("binary", BINARIES, ids=lambda path: path.name.split(".")[0])
def test_of_pytorch_only_stable_shims_are_used(binary: Path) -> None:
    include = Path(torch.__file__).parent / "include"
    declared = "".join((include / header).read_text() for header in SHIMS)
    names = [line.split()[-1] for line in output("nm", "-D", "--undefined-only", binary)]
    foreign = {name for name in names if not RUNTIME.match(name)}
    if binary.name.startswith("_info."):
        # No kernels, but the functions of _cpu.so as a module of one Python.
        assert {n for n in foreign if not n.startswith(("Py", "_Py"))} == INFORMATION
        return
    shims = {name for name in foreign if re.search(rf"\b{name}\(", declared)}
    assert foreign == shims
    assert "torch_library_impl" in shims


@pytest.mark.parametrize("binary", BINARIES, ids=lambda path: path.name.split(".")[0])
def test_pytorch_is_found_as_it_was_imported(binary: Path) -> None:
    """By name alone: a path of the machine that built the wheel would mean nothing elsewhere."""
    dynamic = "\n".join(output("readelf", "-d", "-W", binary))
    assert "RPATH" not in dynamic
    assert "RUNPATH" not in dynamic
    needed = set(re.findall(r"\(NEEDED\).*\[(.*)\]", dynamic))
    assert not any("python" in name for name in needed)
    if binary.name.startswith("_info."):
        assert "rfwarp_cuda._cpu.so" in needed
        return
    assert "libtorch_cpu.so" in needed
    assert ("libtorch_cuda.so" in needed) == (binary.name == "_cuda.so")
    # A second OpenMP runtime would have threads of its own, which torch.set_num_threads forgets.
    assert not any("omp" in name for name in needed)
    assert not any("libcudart" in name for name in needed)


@pytest.mark.skipif(not (PACKAGE / "_cpu.so").is_file(), reason="there are no CPU kernels")
def test_nothing_but_the_information_is_offered_to_others() -> None:
    lines = output("nm", "-D", "--defined-only", PACKAGE / "_cpu.so")
    assert {line.split()[-1] for line in lines if line.split()[-2] == "T"} == INFORMATION


@pytest.mark.parametrize("capability", ["baseline", "avx2", "avx512"])
def test_an_instruction_set_keeps_its_code_to_itself(capability: str) -> None:
    """Of a weak symbol the linker keeps one copy, perhaps one that this processor cannot run."""
    path = OBJECTS / "cpu" / f"{capability}.o"
    if not path.is_file():
        pytest.skip(f"there is no {path}")
    symbols = [line.split()[-2:] for line in output("nm", "--defined-only", path)]
    weak = {name for kind, name in symbols if kind in "WVu"}
    # A pointer to a function of the C++ runtime, the same in each.
    assert weak <= {"DW.ref.__gxx_personality_v0"}
    shared = {name for kind, name in symbols if kind.isupper() and name not in weak}
    assert shared == {f"_ZN6rfwarp3cpu{len(capability)}{capability}E"}


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="threads are counted in /proc")
def test_kernels_use_the_threads_of_pytorch() -> None:
    code = """
import os, torch
from rfwarp.ops import warp
features, flow = torch.zeros(1, 16, 128, 128), torch.zeros(1, 2, 128, 128)
torch.set_num_threads(2)
before = len(os.listdir("/proc/self/task"))
warp(features, flow)
print(len(os.listdir("/proc/self/task")) - before)
"""
    if rfwarp_cuda.load().cpu is not None:
        pytest.skip(f"no CPU kernels: {rfwarp_cuda.load().cpu}")
    assert output(sys.executable, "-c", code) == ["1"]
