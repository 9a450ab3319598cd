"""``rfwarp info``"""

from __future__ import annotations

import json
import platform
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import rfwarp


@dataclass(frozen=True)
class Info:
    """Versions, devices, the implementation of the operators and why, and the bundled weights."""

    json: bool = False
    """Print JSON."""

    def run(self) -> None:
        facts = collect()
        if self.json:
            print(json.dumps(facts, indent=2))
            return
        print(f"rfwarp    {facts['rfwarp']}")
        print(f"python    {facts['python']} on {facts['platform']}")
        print(f"torch     {facts['torch']}")
        for device in facts["devices"]:
            print(
                f"device    {device['name']}: {device['description']},"
                f" --precision auto is {device['precision']}"
            )
        operators = facts["operators"]
        print(f"operators backend {operators['backend']} (RFWARP_BACKEND)")
        for device in ("cpu", "cuda"):
            kernels = operators[device]
            print(f"          {device} tensors: {kernels['kind']}, {kernels['reason']}")
        if operators["build"]:
            print(f"kernels   {_describe(operators['build'])}")
        for model in facts["models"]:
            print(f"model     {model['name']}: {model['parameters']:,} parameters, {model['path']}")
        if not facts["models"]:
            print("model     none are bundled")


def _describe(build: dict[str, Any]) -> str:
    tools = f"{build['compiler']}, torch {build['torch']}"
    if build["nvcc"]:
        tools += f", nvcc {build['nvcc']} for {' '.join(build['cuda_architectures'])}"
    return f"compiled from rfwarp {build['version']} with {tools}"


def collect() -> dict[str, Any]:
    """The facts that ``rfwarp info`` prints, as JSON-able values."""
    import torch

    import rfwarp_cuda
    from rfwarp import ops, pretrained

    backend = ops.backend()
    threads = torch.get_num_threads()
    devices = [_device("cpu", f"{platform.machine()}, {threads} threads")]
    for index in range(torch.cuda.device_count()):
        gpu = torch.cuda.get_device_properties(index)
        memory = f"{gpu.total_memory / 2**30:.1f} GiB"
        devices.append(_device(f"cuda:{index}", f"{gpu.name}, {memory}"))
    models = [
        {
            "name": name,
            "path": str(pretrained.BUNDLED / name),
            "parameters": count_parameters(pretrained.BUNDLED / name / pretrained.WEIGHTS_NAME),
            "config": pretrained.read_config(pretrained.BUNDLED / name),
        }
        for name in pretrained.list_models()
    ]
    return {
        "rfwarp": rfwarp.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "torch": torch.__version__,
        "devices": devices,
        "operators": {
            "backend": backend.name,
            "cpu": backend.cpu._asdict(),
            "cuda": backend.cuda._asdict(),
            "build": {} if backend.name == "torch" else rfwarp_cuda.build_info(),
        },
        "models": models,
    }


def _device(name: str, description: str) -> dict[str, str]:
    from rfwarp.precision import fast_dtype

    precision = str(fast_dtype(name)).removeprefix("torch.")
    return {"name": name, "description": description, "precision": precision}


def count_parameters(path: Path) -> int:
    """Number of values in a safetensors file, from its header.

    Raises:
        ValueError: if it is missing or damaged.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            shapes = [file.get_slice(name).get_shape() for name in file.keys()]  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is damaged or no safetensors file: {error}") from error
    return sum(prod(shape) for shape in shapes)
