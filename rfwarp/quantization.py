"""Exported generators whose convolutions multiply 8-bit integers, and what that costs."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

import rfwarp
from rfwarp.export import (
    Function,
    Part,
    errors_only,
    export_onnx,
    exported_function,
    import_extra,
    write_openvino,
)
from rfwarp.files import write_atomically
from rfwarp.images import from_uint8
from rfwarp.nn import Generator
from rfwarp.nn.blocks import FullPrecisionConv2d
from rfwarp.poses.kinds import POSE_KINDS

if TYPE_CHECKING:
    from rfwarp.data.tuples import TupleDataset

__all__ = ["Int8Cost", "export_int8"]

SETS = 48
"""Held-out sets to calibrate on, and others to measure on."""
CALIBRATED = (1, 2, 4)
"""Numbers of sources that they have in turn, as far as the dataset has them."""
MEASURED = 2
LAST = ("to_rgb", "of_h", "of_x", "refine")
"""Modules of the predictor whose error is an error of pixels: they stay in float32."""


@dataclass(frozen=True)
class Int8Cost:
    """Quality of a quantised generator beside that of the generator itself.

    Attributes:
        psnr, psnr_int8: in dB, means over held-out sets that it was not calibrated on, in ONNX
            Runtime.
        sources: of each set.
        sets: how many.

    Example:
        >>> from rfwarp.quantization import Int8Cost
        >>> print(Int8Cost(psnr=24.0, psnr_int8=23.85, sources=2, sets=48))
        int8 costs 0.15 dB: PSNR 23.85 instead of 24.00, 48 held-out sets of 2 sources
    """

    psnr: float
    psnr_int8: float
    sources: int
    sets: int

    def __str__(self) -> str:
        return (
            f"int8 costs {self.psnr - self.psnr_int8:.2f} dB: PSNR {self.psnr_int8:.2f} instead of "
            f"{self.psnr:.2f}, {self.sets} held-out sets of {self.sources} sources"
        )

    def metadata(self) -> dict[str, str]:
        """The same for the metadata of a file."""
        return {
            "int8_psnr": f"{self.psnr_int8:.3f}",
            "int8_psnr_float32": f"{self.psnr:.3f}",
            "int8_measured_on": f"{self.sets} sets of {self.sources} sources",
        }


def export_int8(
    generator: Generator,
    paths: Mapping[Part, Path],
    size: tuple[int, int],
    dataset: TupleDataset,
    *,
    opset: int | None = None,
    sets: int = SETS,
) -> Int8Cost:
    """Write a generator in 8 bits: ONNX with QuantizeLinear and DequantizeLinear, or OpenVINO's.

    Weights of convolutions are quantised per channel, what they read per tensor, by the smallest
    and largest values on held-out sets. Convolutions that flows and confidences come out of stay in
    float32, and the last ones before the image: most of the error comes of them, and little of the
    time.

    Args:
        generator: in float32 on the CPU; plain or optimized.
        paths: files to write, ``.onnx`` or ``.xml``, by the part of
            :func:`rfwarp.export.export_onnx` that each computes: ``forward``, or both others.
            Missing folders are created.
        size: (H, W), that of the dataset.
        dataset: a test split of what the generator was trained on.
        opset: as there.
        sets: to calibrate on, and as many more to measure on.

    Returns:
        What it costs, which the metadata of the files say too.

    Raises:
        ImportError: without ``pip install "rfwarp[int8]"``, or ``"rfwarp[openvino]"`` for .xml.
        ValueError: if the generator is not on the CPU, if the dataset has fewer than two sets,
            another size or other poses, or as of :func:`rfwarp.export.export_onnx`.
    """
    import_extra("onnxruntime", "int8")
    if any(path.suffix == ".xml" for path in paths.values()):
        import_extra("openvino", "openvino")
    device = next(generator.parameters()).device
    if device.type != "cpu":
        raise ValueError(f"int8 is calibrated on the CPU, and this generator is on {device}")
    if (dataset.height, dataset.width) != size:
        given = f"{dataset.height} x {dataset.width}"
        raise ValueError(f"images to calibrate on are {given}, not {size[0]} x {size[1]}")
    if generator.config.pose_kind not in (None, dataset.pose_kind):
        raise ValueError(
            f"images to calibrate on are posed by {dataset.pose_kind}, but this model takes "
            f"{generator.config.pose_kind}"
        )
    for path in paths.values():
        path.parent.mkdir(parents=True, exist_ok=True)
    examples, held_out = _examples(generator, dataset, sets)
    functions = {part: exported_function(generator, size, part) for part in paths}
    with tempfile.TemporaryDirectory() as folder:
        exact, coarse = {}, {}
        for part in functions:
            exact[part] = export_onnx(generator, Path(folder, part), size, part=part, opset=opset)
            inputs = [_inputs(part, functions, example) for example in examples]
            coarse[part] = quantize(exact[part], Path(folder, f"{part}.int8"), generator, inputs)
        cost = Int8Cost(
            _psnr(exact, held_out), _psnr(coarse, held_out), held_out[0].sources, len(held_out)
        )
        for part, path in paths.items():
            metadata = {"rfwarp": rfwarp.__version__, "part": part, **cost.metadata()}
            _write(coarse[part], path, metadata)
    return cost


@dataclass(frozen=True)
class _Example:
    """A set as the network takes it, N = 1."""

    inputs: dict[str, Tensor]
    target: Tensor

    @property
    def sources(self) -> int:
        return self.inputs["sources"].shape[1]


def _examples(
    generator: Generator, dataset: TupleDataset, sets: int
) -> tuple[list[_Example], list[_Example]]:
    """Sets to calibrate on, and others to measure on."""
    from rfwarp.prediction import network_inputs

    most = min(max(CALIBRATED), dataset.max_sources)
    rows = dataset.evaluation_rows(0, 2 * sets, most)
    if len(rows) < 2:
        raise ValueError(f"int8 needs at least 2 held-out sets, got {len(rows)}")
    kind = POSE_KINDS[dataset.pose_kind]

    def example(row: Sequence[int], k: int) -> _Example:
        sample = dataset.load((*row[:k], row[-1]))
        sources, poses = from_uint8(sample.sources)[None], sample.poses[None]
        inputs = network_inputs(generator, kind, sources, poses, sample.target_pose[None])
        names = ("sources", "poses", "target_pose")
        return _Example(dict(zip(names, inputs, strict=True)), from_uint8(sample.target)[None])

    middle = len(rows) // 2
    counts = cycle(sorted({min(k, most) for k in CALIBRATED}))
    return (
        [example(row, k) for row, k in zip(rows[:middle], counts, strict=False)],
        [example(row, min(MEASURED, most)) for row in rows[middle:]],
    )


@torch.no_grad()
def _inputs(part: Part, functions: Mapping[Part, Function], example: _Example) -> dict[str, Any]:
    """What the file of a part is given for an example."""
    given = dict(example.inputs)
    if part == "decode":
        encode = functions["encode"]
        encoded = encode.module(*(given[name] for name in encode.inputs))
        given |= dict(zip(encode.outputs, encoded, strict=True))
    return {name: given[name].numpy() for name in functions[part].inputs}


def quantize(
    model: Path, out: Path, generator: Generator, inputs: Sequence[dict[str, Any]]
) -> Path:
    """Write the file of a generator with 8-bit convolutions, calibrated on inputs, as another one.

    Returns:
        ``out``.
    """
    import onnx
    from onnxruntime.quantization import (
        CalibrationDataReader,
        QuantFormat,
        QuantType,
        quantize_static,
    )

    class Reader(CalibrationDataReader):  # type: ignore[misc]  # it is not typed
        def __init__(self) -> None:
            self.left = iter(inputs)

        def get_next(self) -> dict[str, Any] | None:
            return next(self.left, None)

    exact = [
        name
        for name, module in generator.named_modules()
        if isinstance(module, FullPrecisionConv2d) or not {*name.split(".")}.isdisjoint(LAST)
    ]
    # The file calls weights by the names that they have in the network, after that of the network.
    weights = {f"generator.{name}.weight" for name in exact}
    convolutions = ("Conv", "ConvTranspose")
    nodes = [
        node.name
        for node in onnx.load(model).graph.node
        if node.op_type in convolutions and node.input[1] not in weights
    ]
    with errors_only(logging.root):  # ONNX Runtime advises to run its other tools first
        quantize_static(
            model,
            out,
            Reader(),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(convolutions),
            nodes_to_quantize=nodes,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
    return out


def _psnr(models: Mapping[Part, Path], examples: Sequence[_Example]) -> float:
    """Mean PSNR, dB, of the images that ONNX Runtime draws."""
    import onnxruntime

    from rfwarp.metrics import score_images

    sessions = {part: onnxruntime.InferenceSession(path) for part, path in models.items()}
    scores = []
    for example in examples:
        known = {name: tensor.numpy() for name, tensor in example.inputs.items()}
        for part in ("encode", "decode", "forward"):
            if part not in sessions:
                continue
            session = sessions[part]
            given = {x.name: known[x.name] for x in session.get_inputs()}
            names = [x.name for x in session.get_outputs()]
            known |= dict(zip(names, session.run(names, given), strict=True))
        scores.append(score_images(torch.from_numpy(known["image"]), example.target).psnr.item())
    return sum(scores) / len(scores)


def _write(model: Path, path: Path, metadata: dict[str, str]) -> None:
    if path.suffix == ".xml":
        import openvino

        write_openvino(openvino.convert_model(model), path, metadata)
        return
    import onnx

    made = onnx.load(model)
    del made.metadata_props[:]
    onnx.helper.set_model_props(made, metadata)
    write_atomically(path, lambda temporary: onnx.save(made, temporary))
