"""New images of something from several images of it.

Names and subpackages are imported on first use, so that ``rfwarp --help`` does not wait for torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rfwarp import data as data
    from rfwarp import export as export
    from rfwarp import jobs as jobs
    from rfwarp import metrics as metrics
    from rfwarp import nn as nn
    from rfwarp import ops as ops
    from rfwarp import poses as poses
    from rfwarp import training as training
    from rfwarp import viz as viz
    from rfwarp.nn import Generator
    from rfwarp.pretrained import list_models

__version__ = "0.1.0"
"""Version of the package.

>>> import rfwarp
>>> len(rfwarp.__version__.split("."))
3
"""

__all__ = ["Generator", "__version__", "list_models"]

_LAZY = {"Generator": "rfwarp.nn", "list_models": "rfwarp.pretrained"}
_SUBPACKAGES = ("data", "export", "jobs", "metrics", "nn", "ops", "poses", "training", "viz")


def __getattr__(name: str) -> Any:
    if name in _SUBPACKAGES:
        return import_module(f"rfwarp.{name}")
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'rfwarp' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, *_SUBPACKAGES])
