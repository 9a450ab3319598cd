"""``rfwarp evaluate``"""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import arg

import rfwarp
from rfwarp.cli.arguments import MAX_SIZE, UsageError, choose_device, progress_bar

if TYPE_CHECKING:
    from rfwarp.data.tuples import TupleDataset
    from rfwarp.metrics import Evaluation

PROCEDURAL = ("chairs", "people")
DOWNLOADS = ("deepfashion", "market1501", "shapenet-chairs", "kitti", "voxceleb2")


@dataclass(frozen=True)
class Evaluate:
    """PSNR, SSIM and L1 of a model, of the nearest source view and of the mean of the sources."""

    weights: Annotated[str, arg(aliases=["-w"], metavar="MODEL")] = "chairs-64"
    """Bundled model, folder, or Hugging Face Hub id owner/name."""
    dataset: Annotated[str, arg(metavar="NAME|FOLDER")] = "chairs"
    """chairs or people, the procedural ones; a folder as rfwarp render-chairs writes it; or one of
    deepfashion, market1501, shapenet-chairs, kitti and voxceleb2, which rfwarp prepare checked."""
    root: Annotated[Path | None, arg(metavar="FOLDER")] = None
    """Folder of a downloaded dataset."""
    first_seed: int = 900_000
    """Seed of the first chair or person; those from 900000 are never trained on."""
    count: int = 64
    """Number of chairs or people."""
    size: Annotated[int | None, arg(metavar="INT")] = None
    """Side of the procedural pictures in pixels; without it, what the model was trained at."""
    sources: tuple[int, ...] = (1, 2, 4)
    """Numbers of source views K."""
    sets: int = 256
    """Number of random sets of source and target views."""
    seed: int = 0
    """Seed of these sets."""
    batch_size: int = 16
    """Sets computed at a time."""
    device: str = "auto"
    """cpu, cuda, cuda:1, ...; auto takes a GPU if there is one."""
    json: Annotated[Path | None, arg(metavar="FILE")] = None
    """Also write the results there."""

    def __post_init__(self) -> None:
        for name, least in (("count", 1), ("sets", 1), ("batch_size", 1), ("seed", 0)):
            if getattr(self, name) < least:
                option = name.replace("_", "-")
                raise UsageError(f"--{option} must be at least {least}, got {getattr(self, name)}")
        if self.size is not None and not 1 <= self.size <= MAX_SIZE:
            raise UsageError(f"--size must lie in 1..{MAX_SIZE}, got {self.size}")
        if not self.sources or not 1 <= min(self.sources) <= max(self.sources) <= 53:
            raise UsageError(f"--sources must be numbers in 1..53, got {self.sources}")
        if self.json is not None and self.json.is_dir():
            raise UsageError(f"--json must name a file, but {self.json} is a folder")

    def run(self) -> None:
        from rfwarp import Generator
        from rfwarp.metrics import evaluate

        device = choose_device(self.device)
        generator = Generator.from_pretrained(self.weights, device=device)
        dataset, facts = self._open(generator.config.image_size)
        if self.json is not None:
            self.json.parent.mkdir(parents=True, exist_ok=True)
        with progress_bar(self.sets, "set") as progress:
            results = evaluate(
                generator,
                dataset,
                self.sources,
                self.sets,
                self.seed,
                batch_size=self.batch_size,
                progress=progress,
            )
        things = "people" if self.dataset == "people" else "chairs"
        count = f"{facts['count']} {things}, " if "count" in facts else ""
        print(f"{count}{self.sets} sets of pictures, {dataset.height} x {dataset.width}")
        print(_table(results))
        if self.json is not None:
            self._write(self.json, results, facts, device.type)

    def _open(
        self, trained_at: int | tuple[int, int] | None
    ) -> tuple[TupleDataset, dict[str, Any]]:
        """The dataset, and what a report says of it."""
        from rfwarp.data import ChairFolder, ChairTuples, ProceduralChairs, ProceduralPeople

        facts: dict[str, Any] = {"name": self.dataset}
        if self.dataset in DOWNLOADS:
            return self._download(trained_at), facts
        if self.root is not None:
            raise UsageError(f"--root is for {', '.join(DOWNLOADS)}")
        if self.dataset not in PROCEDURAL:
            self._refuse_size()
            if not Path(self.dataset).is_dir():
                known = ", ".join((*PROCEDURAL, *DOWNLOADS))
                message = f"no dataset {self.dataset!r}: neither a folder nor {known}"
                raise FileNotFoundError(message)
            folder = ChairFolder(self.dataset)
            return ChairTuples(folder), facts | {"count": folder.count, "size": folder.size}
        size = self.size or trained_at
        if not isinstance(size, int):
            raise UsageError(f"{self.weights} does not say which --size it was trained at")
        facts |= {"count": self.count, "size": size, "first_seed": self.first_seed}
        if self.dataset == "people":
            return ProceduralPeople(self.first_seed, self.count, size), facts
        return ChairTuples(ProceduralChairs(self.first_seed, self.count, size)), facts

    def _refuse_size(self) -> None:
        if self.size is not None:
            raise UsageError("--size is for procedural pictures; others have their own")

    def _download(self, trained_at: int | tuple[int, int] | None) -> TupleDataset:
        from rfwarp.data.catalog import PEOPLE, DataConfig, open_dataset

        if self.root is None:
            raise UsageError(f"{self.dataset} needs --root, the folder of the download")
        self._refuse_size()
        name: Any = self.dataset
        tuples = max(self.sources) if name in PEOPLE else None
        return open_dataset(DataConfig(name, self.root, trained_at, tuples=tuples), "test")

    def _write(
        self, path: Path, results: Sequence[Evaluation], facts: dict[str, Any], device: str
    ) -> None:
        import torch
        import torchmetrics

        from rfwarp.data import chairs, people
        from rfwarp.files import write_atomically

        versions: dict[str, Any] = {
            "rfwarp": rfwarp.__version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "torchmetrics": torchmetrics.__version__,
        }
        if self.dataset in PROCEDURAL:
            renderers = {"chairs": chairs.RENDERER_VERSION, "people": people.RENDERER_VERSION}
            versions["renderer"] = renderers[self.dataset]
        report = {
            "weights": self.weights,
            "dataset": facts,
            "sets": self.sets,
            "seed": self.seed,
            "device": device,
            "versions": versions,
            "results": [asdict(result) for result in results],
        }
        text = json.dumps(report, indent=2) + "\n"
        write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
        print(f"wrote {path}")


def _table(results: Sequence[Evaluation]) -> str:
    lines = [f"{'sources':>7}  {'':<14} {'PSNR dB':>8} {'SSIM':>7} {'L1':>7}"]
    for result in results:
        for name, scores in (
            ("model", result.model),
            ("nearest source", result.nearest_source),
            ("mean source", result.mean_source),
        ):
            lines.append(
                f"{result.sources:>7}  {name:<14} "
                f"{scores.psnr:8.2f} {scores.ssim:7.4f} {scores.l1:7.4f}"
            )
    return "\n".join(lines)
