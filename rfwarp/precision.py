"""The floating-point type that a device computes fastest in."""

from __future__ import annotations

import torch

__all__ = ["fast_dtype"]


def fast_dtype(device: torch.device | str) -> torch.dtype:
    """Type of ``precision="auto"``: bfloat16 on devices that multiply in it, else float32.

    Those are CPUs with AVX512-BF16 (AMX comes with it) and NVIDIA GPUs from compute capability 8.0
    on. Sums are in float32 there, and so are flows and confidences, whatever the type.

    Example:
        >>> from rfwarp.precision import fast_dtype
        >>> fast_dtype("meta")
        torch.float32
    """
    kind = torch.device(device).type
    if kind == "cuda":
        multiplies = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        multiplies = kind == "cpu" and torch.cpu._is_avx512_bf16_supported()
    return torch.bfloat16 if multiplies else torch.float32
