"""Finding, reading and writing trained models: ``config.json`` + ``model.safetensors``."""

from __future__ import annotations

import copy
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor, nn

from rfwarp.files import write_atomically

CONFIG_NAME = "config.json"
WEIGHTS_NAME = "model.safetensors"
CARD_NAME = "README.md"
BUNDLED = Path(__file__).parent / "weights"

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)
_DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_BY_NAME = {str(dtype).removeprefix("torch."): dtype for dtype in _DTYPES}
SAVED_FROM = "saved_from"  # in the metadata of a file that stores weights in fewer bits


def list_models() -> list[str]:
    """Names of the models that come with the package, for ``Generator.from_pretrained``.

    Example:
        >>> import rfwarp
        >>> "chairs-64" in rfwarp.list_models()
        True
    """
    return sorted(path.parent.name for path in BUNDLED.glob(f"*/{CONFIG_NAME}"))


def resolve(
    name: str | os.PathLike[str],
    *,
    revision: str | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    token: str | bool | None = None,
    local_files_only: bool = False,
    force_download: bool = False,
) -> Path:
    """The local folder of a model: bundled name, folder, or Hub id ``owner/name``, in this order.

    Raises:
        FileNotFoundError: if it is none of these, or the Hub does not deliver it.
    """
    if str(name) in list_models():
        return BUNDLED / str(name)
    if Path(name).is_dir():
        return Path(name)
    if not isinstance(name, str) or not _HUB_ID.fullmatch(name):
        raise FileNotFoundError(
            f"no model {str(name)!r}: it is no folder, no Hub id 'owner/name', and none of the "
            f"bundled models ({', '.join(list_models()) or 'there are none'})"
        )
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        folder = snapshot_download(
            name,
            revision=revision,
            cache_dir=None if cache_dir is None else Path(cache_dir),
            token=token,
            local_files_only=local_files_only,
            force_download=force_download,
            allow_patterns=[CONFIG_NAME, WEIGHTS_NAME, CARD_NAME],
        )
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        raise FileNotFoundError(
            f"no folder {name!r} here, and the Hugging Face Hub did not deliver that model: {error}"
        ) from error
    return Path(folder)


def read_config(folder: Path) -> dict[str, Any]:
    """The fields of ``config.json``.

    Raises:
        FileNotFoundError: if it is missing.
        ValueError: if it is no JSON object.
    """
    path = folder / CONFIG_NAME
    if not path.is_file():
        raise FileNotFoundError(f"no {CONFIG_NAME} in {folder}")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(config, dict):
        raise ValueError(f"{path} must hold a JSON object, got {type(config).__name__}")
    return config


def load_weights(
    model: nn.Module,
    folder: Path,
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype | None = None,
) -> None:
    """Fill ``model`` (it may be on the meta device) from ``model.safetensors``, strictly.

    Args:
        device, dtype: of the loaded weights; a dtype of None takes the one that they were saved
            from, see ``storage`` of :func:`save`.

    Raises:
        FileNotFoundError: if the file is missing.
        ValueError: if it is damaged, if a tensor is missing, unexpected, of a wrong shape or dtype,
            or if ``dtype`` is none that the network computes in: 16, 32 or 64 bit floating point.
    """
    if dtype is not None and dtype not in _DTYPES:
        raise ValueError(f"dtype must be one of {', '.join(map(str, _DTYPES))}, got {dtype}")
    path = folder / WEIGHTS_NAME
    if not path.is_file():
        raise FileNotFoundError(f"no {WEIGHTS_NAME} in {folder}")
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            # Copied: the tensors of an open file are views of it, and files get replaced.
            state = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
            saved_from = (file.metadata() or {}).get(SAVED_FROM)
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is damaged or no safetensors file: {error}") from error
    _check_state(path, model, state)
    if dtype is None and saved_from is not None:
        dtype = _BY_NAME.get(saved_from)
        if dtype is None:
            raise ValueError(f"{path} says {SAVED_FROM} {saved_from!r}, not one of {[*_BY_NAME]}")
    # Cast by the model: some of its parts stay in float32.
    model.load_state_dict(state, strict=True, assign=True)
    model.to(device=device, dtype=dtype)


def _check_state(path: Path, model: nn.Module, given: Mapping[str, Tensor]) -> None:
    expected = model.state_dict()
    problems = [f"missing {name}" for name in expected if name not in given]
    problems += [f"unexpected {name}" for name in given if name not in expected]
    for name in expected.keys() & given.keys():
        want, have = tuple(expected[name].shape), tuple(given[name].shape)
        if want != have:
            problems.append(f"{name} has shape {have}, the config needs {want}")
        if given[name].dtype not in _DTYPES:
            problems.append(f"{name} is {given[name].dtype}, not floating point of 16 to 64 bits")
    if not problems:
        problems = _mixed_dtypes(model, given)
    if problems:
        shown = "; ".join(sorted(problems)[:8])
        more = f"; and {len(problems) - 8} more" if len(problems) > 8 else ""
        raise ValueError(f"{path} does not fit the model: {shown}{more}")


def _mixed_dtypes(model: nn.Module, given: Mapping[str, Tensor]) -> list[str]:
    """Tensors whose type is not the one they get when the whole model is cast to one type."""
    first = next(iter(model.state_dict()))
    cast = copy.deepcopy(model).to("meta", given[first].dtype).state_dict()
    return [
        f"{name} is {given[name].dtype}, beside {first} in {given[first].dtype} it must be "
        f"{tensor.dtype}"
        for name, tensor in cast.items()
        if given[name].dtype != tensor.dtype
    ]


def save(
    folder: str | os.PathLike[str],
    config: Mapping[str, Any],
    model: nn.Module,
    card: str | None = None,
    storage: torch.dtype | None = None,
) -> Path:
    """Write a model folder; every file is replaced atomically. Returns the folder.

    Args:
        storage: type of the weights in the file; None is their own. The file says what they were
            saved from, and :func:`load_weights` gives that back.

    Raises:
        ValueError: if ``storage`` is no floating-point type of 16, 32 or 64 bits.
    """
    if storage is not None and storage not in _DTYPES:
        raise ValueError(f"storage must be one of {', '.join(map(str, _DTYPES))}, got {storage}")
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"{folder} exists and is not a folder")
    folder.mkdir(parents=True, exist_ok=True)
    metadata = {"format": "pt"}
    if storage is not None:
        first = next(iter(model.state_dict().values()))
        metadata[SAVED_FROM] = str(first.dtype).removeprefix("torch.")
        model = copy.deepcopy(model).to(storage)
    state = model.state_dict()
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    text = json.dumps(dict(config), indent=2) + "\n"
    card = _plain_card(text) if card is None else card
    # Not save_file: it makes files that only their owner can read.
    weights = to_bytes(tensors, metadata=metadata)
    write_atomically(folder / WEIGHTS_NAME, lambda path: path.write_bytes(weights))
    write_atomically(folder / CARD_NAME, lambda path: path.write_text(card, encoding="utf-8"))
    write_atomically(folder / CONFIG_NAME, lambda path: path.write_text(text, encoding="utf-8"))
    return folder


def _plain_card(config: str) -> str:
    from huggingface_hub import ModelCardData

    return (
        f"---\n{ModelCardData(library_name='rfwarp')}\n---\n# An rfwarp generator\n\n"
        "Data, training and results: not recorded by whoever saved this model.\n\n"
        f"```json\n{config}```\n"
    )
