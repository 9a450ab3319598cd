"""Files: written completely or not at all, and what errors say of those that cannot be read."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` fill a temporary file beside ``path``, then rename it: all or nothing."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        write(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def shortened(value: object, length: int = 80) -> str:
    """The value as text, cut at a length that an error in one line can hold."""
    text = str(value).strip()
    return text if len(text) <= length else f"{text[: length - 3]}..."
