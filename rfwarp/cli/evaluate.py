"""``rfwarp evaluate``"""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import arg

import rfwarp
from rfwarp.cli.arguments import MAX_SIZE, UsageError, choose_device, progress_bar

if TYPE_CHECKING:
    import torch

    from rfwarp.data.tuples import TupleDataset
    from rfwarp.metrics import Evaluation, Judges

PROCEDURAL = ("chairs", "people")
DOWNLOADS = ("deepfashion", "market1501", "shapenet-chairs", "kitti", "voxceleb2")


@dataclass(frozen=True)
class Evaluate:
    """PSNR, SSIM and L1 of a model, of the nearest source view and of the mean of the sources.

    LPIPS and FID with --metrics. Of a dataset of the paper, its published numbers are shown too.
    """

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
    metrics: tuple[Literal["lpips", "mask-lpips", "fid"], ...] = ()
    """More scores, by networks whose weights must be there: lpips; mask-lpips, of people without
    the background; fid."""
    lpips_weights: Path | None = None
    """torchvision's file of AlexNet; without it the torch hub's cache is looked into."""
    fid_weights: Path | None = None
    """pytorch-fid's file of Inception; without it the torch hub's cache is looked into."""
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
        from rfwarp.metrics.published import PUBLISHED

        device = choose_device(self.device)
        generator = Generator.from_pretrained(self.weights, device=device)
        judges = self._judges(device)
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
                judges=judges,
                progress=progress,
            )
        things = "people" if self.dataset == "people" else "chairs"
        count = f"{facts['count']} {things}, " if "count" in facts else ""
        print(f"{count}{self.sets} sets of pictures, {dataset.height} x {dataset.width}")
        print(_table(results))
        for line in PUBLISHED.get(self.dataset, ()):
            if line.sources in self.sources:
                print(
                    f"{line.sources:>7}  the paper      FID {line.fid:.3f}, LPIPS {line.lpips:.4f}"
                )
        if self.json is not None:
            self._write(self.json, results, facts, device.type)

    def _judges(self, device: torch.device) -> Judges:
        from rfwarp.metrics import Inception, Judges, Lpips

        masked = "mask-lpips" in self.metrics
        lpips = Lpips(self.lpips_weights).to(device) if masked or "lpips" in self.metrics else None
        inception = Inception(self.fid_weights).to(device) if "fid" in self.metrics else None
        return Judges(lpips, masked, inception)

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
            "results": [result.to_dict() for result in results],
        }
        text = json.dumps(report, indent=2) + "\n"
        write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
        print(f"wrote {path}")


def _table(results: Sequence[Evaluation]) -> str:
    names = {"psnr": "PSNR dB", "ssim": "SSIM", "l1": "L1", "lpips": "LPIPS"}
    names |= {"mask_lpips": "MLPIPS", "fid": "FID"}
    columns = [name for name in names if name in results[0].to_dict()["model"]]
    lines = ["sources  " + " " * 14 + "".join(f" {names[name]:>8}" for name in columns)]
    for result in results:
        scores = result.to_dict()
        for method in ("model", "nearest_source", "mean_source"):
            digits = {"psnr": 2, "fid": 3}
            cells = [f" {scores[method][c]:8.{digits.get(c, 4)}f}" for c in columns]
            lines.append(f"{result.sources:>7}  {method.replace('_', ' '):<14}" + "".join(cells))
    return "\n".join(lines)
