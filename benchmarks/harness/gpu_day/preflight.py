"""What the day needs, before any work; and on what card and with what versions it runs.

``python -m harness.gpu_day.preflight`` in a process of its own, so that the day itself holds no
memory of the GPU.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import platform
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]
# To build, to run tests/gpu and to time; of rfwarp's own requirements those that they import.
PACKAGES = ("torch", "numpy", "pydantic", "safetensors", "tqdm", "typing_extensions")
PACKAGES = (*PACKAGES, "setuptools", "ninja", "pybind11", "pytest", "hypothesis")
OLDEST_SETUPTOOLS = 77  # to read pyproject.toml


def missing() -> list[str]:
    """What is not there, each as half a sentence."""
    lacks = [f"the Python package {p}" for p in PACKAGES if importlib.util.find_spec(p) is None]
    if lacks:
        return lacks
    version = metadata.version("setuptools")
    if int(version.split(".")[0]) < OLDEST_SETUPTOOLS:
        lacks.append(f"setuptools {OLDEST_SETUPTOOLS} or later (this is {version})")
    if shutil.which("nvcc") is None:
        lacks.append("nvcc")
    import torch

    if not torch.cuda.is_available():
        lacks.append(f"a GPU that torch {torch.__version__} can use")
    return lacks


def identity() -> dict[str, Any]:
    """Card, driver, versions, and what the results are of."""
    import torch

    from harness import machine

    capability = torch.cuda.get_device_capability()
    return {
        "card": torch.cuda.get_device_name(),
        "capability": f"{capability[0]}.{capability[1]}",
        "driver": _line(["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "nvcc": _line(["nvcc", "--version"], "release"),
        "python": platform.python_version(),
        "commit": machine.commit(),
        "kernels": sources_digest(ROOT / "csrc"),
        "tools": [tool for tool in ("compute-sanitizer", "ncu") if shutil.which(tool)],
    }


def sources_digest(folder: Path) -> str:
    """12 digits that change with any source; a checkout without git has no commit."""
    digest = hashlib.sha256()
    for file in sorted(folder.rglob("*")):
        if file.suffix in (".h", ".cpp", ".cu"):
            digest.update(str(file.relative_to(folder)).encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:12]


def _line(command: list[str], word: str = "") -> str | None:
    """The first line with a word of what a program prints, None where it is not there."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return next((line.strip() for line in done.stdout.splitlines() if word in line), None)


if __name__ == "__main__":
    if lacks := missing():
        sys.exit(f"gpu_day.py: error: this machine lacks {', '.join(lacks)}")
    print(json.dumps(identity()))
