"""Accelerate, whose device and precision are those of the whole process."""

from __future__ import annotations

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState

from rfwarp.training.config import TrainConfig


def open_accelerator(config: TrainConfig, precision: str) -> Accelerator:
    """An accelerator for the device of a run, in the precision that its own stands for.

    Others of this process have the same device and precision from then on. Processes that were
    launched together keep those that they began with.

    Raises:
        ValueError: if it has others than asked for.
    """
    device, mixed = _asked(config, precision)
    if not torch.distributed.is_initialized():
        AcceleratorState._reset_state(reset_partial_state=True)
    accelerator = Accelerator(cpu=device == "cpu", mixed_precision=mixed)
    if not is_for(accelerator, config, precision):
        raise ValueError(
            f"training on {device} in {precision} was asked for, but Accelerate has "
            f"{accelerator.device} and mixed precision {accelerator.mixed_precision!r}: a variable "
            "such as ACCELERATE_USE_CPU is set, or these processes began so"
        )
    return accelerator


def is_for(accelerator: Accelerator, config: TrainConfig, precision: str) -> bool:
    """Whether it has the device and precision of a run, and not those of a later one."""
    return (accelerator.device.type, accelerator.mixed_precision) == _asked(config, precision)


def _asked(config: TrainConfig, precision: str) -> tuple[str, str]:
    """Device and mixed precision as Accelerate names them."""
    on_gpu = config.device != "cpu" and torch.cuda.is_available()
    return "cuda" if on_gpu else "cpu", "no" if precision == "float32" else precision
