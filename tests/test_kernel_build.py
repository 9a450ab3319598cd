"""Decisions of the build: kernels to compile, the torch beside them, number of compilers."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

CSRC = Path(__file__).parents[1] / "csrc"
AVX2 = ["-mavx2", "-mfma", "-mf16c"]
AVX512 = ["-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mprefer-vector-width=512"]
SETS: dict[str, list[str]] = {"baseline": [], "avx2": AVX2, "avx512": AVX2 + AVX512}


@pytest.fixture(scope="module")
def toolchain() -> Iterator[ModuleType]:
    sys.path.insert(0, str(CSRC))
    yield importlib.import_module("kernel_build.toolchain")
    sys.path.remove(str(CSRC))


@pytest.fixture
def empty_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder that is all of PATH."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CUDA_HOME", str(tmp_path / "cuda"))
    monkeypatch.delenv("CXX", raising=False)
    return tmp_path


def program(path: Path, script: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def setup(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """setup.py, with these additions to the environment."""
    return subprocess.run(
        [sys.executable, str(CSRC.parent / "setup.py"), *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "RFWARP_BUILD": "", **environment},
        cwd=CSRC.parent,
        check=False,
    )


def test_without_a_compiler_there_is_nothing(toolchain: ModuleType, empty_path: Path) -> None:
    for asked in ("auto", "cpu", "cuda"):
        with pytest.raises(toolchain.Missing, match=r"no C\+\+ compiler \(c\+\+, g\+\+, clang\+\+"):
            toolchain.find_toolchain(asked)


def test_without_nvcc_there_are_cpu_kernels(toolchain: ModuleType, empty_path: Path) -> None:
    compiler = program(empty_path / "c++", "exit 0")
    found = toolchain.find_toolchain("auto")
    assert (found.cxx, found.nvcc) == (compiler, None)
    assert "there is no nvcc" in found.without_cuda
    with pytest.raises(toolchain.Missing, match="there is no nvcc"):
        toolchain.find_toolchain("cuda")


def test_with_both_there_are_both_kernels(toolchain: ModuleType, empty_path: Path) -> None:
    compiler = program(empty_path / "c++", "exit 0")
    nvcc = program(empty_path / "cuda" / "bin" / "nvcc", "exit 0")
    for asked in ("auto", "cuda"):
        assert toolchain.find_toolchain(asked)[2:] == (compiler, nvcc, "")
    assert toolchain.find_toolchain("cpu").nvcc is None


def test_compilers_that_do_not_work_are_not_used(toolchain: ModuleType, empty_path: Path) -> None:
    program(empty_path / "c++", "exit 0")
    program(
        empty_path / "cuda/bin/nvcc", "echo warning >&2; echo 'error: gcc 99 is new' >&2; exit 1"
    )
    assert (
        "nvcc does not work: error: gcc 99 is new" in toolchain.find_toolchain("auto").without_cuda
    )
    program(empty_path / "c++", "echo 'error: no header' >&2; exit 1")
    with pytest.raises(toolchain.Missing, match=r"does not work: error: no header"):
        toolchain.find_toolchain("auto")


def test_a_compiler_without_shuffles_of_vectors_is_not_used(
    toolchain: ModuleType, empty_path: Path
) -> None:
    """As gcc before 12, which would fail in the middle of the installation."""
    program(empty_path / "c++", "/bin/grep -q __builtin_shufflevector probe.cpp && exit 1; exit 0")
    with pytest.raises(toolchain.Missing, match="does not work: no message"):
        toolchain.find_toolchain("auto")


def test_a_compiler_is_one_program(
    toolchain: ModuleType, empty_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", "ccache g++")
    with pytest.raises(toolchain.Missing, match=r"\(ccache g\+\+\): CXX is one program; flags go"):
        toolchain.find_toolchain("auto")


def test_none_and_nonsense(toolchain: ModuleType) -> None:
    with pytest.raises(toolchain.Missing, match="RFWARP_BUILD=none"):
        toolchain.find_toolchain("none")
    with pytest.raises(SystemExit, match=r"must be cuda, cpu or none .* got 'gpu'"):
        toolchain.find_toolchain("gpu")


def test_torch_is_found_without_importing_it(toolchain: ModuleType) -> None:
    import torch

    folder, version = toolchain.find_torch()
    assert (folder, version) == (Path(torch.__file__).parent, torch.__version__)
    code = (
        "import kernel_build.toolchain as t, sys; t.find_torch(); sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=CSRC, check=True)


def test_torch_is_found_where_an_isolated_build_hides_it(
    toolchain: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(toolchain.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(toolchain.sysconfig, "get_path", lambda scheme: str(tmp_path / scheme))
    with pytest.raises(toolchain.Missing, match="torch is not installed here, or this build"):
        toolchain.find_torch()
    (tmp_path / "platlib" / "torch").mkdir(parents=True)
    version = tmp_path / "platlib" / "torch" / "version.py"
    version.write_text("__version__ = '2.11.0+cu130'\n")
    assert toolchain.find_torch() == (version.parent, "2.11.0+cu130")
    version.write_text("__version__ = '2.9.1'\n")
    with pytest.raises(
        toolchain.Missing, match=r"torch 2.9.1 is installed, they need 2.11 or later"
    ):
        toolchain.find_torch()


def test_architectures(
    toolchain: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    codes = "sm_70 sm_75 sm_80 sm_86 sm_90 sm_90a sm_100 sm_110 sm_103 sm_120 sm_121"
    nvcc = program(tmp_path / "nvcc", f"printf '%s\\n' {codes}")
    monkeypatch.delenv("RFWARP_CUDA_ARCHS", raising=False)
    assert toolchain.cuda_architectures(nvcc) == ["75", "80", "90", "100", "110", "120+PTX"]
    monkeypatch.setenv("RFWARP_CUDA_ARCHS", "8.0; 90+PTX")
    assert toolchain.cuda_architectures(nvcc) == ["80", "90+PTX"]
    monkeypatch.setenv("RFWARP_CUDA_ARCHS", "native")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    for capabilities, expected in (("8.6 9.0", ["86", "90"]), ("6.1", ["90"]), ("", ["90"])):
        program(tmp_path / "nvidia-smi", f"printf '%s\\n' {capabilities}")
        assert toolchain.cuda_architectures(nvcc) == expected
    for nonsense in ("42", "sm_90", ";"):
        monkeypatch.setenv("RFWARP_CUDA_ARCHS", nonsense)
        with pytest.raises(SystemExit, match=f"expected some of 70;75.* got '{nonsense}'"):
            toolchain.cuda_architectures(nvcc)


def test_jobs_fit_cores_and_memory(toolchain: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MAX_JOBS", raising=False)
    gibibytes = {"SC_PHYS_PAGES": 5 * 2**18, "SC_PAGE_SIZE": 4096}
    monkeypatch.setattr(toolchain.os, "sysconf", gibibytes.__getitem__)
    monkeypatch.setattr(toolchain.os, "sched_getaffinity", lambda _: range(64))
    assert toolchain.job_counts() == (5, 2)
    monkeypatch.setattr(toolchain.os, "sched_getaffinity", lambda _: range(3))
    assert toolchain.job_counts() == (3, 2)
    monkeypatch.setenv("MAX_JOBS", "1")
    assert toolchain.job_counts() == (1, 1)
    gibibytes["SC_PHYS_PAGES"] = 1
    monkeypatch.setenv("MAX_JOBS", "8")
    assert toolchain.job_counts() == (8, 1)
    monkeypatch.setenv("MAX_JOBS", "many")
    with pytest.raises(SystemExit, match="MAX_JOBS must be a positive whole number, got 'many'"):
        toolchain.job_counts()


def test_every_file_has_the_flags_of_its_instruction_set(
    toolchain: ModuleType, empty_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RFWARP_CUDA_ARCHS", raising=False)
    monkeypatch.setenv("CXXFLAGS", "-g '-DNAME=a b'")
    monkeypatch.setenv("LDFLAGS", "-Wl,-O1,-z,now -fsanitize=address -L/lib")
    monkeypatch.setenv("NVCC_APPEND_FLAGS", "-lineinfo")
    monkeypatch.setattr(toolchain.platform, "machine", lambda: "x86_64")
    script = "echo 'release 13.0, V13.0.88'; echo sm_90"
    nvcc, ccache = program(empty_path / "nvcc", script), program(empty_path / "ccache", "exit 1")
    tools = toolchain.Toolchain(empty_path / "torch", "2.12.0", nvcc, nvcc, "")
    build = importlib.import_module("kernel_build")
    extensions = [
        build.KernelExtension("p._cpu", [CSRC / f"cpu/{n}.cpp" for n in SETS], tools, "p"),
        build.KernelExtension("p._cuda", [CSRC / "cuda" / "forward.cu"], tools, "p"),
    ]
    folder = empty_path / "build"
    folder.mkdir()
    build.write_ninja_file(folder, extensions, "1.2.3", nvcc_jobs=3)
    lines = (folder / "build.ninja").read_text().splitlines()
    for number, line in enumerate(lines):
        if line.startswith("build cpu/"):
            name = line.split("/")[1].split(".")[0]
            assert lines[number + 1].split()[2:] == SETS[name]
    commands = [line for line in lines if "-c $in" in line]
    assert all(ccache in line.split()[2:5] for line in commands)
    (cuda,) = (line for line in commands if "-gencode" in line)
    assert "env NVCC_APPEND_FLAGS=-lineinfo" in cuda
    links = [line for line in lines if "-ltorch_cpu" in line]
    assert sum("-Wl,-O1,-z,now -fsanitize=address -L/lib" in line for line in links) == 1
    given = "-Xlinker=-O1,-z,now -Xcompiler=-fsanitize=address -L/lib"
    assert sum(given in line for line in links) == 1
    assert all("-DRFWARP_NAMESPACE=p" in line and "-DRFWARP_X86" in line for line in commands)
    (cxx,) = (line for line in commands if "-fPIC" in line.split())
    assert "-g '-DNAME=a b'" in cxx
    assert "  depth = 3" in lines
    info = json.loads(
        (folder / "build_info.h").read_text().strip()[len('R"json(') : -len(')json"')]
    )
    assert (info["version"], info["torch"], info["namespace"]) == ("1.2.3", "2.12.0", "p")
    assert (info["nvcc"], info["cuda_architectures"]) == ("13.0.88", ["90+PTX"])


def test_asking_for_what_is_missing_is_one_clear_error() -> None:
    done = setup("build_ext", RFWARP_BUILD="cpu", CXX="no-such-compiler")
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "RFWARP_BUILD=cpu cannot be done: there is no C++ compiler (no-such-compiler)"
    ]


def test_going_without_is_one_clear_line(tmp_path: Path) -> None:
    done = setup("--quiet", "build_ext", "--build-lib", str(tmp_path), CXX="no-such-compiler")
    assert done.returncode == 0
    assert done.stderr.splitlines() == [
        "rfwarp: no compiled kernels, PyTorch operators only: there is no C++ compiler"
        " (no-such-compiler)"
    ]


def test_commands_that_build_nothing_look_for_nothing() -> None:
    done = setup("--version", RFWARP_BUILD="cuda", CXX="no-such-compiler", CUDA_HOME="nowhere")
    assert (done.returncode, done.stderr) == (0, "")
