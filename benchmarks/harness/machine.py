"""The machine and the software of a measurement."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

import rfwarp
import rfwarp_cuda

ROOT = Path(__file__).parents[2]
# Variables that change how memory is allocated and how many threads there are.
_ENVIRONMENT = (
    "MALLOC_",
    "THP_",
    "LD_PRELOAD",
    "OMP_",
    "MKL_",
    "GOMP_",
    "KMP_",
    "RFWARP_",
    "PYTORCH_",
)


def facts(device: str) -> dict[str, Any]:
    """All facts on which the measured numbers depend, as JSON-able values."""
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "commit": commit(),
        "device": device_name(device),
        "cpu": {
            "model": cpu_model(),
            "cores": os.cpu_count(),
            "last_level_cache": last_level_cache("cpu"),
            "torch_capability": torch.backends.cpu.get_cpu_capability(),
            "rfwarp_capability": rfwarp_cuda.cpu_capability(),
            "transparent_hugepages": _first_line(
                Path("/sys/kernel/mm/transparent_hugepage/enabled")
            ),
        },
        "build": rfwarp_cuda.build_info(),
        "versions": {
            "rfwarp": rfwarp.__version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
            "triton": _version("triton"),
            "platform": platform.platform(),
        },
        "environment": {k: v for k, v in sorted(os.environ.items()) if k.startswith(_ENVIRONMENT)},
    }


def device_name(device: str) -> str:
    return cpu_model() if device == "cpu" else torch.cuda.get_device_name(device)


def cpu_model() -> str:
    """The processor's name, with family and model number where the name alone says little."""
    fields: dict[str, str] = {}
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().split("\n\n")[0].splitlines():
            key, _, value = line.partition(":")
            fields[key.strip()] = value.strip()
    name = fields.get("model name") or platform.processor() or platform.machine()
    if "cpu family" in fields:
        name += f" (family {fields['cpu family']}, model {fields['model']})"
    return name


def last_level_cache(device: str) -> int:
    """Bytes of the last cache before memory.

    Raises:
        RuntimeError: if the system does not say.
    """
    if device != "cpu":
        return int(torch.cuda.get_device_properties(device).L2_cache_size)
    caches = sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size"))
    if not caches:
        raise RuntimeError("the size of the last-level cache is unknown: no sysfs; give --llc-mib")
    units = {"K": 2**10, "M": 2**20, "G": 2**30}
    size = caches[-1].read_text().strip()
    return int(size[:-1]) * units[size[-1]]


def commit() -> str | None:
    """The checked-out commit, ``+changes`` behind it if the tree differs; None outside of git."""

    def git(*arguments: str) -> str | None:
        command = ["git", "-C", str(ROOT), *arguments]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except FileNotFoundError:
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    head = git("rev-parse", "HEAD")
    if head is None:
        return None
    sources = ("csrc", "rfwarp", "rfwarp_cuda", "benchmarks")
    changed = git("status", "--porcelain", "--untracked-files=no", "--", *sources)
    return f"{head}+changes" if changed else head


def _first_line(path: Path) -> str | None:
    return path.read_text().splitlines()[0] if path.is_file() else None


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
