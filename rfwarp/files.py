"""Files: written completely or not at all, and what errors say of those that cannot be read."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable
from pathlib import Path


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` fill a temporary file beside ``path``, then rename it: all or nothing."""
    temporary = temporary_beside(path)
    try:
        write(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def temporary_beside(path: Path) -> Path:
    """A hidden name in the folder of ``path`` that no other process or thread has."""
    return path.with_name(f".{uuid.uuid4().hex}.tmp")


def shortened(value: object, length: int = 80) -> str:
    """The value as text, cut at a length that an error in one line can hold."""
    text = str(value).strip()
    return text if len(text) <= length else f"{text[: length - 3]}..."
