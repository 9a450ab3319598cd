"""New pictures of something from several pictures of it.

Names are imported on first use, so that ``rfwarp --help`` does not wait for torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rfwarp.nn import Generator
    from rfwarp.pretrained import list_models

__version__ = "0.1.0"
__all__ = ["Generator", "__version__", "list_models"]

_LAZY = {"Generator": "rfwarp.nn", "list_models": "rfwarp.pretrained"}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'rfwarp' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
