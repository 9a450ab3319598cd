"""Former names of arguments, which work for one more release."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def renamed(**former: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """A decorator of functions whose keyword arguments had other names: ``renamed(old="new")``.

    A call by a former name gives a DeprecationWarning.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        frames = 4 if function.__name__ == "forward" else 2  # torch's __call__ comes between

        @wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            for old, new in former.items():
                if old in kwargs:
                    if new in kwargs:
                        raise TypeError(f"{old} is the former name of {new}: give one of them")
                    warn(old, new, frames + 1)
                    kwargs[new] = kwargs.pop(old)
            return function(*args, **kwargs)

        return call

    return decorate


def warn(old: str, new: str, frames: int) -> None:
    """Warn of a former name, at the caller so many frames up."""
    message = f"{old} is called {new} now; the former name goes in the next release"
    warnings.warn(message, DeprecationWarning, stacklevel=frames)
