"""``rfwarp evaluate``"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import arg

from rfwarp.cli.arguments import MAX_SIZE, UsageError, choose_device, progress_bar

if TYPE_CHECKING:
    from rfwarp import Generator
    from rfwarp.data.tuples import TupleDataset
    from rfwarp.metrics import Evaluation

PROCEDURAL = ("chairs", "people")
DOWNLOADS = ("deepfashion", "market1501", "shapenet-chairs", "kitti", "voxceleb2")
LISTED = ("deepfashion", "market1501")  # whose protocol lists all sets
SETS = 256
SHEET = "results.png"
CAUTION = (
    "Lines with a table's number are the paper's. Numbers compare only if measured alike: FID "
    "depends on the number of pictures, on the real ones (--fid-real) and on how they are resized; "
    "the size of the paper's masks (MLPIPS) is not documented."
)


@dataclass(frozen=True)
class Evaluate:
    """PSNR, SSIM and L1 of a model, of the nearest source view and of the mean of the sources.

    LPIPS and FID with --metrics. Of a dataset of the paper, its published numbers are shown too. On
    chairs and people also what the warp does, against true correspondences: errors of the flow,
    visibility and attention of each level, sharpness, and what a perfect warp would score.
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
    sets: Annotated[int | None, arg(metavar="INT")] = None
    """Number of sets of sources and target; without it 256, or of deepfashion and market1501 all
    that the list of tuples has."""
    seed: int = 0
    """Seed of these sets, where they are drawn."""
    batch_size: int = 16
    """Sets computed at a time."""
    metrics: tuple[Literal["lpips", "mask-lpips", "st-lpips", "fid"], ...] = ()
    """More scores, by networks whose weights must be there: lpips; mask-lpips, which is lpips and
    that of people without the background; st-lpips, which small shifts hardly change (pip install
    --no-deps stlpips_pytorch); fid."""
    lpips_net: Literal["alex", "vgg"] = "alex"
    """Network of LPIPS: AlexNet, as usual, or VGG-16."""
    lpips_weights: Annotated[Path | None, arg(metavar="FILE")] = None
    """torchvision's file of that network; without it the torch hub's cache is looked into."""
    fid_weights: Annotated[Path | None, arg(metavar="FILE")] = None
    """pytorch-fid's file of Inception; without it the torch hub's cache is looked into."""
    fid_real: Annotated[Path | None, arg(metavar="FOLDER")] = None
    """Pictures that FID compares with, of the results' size; without it the targets. Papers on
    people often take the whole training set."""
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
    """How many sets are drawn."""

    def __post_init__(self) -> None:
        least_values = {"count": 1, "sets": 1, "batch_size": 1, "seed": 0, "save_sets": 1}
        for name, least in least_values.items():
            value = getattr(self, name)
            if value is not None and value < least:
                option = name.replace("_", "-")
                raise UsageError(f"--{option} must be at least {least}, got {value}")
        if self.size is not None and not 1 <= self.size <= MAX_SIZE:
            raise UsageError(f"--size must lie in 1..{MAX_SIZE}, got {self.size}")
        if not self.sources or not 1 <= min(self.sources) <= max(self.sources) <= 53:
            raise UsageError(f"--sources must be numbers in 1..53, got {self.sources}")
        for name, path in (("json", self.json), ("table", self.table)):
            if path is not None and path.is_dir():
                raise UsageError(f"--{name} must name a file, but {path} is a folder")
        if self.save is not None and self.save.exists() and not self.save.is_dir():
            raise UsageError(f"--save must name a folder, but {self.save} is a file")
        self._refuse_unused()

    def _refuse_unused(self) -> None:
        options = {
            "--lpips-weights": self.lpips_weights is not None,
            "--lpips-net": self.lpips_net != "alex",
            "--fid-weights": self.fid_weights is not None,
            "--fid-real": self.fid_real is not None,
        }
        for option, given in options.items():
            metric = "fid" if option.startswith("--fid") else "lpips"
            users = {"fid"} if metric == "fid" else {"lpips", "mask-lpips"}
            if given and not users & set(self.metrics):
                raise UsageError(f"{option} is for --metrics {metric}")

    @property
    def _sets(self) -> int:
        return self.sets or (sys.maxsize if self.dataset in LISTED else SETS)

    def run(self) -> None:
        from rfwarp import Generator
        from rfwarp.metrics import JudgeOptions, evaluate
        from rfwarp.metrics.report import report_facts

        device = choose_device(self.device)
        generator = Generator.from_pretrained(self.weights, device=device)
        dataset, facts = self._open(generator.config.image_size)
        card = self._card() if self.card else None
        judges = JudgeOptions(
            self.metrics, self.lpips_net, self.lpips_weights, self.fid_weights, self.fid_real
        ).open(dataset, device, self.batch_size)
        for path in (self.json, self.table):
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
        with progress_bar(0, "set") as progress:
            results = evaluate(
                generator,
                dataset,
                self.sources,
                self._sets,
                self.seed,
                batch_size=self.batch_size,
                judges=judges,
                progress=progress,
            )
        self._show(results, dataset, facts)
        report = {
            "weights": self.weights,
            "dataset": facts,
            "sets": results[0].sets,
            "seed": self.seed,
            "device": device.type,
            **report_facts(self.dataset, judges, self.fid_real),
            "results": [result.to_dict() for result in results],
        }
        if self.json is not None:
            _write_text(self.json, json.dumps(report, indent=2) + "\n")
        if card is not None:
            from rfwarp.training.card import with_results

            _write_text(card, with_results(card.read_text(encoding="utf-8"), report))
        if self.table is not None:
            self._write_table(self.table, results, dataset)
        if self.save is not None:
            self._draw(self.save / SHEET, generator, dataset)

    def _show(
        self, results: Sequence[Evaluation], dataset: TupleDataset, facts: dict[str, Any]
    ) -> None:
        from rfwarp.metrics.published import PAPER, PUBLISHED
        from rfwarp.metrics.table import LEVEL_NOTE, level_text_table, table_lines, text_table

        things = "people" if self.dataset == "people" else "chairs"
        count = f"{facts['count']} {things}, " if "count" in facts else ""
        print(f"{count}{results[0].sets} sets of pictures, {dataset.height} x {dataset.width}")
        known = [line for line in PUBLISHED.get(self.dataset, ()) if line.method == PAPER]
        print(text_table(table_lines(results, known)))
        if levels := level_text_table(results):
            print(f"\n{levels}\n{LEVEL_NOTE}")

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
            return ProceduralPeople(self.first_seed, self.count, size, truth=True), facts
        chairs = ProceduralChairs(self.first_seed, self.count, size)
        return ChairTuples(chairs, truth=True), facts

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

    def _card(self) -> Path:
        from rfwarp.pretrained import CARD_NAME
        from rfwarp.training.card import with_results

        path = Path(self.weights, CARD_NAME)
        if not path.is_file():
            raise UsageError(f"--card needs weights in a folder with a model card: no {path}")
        empty = {"dataset": {"name": ""}, "sets": 0, "results": []}
        with_results(path.read_text(encoding="utf-8"), empty)  # it is one, before any work
        return path

    def _write_table(
        self, path: Path, results: Sequence[Evaluation], dataset: TupleDataset
    ) -> None:
        from rfwarp.metrics.published import PUBLISHED
        from rfwarp.metrics.table import (
            LEVEL_NOTE,
            level_markdown_table,
            markdown_table,
            table_lines,
        )

        published = PUBLISHED.get(self.dataset, ())
        text = (
            f"{self.weights} on {self.dataset}: {results[0].sets} sets, "
            f"{dataset.height} x {dataset.width}.\n\n"
            + markdown_table(table_lines(results, published))
        )
        if levels := level_markdown_table(results):
            text += f"\n{levels}\n{LEVEL_NOTE}\n"
        if published:
            text += f"\n{CAUTION}\n"
        _write_text(path, text)

    def _draw(self, path: Path, generator: Generator, dataset: TupleDataset) -> None:
        from rfwarp.metrics.sheets import result_sheet
        from rfwarp.viz import write_picture

        # Those evaluated first: of a list, other numbers of rows are spread differently over it.
        rows = dataset.evaluation_rows(self.seed, self._sets, max(self.sources))
        sheet = result_sheet(generator, dataset, rows[: self.save_sets], self.sources)
        write_picture(path, sheet)
        print(f"wrote {path}")


def _write_text(path: Path, text: str) -> None:
    from rfwarp.files import write_atomically

    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
    print(f"wrote {path}")
