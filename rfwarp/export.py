"""The generator as one file for other runtimes: ONNX, or an AOTInductor package."""

from __future__ import annotations

import logging
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch.export import Dim, ExportedProgram

from rfwarp.files import write_atomically
from rfwarp.nn import Generator
from rfwarp.nn.inputs import MIN_SIZE
from rfwarp.ops import grid_sample
from rfwarp.ops.schema import operators

__all__ = ["export_onnx", "export_package"]

INPUTS = ("sources", "poses", "target_pose")
OUTPUT = "image"
_SHAPES = (
    {0: Dim("batch"), 1: Dim("sources")},
    {0: Dim("batch"), 1: Dim("sources")},
    {0: Dim("batch")},
)


def export_onnx(generator: Generator, path: str | os.PathLike[str], size: tuple[int, int]) -> Path:
    """Write an ONNX file of :meth:`rfwarp.nn.Generator.forward` without ``present`` and maps.

    It is made of standard operators alone (the warp is ``GridSample``), so it needs nothing of
    rfwarp. Inputs ``sources`` (batch, sources, 3, H, W), ``poses`` (batch, sources, c_p, H, W) and
    ``target_pose`` (batch, c_p, H, W) and output ``image`` have the type of the weights; batch
    and sources are any numbers, H and W are fixed. Flows that are not finite are not defined.

    Args:
        generator: plain or optimized; the latter computes less.
        path: file to write.
        size: (H, W).

    Returns:
        The path.

    Raises:
        ImportError: without ``pip install "rfwarp[export]"``.
        ValueError: if a side is below 64.

    Example:
        >>> from rfwarp import Generator
        >>> from rfwarp.export import export_onnx
        >>> generator = Generator(pose_channels=21, width=0.125)
        >>> export_onnx(generator, "small.onnx", size=(32, 32))
        Traceback (most recent call last):
            ...
        ValueError: height and width must be at least 64, got (32, 32)
    """
    try:
        import onnxscript  # noqa: F401  # what torch.onnx.export needs
    except ModuleNotFoundError as error:
        raise ImportError(
            f'ONNX needs {error.name}, which is missing: pip install "rfwarp[export]"'
        ) from error
    path = Path(path)
    _check_size(size)
    # Without gradients and aliases, in the operators that ONNX knows.
    table: dict[Any, Callable[..., Any]] = dict(torch.export.default_decompositions())
    table[operators.warp.default] = grid_sample.warp
    table[operators.warp_fuse.default] = grid_sample.warp_fuse
    with _quietly():
        program = _program(generator, size).run_decompositions(table)
        exported = torch.onnx.export(
            program,
            dynamo=True,
            verbose=False,
            input_names=INPUTS,
            output_names=(OUTPUT,),
            dynamic_shapes=_SHAPES,
        )
    assert exported is not None
    write_atomically(path, lambda temporary: exported.save(temporary, external_data=False))
    return path


def export_package(
    generator: Generator, path: str | os.PathLike[str], size: tuple[int, int]
) -> Path:
    """Compile a package of AOTInductor: :meth:`rfwarp.nn.Generator.forward` without ``present`` and
    maps.

    ``torch._inductor.aoti_load_package(path)`` loads it in a process that has imported
    ``rfwarp.ops``, whose operators it calls: they run on whatever backend is there. Inputs as in
    :func:`export_onnx`, on the device of the weights.

    Args:
        generator: plain or optimized.
        path: file to write, ``*.pt2``.
        size: (H, W).

    Returns:
        The path.

    Raises:
        ValueError: if a side is below 64, or the path ends otherwise.
        RuntimeError: if PyTorch finds no C++ compiler.

    Example:
        >>> from rfwarp import Generator
        >>> from rfwarp.export import export_package
        >>> export_package(Generator(pose_channels=21, width=0.125), "model.so", size=(64, 64))
        Traceback (most recent call last):
            ...
        ValueError: an AOTInductor package is a .pt2 file, got model.so
    """
    path = Path(path)
    if path.suffix != ".pt2":
        raise ValueError(f"an AOTInductor package is a .pt2 file, got {path}")
    with _quietly(), tempfile.TemporaryDirectory() as folder:
        made = torch._inductor.aoti_compile_and_package(
            _program(generator, size), package_path=os.path.join(folder, path.name)
        )
        content = Path(made).read_bytes()
    write_atomically(path, lambda temporary: temporary.write_bytes(content))
    return path


@torch.no_grad()
def _program(generator: Generator, size: tuple[int, int]) -> ExportedProgram:
    """The forward for any N and K at one size; traced with 2, as PyTorch takes 1 for a constant."""
    _check_size(size)
    c = generator.config.pose_channels
    shapes = ((2, 2, 3, *size), (2, 2, c, *size), (2, c, *size))
    weight = generator.appearance.down2.conv1.weight
    examples = tuple(
        torch.zeros(shape, dtype=weight.dtype, device=weight.device) for shape in shapes
    )
    return torch.export.export(generator.eval(), examples, dynamic_shapes=_SHAPES)


def _check_size(size: tuple[int, int]) -> None:
    if min(size) < MIN_SIZE:
        raise ValueError(f"height and width must be at least {MIN_SIZE}, got {size}")


@contextmanager
def _quietly() -> Iterator[None]:
    """Without what PyTorch's exporters say about PyTorch itself, such as a missing torchvision."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
