"""What a report says beside the numbers: by what they were made."""

from __future__ import annotations

import hashlib
import platform
from pathlib import Path
from typing import Any

import torch
import torchmetrics

import rfwarp
from rfwarp.data import chairs, people
from rfwarp.metrics import Judges

RENDERERS = {"chairs": chairs.RENDERER_VERSION, "people": people.RENDERER_VERSION}


def report_facts(dataset: str, judges: Judges, real: Path | None) -> dict[str, Any]:
    """``versions`` and, if there are any, ``networks``: other files of weights give other numbers.

    Args:
        dataset: its name.
        real: folder of the real pictures of FID; None if those are the targets.
    """
    versions: dict[str, Any] = {
        "rfwarp": rfwarp.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchmetrics": torchmetrics.__version__,
    }
    if dataset in RENDERERS:
        versions["renderer"] = RENDERERS[dataset]
    networks: dict[str, Any] = {}
    if judges.lpips is not None:
        networks["lpips"] = {"net": judges.lpips.net, **_file_facts(judges.lpips.path)}
    if judges.st_lpips is not None:
        networks["st_lpips"] = {"net": "alex", **_file_facts(judges.st_lpips.path)}
    if judges.inception is not None:
        shown = "the targets" if real is None else str(real)
        networks["fid"] = {"real": shown, **_file_facts(judges.inception.path)}
    return {"versions": versions} | ({"networks": networks} if networks else {})


def _file_facts(path: Path) -> dict[str, str]:
    return {"file": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
