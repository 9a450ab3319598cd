"""``rfwarp export``"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from rfwarp.cli.arguments import MAX_SIZE, UsageError, choose_device

FORMATS = (".onnx", ".pt2")


@dataclass(frozen=True)
class Export:
    """Write a model for other runtimes: ONNX, or an AOTInductor package for PyTorch."""

    out: Annotated[Path, arg(aliases=["-o"], metavar="FILE.onnx|FILE.pt2")]
    """What to write. ONNX needs nothing of rfwarp to run; a package keeps its fast operators."""
    weights: Annotated[str, arg(aliases=["-w"], metavar="MODEL")] = "chairs-64"
    """Bundled model, folder, or Hugging Face Hub id owner/name."""
    size: Annotated[tuple[int, int] | None, arg(metavar="HEIGHT WIDTH")] = None
    """Of the pictures; without it, what the model was trained at. Batch and sources stay free."""
    plain: bool = False
    """Write the network as it was trained, not its inference form."""
    device: str = "cpu"
    """What a package is compiled for: cpu, cuda."""

    def __post_init__(self) -> None:
        if self.out.suffix not in FORMATS:
            raise UsageError(f"--out must end in {' or '.join(FORMATS)}, got {self.out}")
        if self.size is not None and not 64 <= min(self.size) <= max(self.size) <= MAX_SIZE:
            raise UsageError(f"--size must lie in 64..{MAX_SIZE}, got {self.size}")

    def run(self) -> None:
        from rfwarp import Generator
        from rfwarp.export import export_onnx, export_package

        generator = Generator.from_pretrained(self.weights, device=choose_device(self.device))
        size, trained_at = self.size, generator.config.image_size
        if size is None:
            if trained_at is None:
                raise UsageError(f"{self.weights} does not say which --size it was trained at")
            size = (trained_at, trained_at) if isinstance(trained_at, int) else trained_at
        if not self.plain:
            generator = generator.optimize()
        write = export_onnx if self.out.suffix == ".onnx" else export_package
        self.out.parent.mkdir(parents=True, exist_ok=True)
        print(f"wrote {write(generator, self.out, size)}")
