"""Weights that others publish: found where they belong, read as data only, and checked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn


def find_weights(given: Path | None, file_name: str, what: str, advice: str) -> Path:
    """The path of a file of weights, which is never downloaded.

    Args:
        given: the user's path; None looks for ``file_name`` in the torch hub's cache.
        what: whose weights they are, for people.
        advice: how to get them.

    Raises:
        FileNotFoundError: if it is not there.
    """
    folder = Path(torch.hub.get_dir(), "checkpoints")
    path = given or folder / file_name
    if not path.is_file():
        raise FileNotFoundError(
            f"no {what} weights: {path} is no file. {advice}, and give its path or put it into "
            f"{folder}"
        )
    return path


def load_weights(module: nn.Module, path: Path, what: str, prefix: str = "") -> None:
    """Fill a module, which may be on the meta device, from the file's tensors of its names.

    Whatever else the file holds is ignored.

    Args:
        what: whose weights they are, for people.
        prefix: what the file puts before the module's names.

    Raises:
        ValueError: if the file is damaged, or a tensor is missing, misshapen or not finite.
    """
    given = read_tensors(path)
    state: dict[str, Tensor] = {}
    for own_name, like in module.state_dict().items():
        name = prefix + own_name
        tensor = given.get(name)
        if not isinstance(tensor, Tensor):
            raise ValueError(f"{path} is no file of {what}: it has no tensor {name}")
        if tensor.shape != like.shape or not tensor.is_floating_point():
            raise ValueError(
                f"{path}: {name} must be floating point {tuple(like.shape)}, "
                f"got {tensor.dtype} {tuple(tensor.shape)}"
            )
        if not tensor.isfinite().all():
            raise ValueError(f"{path}: {name} has values that are not finite")
        state[own_name] = tensor.to(torch.float32, copy=True)  # out of the file it may be a view of
    module.load_state_dict(state, assign=True)


def read_tensors(path: Path) -> Mapping[str, object]:
    """The content of a ``.safetensors`` file or one of ``torch.save``, by name.

    Raises:
        OSError: if it cannot be opened.
        ValueError: if it is damaged, or holds anything that reading as data only refuses.
    """
    with path.open("rb"):
        pass  # one that may not be read is not damaged
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        given = torch.load(path, map_location="cpu", weights_only=True)
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged or no safetensors file: {error}") from error
    except Exception as error:  # on damaged bytes the unpickler raises whatever comes
        raise ValueError(f"{path} is damaged or no file of weights: {error}") from error
    if not isinstance(given, dict):
        raise ValueError(f"{path} must hold a dict of tensors, got {type(given).__name__}")
    return given
