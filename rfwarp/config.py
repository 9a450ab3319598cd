"""Configurations: frozen dataclasses whose values pydantic checks against the types of the fields.

pydantic is imported when the first values are checked: ``rfwarp --help`` does not wait for it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, cast, get_type_hints

from annotated_types import Ge, Gt, Interval

if TYPE_CHECKING:
    from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
    from typing_extensions import Self

Positive = Annotated[float, Gt(0)]
NonNegative = Annotated[float, Ge(0)]
Fraction = Annotated[float, Interval(ge=0, lt=1)]
Count = Annotated[int, Ge(1)]
CountOrZero = Annotated[int, Ge(0)]


class Config:
    """Base of frozen dataclasses that refuse values which their fields' types do not allow.

    Numbers are finite, and nothing is converted: text is no number and no path, 1 is not true.
    Limits are metadata of the types, as :data:`Positive` has them. A subclass with a
    ``__post_init__`` of its own, for what one field demands of another, calls this one first.

    Raises:
        ValueError: names every such field, what was expected and what came.
    """

    __pydantic_config__ = {"strict": True, "extra": "forbid", "allow_inf_nan": False}  # noqa: RUF012

    def __post_init__(self) -> None:
        from pydantic import ValidationError

        try:
            _model(type(self)).model_validate(vars(self))  # type: ignore[arg-type]
        except ValidationError as error:
            raise ValueError(_describe(type(self), error, vars(self))) from None

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], where: str = "") -> Self:
        """The configuration from plain values, as JSON and YAML have them: nested by field, lists
        for tuples, text for paths, integers for whole floats.

        Args:
            where: prefix of the names of fields in error messages, such as ``train.``.

        Raises:
            ValueError: as the class does; also if a field is unknown or missing.
        """
        from pydantic import ValidationError
        from pydantic_core import to_json

        try:
            given = to_json(dict(values), serialize_unknown=True)
            return _reader(cls).validate_json(given)  # type: ignore[arg-type]
        except ValidationError as error:
            raise ValueError(_describe(cls, error, values, where)) from None


@cache
def _reader(config: Any) -> TypeAdapter[Any]:
    """The adapter that makes a configuration from JSON."""
    from pydantic import TypeAdapter

    return TypeAdapter(config)


@cache
def _model(config: Any) -> type[BaseModel]:
    """The model that checks the values of a configuration while it is made, and makes no other."""
    from pydantic import create_model

    types = get_type_hints(config, include_extras=True)
    checked: dict[str, Any] = {name: (types[name], ...) for name in _names(config)}
    options = cast("ConfigDict", config.__pydantic_config__)
    return create_model(config.__name__, __config__=options, **checked)


def _describe(
    config: type[Config], error: ValidationError, values: Mapping[str, Any], where: str = ""
) -> str:
    """Every field that is wrong, on one line."""
    lines: dict[str, list[str]] = {}
    came: dict[str, Any] = {}
    for problem in error.errors(include_url=False):
        place = _place(problem["loc"], values)
        name, message = where + place, problem["msg"]
        if problem["type"] == "too_short":
            if len(problem["input"]) >= problem["ctx"]["min_length"]:
                continue  # its items are at fault, and reported themselves
            message = message.partition(" after validation")[0]
        if problem["type"] == "missing":
            return f"field {name} is missing"
        if problem["type"] == "unexpected_keyword_argument":
            inside = name.rpartition(".")[0] + "." if "." in name else ""
            for part in problem["loc"][:-1]:
                config = get_type_hints(config)[str(part)]
            known = ", ".join(inside + known for known in _names(config))
            return f"unknown field {name}; the fields are {known}"
        if problem["type"] == "value_error":  # of a __post_init__, which names fields by itself
            return f"{name}: {problem['ctx']['error']}" if place else str(problem["ctx"]["error"])
        message = re.sub(r"^[A-Z]\w* ", "", message).replace("should ", "must ")  # "Input", "Tuple"
        others = lines.setdefault(name, [])  # of what else the type allows
        others.append(message.removeprefix("must be ") if others else message)
        came[name] = problem["input"]
    return "; ".join(f"{name} {' or '.join(lines[name])}, got {came[name]!r}" for name in lines)


def _place(loc: tuple[int | str, ...], values: Any) -> str:
    """The name of a field, from a location that also names the members of unions."""
    name = ""
    for part in loc:
        if isinstance(part, int):
            name += f"[{part}]"
            values = values[part] if part < len(values) else None
        elif isinstance(values, Mapping):
            name += f".{part}" if name else part
            values = values.get(part)
    return name


def _names(config: Any) -> list[str]:
    return [field.name for field in fields(config)]
