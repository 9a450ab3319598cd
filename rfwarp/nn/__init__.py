"""The networks of Tables 5-7, and the discriminator that the generator is trained against.

Names are imported on first use, so that reading a configuration does not wait for torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rfwarp.nn.config import GeneratorConfig, NetworkConfig
    from rfwarp.nn.discriminator import Discriminator
    from rfwarp.nn.generator import Generator
    from rfwarp.nn.graphs import CudaGraph
    from rfwarp.nn.results import EncodedSources, LevelMaps

__all__ = [
    "CudaGraph",
    "Discriminator",
    "EncodedSources",
    "Generator",
    "GeneratorConfig",
    "LevelMaps",
    "NetworkConfig",
]

_LAZY = {
    "CudaGraph": "rfwarp.nn.graphs",
    "Discriminator": "rfwarp.nn.discriminator",
    "EncodedSources": "rfwarp.nn.results",
    "Generator": "rfwarp.nn.generator",
    "GeneratorConfig": "rfwarp.nn.config",
    "LevelMaps": "rfwarp.nn.results",
    "NetworkConfig": "rfwarp.nn.config",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'rfwarp.nn' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
