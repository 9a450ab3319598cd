"""The journal of a run: log, loss curve, TensorBoard, sheets and scores of samples."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from rfwarp.files import write_atomically
from rfwarp.viz import write_image

LOG, HELD_OUT = "log.jsonl", "held_out.jsonl"
CURVE, SAMPLES, TENSORBOARD = "loss.png", "samples", "tensorboard"
NO_LOSSES = {"step", "stage", "lr", "gradient_norm", "discriminator_gradient_norm"}


class Journal:
    """Continues the journal in the folder of a run, after a step.

    What an interrupted run wrote after its last checkpoint is dropped: it will be written again.
    """

    def __init__(self, out: Path, step: int) -> None:
        self.out = out
        for name in (LOG, HELD_OUT):
            self._drop_after(out / name, step)
        self._board = SummaryWriter(str(out / TENSORBOARD), purge_step=step + 1)

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._board.close()

    @staticmethod
    def _drop_after(path: Path, step: int) -> None:
        if path.is_file():
            lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
            kept = "".join(x for x in lines if x.endswith("\n") and json.loads(x)["step"] <= step)
            write_atomically(path, lambda temporary: temporary.write_text(kept, encoding="utf-8"))

    def log(self, step: int, stage: str, values: Mapping[str, float]) -> None:
        """One line of the log, and one scalar of TensorBoard for each value."""
        self._append(LOG, {"step": step, "stage": stage, **values})
        for name, value in values.items():
            self._board.add_scalar(name, value, step)

    def _append(self, name: str, entry: Mapping[str, Any]) -> None:
        with (self.out / name).open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")

    def show(self, step: int, sheet: Image.Image, scores: Mapping[str, float]) -> None:
        """A sheet of held-out samples, as a PNG and in TensorBoard, and scores of such samples."""
        self._append(HELD_OUT, {"step": step, **scores})
        for name, value in scores.items():
            self._board.add_scalar(f"held_out/{name}", value, step)
        write_image(self.out / SAMPLES / f"{step:08d}.png", sheet)
        self._board.add_image("samples", np.asarray(sheet), step, dataformats="HWC")

    def save(self) -> None:
        """Draw the loss curve, and flush what TensorBoard has not written."""
        if (self.out / LOG).is_file():
            plot_losses(self.out / LOG, self.out / CURVE)
        self._board.flush()


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


class LossWindow:
    """Means of the losses over the steps since the last log entry.

    Sums are kept on the device, because reading a number makes the host wait for it.
    """

    def __init__(self) -> None:
        self.steps = 0
        self.sums: dict[str, Tensor] = {}

    def add(self, terms: Mapping[str, Tensor]) -> None:
        """Count one step with these scalars."""
        self.steps += 1
        for name, term in terms.items():
            value = term.detach().double()
            if name in self.sums:
                value = value + self.sums[name].to(value.device)  # a restored sum is on the CPU
            self.sums[name] = value

    def share(self, mean: Callable[[Tensor], Tensor]) -> None:
        """Take the mean of the sums over several processes, which all call this."""
        if self.sums:
            shared = mean(torch.stack(list(self.sums.values())))
            self.sums = dict(zip(self.sums, shared, strict=True))

    def means(self) -> dict[str, float]:
        """The mean of every scalar; an empty window has none."""
        if not self.sums:
            return {}
        values = torch.stack(list(self.sums.values())).tolist()
        return {name: v / self.steps for name, v in zip(self.sums, values, strict=True)}

    def clear(self) -> None:
        """Begin anew."""
        self.steps, self.sums = 0, {}

    def state_dict(self) -> dict[str, Any]:
        """The state for :meth:`load_state_dict`."""
        return {"steps": self.steps, "sums": {name: v.clone() for name, v in self.sums.items()}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue a window that was saved half full."""
        self.steps, self.sums = state["steps"], dict(state["sums"])
