"""The compiled kernels of ``torch.ops.rfwarp``: loads their binaries, and says what they are.

rfwarp runs without them, on the PyTorch implementations in ``rfwarp.ops.reference``.
"""

from __future__ import annotations

__all__ = ["load"]


def load() -> str | None:
    """Register the compiled kernels with PyTorch.

    Returns:
        None when they are loaded, otherwise the reason why they are not. This version has none.
    """
    return "this version has no compiled kernels"
