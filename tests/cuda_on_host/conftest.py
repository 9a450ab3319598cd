"""The CUDA kernels of csrc/cuda, compiled for the host, where machine.cpp runs them.

To run them with sanitizers, bounds of shared memory included:

    CXXFLAGS="-g -fsanitize=address,undefined" ASAN_OPTIONS=detect_leaks=0 \
    LD_PRELOAD="$(c++ -print-file-name=libasan.so) $(c++ -print-file-name=libubsan.so)" \
    python -m pytest tests/cuda_on_host
"""

import ctypes
import hashlib
import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import torch

from rfwarp.files import write_atomically
from rfwarp.ops.schema import OPERATORS, operators

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
NAMESPACE = "rfwarp_on_host"


def digest_of(command: list[str]) -> str:
    """Of all that a library depends on: command, versions of compiler and torch, and sources."""
    version = subprocess.run([command[0], "--version"], capture_output=True, check=True).stdout
    digest = hashlib.sha256(repr((command, version, torch.__version__)).encode())
    for file in sorted([*HERE.rglob("*"), *(ROOT / "csrc").rglob("*")]):
        if file.suffix in (".h", ".cpp", ".cu"):
            digest.update(repr((str(file), file.read_bytes())).encode())
    return digest.hexdigest()[:16]


@pytest.fixture(scope="session")
def machine() -> ctypes.CDLL:
    """The library, whose operators are then in torch.ops.rfwarp_on_host, for CPU tensors.

    It is compiled once, not in each process of tests and each time.
    """
    compiler = shutil.which(os.environ.get("CXX", "c++"))
    if compiler is None:
        pytest.skip("there is no C++ compiler")
    sources = [*sorted(HERE.glob("*.cpp")), *sorted((ROOT / "csrc/cuda").glob("*.cu"))]
    sources.remove(ROOT / "csrc/cuda/operators.cu")  # which operators.cpp includes
    torch_folder = Path(torch.__file__).parent
    command = [compiler, "-std=c++17", "-O1", "-U_FORTIFY_SOURCE", "-fPIC", "-shared"]
    command += ["-fvisibility=hidden", "-Wall", "-Wextra", "-Wno-unknown-pragmas"]
    command += ["-DUSE_CUDA", "-DTORCH_TARGET_VERSION=0x020b000000000000"]
    command += [f"-DRFWARP_NAMESPACE={NAMESPACE}", f"-I{HERE}", f"-I{ROOT}"]
    command += ["-isystem", str(torch_folder / "include")]
    command += shlex.split(os.environ.get("CXXFLAGS", ""))
    command += ["-x", "c++", *map(str, sources), "-x", "none"]
    # The stand-ins for what libtorch has with CUDA must come before those of libtorch.
    command += ["-Wl,-Bsymbolic", f"-L{torch_folder / 'lib'}", "-ltorch_cpu"]
    library = ROOT / "build" / "cuda_on_host" / f"{digest_of(command)}.so"
    if not library.exists():
        library.parent.mkdir(parents=True, exist_ok=True)
        compiled = [*command, "-o"]
        write_atomically(library, lambda path: subprocess.run([*compiled, path], check=True))
    for operator in OPERATORS:
        schema = str(getattr(operators, operator).default._schema)
        torch.library.define(f"{NAMESPACE}::{operator}", schema[schema.index("(") :])
    torch.ops.load_library(library)
    return ctypes.CDLL(str(library))


@pytest.fixture
def kernels(machine: ctypes.CDLL):
    """Takes the place of the fixture of this name in the tests imported from elsewhere."""
    return getattr(torch.ops, NAMESPACE)
