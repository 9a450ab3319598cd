"""The project for the kernel hub, built as its tool would: by build.toml, with the tool's own files
written here. kernel-builder itself is not run."""

from __future__ import annotations

import os
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


def test_build_toml_names_every_source(project: Path) -> None:
    config = settings(project)
    named = {source for kernel in config["kernel"].values() for source in kernel["src"]}
    there = {path.relative_to(project).as_posix() for path in (project / "csrc").rglob("*.c*")}
    assert named == {name for name in there if name.endswith((".cpp", ".cu"))}
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
            sources += [(source, kernel["cxx-flags"]) for source in kernel["src"]]
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
    for mine, theirs in zip(ours, run(), strict=True):
        torch.testing.assert_close(mine, theirs)
assert not any(name.split(".")[0] in ("rfwarp", "rfwarp_cuda") for name in sys.modules)
"""
    environment = {**os.environ, "PYTHONPATH": ""}
    subprocess.run([sys.executable, "-c", code], cwd=project, env=environment, check=True)
