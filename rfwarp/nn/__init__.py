"""The networks of Tables 5-7, and the discriminator that the generator is trained against.

Names are imported on first use, so that reading a configuration does not wait for torch.
"""

from typing import TYPE_CHECKING

from rfwarp.lazy import exports

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

_MODULES = {
    "rfwarp.nn.graphs": ("CudaGraph",),
    "rfwarp.nn.discriminator": ("Discriminator",),
    "rfwarp.nn.results": ("EncodedSources", "LevelMaps"),
    "rfwarp.nn.generator": ("Generator",),
    "rfwarp.nn.config": ("GeneratorConfig", "NetworkConfig"),
}

__getattr__, __dir__ = exports(__name__, _MODULES)
