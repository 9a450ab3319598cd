"""The project for the kernel hub, built as its tool would: by build.toml, with the tool's own files
written here. kernel-builder itself is not run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest
import torch

tomllib = pytest.importorskip("tomllib")

ROOT = Path(__file__).parents[1]
NAME = "_rfwarp_local"
REGISTRATION = """
#include <Python.h>
#define REGISTER_NAMED(NAME) \\
  PyMODINIT_FUNC PyInit_##NAME() { \\
    static PyModuleDef module = {PyModuleDef_HEAD_INIT, #NAME, nullptr, 0, nullptr}; \\
    return PyModule_Create(&module); \\
  }
#define REGISTER_EXTENSION(NAME) REGISTER_NAMED(NAME)
"""
OPS = f"import torch\nfrom . import {NAME}\nops = torch.ops.{NAME}\n"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hub")
    command = [sys.executable, str(ROOT / "packaging" / "kernel_hub.py"), str(folder)]
    subprocess.run(command, check=True)
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert again.returncode == 1
    assert again.stderr == f"{folder}: expected a new or an empty folder\n"
    return folder


def settings(project: Path) -> dict[str, Any]:
    return tomllib.loads((project / "build.toml").read_text())


def included(project: Path, source: str) -> set[str]:
    """The project's files that one includes, and that these include, itself among them."""
    found, left = set(), [project / source]
    while left:
        path = left.pop()
        if path not in found:
            found.add(path)
            names = re.findall(r'^#include "(.+)"', path.read_text(), flags=re.MULTILINE)
            left += [Path(os.path.normpath(path.parent / name)) for name in names]
    return {path.relative_to(project).as_posix() for path in found}


def test_every_kernel_names_its_sources_and_their_headers(project: Path) -> None:
    config = settings(project)
    compiled: set[str] = set()
    for kernel in config["kernel"].values():
        sources = {name for name in kernel["src"] if name.endswith((".cpp", ".cu"))}
        needed = set().union(*(included(project, source) for source in sources))
        assert set(kernel["src"]) == needed
        compiled |= sources
    there = {path.relative_to(project).as_posix() for path in (project / "csrc").rglob("*.c*")}
    assert compiled == {name for name in there if name.endswith((".cpp", ".cu"))}
    assert (project / "flake.nix").is_file()
    assert config["torch"]["stable-abi"] == "2.11"
    assert (project / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("c++") is None, reason="there is no C++ compiler")
def test_it_builds_by_build_toml_and_runs_outside_of_the_path(project: Path) -> None:
    config = settings(project)
    binding = project / "torch-ext"
    (binding / "registration.h").write_text(REGISTRATION)
    (binding / "rfwarp" / "_ops.py").write_text(OPS)
    sources = [(source, []) for source in config["torch"]["src"]]
    for kernel in config["kernel"].values():
        if kernel["backend"] == "cpu":
            sources += [(s, kernel["cxx-flags"]) for s in kernel["src"] if s.endswith(".cpp")]
    folder = Path(torch.__file__).parent
    common = ["c++", "-std=c++17", "-O0", "-fPIC", f"-DTORCH_EXTENSION_NAME={NAME}"]
    common += ["-DTORCH_TARGET_VERSION=0x020b000000000000", "-DPy_LIMITED_API=0x030A0000"]
    common += ["-isystem", sysconfig.get_path("include"), "-isystem", str(folder / "include")]
    objects = []
    for source, flags in sources:
        objects.append(f"{Path(source).stem}.o")
        command = [*common, *flags, "-w", "-c", source, "-o", objects[-1]]
        subprocess.run(command, cwd=project, check=True)
    module = f"torch-ext/rfwarp/{NAME}.abi3.so"
    link = ["c++", "-shared", *objects, "-o", module, f"-L{folder / 'lib'}", "-ltorch_cpu"]
    subprocess.run(link, cwd=project, check=True)
    code = f"""
import importlib.util, sys, torch
spec = importlib.util.spec_from_file_location("anything", {str(binding / "rfwarp/__init__.py")!r})
package = importlib.util.module_from_spec(spec)
sys.modules["anything"] = package
spec.loader.exec_module(package)
assert package.backend().cpu.kind == "compiled", package.backend()
assert "no CUDA kernels" in package.backend().cuda.reason
leaves = [torch.randn(1, 2, 5, 6, 7, requires_grad=True), torch.randn(1, 2, 2, 6, 7)]
def run():
    out = package.warp_fuse(*leaves)
    return out, *torch.autograd.grad(out.square().sum(), leaves[:1])
ours = run()
with package.use_backend("torch"):
    assert package.backend().cpu.kind != "compiled"
    for mine, theirs in zip(ours, run(), strict=True):
        torch.testing.assert_close(mine, theirs)
assert "no CUDA kernels" in package.backend().cuda.reason  # the reference was on top of them
assert not any(name.split(".")[0] in ("rfwarp", "rfwarp_cuda") for name in sys.modules)
"""
    environment = {**os.environ, "PYTHONPATH": ""}
    subprocess.run([sys.executable, "-c", code], cwd=project, env=environment, check=True)
