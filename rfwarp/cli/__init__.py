"""The ``rfwarp`` command."""

from rfwarp.cli.main import main

__all__ = ["main"]
