"""``rfwarp evaluate``"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import arg

from rfwarp.cli.arguments import (
    Precision,
    UsageError,
    check_size,
    choose_device,
    choose_dtype,
    progress_bar,
)
from rfwarp.data.catalog import DATASETS, HELD_OUT_FIRST_SEED, Background, Fit
from rfwarp.metrics.config import EvaluationConfig

if TYPE_CHECKING:
    from rfwarp import Generator
    from rfwarp.data.catalog import DatasetRecord, Split
    from rfwarp.data.tuples import TupleDataset

SHEET = "results.png"
SEEDS = ("first_seed", "count")  # options of procedural datasets


@dataclass(frozen=True)
class Evaluate:
    """PSNR, SSIM and L1 of a model, of the nearest source view and of the mean of the sources.

    LPIPS, FID and the flicker of videos with --metrics. Of a dataset of the paper, its published
    numbers are shown too. On procedural datasets also scores against true correspondences: errors
    of the flow, visibility and attention of each level, sharpness, and the scores of a perfect
    warp.
    """

    evaluation: Annotated[EvaluationConfig, arg(name="")] = field(default_factory=EvaluationConfig)
    weights: Annotated[str, arg(aliases=["-w"], metavar="MODEL")] = "chairs-64"
    """Bundled model, folder, or Hugging Face Hub id owner/name."""
    dataset: Annotated[
        str,
        arg(
            metavar="NAME|FOLDER",
            help=f"One of {', '.join(DATASETS)}; or a folder as rfwarp render-chairs writes it.",
        ),
    ] = "chairs"
    root: Annotated[Path | None, arg(metavar="FOLDER")] = None
    """Folder of a downloaded dataset, which rfwarp prepare has checked."""
    align: bool = False
    """People in photographs: scale and move the sources' people onto the target's, as in the
    paper's evaluation."""
    category: Annotated[str | None, arg(metavar="NAME")] = None
    """Furniture: seats, or a category of its catalogue, such as kitchen. ETH-80: one or several,
    such as apple,pear. Without it everything."""
    background: Background = "photographed"
    """ETH-80: as photographed, or white outside the masks."""
    fit: Fit = "pad"
    """A folder: images padded or cropped to the model's shape; as it was trained."""
    validation: bool = False
    """ETH-80: evaluate on the validation split, not on what is held out."""
    cache: Annotated[Path | None, arg(metavar="FOLDER")] = None
    """Rendered datasets, ETH-80 and a folder: folder that keeps their images for the next
    evaluation."""
    first_seed: int = HELD_OUT_FIRST_SEED
    """Procedural datasets: first seed; without it the first that is never trained on."""
    count: int = 64
    """Procedural datasets: number of seeds."""
    size: Annotated[int | None, arg(metavar="INT")] = None
    """Rendered datasets, ETH-80 and a folder: side of the images in pixels; without it, what the
    model was trained at."""
    precision: Precision = "float32"
    """Floating-point type to compute in: of scores that compare anywhere float32, which is also the
    network as it was trained; others take its inference form. auto is that of rfwarp generate."""
    device: str = "auto"
    """cpu, cuda, cuda:1, ...; auto takes a GPU if there is one."""
    json: Annotated[Path | None, arg(metavar="FILE")] = None
    """Also write the results there."""
    table: Annotated[Path | None, arg(metavar="FILE.md")] = None
    """Also write a table there, in markdown, with all that the paper reports of this dataset."""
    card: bool = False
    """Also put the results into the model card, README.md in the folder of the weights."""
    save: Annotated[Path | None, arg(metavar="FOLDER")] = None
    """Also draw sources, target pose, results and truth of the first sets, as results.png there."""
    save_sets: int = 8
    """Number of sets to draw."""

    def __post_init__(self) -> None:
        for name, least in {"count": 1, "first_seed": 0, "save_sets": 1}.items():
            if getattr(self, name) < least:
                option = name.replace("_", "-")
                raise UsageError(f"--{option} must be at least {least}, got {getattr(self, name)}")
        check_size(self.size)
        for name, path in (("json", self.json), ("table", self.table)):
            if path is not None and path.is_dir():
                raise UsageError(f"--{name} must name a file, but {path} is a folder")
        if self.save is not None and self.save.exists() and not self.save.is_dir():
            raise UsageError(f"--save must name a folder, but {self.save} is a file")

    def run(self) -> None:
        from rfwarp import Generator
        from rfwarp.data.paper_results import PAPER
        from rfwarp.metrics import MetricNetworks, evaluate
        from rfwarp.metrics.report import evaluation_report, report_text

        record = self._record()
        config = self.evaluation.for_dataset(record)
        device = choose_device(self.device)
        generator = Generator.from_pretrained(self.weights, device=device)
        precision = {}
        if self.precision != "float32":
            dtype = choose_dtype(self.precision, device)
            generator = generator.optimize(dtype)
            precision = {"precision": str(dtype).removeprefix("torch.")}
        dataset, facts = self._open(record, generator.config.image_size)
        card = self._card() if self.card else None
        networks = MetricNetworks.open(config, dataset, device)
        for path in (self.json, self.table):
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
        with progress_bar(0, "set") as progress:
            results = evaluate(generator, dataset, config, networks=networks, progress=progress)
        report = {
            "weights": self.weights,
            "seed": config.seed,
            **precision,
            **evaluation_report(results, record, facts, dataset, config, networks, device),
        }
        paper, protocol = record.paper_results, record.paper_protocol
        print(report_text(report, [line for line in paper if line.method == PAPER], protocol))
        if self.json is not None:
            _write_text(self.json, json.dumps(report, indent=2) + "\n")
        if card is not None:
            from rfwarp.model_card import write_results

            write_results(card, report)
            print(f"wrote {card}")
        if self.table is not None:
            text = report_text(report, paper, protocol, markdown=True)
            _write_text(self.table, f"{self.weights}: {text}\n")
        if self.save is not None:
            self._draw(self.save / SHEET, generator, dataset, config)

    def _record(self) -> DatasetRecord:
        from rfwarp.data.catalog import dataset_record

        if self.dataset in DATASETS:
            record = dataset_record(self.dataset)
            if self.size is not None and not record.has_any_size:
                raise UsageError(f"--size is not for {record.name}, whose images have their own")
            if not _has_seeds(record):
                self._refuse(SEEDS, f"{record.name}, which has no seeds")
            return record
        if not Path(self.dataset).is_dir():
            known = ", ".join(DATASETS)
            raise FileNotFoundError(f"no dataset {self.dataset!r}: neither a folder nor {known}")
        refused = ("root", "align", "category", "background", "fit", "validation", "cache", "size")
        self._refuse((*refused, *SEEDS), "a folder of chairs")
        from rfwarp.data.chairs.record import folder_record

        return folder_record(Path(self.dataset))

    def _refuse(self, names: Sequence[str], what: str) -> None:
        """Raise UsageError if one of these options was given."""
        for field_ in fields(self):
            if field_.name in names and getattr(self, field_.name) != field_.default:
                raise UsageError(f"--{field_.name.replace('_', '-')} is not for {what}")

    def _open(
        self, record: DatasetRecord, trained_at: int | tuple[int, int] | None
    ) -> tuple[TupleDataset, dict[str, Any]]:
        """The dataset, and its facts for a report."""
        from rfwarp.data.catalog import DataConfig, open_dataset

        if record.name not in DATASETS:
            return record.open(DataConfig(), "test"), {"name": record.name}
        size = self.size or trained_at
        if size is None and record.has_any_size:
            raise UsageError(f"{self.weights} does not say which --size it was trained at")
        given: dict[str, Any] = {
            "root": self.root,
            "align": self.align,
            "category": self.category,
            "background": self.background,
            "fit": self.fit,
            "cache": self.cache,
            "tuples": max(self.evaluation.sources),
            "first_seed": self.first_seed,
            "count": self.count,
            "truth": True,
        }
        # What is refused where it does not belong.
        asked = ("root", "align", "category", "background", "fit", "cache")
        options = {k: v for k, v in given.items() if k in record.options or k in asked}
        data = DataConfig(record.name, size=size, **options)
        split: Split = "test"
        if _has_seeds(record) and self.first_seed + self.count <= HELD_OUT_FIRST_SEED:
            split = "train"
        if self.validation:
            split = "validation"
        return open_dataset(data, split), data.facts(split)

    def _card(self) -> Path:
        from rfwarp.model_card import split_results
        from rfwarp.pretrained import CARD_NAME

        path = Path(self.weights, CARD_NAME)
        if not path.is_file():
            raise UsageError(f"--card needs weights in a folder with a model card: no {path}")
        split_results(path.read_text(encoding="utf-8"))  # it is one, before any work
        return path

    def _draw(
        self, path: Path, generator: Generator, dataset: TupleDataset, config: EvaluationConfig
    ) -> None:
        from rfwarp.sheets import result_sheet
        from rfwarp.viz import write_image

        # Those evaluated first: of a list, other numbers of rows are spread differently over it.
        rows = config.rows(dataset)
        sheet = result_sheet(generator, dataset, rows[: self.save_sets], config.sources)
        write_image(path, sheet)
        print(f"wrote {path}")


def _has_seeds(record: DatasetRecord) -> bool:
    return set(SEEDS) <= set(record.options)


def _write_text(path: Path, text: str) -> None:
    from rfwarp.files import write_atomically

    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
    print(f"wrote {path}")
