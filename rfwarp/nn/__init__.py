"""The networks of Tables 5-7."""

from rfwarp.nn.config import GeneratorConfig
from rfwarp.nn.generator import Generator
from rfwarp.nn.results import EncodedSources, LevelMaps

__all__ = ["EncodedSources", "Generator", "GeneratorConfig", "LevelMaps"]
