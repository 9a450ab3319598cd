"""The networks of Tables 5-7, and the discriminator that the generator is trained against."""

from rfwarp.nn.config import GeneratorConfig
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
]
