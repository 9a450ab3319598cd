"""The CUDA kernels of csrc/cuda, compiled for the host, where machine.cpp runs them.

To run them with sanitizers, bounds of shared memory included:

    CXXFLAGS="-g -fsanitize=address,undefined" ASAN_OPTIONS=detect_leaks=0 \
    LD_PRELOAD="$(c++ -print-file-name=libasan.so) $(c++ -print-file-name=libubsan.so)" \
    python -m pytest tests/cuda_on_host
"""

import ctypes
import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import torch

from rfwarp.ops.schema import OPERATORS, operators

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
NAMESPACE = "rfwarp_on_host"


@pytest.fixture(scope="session")
def machine(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """The library, whose operators are then in torch.ops.rfwarp_on_host, for CPU tensors."""
    compiler = shutil.which(os.environ.get("CXX", "c++"))
    if compiler is None:
        pytest.skip("there is no C++ compiler")
    folder = tmp_path_factory.mktemp("cuda_on_host")
    library = folder / "cuda_on_host.so"
    sources = [*HERE.glob("*.cpp"), *sorted((ROOT / "csrc/cuda").glob("*.cu"))]
    sources.remove(ROOT / "csrc/cuda/operators.cu")  # which operators.cpp includes
    torch_folder = Path(torch.__file__).parent
    command = [compiler, "-std=c++17", "-O1", "-U_FORTIFY_SOURCE", "-fPIC", "-shared"]
    command += ["-fvisibility=hidden", "-Wall", "-Wextra", "-Wno-unknown-pragmas"]
    command += ["-DUSE_CUDA", "-DTORCH_TARGET_VERSION=0x020b000000000000"]
    command += [f"-DRFWARP_NAMESPACE={NAMESPACE}", f"-I{HERE}", f"-I{ROOT}"]
    command += ["-isystem", str(torch_folder / "include")]
    command += shlex.split(os.environ.get("CXXFLAGS", ""))
    command += ["-x", "c++", *map(str, sources), "-x", "none", "-o", str(library)]
    # The stand-ins for what libtorch has with CUDA must come before those of libtorch.
    command += ["-Wl,-Bsymbolic", f"-L{torch_folder / 'lib'}", "-ltorch_cpu"]
    subprocess.run(command, check=True)
    for operator in OPERATORS:
        schema = str(getattr(operators, operator).default._schema)
        torch.library.define(f"{NAMESPACE}::{operator}", schema[schema.index("(") :])
    torch.ops.load_library(library)
    return ctypes.CDLL(str(library))


@pytest.fixture
def kernels(machine: ctypes.CDLL):
    """Takes the place of the fixture of this name in the tests imported from elsewhere."""
    return getattr(torch.ops, NAMESPACE)
