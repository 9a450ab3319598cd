"""Configurations as YAML files."""

from __future__ import annotations

import re
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

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        # As it stands in the file: later, what << merges into it may be there twice.
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):  # others are refused as keys
                if (key.tag, key.value) in seen:
                    problem = f"{key.value!r} is there twice"
                    raise yaml.MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
                seen.add((key.tag, key.value))
        return node


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
