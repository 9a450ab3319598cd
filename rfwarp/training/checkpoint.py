"""One file that holds a run; written atomically, read without unpickling code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from rfwarp.files import write_atomically

REQUIRED = {"step", "config", "generator", "ema", "optimizer"}


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Tensors, numbers, strings and containers of them; all or nothing."""
    write_atomically(path, lambda temporary: torch.save(state, temporary))


def load_checkpoint(path: Path) -> dict[str, Any]:
    """What :func:`save_checkpoint` wrote, on the CPU.

    Raises:
        ValueError: if the file is damaged or holds anything but plain data.
    """
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # on damaged bytes the unpickler raises whatever comes
        raise ValueError(f"{path} is damaged or no checkpoint: {error}") from error
    if not isinstance(state, dict) or not state.keys() >= REQUIRED:
        raise ValueError(f"{path} is no checkpoint of rfwarp")
    return state
