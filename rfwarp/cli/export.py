"""``rfwarp export``"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import arg

from rfwarp.cli.arguments import MAX_SIZE, UsageError, choose_device
from rfwarp.data.catalog import DATASETS

if TYPE_CHECKING:
    from rfwarp import Generator
    from rfwarp.data.tuples import TupleDataset
    from rfwarp.export import Part

FORMATS = (".onnx", ".xml", ".pt2")


@dataclass(frozen=True)
class Export:
    """Write a model for other runtimes: ONNX, OpenVINO, or an AOTInductor package for PyTorch."""

    out: Annotated[Path, arg(aliases=["-o"], metavar="FILE.onnx|FILE.xml|FILE.pt2")]
    """File to write. ONNX and OpenVINO's .xml, which gets a .bin beside it, run without rfwarp; a
    package keeps rfwarp's fast operators."""
    weights: Annotated[str, arg(aliases=["-w"], metavar="MODEL")] = "chairs-64"
    """Bundled model, folder, or Hugging Face Hub id owner/name."""
    size: Annotated[tuple[int, int] | None, arg(metavar="HEIGHT WIDTH")] = None
    """Size of the images; without it, that of training. Batch and number of sources stay free."""
    split: bool = False
    """Write two files, FILE.encode.onnx and FILE.decode.onnx: the first reads one set of sources,
    the second draws any number of targets from its outputs."""
    opset: int | None = None
    """ONNX: version of the operators, 18 to 25; without it PyTorch's default."""
    int8: bool = False
    """ONNX and OpenVINO: multiply 8-bit integers, and print what that costs on held-out sets."""
    dataset: Annotated[
        str | None, arg(metavar="NAME", help=f"Of these sets: one of {', '.join(DATASETS)}.")
    ] = None
    """Without it what the model was trained on."""
    root: Annotated[Path | None, arg(metavar="FOLDER")] = None
    """Folder of that dataset, which rfwarp prepare has checked."""
    plain: bool = False
    """Write the network as it was trained, not its inference form."""
    device: str = "cpu"
    """Device that a package is compiled for: cpu, cuda."""

    def __post_init__(self) -> None:
        suffix = self.out.suffix
        if suffix not in FORMATS:
            raise UsageError(f"--out must end in {', '.join(FORMATS)}, got {self.out}")
        if self.size is not None and not 64 <= min(self.size) <= max(self.size) <= MAX_SIZE:
            raise UsageError(f"--size must lie in 64..{MAX_SIZE}, got {self.size}")
        if self.opset is not None and suffix != ".onnx":
            raise UsageError(f"--opset is for ONNX, not for {self.out}")
        if self.int8 and suffix == ".pt2":
            raise UsageError(f"--int8 is for ONNX and OpenVINO, not for {self.out}")
        if not self.int8 and (self.dataset, self.root) != (None, None):
            raise UsageError("--dataset and --root are for --int8")
        if self.device != "cpu" and suffix != ".pt2":
            raise UsageError(f"--device is for a .pt2 package, not for {self.out}")

    def run(self) -> None:
        from rfwarp import Generator
        from rfwarp.export import OPSETS, export_onnx, export_openvino, export_package

        if self.opset is not None and self.opset not in OPSETS:
            raise UsageError(f"--opset must lie in {OPSETS[0]}..{OPSETS[-1]}, got {self.opset}")
        generator = Generator.from_pretrained(self.weights, device=choose_device(self.device))
        size = self.size or generator.config.image_shape
        if size is None:
            raise UsageError(f"{self.weights} does not say which --size it was trained at")
        dataset = self._held_out(size) if self.int8 else None
        if not self.plain:
            generator = generator.optimize()
        paths = self._paths()
        if dataset is not None:
            self._write_int8(generator, paths, size, dataset)
            return
        for part, path in paths.items():
            if path.suffix == ".onnx":
                export_onnx(generator, path, size, part=part, opset=self.opset)
            else:
                write = export_openvino if path.suffix == ".xml" else export_package
                write(generator, path, size, part=part)
            print(f"wrote {path}")

    def _paths(self) -> dict[Part, Path]:
        if not self.split:
            return {"forward": self.out}
        parts: tuple[Part, ...] = ("encode", "decode")
        return {part: self.out.with_suffix(f".{part}{self.out.suffix}") for part in parts}

    def _held_out(self, size: tuple[int, int]) -> TupleDataset:
        """Sets to calibrate and measure on."""
        from rfwarp import pretrained
        from rfwarp.data import DataConfig, dataset_record, open_dataset
        from rfwarp.data.catalog import trained_on

        folder = pretrained.resolve(self.weights, local_files_only=True)
        config = trained_on(folder / pretrained.CARD_NAME)
        if self.dataset is not None and (config is None or config.name != self.dataset):
            config = DataConfig(self.dataset)
        if config is None:
            raise UsageError(
                f"{self.weights} does not say what it was trained on: give --int8 a --dataset"
            )
        any_size = dataset_record(config.name).has_any_size
        config = replace(config, root=self.root, size=size if any_size else None)
        return open_dataset(config, "test")

    def _write_int8(
        self,
        generator: Generator,
        paths: dict[Part, Path],
        size: tuple[int, int],
        dataset: TupleDataset,
    ) -> None:
        from rfwarp.quantization import export_int8

        cost = export_int8(generator, paths, size, dataset, opset=self.opset)
        for path in paths.values():
            print(f"wrote {path}")
        print(cost)
