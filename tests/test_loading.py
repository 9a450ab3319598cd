"""Compiled kernels that cannot be loaded: the reason is told, and nothing breaks."""

from __future__ import annotations

import importlib
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

import rfwarp_cuda
from rfwarp_cuda._by_ctypes import Functions

INFO = rfwarp_cuda.build_info()


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """rfwarp_cuda without any binary, as the package `copied_cuda` of tmp_path."""
    package = tmp_path / "copied_cuda"
    package.mkdir()
    source = Path(rfwarp_cuda.__file__)
    for file in source.parent.glob("*.py"):
        (package / file.name).write_text(file.read_text())
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "copied_cuda", raising=False)
    return importlib.import_module("copied_cuda")


def binary_of(package: ModuleType) -> Path:
    return Path(str(package.__file__)).with_name("_cpu.so")


def test_without_binaries(copy: ModuleType) -> None:
    assert copy.load().cpu == "rfwarp was installed without compiled CPU kernels"
    assert copy.load().cuda is not None
    assert copy.build_info() == {}
    assert copy.cpu_capability() is None


def test_without_binaries_in_a_source_tree(copy: ModuleType) -> None:
    root = Path(str(copy.__file__)).parents[1]
    (root / "csrc" / "kernel_build").mkdir(parents=True)
    assert copy.load().cpu == (
        f"{root} is a source tree without compiled CPU kernels:"
        f" pip install --no-build-isolation --editable {root} compiles them"
    )


def test_a_damaged_binary(copy: ModuleType) -> None:
    binary_of(copy).write_bytes(b"not a library")
    reason = copy.load().cpu
    assert reason.startswith("the compiled CPU kernels do not load: ")
    assert "_cpu.so" in reason
    with pytest.raises(RuntimeError, match="do not load"):
        copy.set_cpu_capability("baseline")


@pytest.mark.skipif(shutil.which("c++") is None, reason="there is no C++ compiler")
def test_a_library_of_something_else(copy: ModuleType) -> None:
    command = ["c++", "-shared", "-x", "c++", "/dev/null", "-o", binary_of(copy)]
    subprocess.run(command, check=True)
    reason = copy.load().cpu
    assert reason.startswith("the compiled CPU kernels do not load: ")
    assert "rfwarp_contract" in reason


@pytest.mark.skipif(not INFO, reason=f"no CPU kernels: {rfwarp_cuda.load().cpu}")
def test_the_information_is_the_same_with_and_without_a_module() -> None:
    """The module is built where pybind11 is; by ctypes every Python can ask."""
    by_ctypes = Functions(Path(rfwarp_cuda.__file__).with_name("_cpu.so"))
    assert by_ctypes.contract == rfwarp_cuda.CONTRACT
    assert by_ctypes.build_info() == INFO
    before = rfwarp_cuda.cpu_capability()
    assert before is not None
    try:
        for chosen in ("baseline", before):
            by_ctypes.set_cpu_capability(chosen)
            assert by_ctypes.cpu_capability() == rfwarp_cuda.cpu_capability() == chosen
        for refusing in (by_ctypes, rfwarp_cuda):
            with pytest.raises(RuntimeError, match=r"one of baseline, avx2, avx512 .* got 'sse'"):
                refusing.set_cpu_capability("sse")
        assert rfwarp_cuda.cpu_capability() == before
    finally:
        rfwarp_cuda.set_cpu_capability(before)


@pytest.mark.parametrize("version", ["2.10.1+cu128", "1.13.0"])
def test_an_old_torch(copy: ModuleType, monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    monkeypatch.setattr(torch, "__version__", version)
    reason = f"torch {version} is too old, compiled kernels need 2.11 or later"
    assert copy.load() == (reason, reason)


@pytest.mark.parametrize("version", ["2.11.0a0+git1234567", "2.100.0", "3.0"])
def test_versions_are_numbers(
    copy: ModuleType, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    monkeypatch.setattr(torch, "__version__", version)
    assert "too old" not in copy.load().cpu


@pytest.mark.skipif(torch.version.cuda is not None, reason="this torch has CUDA")
def test_cuda_kernels_beside_a_torch_without_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    assert rfwarp_cuda.load().cuda == f"torch {torch.__version__} is a build without CUDA"
    if not INFO:
        pytest.skip(f"no CPU kernels: {rfwarp_cuda.load().cpu}")
    # Not even a torch that is wrong about itself makes it crash.
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    reason = rfwarp_cuda.load.__wrapped__().cuda
    if INFO["nvcc"]:
        assert reason.startswith("the compiled CUDA kernels do not load: libtorch_cuda.so")
    else:
        assert "without compiled CUDA kernels" in reason
