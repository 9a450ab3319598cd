"""The networks of Tables 5-7."""

from rfwarp.nn.config import GeneratorConfig
from rfwarp.nn.generator import Generator
from rfwarp.nn.graphs import CudaGraph
from rfwarp.nn.results import EncodedSources, LevelMaps

__all__ = ["CudaGraph", "EncodedSources", "Generator", "GeneratorConfig", "LevelMaps"]
