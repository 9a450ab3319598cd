"""The compiled kernels of ``torch.ops.rfwarp``: their loading, and facts about their build.

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

from rfwarp_cuda._by_ctypes import Functions

__all__ = [
    "NAMESPACE",
    "OLDEST_TORCH",
    "Loaded",
    "build_info",
    "cpu_capability",
    "load",
    "set_cpu_capability",
]

NAMESPACE = "rfwarp"
"""Namespace in ``torch.ops``. A copy of this package in another project needs one of its own."""

CONTRACT = 2
"""Version of the operators' arguments and results, which compiled kernels must state too."""

OLDEST_TORCH = (2, 11)

_HERE = Path(__file__).parent
_CPU = "_cpu.so"


class Loaded(NamedTuple):
    """Registration of the kernels, by device: None if registered, else the reason why not."""

    cpu: str | None
    cuda: str | None


@cache
def load() -> Loaded:
    """Register the compiled kernels with PyTorch, once per process.

    From then on they compute ``torch.ops.rfwarp.*`` for tensors on their device. What cannot be
    loaded is no error; the result says why.

    Raises:
        ImportError: if the kernels were compiled from an earlier state of the source tree, whose
            operators had other arguments; or if the environment variable RFWARP_CPU_CAPABILITY
            names an unknown instruction set, or one that this processor does not have.
    """
    import torch

    if tuple(map(int, torch.__version__.split(".")[:2])) < OLDEST_TORCH:
        oldest = ".".join(map(str, OLDEST_TORCH))
        reason = f"torch {torch.__version__} is too old, compiled kernels need {oldest} or later"
        return Loaded(reason, reason)
    cpu = _load_cpu()
    return Loaded(cpu, _load_cuda(cpu))


def _load_cpu() -> str | None:
    import torch

    if not _has_kernels(_HERE):
        return _not_built("CPU")
    try:
        torch.ops.load_library(_HERE / _CPU)
        binary = _binary()
    except (OSError, AttributeError) as error:
        # PyTorch names the file, and the cause what is wrong with it.
        return f"the compiled CPU kernels do not load: {error.__cause__ or error}"
    built_for = binary.build_info()["namespace"]
    if built_for != NAMESPACE:
        return f"the compiled kernels are for torch.ops.{built_for}, not torch.ops.{NAMESPACE}"
    if binary.contract != CONTRACT:
        # They are registered by now, and would read arguments that are not there.
        raise ImportError(
            f"the compiled kernels in {_HERE} are for contract {binary.contract} of the operators,"
            f" this source for {CONTRACT}: compile them again (pip install --no-build-isolation"
            f" --editable {_HERE.parent})"
        )
    try:
        binary.cpu_capability()
    except RuntimeError as error:
        raise ImportError(f"RFWARP_CPU_CAPABILITY: {error}") from error
    return None


@cache
def _binary() -> Any:
    """The functions of the binary of the CPU kernels, which is loaded: csrc/information.h."""
    suffixes = (suffix for suffix in EXTENSION_SUFFIXES if (_HERE / f"_info{suffix}").is_file())
    if next(suffixes, None) is not None:
        return import_module("._info", __name__)
    return Functions(_HERE / _CPU)


def _load_cuda(without_cpu: str | None) -> str | None:
    import torch

    if torch.version.cuda is None:
        return f"torch {torch.__version__} is a build without CUDA"
    if without_cpu is not None:
        return without_cpu
    binary = _HERE / "_cuda.so"
    # An earlier editable installation may have left a binary behind.
    if not (binary.is_file() and _binary().build_info()["nvcc"]):
        return _not_built("CUDA")
    try:
        torch.ops.load_library(binary)
    except OSError as error:
        return f"the compiled CUDA kernels do not load: {error.__cause__ or error}"
    return None


def _has_kernels(folder: Path) -> bool:
    return (folder / _CPU).is_file()


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
    """Facts about the kernels' build: versions, tools and targets; empty where there are none."""
    return {} if load().cpu else _binary().build_info()


def cpu_capability() -> str | None:
    """The instruction set that the CPU kernels use: ``"baseline"``, ``"avx2"``, ``"avx512"``.

    None where there are no compiled CPU kernels.
    """
    return None if load().cpu else _binary().cpu_capability()


def set_cpu_capability(name: str) -> None:
    """Let the CPU kernels use another instruction set in this process, to test or to compare them.

    Raises:
        RuntimeError: if there are no compiled CPU kernels, or none of this name that run here.
    """
    reason = load().cpu
    if reason is not None:
        raise RuntimeError(reason)
    _binary().set_cpu_capability(name)
