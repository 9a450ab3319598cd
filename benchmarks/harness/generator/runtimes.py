"""The generator in ONNX Runtime and OpenVINO, from files of rfwarp.export."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from harness.generator.candidates import Case, Inputs
from rfwarp import Generator
from rfwarp.export import Part, export_onnx, exported_function
from rfwarp.quantization import quantize

Form = Literal["plain", "our form"]
Infer = Callable[[Mapping[str, np.ndarray]], np.ndarray]


class Files:
    """Exports of one network at one size, each made when first asked for.

    Args:
        plain: in float32 on the CPU.
        folder: for the files.
    """

    def __init__(self, plain: Generator, size: int, folder: Path) -> None:
        self.networks: dict[Form, Generator] = {"plain": plain}
        self.size, self.folder = (size, size), folder

    def network(self, form: Form) -> Generator:
        if form not in self.networks:
            self.networks[form] = self.networks["plain"].optimize()
        return self.networks[form]

    def file(self, form: Form, part: Part) -> Path:
        """The ONNX file of a part in float32."""
        path = self.folder / f"{form}.{part}.onnx"
        return (
            path if path.exists() else export_onnx(self.network(form), path, self.size, part=part)
        )

    def int8(self, part: Part, inputs: dict[str, np.ndarray]) -> Path:
        """That of our form with 8-bit convolutions, calibrated on what it is timed with."""
        path = self.folder / f"int8.{part}.onnx"
        if path.exists():
            return path
        return quantize(self.file("our form", part), path, self.network("our form"), [inputs])


@dataclass(frozen=True)
class RuntimeCandidate:
    """A file of the generator in another runtime, with the interface of a `Candidate`."""

    name: str
    files: Files
    form: Form
    runtime: Literal["ONNX Runtime", "OpenVINO"]
    precision: Literal["float32", "bfloat16", "int8"]
    kind: str = "runtime"

    def active(self) -> AbstractContextManager[object]:
        return nullcontext()

    def runner(self, case: Case, inputs: Inputs) -> Callable[[int], Tensor]:
        """A function that generates the case's images, (N, 3, H, W); it ignores its argument."""
        part, given = self._inputs(case, inputs)
        path = (
            self.files.int8(part, given)
            if self.precision == "int8"
            else self.files.file(self.form, part)
        )
        infer = OPEN[self.runtime](path, self.precision)
        return lambda _: torch.from_numpy(infer(given))

    def _inputs(self, case: Case, inputs: Inputs) -> tuple[Part, dict[str, np.ndarray]]:
        sources, poses, targets = (x.float() for x in inputs)
        part: Part = "forward"
        names, tensors = ("sources", "poses", "target_pose"), (sources, poses, targets)
        if case.job == "next image" and self.form == "our form":
            part = "decode"
            encode = exported_function(self.files.network(self.form), self.files.size, "encode")
            with torch.no_grad():
                encoded = encode.module(sources, poses)
            names, tensors = ("target_pose", *encode.outputs), (targets, *encoded)
        return part, {n: t.contiguous().numpy() for n, t in zip(names, tensors, strict=True)}


def runtimes(case: Case, files: Files) -> Iterator[RuntimeCandidate]:
    """Both runtimes with the plain export and with ours; beside bfloat16 in 8 bits too.

    A stream, and batches of sets whose sources are kept, are not among what a file computes.
    """
    if case.job == "stream" or (case.job == "next image" and case.n > 1):
        return
    forms: tuple[Form, ...] = ("plain", "our form")
    for form in forms:
        if case.dtype == "float32":
            yield RuntimeCandidate(f"ONNX Runtime, {form}", files, form, "ONNX Runtime", "float32")
        yield RuntimeCandidate(f"OpenVINO, {form}", files, form, "OpenVINO", case.dtype)
    if case.dtype == "bfloat16":
        for runtime in ("ONNX Runtime", "OpenVINO"):
            yield RuntimeCandidate(f"{runtime}, int8", files, "our form", runtime, "int8")


def _in_onnxruntime(path: Path, precision: str) -> Infer:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options)
    return lambda given: session.run(None, dict(given))[0]


def _in_openvino(path: Path, precision: str) -> Infer:
    import openvino

    hint = "bf16" if precision == "bfloat16" else "f32"
    settings = {"INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1, "INFERENCE_PRECISION_HINT": hint}
    compiled = openvino.Core().compile_model(openvino.convert_model(path), "CPU", settings)
    request = compiled.create_infer_request()
    return lambda given: request.infer(dict(given))[compiled.output(0)].copy()


OPEN = {"ONNX Runtime": _in_onnxruntime, "OpenVINO": _in_openvino}
