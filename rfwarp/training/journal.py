"""What a run writes for people to follow it: log, loss curve, TensorBoard, sheets of samples."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from PIL import Image
from torch.utils.tensorboard import SummaryWriter

from rfwarp.files import write_atomically
from rfwarp.training.curve import plot_losses
from rfwarp.viz import write_picture

LOG, HELD_OUT = "log.jsonl", "held_out.jsonl"
CURVE, SAMPLES, TENSORBOARD = "loss.png", "samples", "tensorboard"


class Journal:
    """Continues what is in the folder of a run, after a step.

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
        write_picture(self.out / SAMPLES / f"{step:08d}.png", sheet)
        self._board.add_image("samples", np.asarray(sheet), step, dataformats="HWC")

    def save(self) -> None:
        """Draw the loss curve, and flush what TensorBoard has not written."""
        if (self.out / LOG).is_file():
            plot_losses(self.out / LOG, self.out / CURVE)
        self._board.flush()
