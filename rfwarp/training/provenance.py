"""Provenance of trained weights: the model card of a run, with its time, machine and source."""

from __future__ import annotations

import math
import os
import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from rfwarp.data.catalog import DataConfig, DatasetRecord, dataset_record
from rfwarp.model_card import model_card
from rfwarp.training.config import TrainConfig


def trained_card(
    config: Mapping[str, Any],
    training: TrainConfig,
    size: tuple[int, int],
    run: Mapping[str, Any],
) -> str:
    """:func:`model_card` of a generator that :class:`rfwarp.training.Trainer` made.

    Args:
        size: height and width of the images.
    """
    settings = {**training.fixed(), "steps": training.steps, "cooldown": training.cooldown}
    c, record = training, dataset_record(training.data.name)
    pixels = f"{size[0]} x {size[1]}"
    return model_card(
        title=f"rfwarp generator, {record.title} at {pixels}",
        record=record,
        data=_described(record, pixels, c.data),
        config=config,
        training={name: value for name, value in settings.items() if name != "network"},
        run=run,
    )


def _described(record: DatasetRecord, pixels: str, data: DataConfig) -> str:
    last = data.first_seed + data.count - 1
    text = record.description.format(size=pixels, first=data.first_seed, last=last)
    return f"{text} Source: {', '.join(record.origins)}" if record.origins else text


def run_facts(seconds: float, device: torch.device, processes: int) -> dict[str, str]:
    """Duration, machine and torch version of a run."""
    return {
        "time": describe_time(seconds),
        "machine": describe_machine(device, processes),
        "torch": torch.__version__,
    }


def describe_machine(device: torch.device, processes: int) -> str:
    """The hardware that a run used, for people."""
    if device.type == "cuda":
        return f"{processes} x {torch.cuda.get_device_name(device)}"
    threads = f"{torch.get_num_threads()} thread(s) on {os.cpu_count()} CPU cores"
    return f"{threads} ({platform.machine()}), {processes} process(es)"


def describe_time(seconds: float) -> str:
    """Hours and minutes; below an hour minutes and seconds. NaN is an unknown time."""
    if math.isnan(seconds):
        return "not recorded"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def source_commit() -> str:
    """The git commit of this source, with ``-dirty`` if files were changed since; else "unknown".

    A repository that merely contains an installed copy is not the source's.
    """
    here = Path(__file__)
    git = ["git", "-C", str(here.parent)]
    try:
        subprocess.run([*git, "ls-files", "--error-unmatch", here.name], **_QUIET)
        return subprocess.run(
            [*git, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"], **_QUIET
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


_QUIET: dict[str, Any] = {"check": True, "capture_output": True, "text": True}
