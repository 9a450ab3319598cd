"""Configurations as YAML files."""

from __future__ import annotations

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any, TypeVar

try:
    import yaml
except ModuleNotFoundError as error:
    raise ImportError('configuration files need pyyaml: pip install "rfwarp[train]"') from error

from rfwarp.config import Config
from rfwarp.files import shortened

T = TypeVar("T", bound=Config)


class _Loader(yaml.SafeLoader):
    """Reads 1e-4 as a number, as YAML 1.2 does, ~/x as a path in the user's home, and refuses keys
    that are there twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [self.construct_object(key) for key, _ in node.value]
        for place, key in enumerate(keys):
            if key in keys[:place]:
                mark = node.value[place][0].start_mark
                raise yaml.MarkedYAMLError(problem=f"{key!r} is there twice", problem_mark=mark)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"),
    list("-+0123456789"),
)
_Loader.add_implicit_resolver("!home", re.compile("~/"), ["~"])
_Loader.add_constructor("!home", lambda loader, node: str(Path(node.value).expanduser()))


def load_config(path: Path, kind: type[T], **given: Any) -> T:
    r"""A configuration from a YAML file; ``given`` fields take precedence.

    Paths in the file are relative to the working directory, as on the command line.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no YAML mapping, or a field is unknown, missing, of another type or out
            of range: the message names file and field, and what was expected.

    Example:
        >>> from pathlib import Path
        >>> from rfwarp.training import TrainConfig, load_config
        >>> _ = Path("run.yaml").write_text("steps: 1000\nnetwork: {width: 0.5}\n")
        >>> config = load_config(Path("run.yaml"), TrainConfig, out=Path("run"))
        >>> config.steps, config.network.width
        (1000, 0.5)
    """
    try:
        values = yaml.load(path.read_text(encoding="utf-8"), _Loader)
        if not isinstance(values, dict):
            raise ValueError(f"expected fields and their values, got {shortened(repr(values))}")
        return kind.from_dict(values | given)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ValueError(f"{path}: {shortened(error, 800)}") from error
