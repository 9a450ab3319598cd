"""Running out of memory, on any device."""

from __future__ import annotations


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an allocation failed: on a GPU, in PyTorch's allocator on a CPU, or in Python.

    Told by names and texts, so that nothing need import torch: on a CPU PyTorch raises a plain
    RuntimeError.

    Example:
        >>> from rfwarp.memory import is_out_of_memory
        >>> is_out_of_memory(MemoryError()), is_out_of_memory(RuntimeError("a bug"))
        (True, False)
    """
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or (isinstance(error, RuntimeError) and "can't allocate memory" in str(error))
    )
