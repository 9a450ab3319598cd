"""The networks of Tables 5-7."""

from rfwarp.nn.config import GeneratorConfig
from rfwarp.nn.generator import EncodedSources, Generator, LevelMaps

__all__ = ["EncodedSources", "Generator", "GeneratorConfig", "LevelMaps"]
