"""The compiled kernels of ``torch.ops.rfwarp``: loads their binaries, and says what they are.

rfwarp runs without them, on the PyTorch implementations in ``rfwarp.ops.reference``. Importing this
package loads nothing yet, not even torch.
"""

from __future__ import annotations

import sys
from functools import cache
from importlib import import_module
from importlib.machinery import EXTENSION_SUFFIXES, PathFinder
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["NAMESPACE", "OLDEST_TORCH", "Loaded", "build_info", "cpu_capability", "load"]

NAMESPACE = "rfwarp"
"""Of ``torch.ops``. A copy of this package in another project needs a namespace of its own."""

OLDEST_TORCH = (2, 11)

_HERE = Path(__file__).parent


class Loaded(NamedTuple):
    """Which kernels are registered with PyTorch: None, or the reason why they are not."""

    cpu: str | None
    cuda: str | None


@cache
def load() -> Loaded:
    """Register the compiled kernels with PyTorch, once per process.

    From then on they compute ``torch.ops.rfwarp.*`` for tensors on their device. What cannot be
    loaded is no error; the result says why.

    Raises:
        ImportError: if the environment variable RFWARP_CPU_CAPABILITY names an unknown instruction
            set, or one that this processor does not have.
    """
    import torch

    if tuple(map(int, torch.__version__.split(".")[:2])) < OLDEST_TORCH:
        oldest = ".".join(map(str, OLDEST_TORCH))
        reason = f"torch {torch.__version__} is too old, compiled kernels need {oldest} or later"
        return Loaded(reason, reason)
    cpu = _load_cpu()
    return Loaded(cpu, _load_cuda(cpu))


def _load_cpu() -> str | None:
    if not _has_kernels(_HERE):
        others = sorted(file.name for file in _HERE.glob("_C.*.so"))
        if others:
            return f"the kernels are compiled for another Python: {', '.join(others)}"
        return _not_built("CPU")
    try:
        module = import_module("._C", __name__)
    except ImportError as error:
        return f"the compiled CPU kernels do not load: {error}"
    built_for = module.build_info()["namespace"]
    if built_for != NAMESPACE:
        return f"the compiled kernels are for torch.ops.{built_for}, not torch.ops.{NAMESPACE}"
    try:
        module.cpu_capability()
    except RuntimeError as error:
        raise ImportError(f"RFWARP_CPU_CAPABILITY: {error}") from error
    return None


def _load_cuda(without_cpu: str | None) -> str | None:
    import torch

    if torch.version.cuda is None:
        return f"torch {torch.__version__} is a build without CUDA"
    if without_cpu is not None:
        return without_cpu
    binary = _HERE / "_cuda.so"
    # An earlier editable installation may have left a binary behind.
    if not (binary.is_file() and import_module("._C", __name__).build_info()["nvcc"]):
        return _not_built("CUDA")
    try:
        torch.ops.load_library(binary)
    except OSError as error:
        # PyTorch names the file, and the cause what is wrong with it.
        return f"the compiled CUDA kernels do not load: {error.__cause__ or error}"
    return None


def _has_kernels(folder: Path) -> bool:
    return any((folder / f"_C{suffix}").is_file() for suffix in EXTENSION_SUFFIXES)


def _not_built(device: str) -> str:
    root = _HERE.parent
    if not (root / "csrc" / "kernel_build").is_dir():
        return f"rfwarp was installed without compiled {device} kernels"
    reason = f"{root} is a source tree without compiled {device} kernels"
    # Python looks into the current folder first, and so may miss what was installed.
    elsewhere = [path for path in sys.path if Path(path or ".").resolve() != root]
    installed = PathFinder.find_spec(_HERE.name, elsewhere)
    if installed is not None and installed.origin and _has_kernels(Path(installed.origin).parent):
        return (
            f"{reason}, and hides the rfwarp installed in {Path(installed.origin).parents[1]},"
            " which has some: start Python in another folder, or run the command rfwarp"
        )
    return f"{reason}: pip install --no-build-isolation --editable {root} compiles them"


def build_info() -> dict[str, Any]:
    """What the kernels were compiled from, with and for; empty where there are none."""
    return {} if load().cpu else import_module("._C", __name__).build_info()


def cpu_capability() -> str | None:
    """The instruction set that the CPU kernels use: ``"baseline"``, ``"avx2"``, ``"avx512"``.

    None where there are no compiled CPU kernels.
    """
    return None if load().cpu else import_module("._C", __name__).cpu_capability()
