"""The loss curve of a run."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

from matplotlib.figure import Figure

from rfwarp.files import write_atomically

NO_LOSSES = {"step", "stage", "lr", "gradient_norm", "discriminator_gradient_norm"}


def plot_losses(log: Path, out: Path) -> None:
    """Draw every logged loss of ``log`` (JSON lines) against the step, as a PNG."""
    entries = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    found = dict.fromkeys(name for entry in entries for name in entry)  # in order of appearance
    figure = Figure(figsize=(9, 5), layout="constrained")
    axes = figure.add_subplot()
    for name in (name for name in found if name not in NO_LOSSES):
        points = [(e["step"], e[name]) for e in entries if e.get(name, 0) > 0]
        if points:
            axes.plot(*zip(*points, strict=True), label=name, linewidth=1.2)
    for before, after in pairwise(entries):
        if before["stage"] != after["stage"]:
            axes.axvline(before["step"], color="grey", linestyle=":", label="stage 2 begins")
    axes.set(xlabel="step", ylabel="weighted loss", yscale="log")
    axes.grid(alpha=0.3)
    if axes.lines:
        figure.legend(loc="outside right upper")
    write_atomically(out, lambda temporary: figure.savefig(temporary, dpi=120, format="png"))
