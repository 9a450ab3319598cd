"""Configurations as YAML files: every field is known, and of the type that its dataclass says."""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

try:
    import yaml
except ModuleNotFoundError as error:
    raise ImportError('configuration files need pyyaml: pip install "rfwarp[train]"') from error

from rfwarp.training.config import TrainConfig, nested

T = TypeVar("T")

NAMES = {bool: "true or false", int: "an integer", float: "a number", str: "text", Path: "a path"}


class _Loader(yaml.SafeLoader):
    """Reads 1e-4 as a number, as YAML 1.2 does, and refuses keys that are there twice."""

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


def load_config(path: Path, kind: type[T], **given: Any) -> T:
    """A dataclass from a YAML file; ``given`` fields take precedence and are taken as they are.

    Paths in the file are relative to the working directory, as on the command line.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no YAML mapping, or a field is unknown, missing, of another type or out
            of range: the message names file and field, and what was expected.
    """
    try:
        values = yaml.load(path.read_text(encoding="utf-8"), _Loader)
        if not isinstance(values, dict):
            raise TypeError(f"expected fields and their values, got {values!r}")
        return build(kind, nested(values) if kind is TrainConfig else values, **given)
    except (yaml.YAMLError, UnicodeDecodeError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from error


def build(kind: type[T], values: Mapping[str, Any], where: str = "", **given: Any) -> T:
    """A dataclass from plain values, nested as its fields are.

    Args:
        where: what error messages put before the names of the fields, such as ``data.``.

    Raises:
        TypeError: if a value has another type than the field.
        ValueError: if a field is unknown or missing, or the dataclass refuses a value.
    """
    known = {field.name: field for field in fields(kind)}  # type: ignore[arg-type]
    unknown = [f"{where}{name}" for name in values if name not in known]
    if unknown:
        fields_are = ", ".join(where + name for name in known)
        raise ValueError(f"unknown field {', '.join(unknown)}; the fields are {fields_are}")
    types = get_type_hints(kind)
    built = {name: _convert(values[name], types[name], where + name) for name in values} | given
    for name, field in known.items():
        if name not in built and field.default is field.default_factory is MISSING:
            raise ValueError(f"field {where}{name} is missing")
    return kind(**built)


def _convert(value: Any, kind: Any, name: str) -> Any:
    """``value`` as the type ``kind`` of a field; TypeError if it is not one."""
    origin, parts = get_origin(kind), get_args(kind)
    if kind is Any or type(value) is kind:
        return value
    if is_dataclass(kind) and isinstance(value, dict):
        return build(kind, value, f"{name}.")  # type: ignore[arg-type]
    if origin in (Union, UnionType):
        for part in parts:
            try:
                return _convert(value, part, name)
            except TypeError:
                continue
    elif origin is Literal and any(type(value) is type(x) and value == x for x in parts):
        return value
    elif origin is tuple and isinstance(value, list):
        kinds = [parts[0]] * len(value) if parts[-1] is Ellipsis else list(parts)
        if len(kinds) == len(value):
            each = enumerate(zip(value, kinds, strict=True))
            return tuple(_convert(v, k, f"{name}[{i}]") for i, (v, k) in each)
    elif origin is dict and isinstance(value, dict) and all(isinstance(k, str) for k in value):
        return {k: _convert(v, parts[1], f"{name}.{k}") for k, v in value.items()}
    elif kind is float and type(value) is int:
        return float(value)
    elif kind is Path and isinstance(value, str):
        return Path(value).expanduser()
    elif kind is NoneType and value is None:
        return None
    raise TypeError(f"{name} must be {_describe(kind)}, got {value!r}")


def _describe(kind: Any) -> str:
    origin, parts = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return " or ".join(map(_describe, parts))
    if origin is Literal:
        return "one of " + ", ".join(map(str, parts))
    if origin is tuple:
        count = "" if parts[-1] is Ellipsis else f"{len(parts)} "
        return f"a list of {count}values, each {_describe(parts[0])}"
    if origin is dict or is_dataclass(kind):
        return "fields and their values"
    return "null" if kind is NoneType else NAMES.get(kind, str(kind))
