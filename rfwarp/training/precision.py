"""The choice of mixed precision."""

from __future__ import annotations

import torch

from rfwarp.precision import fast_dtype
from rfwarp.training.config import TrainConfig


def resolve_precision(config: TrainConfig) -> str:
    """The precision that ``auto`` stands for: bf16 on devices that multiply in it, else float32.

    Raises:
        ValueError: if the device is not there, or does not train in the precision.
    """
    if config.device == "cuda" and not torch.cuda.is_available():
        raise ValueError("device is cuda, but torch finds no CUDA device")
    on_gpu = config.device != "cpu" and torch.cuda.is_available()
    if config.precision == "fp16" and not on_gpu:
        raise ValueError("fp16 training needs a GPU; take bf16 or float32")
    if config.precision != "auto":
        return config.precision
    fast = fast_dtype("cuda" if on_gpu else "cpu")
    return "bf16" if fast == torch.bfloat16 else "float32"
