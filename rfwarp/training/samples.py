"""Held-out samples: the progress of a run, as sheets for people and as scores."""

from __future__ import annotations

from PIL import Image

from rfwarp.data.catalog import Split, dataset_record, open_dataset
from rfwarp.metrics import EvaluationConfig, evaluate
from rfwarp.nn import Generator
from rfwarp.sheets import result_sheet
from rfwarp.training.config import TrainConfig

ROWS = 4
MAX_SOURCES = 4
SETS = 32
SCORES = ("psnr", "ssim", "sharpness", "hp_r2", "flow_epe", "flow_epe_zero", "visibility_auc")


class HeldOutSamples:
    """The same held-out tuples every time: a few that are drawn, and more that are scored.

    Raises:
        ValueError, FileNotFoundError: if the dataset's validation split, or its test split if it
            has no other, cannot be read.
    """

    def __init__(self, config: TrainConfig) -> None:
        split: Split = "validation" if dataset_record(config.data.name).validates else "test"
        self.dataset = dataset = open_dataset(config.data.beside_training(), split)
        self.sources = min(MAX_SOURCES, max(config.sources), dataset.max_sources)
        self.rows = dataset.evaluation_rows(seed=0, count=ROWS, sources=self.sources)

    def score(self, generator: Generator) -> dict[str, float]:
        """The :data:`SCORES` that the dataset allows, see :func:`rfwarp.metrics.evaluate`."""
        config = EvaluationConfig((self.sources,), SETS, batch_size=8)
        (result,) = evaluate(generator, self.dataset, config)
        found = result.to_dict()["model"]
        return {name: found[name] for name in SCORES if found.get(name) is not None}

    def draw(self, generator: Generator) -> Image.Image:
        """One sheet of all rows, see :func:`rfwarp.sheets.result_sheet`."""
        return result_sheet(generator, self.dataset, self.rows, [self.sources])
