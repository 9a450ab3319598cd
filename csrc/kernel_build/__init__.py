"""Builds the kernels with setuptools: `setup.py` uses it, and so does a project that vendors them.

``_cpu.so`` and ``_cuda.so`` are no Python modules but libraries that PyTorch loads, the same for
every Python, and so is the wheel that has them.

setuptools and torch.utils.cpp_extension give all files of an extension the same flags; here a
``build.ninja`` compiles each with those of its instruction set. torch is not imported, and need not
be a CUDA build: its headers and libtorch_cpu.so are all that the stable ABI asks for.
docs/installing.md of rfwarp says what is built where, and lists the environment variables.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from setuptools import Extension
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext

from kernel_build.ninja_file import write_ninja_file
from kernel_build.toolchain import (
    CSRC,
    Missing,
    Toolchain,
    builds_python_modules,
    find_toolchain,
    is_x86,
    job_counts,
)

__all__ = ["BuildKernels", "WheelForEveryPython", "kernels"]

_BUILDING = {"build", "build_ext", "bdist_wheel", "editable_wheel", "install"}


def kernels(package: str, namespace: str = "rfwarp") -> list[Extension]:
    """The extension modules of a package that can be built here, after one line that says which.

    They are for ``setup(ext_modules=...)`` beside `BuildKernels` and `WheelForEveryPython`. None
    means a pure Python package.
    Commands that build nothing, such as sdist, get none and say nothing.

    Args:
        package: full name of the package that is rfwarp_cuda, or a copy of it.
        namespace: of ``torch.ops``; the NAMESPACE that this package states.

    Raises:
        SystemExit: if the environment variable RFWARP_BUILD asks for what cannot be built.
    """
    if not _BUILDING & set(sys.argv):
        return []
    asked = os.environ.get("RFWARP_BUILD") or "auto"
    try:
        toolchain = find_toolchain(asked)
    except Missing as missing:
        if asked in ("cpu", "cuda"):
            sys.exit(f"RFWARP_BUILD={asked} cannot be done: {missing}")
        print(f"rfwarp: no compiled kernels, PyTorch operators only: {missing}", file=sys.stderr)
        return []
    what = "CPU and CUDA kernels" if toolchain.nvcc else "CPU kernels only"
    why = "" if toolchain.nvcc else f": {toolchain.without_cuda}"
    print(f"rfwarp: compiling {what} (torch {toolchain.version}){why}", file=sys.stderr)
    cpu = list((CSRC / "cpu").glob("*.cpp"))
    if not is_x86():
        cpu = [file for file in cpu if file.stem not in ("avx2", "avx512")]
    extensions: list[Extension] = [KernelExtension(f"{package}._cpu", cpu, toolchain, namespace)]
    if toolchain.nvcc:
        cuda = list((CSRC / "cuda").glob("*.cu"))
        extensions.append(KernelExtension(f"{package}._cuda", cuda, toolchain, namespace))
    if "bdist_wheel" not in sys.argv and builds_python_modules():
        module = [CSRC / "module.cpp"]
        extensions.append(KernelExtension(f"{package}._info", module, toolchain, namespace))
    return extensions


class KernelExtension(Extension):
    """One binary: ``_cpu.so`` or ``_cuda.so``, which have kernels, or the module ``_info``."""

    def __init__(self, name: str, sources: list[Path], toolchain: Toolchain, namespace: str):
        super().__init__(name, sorted(os.path.relpath(source) for source in sources))
        self.toolchain = toolchain
        self.namespace = namespace


class BuildKernels(build_ext):
    """build_ext by ninja. Objects stay in ``build/``, so that only what changed is compiled."""

    def get_ext_filename(self, fullname: str) -> str:
        """Without the name of a Python, where it is no module of one."""
        extension = self.ext_map.get(fullname)
        if isinstance(extension, KernelExtension) and fullname.split(".")[-1] != "_info":
            return os.path.join(*fullname.split(".")) + ".so"
        return super().get_ext_filename(fullname)

    def build_extensions(self) -> None:
        own = [e for e in self.extensions if isinstance(e, KernelExtension)]
        if own:
            self._build_kernels(own)
        everything = self.extensions
        self.extensions = [e for e in everything if e not in own]
        super().build_extensions()
        self.extensions = everything

    def _build_kernels(self, extensions: list[KernelExtension]) -> None:
        import ninja

        package = extensions[0].name.rpartition(".")[0]
        folder = Path("build") / f"{package}-{sys.implementation.cache_tag}"
        folder.mkdir(parents=True, exist_ok=True)
        jobs, nvcc_jobs = job_counts()
        write_ninja_file(folder, extensions, self.distribution.get_version(), nvcc_jobs)
        command = [os.path.join(ninja.BIN_DIR, "ninja"), "-C", str(folder), "-j", str(jobs)]
        if subprocess.run(command, check=False).returncode != 0:
            sys.exit("rfwarp: the kernels do not compile, see above; RFWARP_BUILD=none omits them")
        binaries = {Path(self.get_ext_fullpath(e.name)): e for e in extensions}
        for left in Path(self.get_ext_fullpath(extensions[0].name)).parent.glob("_*.so"):
            if left not in binaries:  # by an earlier build, of more
                left.unlink()
        for binary, extension in binaries.items():
            binary.parent.mkdir(parents=True, exist_ok=True)
            # A new file, as a process may be running the old one.
            new = binary.with_name(f"{binary.name}.new")
            shutil.copyfile(folder / f"{extension.name}.so", new)
            os.replace(new, binary)


class WheelForEveryPython(bdist_wheel):
    """bdist_wheel, whose tag names no Python where all binaries are `KernelExtension`s."""

    def get_tag(self) -> tuple[str, str, str]:
        python, abi, platform = super().get_tag()
        if all(isinstance(e, KernelExtension) for e in self.distribution.ext_modules or []):
            python, abi = "py3", "none"
        return python, abi, platform
