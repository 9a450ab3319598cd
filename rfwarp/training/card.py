"""The model card of trained weights: where they come from, and what they can do."""

from __future__ import annotations

import json
import math
import os
import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from rfwarp.training.config import TrainConfig

HEADER = """\
---
library_name: rfwarp
license: apache-2.0
pipeline_tag: image-to-image
tags:
- novel-view-synthesis
- optical-flow
---
"""

DATA = (
    "Procedural chairs of rfwarp (`rfwarp.data.ProceduralChairs`): {size} x {size} pixels, white "
    "background, 18 azimuths x 3 elevations, seeds {first} to {last}."
)
LIMITS = (
    "It knows these chairs and their 54 viewpoints, on a white background, and nothing else: "
    "neither photographs nor other objects. Parts that no source shows are guessed."
)


def model_card(
    *,
    title: str,
    data: str,
    limits: str,
    config: Mapping[str, Any],
    training: Mapping[str, Any],
    run: Mapping[str, Any],
    results: Mapping[str, Any] | None = None,
) -> str:
    """A card in the Hugging Face format: markdown after a YAML header.

    Args:
        title: headline.
        data: what the model was trained on.
        limits: what it cannot do.
        config: fields of the generator.
        training: fields of the training configuration; JSON-able, as ``config``.
        run: what happened, by name: steps, time, machine, versions.
        results: what ``rfwarp evaluate --json`` wrote on held-out data, if it has been evaluated.
    """
    facts = "\n".join(f"| {name} | {value} |" for name, value in run.items())
    sections = [
        f"{HEADER}# {title}",
        f"## Data\n\n{data}",
        f"## Training\n\n| | |\n|---|---|\n{facts}",
        f"Settings of the run:\n\n{_json(training)}",
        f"Settings of the network:\n\n{_json(config)}",
        f"## Held-out results\n\n{_table(results) if results else 'Not evaluated yet.'}",
        f"## Limits\n\n{limits}",
    ]
    return "\n\n".join(sections) + "\n"


def chair_model_card(
    config: Mapping[str, Any],
    training: TrainConfig,
    run: Mapping[str, Any],
    results: Mapping[str, Any] | None = None,
) -> str:
    """:func:`model_card` of a generator that :class:`rfwarp.training.trainer.Trainer` made."""
    c = training
    return model_card(
        title=f"rfwarp generator, procedural chairs at {c.size} x {c.size}",
        data=DATA.format(size=c.size, first=c.first_seed, last=c.first_seed + c.chairs - 1),
        limits=LIMITS,
        config=config,
        training={**c.fixed(), "steps": c.steps, "cooldown": c.cooldown},
        run=run,
        results=results,
    )


def _json(values: Mapping[str, Any]) -> str:
    return f"```json\n{json.dumps(dict(values), indent=2)}\n```"


def _table(results: Mapping[str, Any]) -> str:
    """PSNR in dB and SSIM (higher is better) and L1 (lower is better) against two baselines."""
    lines = ["| sources | method | PSNR | SSIM | L1 |", "|---|---|---|---|---|"]
    for row in results["results"]:
        for method in ("model", "nearest_source", "mean_source"):
            m = row[method]
            lines.append(
                f"| {row['sources']} | {method.replace('_', ' ')} "
                f"| {m['psnr']:.2f} | {m['ssim']:.4f} | {m['l1']:.4f} |"
            )
    return "\n".join(lines)


def describe_machine(device: torch.device, processes: int) -> str:
    """The hardware that a run used, for people."""
    if device.type == "cuda":
        return f"{processes} x {torch.cuda.get_device_name(device)}"
    return f"{os.cpu_count()} CPU cores ({platform.machine()}), {processes} process(es)"


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
