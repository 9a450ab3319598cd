"""Held-out samples: how far a run has come, as sheets for people and as scores."""

from __future__ import annotations

import torch
from PIL import Image

from rfwarp.data.catalog import Split, dataset_record, open_dataset
from rfwarp.images import from_uint8
from rfwarp.metrics import EvaluationConfig, evaluate
from rfwarp.nn import Generator
from rfwarp.poses.kinds import POSE_KINDS
from rfwarp.training.config import TrainConfig
from rfwarp.viz import draw_samples

ROWS = 4
MAX_SOURCES = 4
SETS = 32
SCORES = ("psnr", "ssim", "sharpness", "hp_r2", "flow_epe", "flow_epe_zero", "visibility_auc")


class HeldOutSamples:
    """The same held-out tuples every time: few to look at, and more that are scored.

    Raises:
        ValueError, FileNotFoundError: if the dataset's validation split, or its test split if it
            has no other, cannot be read.
    """

    def __init__(self, config: TrainConfig) -> None:
        split: Split = "validation" if dataset_record(config.data.name).validates else "test"
        self.dataset = dataset = open_dataset(config.data.beside_training(), split)
        self.kind = POSE_KINDS[dataset.pose_kind]
        self.sources = min(MAX_SOURCES, max(config.sources), dataset.max_sources)
        rows = dataset.evaluation_rows(seed=0, count=ROWS, sources=self.sources)
        self.samples = [dataset.load(row) for row in rows]

    def score(self, generator: Generator) -> dict[str, float]:
        """Those of :data:`SCORES` that the dataset allows, see :func:`rfwarp.metrics.evaluate`."""
        config = EvaluationConfig((self.sources,), SETS, batch_size=8)
        (result,) = evaluate(generator, self.dataset, config)
        found = result.to_dict()["model"]
        return {name: found[name] for name in SCORES if found.get(name) is not None}

    @torch.no_grad()
    def draw(self, generator: Generator) -> Image.Image:
        """One picture of all rows; the generator runs where it is, in float32."""
        weight = next(generator.parameters())
        results = []
        for sample in self.samples:
            height, width = sample.target.shape[-2:]
            image = generator(
                from_uint8(sample.sources[None].to(weight.device)),
                self.kind.expand(sample.poses[None].to(weight.device), height, width),
                self.kind.expand(sample.target_pose[None].to(weight.device), height, width),
            )
            results.append(list(image))
        return draw_samples(self.kind, self.samples, results)
