"""Checkpoints: one file that holds a run; written atomically, read without unpickling code."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from rfwarp.files import write_atomically
from rfwarp.training.config import stored

REQUIRED = {"step", "seconds", "config", "networks", "optimizers", "scaler", "window"}


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write tensors, numbers, strings and containers of them; all or nothing."""
    write_atomically(path, lambda temporary: torch.save(state, temporary))


def load_checkpoint(path: Path, config: Mapping[str, Any]) -> dict[str, Any]:
    """Read the state that :func:`save_checkpoint` wrote, to the CPU.

    Args:
        config: that the run must have been started with.

    Raises:
        ValueError: if the file is damaged or holds anything but plain data, or if the run was
            started with another configuration: the message says what differs.
    """
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # on damaged bytes the unpickler raises whatever comes
        raise ValueError(f"{path} is damaged or no checkpoint: {error}") from error
    if not isinstance(state, dict) or not state.keys() >= REQUIRED:
        raise ValueError(f"{path} is no checkpoint of rfwarp, or one of an earlier version")
    ours, theirs = _flat(config), _flat(stored(state["config"]))
    changed = [
        f"{name} was {theirs.get(name)!r}, now {ours.get(name)!r}"
        for name in sorted(ours.keys() | theirs.keys())
        if ours.get(name) != theirs.get(name)
    ]
    if changed:
        raise ValueError(
            f"{path.parent} holds a run with other settings: {', '.join(changed)}; "
            "choose another folder or the same settings"
        )
    return state


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        inner = isinstance(value, Mapping)
        flat |= _flat(value, f"{prefix}{name}.") if inner else {f"{prefix}{name}": value}
    return flat
