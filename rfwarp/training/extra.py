"""The packages of ``rfwarp[train]``, which training needs and the rest does not."""

from __future__ import annotations

from importlib.util import find_spec

NEEDED = {
    "accelerate": "accelerate",
    "matplotlib": "matplotlib",
    "tensorboard": "tensorboard",
    "torchmetrics": "torchmetrics",
    "yaml": "pyyaml",
}
"""Distributions, by the modules that they provide."""


def require_extra() -> None:
    """Raise ImportError unless the packages of ``rfwarp[train]`` are installed."""
    missing = [package for module, package in NEEDED.items() if find_spec(module) is None]
    if missing:
        raise ImportError(f'training needs {" and ".join(missing)}: pip install "rfwarp[train]"')
