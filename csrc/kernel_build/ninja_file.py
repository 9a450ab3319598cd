"""Writes the ``build.ninja`` that compiles every file with the flags of its instruction set."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sysconfig
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from kernel_build.toolchain import (
    OLDEST_TORCH,
    Toolchain,
    cuda_architectures,
    is_x86,
    version_line,
)

CXX_FLAGS = ["-std=c++17", "-O3", "-fPIC", "-fvisibility=hidden", "-Wall", "-Wextra"]
# gcc 12 suspects its intrinsics of being uninitialised; psabi: vectors stay within their file.
CXX_FLAGS += ["-Wno-maybe-uninitialized", "-Wno-psabi"]
CXX_FLAGS += ["-fno-math-errno", "-fno-trapping-math"]
NVCC_FLAGS = ["-std=c++17", "-O3", "-DUSE_CUDA", "-Xcompiler=-fPIC,-fvisibility=hidden"]
NVCC_VARIABLES = ("NVCC_PREPEND_FLAGS", "NVCC_APPEND_FLAGS")  # which nvcc itself reads
AVX2 = ["-mavx2", "-mfma", "-mf16c"]
AVX512 = [*AVX2, *(f"-mavx512{part}" for part in ("f", "bw", "dq", "vl"))]
INSTRUCTION_SETS = {"avx2": AVX2, "avx512": [*AVX512, "-mprefer-vector-width=512"]}
COMPILE = ["$flags", "-MD", "-MF", "$out.d", "-c", "$in", "-o", "$out"]
DEPENDENCIES = {"deps": "gcc", "depfile": "$out.d", "description": "compile $in"}


def write_ninja_file(folder: Path, extensions: Sequence[Any], version: str, nvcc_jobs: int) -> None:
    """Write build.ninja and build_info.h.

    Args:
        folder: where ninja is to run, and will leave ``<name>.so`` of every extension.
        extensions: `KernelExtension`s of one package.
        version: of the distribution, for the build information.
        nvcc_jobs: how many nvcc may run at once.
    """
    from ninja.ninja_syntax import Writer

    toolchain, namespace = extensions[0].toolchain, extensions[0].namespace
    cxx_flags = [*CXX_FLAGS, *shlex.split(os.environ.get("CXXFLAGS", ""))]
    architectures = cuda_architectures(toolchain.nvcc) if toolchain.nvcc else []
    information = {
        "version": version,
        "namespace": namespace,
        "torch": toolchain.version,
        "compiler": version_line(toolchain.cxx),
        "flags": shlex.join(cxx_flags),
        "nvcc": version_line(toolchain.nvcc, "release").split("V")[-1] if toolchain.nvcc else None,
        "cuda_architectures": architectures,
    }
    _write_if_new(folder / "build_info.h", f'R"json({json.dumps(information)})json"\n')
    common = _common_flags(toolchain, namespace)
    with open(folder / "build.ninja", "w") as file:
        ninja = Writer(file, width=10_000)
        _cxx_rules(ninja, toolchain, [*common, *cxx_flags])
        if toolchain.nvcc:
            ninja.pool("nvcc", nvcc_jobs)
            _nvcc_rules(ninja, toolchain, [*common, *_nvcc_flags(toolchain, architectures)])
        for extension in extensions:
            objects = [_compile(ninja, folder, source) for source in extension.sources]
            package, _, name = extension.name.rpartition(".")
            output = f"{extension.name}.so"
            if name == "_cuda":
                ninja.build(output, "link_cuda", objects, implicit=["libtorch_cuda.so"])
            elif name == "_info":
                ninja.build(output, "link_module", [*objects, f"{package}._cpu.so"])
            else:
                ninja.build(output, "link", objects)


def _cxx_rules(ninja: Any, toolchain: Toolchain, flags: list[str]) -> None:
    command = _command(*_ccache(), toolchain.cxx, *flags, *COMPILE)
    ninja.rule("cxx", command, **DEPENDENCIES)
    # Named by the package too, as a process may have several that are called _cpu.so.
    link = _command(toolchain.cxx, *_link_flags(toolchain))
    ninja.rule("link", f"{link} -Wl,-soname,$out", description="link $out")
    flags = ["-shared", "$in", "-o", "$out", *shlex.split(os.environ.get("LDFLAGS", ""))]
    ninja.rule("link_module", _command(toolchain.cxx, *flags), description="link $out")


def _nvcc_rules(ninja: Any, toolchain: Toolchain, flags: list[str]) -> None:
    nvcc = str(toolchain.nvcc)
    # In the command, so that what it compiled is compiled again when they change.
    own = [f"{name}={os.environ[name]}" for name in NVCC_VARIABLES if os.environ.get(name)]
    first = ["env", *own, *_ccache()] if own else _ccache()
    ninja.rule("nvcc", _command(*first, nvcc, *flags, *COMPILE), pool="nvcc", **DEPENDENCIES)
    # Only CUDA builds of torch have libtorch_cuda.so. Linked with an empty library of this name,
    # the binary asks for the real one at run time.
    stub = ["-shared", "-x", "c++", "/dev/null", "-Wl,-soname,libtorch_cuda.so", "-o", "$out"]
    ninja.rule("stub", _command(toolchain.cxx, *stub), description="link $out")
    ninja.build("libtorch_cuda.so", "stub")
    flags = ["-ccbin", toolchain.cxx, *_link_flags(toolchain, _for_nvcc)]
    flags += ["-L.", "-Xlinker=--no-as-needed", "-ltorch_cuda"]
    ninja.rule("link_cuda", _command(nvcc, *flags), description="link $out")


def _ccache() -> list[str]:
    ccache = shutil.which("ccache")
    return [ccache] if ccache else []


def _link_flags(toolchain: Toolchain, form: Callable[[str], str] = lambda flag: flag) -> list[str]:
    flags = map(form, shlex.split(os.environ.get("LDFLAGS", "")))
    return ["-shared", "$in", "-o", "$out", *flags, f"-L{toolchain.torch / 'lib'}", "-ltorch_cpu"]


def _for_nvcc(flag: str) -> str:
    """A compiler's flag for linking, as nvcc hands it on."""
    if flag.startswith("-Wl,"):
        return f"-Xlinker={flag.removeprefix('-Wl,')}"
    return flag if flag.startswith(("-L", "-l")) else f"-Xcompiler={flag}"


def _compile(ninja: Any, folder: Path, source: str) -> str:
    """One object; by a relative path, as the compiler puts the path into the binary."""
    path = Path(source)
    output = f"{path.parent.name}/{path.stem}.o"
    rule = "nvcc" if path.suffix == ".cu" else "cxx"
    flags = shlex.join(_own_flags(path.stem))
    ninja.build(output, rule, os.path.relpath(source, folder), variables={"flags": flags})
    return output


def _own_flags(stem: str) -> list[str]:
    if stem != "module":
        return INSTRUCTION_SETS.get(stem, [])
    import pybind11

    # Before torch's own headers, among which may be a pybind11.
    paths = (pybind11.get_include(), sysconfig.get_path("include"))
    return [flag for path in paths for flag in ("-I", path)]


def _common_flags(toolchain: Toolchain, namespace: str) -> list[str]:
    major, minor = OLDEST_TORCH
    return [
        "-I.",
        "-isystem",
        str(toolchain.torch / "include"),
        f"-DTORCH_TARGET_VERSION=0x{major:02x}{minor:02x}{0:012x}",
        f"-DRFWARP_NAMESPACE={namespace}",
        *(["-DRFWARP_X86"] if is_x86() else []),
    ]


def _nvcc_flags(toolchain: Toolchain, architectures: list[str]) -> list[str]:
    flags = [*NVCC_FLAGS, "-ccbin", toolchain.cxx]
    for architecture in architectures:
        number = architecture.removesuffix("+PTX")
        codes = [f"sm_{number}", *([f"compute_{number}"] if number != architecture else [])]
        flags += [f"-gencode=arch=compute_{number},code=[{','.join(codes)}]"]
    return flags


def _command(*words: str) -> str:
    """A command for ninja: quoted for the shell, except ninja's own ``$in`` and the like."""
    return " ".join(
        word if word.startswith("$") else shlex.quote(word).replace("$", "$$") for word in words
    )


def _write_if_new(path: Path, text: str) -> None:
    """Write a file unless it is the same, so that nothing is compiled for it."""
    if not path.is_file() or path.read_text() != text:
        path.write_text(text)
