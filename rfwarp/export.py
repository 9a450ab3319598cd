"""The generator as files for other runtimes: ONNX, OpenVINO, or an AOTInductor package."""

from __future__ import annotations

import logging
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

import rfwarp
from rfwarp.files import write_atomically
from rfwarp.nn import EncodedSources, Generator
from rfwarp.nn.inputs import MIN_SIZE
from rfwarp.ops import grid_sample
from rfwarp.ops.schema import operators

__all__ = ["export_onnx", "export_openvino", "export_package"]

Part: TypeAlias = Literal["forward", "encode", "decode"]
PARTS: tuple[Part, ...] = ("forward", "encode", "decode")
"""What a file computes: images of their sources, what the sources alone decide, images of that."""

OPSETS = range(18, 26)
"""Versions of ONNX's operators that PyTorch's exporter writes."""


def export_onnx(
    generator: Generator,
    path: str | os.PathLike[str],
    size: tuple[int, int],
    *,
    part: Part = "forward",
    opset: int | None = None,
) -> Path:
    """Write an ONNX file of :meth:`rfwarp.nn.Generator.forward` without ``present`` and maps.

    It is made of standard operators alone (the warp is ``GridSample``), so it needs nothing of
    rfwarp. Inputs ``sources`` (batch, sources, 3, H, W), ``poses`` (batch, sources, c_p, H, W) and
    ``target_pose`` (batch, c_p, H, W) and output ``image`` have the type of the weights; batch
    and sources are any numbers, H and W are fixed. Flows that are not finite are not defined.

    In two files, ``encode`` and ``decode``, the sources are read once for many targets. The former
    takes one set of ``sources`` and ``poses``, batch 1; its outputs are, by their names, inputs of
    the latter, with ``target_pose`` (targets, c_p, H, W) for any number of them.

    Args:
        generator: plain or optimized; the latter computes less.
        path: file to write; missing folders are created, before any work.
        size: (H, W).
        part: what the file computes.
        opset: version of ONNX's operators, 18 to 25; None takes PyTorch's default.

    Returns:
        The path.

    Raises:
        ImportError: without ``pip install "rfwarp[export]"``.
        ValueError: if a side is below 64, or part or opset is none of these, or the installed
            exporter does not write that opset.
        OSError: if the file cannot be written.

    Example:
        >>> from rfwarp import Generator
        >>> from rfwarp.export import export_onnx
        >>> generator = Generator(pose_channels=21, width=0.125)
        >>> export_onnx(generator, "small.onnx", size=(32, 32))
        Traceback (most recent call last):
            ...
        ValueError: height and width must be at least 64, got (32, 32)
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    program = _onnx_program(generator, size, part, opset)
    write_atomically(path, lambda temporary: program.save(temporary, external_data=False))
    return path


def export_openvino(
    generator: Generator,
    path: str | os.PathLike[str],
    size: tuple[int, int],
    *,
    part: Part = "forward",
) -> Path:
    """Write OpenVINO's form of what :func:`export_onnx` writes: ``path`` and, beside it, a ``.bin``
    of the weights, which stay in float32.

    Arguments and errors as there.

    Args:
        path: file to write, ``*.xml``; missing folders are created.

    Raises:
        ImportError: without ``pip install "rfwarp[openvino]"``.
        ValueError: if the path ends otherwise.

    Example:
        >>> from rfwarp import Generator
        >>> from rfwarp.export import export_openvino
        >>> export_openvino(Generator(pose_channels=21, width=0.125), "small.onnx", size=(64, 64))
        Traceback (most recent call last):
            ...
        ValueError: OpenVINO's form is an .xml file, got small.onnx
    """
    path = Path(path)
    if path.suffix != ".xml":
        raise ValueError(f"OpenVINO's form is an .xml file, got {path}")
    openvino = import_extra("openvino", "openvino")
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        model = openvino.convert_model(
            export_onnx(generator, Path(folder, "model.onnx"), size, part=part)
        )
    write_openvino(model, path, {"rfwarp": rfwarp.__version__, "part": part})
    return path


def export_package(
    generator: Generator,
    path: str | os.PathLike[str],
    size: tuple[int, int],
    *,
    part: Part = "forward",
) -> Path:
    """Compile a package of AOTInductor: :meth:`rfwarp.nn.Generator.forward` without ``present`` and
    maps, or the parts of :func:`export_onnx`.

    ``torch._inductor.aoti_load_package(path)`` loads it in a process that has imported
    ``rfwarp.ops``, whose operators it calls: they run on whatever backend is there. Inputs as in
    :func:`export_onnx`, on the device of the weights; of ``decode`` the target pose comes first,
    then the outputs of ``encode`` in their order.

    Args:
        generator: plain or optimized.
        path: file to write, ``*.pt2``; missing folders are created.
        size: (H, W).
        part: what the package computes.

    Returns:
        The path.

    Raises:
        ValueError: if a side is below 64, the part is unknown, or the path ends otherwise.
        OSError: if the file cannot be written.
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
    path.parent.mkdir(parents=True, exist_ok=True)
    with _quietly(), tempfile.TemporaryDirectory() as folder:
        made = torch._inductor.aoti_compile_and_package(
            _program(exported_function(generator, size, part)),
            package_path=os.path.join(folder, path.name),
        )
        content = Path(made).read_bytes()
    write_atomically(path, lambda temporary: temporary.write_bytes(content))
    return path


def import_extra(name: str, extra: str) -> Any:
    """A package that comes with an extra.

    Raises:
        ImportError: if it, or what it needs, is not installed.
    """
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        raise ImportError(
            f'this export needs {error.name}, which is missing: pip install "rfwarp[{extra}]"'
        ) from error


def write_openvino(model: Any, path: Path, metadata: dict[str, str]) -> None:
    """Write an ``openvino.Model`` as ``path`` and a ``.bin`` beside it, which comes first."""
    import openvino

    for name, value in metadata.items():
        model.set_rt_info(value, name)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
        made = Path(folder, path.name)
        openvino.save_model(model, made, compress_to_fp16=False)
        for suffix in (".bin", ".xml"):
            os.replace(made.with_suffix(suffix), path.with_suffix(suffix))


@dataclass(frozen=True)
class Function:
    """A function of tensors that a file computes.

    Attributes:
        module: that computes it.
        inputs, outputs: their names, in order.
        examples: of the inputs. Free dimensions have 2, as PyTorch takes 1 for a constant.
        free: the names of their free dimensions.
    """

    module: nn.Module
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    examples: tuple[Tensor, ...]
    free: tuple[dict[int, Dim], ...]


class _Forward(nn.Module):
    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, *inputs: Tensor) -> Tensor:
        image: Tensor = self.generator(*inputs)
        return image


class _Encode(nn.Module):
    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        return tuple(_distinct(_tensors(self.generator.encode(*inputs))))


class _Decode(nn.Module):
    def __init__(self, generator: Generator, like: EncodedSources) -> None:
        super().__init__()
        self.generator = generator
        self.size = like.size
        self.lengths = (len(like.features), len(like.for_flow), len(like.for_residual))
        tensors = _tensors(like)
        distinct = _distinct(tensors)
        self.places = [_place(tensor, distinct) for tensor in tensors]

    def forward(self, *inputs: Tensor) -> Tensor:
        target_pose, *distinct = inputs
        tensors = iter([distinct[place] for place in self.places])
        features, for_flow, for_residual = (
            [next(tensors) for _ in range(length)] for length in self.lengths
        )
        encoded = EncodedSources(features, for_flow, for_residual, None, self.size)
        return self.generator.decode(encoded, target_pose)


def _tensors(encoded: EncodedSources) -> list[Tensor]:
    return [*encoded.features, *encoded.for_flow, *encoded.for_residual]


def _place(tensor: Tensor, tensors: Sequence[Tensor]) -> int:
    return next(place for place, other in enumerate(tensors) if other is tensor)


def _distinct(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Each tensor once: what is encoded for one network can be what another needs too."""
    return list({id(tensor): tensor for tensor in tensors}.values())


@torch.no_grad()
def exported_function(generator: Generator, size: tuple[int, int], part: Part) -> Function:
    """The function that the file of a part computes; errors as of :func:`export_onnx`."""
    if part not in PARTS:
        raise ValueError(f"part must be one of {', '.join(PARTS)}, got {part!r}")
    if min(size) < MIN_SIZE:
        raise ValueError(f"height and width must be at least {MIN_SIZE}, got {size}")
    generator, c = generator.eval(), generator.config.pose_channels
    weight = generator.appearance.down2.conv1.weight
    batch, sources, targets = Dim("batch"), Dim("sources"), Dim("targets")

    def zeros(*shape: int) -> Tensor:
        return torch.zeros(*shape, *size, dtype=weight.dtype, device=weight.device)

    if part == "forward":
        return Function(
            _Forward(generator),
            ("sources", "poses", "target_pose"),
            ("image",),
            (zeros(2, 2, 3), zeros(2, 2, c), zeros(2, c)),
            ({0: batch, 1: sources}, {0: batch, 1: sources}, {0: batch}),
        )
    images, poses = zeros(1, 2, 3), zeros(1, 2, c)
    encoded = generator.encode(images, poses)
    distinct = _distinct(_tensors(encoded))
    names = _names(generator, encoded)
    if part == "encode":
        module = _Encode(generator)
        return Function(
            module, ("sources", "poses"), names, (images, poses), ({1: sources}, {1: sources})
        )
    return Function(
        _Decode(generator, encoded),
        ("target_pose", *names),
        ("image",),
        (zeros(2, c), *distinct),
        ({0: targets}, *({1: sources} for _ in names)),
    )


def _names(generator: Generator, encoded: EncodedSources) -> tuple[str, ...]:
    """Names of the distinct tensors of encoded sources, after the list and place of the first."""
    levels = generator.config.levels
    names = [f"features_{stride}" for stride in levels]
    names += [f"flow_{i}" for i in range(len(encoded.for_flow))]
    names += [f"residual_{stride}" for stride in levels]
    first: dict[int, str] = {}
    for name, tensor in zip(names, _tensors(encoded), strict=True):
        first.setdefault(id(tensor), name)
    return tuple(first.values())


@torch.no_grad()
def _program(function: Function) -> ExportedProgram:
    return torch.export.export(
        function.module, function.examples, dynamic_shapes={"inputs": function.free}
    )


def _onnx_program(
    generator: Generator, size: tuple[int, int], part: Part, opset: int | None
) -> torch.onnx.ONNXProgram:
    if opset is not None and opset not in OPSETS:
        raise ValueError(f"opset must lie in {OPSETS[0]}..{OPSETS[-1]}, got {opset}")
    import_extra("onnxscript", "export")  # what torch.onnx.export needs
    function = exported_function(generator, size, part)
    # Without gradients and aliases, in the operators that ONNX knows.
    table: dict[Any, Callable[..., Any]] = dict(torch.export.default_decompositions())
    table[operators.warp.default] = grid_sample.warp
    table[operators.warp_fuse.default] = grid_sample.warp_fuse
    with _quietly():
        program = torch.onnx.export(
            _program(function).run_decompositions(table),
            dynamo=True,
            verbose=False,
            input_names=function.inputs,
            output_names=function.outputs,
            dynamic_shapes={"inputs": function.free},
            opset_version=opset,
        )
    assert program is not None
    written = program.model.opset_imports[""]
    if opset not in (None, written):
        raise ValueError(f"the installed onnxscript writes opset {written}, not {opset}")
    program.model.metadata_props.update({"rfwarp": rfwarp.__version__, "part": part})
    return program


@contextmanager
def _quietly() -> Iterator[None]:
    """Silence what PyTorch's exporters say about PyTorch itself, such as a missing torchvision."""
    with errors_only(logging.getLogger("torch.onnx")), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def errors_only(logger: logging.Logger) -> Iterator[None]:
    """Let a logger that others write to pass on errors alone."""
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
