"""Whether the sampling-correctness loss has its minimum at the true flow, by feature set.

    python benchmarks/matching_features.py --out benchmarks/results/matching-features

The loss compares features; it teaches flow only if the features of one surface point in two
images are more alike than those of others. Here procedural things of held-out seeds tell the true
flow. With --out it writes matching_features.json and matching_features.md.
"""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
import tyro
from harness import machine
from harness.warp.report import heading, markdown, write_results
from torch import Tensor

from rfwarp.data import DataConfig, open_dataset
from rfwarp.data.truth import LevelTruth, pool, stack
from rfwarp.files import write_atomically
from rfwarp.images import from_uint8
from rfwarp.training.features import FEATURE_SETS, FeatureSet, make_features
from rfwarp.training.losses import EPSILON, SAMPLERS, best_match
from rfwarp.training.vgg import MATCHING_STRIDES

Name = Literal["chairs", "people"]
AROUND = ((1.0, 0.0), (-1.0, 0.0), (0.0, 1.0), (0.0, -1.0))
MATCHED = 0.5
"""Least share of a cell that a source shows for the cell to count."""
COLUMNS = (
    *("images", "level", "zero flow off by", "features (channels)", "loss at the true flow"),
    *("at zero flow", "1 cell beside", "matching off by", "median", "ms per image"),
)


class Pairs(NamedTuple):
    """Sources and targets (N, 3, H, W) in [-1, 1], each pair's truth by stride."""

    source: Tensor
    target: Tensor
    truth: dict[int, LevelTruth]


@dataclass(frozen=True)
class MatchingFeatures:
    """Sampling correctness at the true flow and beside it, and exhaustive matching."""

    features: tuple[str, ...] = tuple(FEATURE_SETS)
    """Feature sets; one whose weights are missing is reported so."""
    feature_weights: Path | None = None
    """File of the weights of vgg19; without one the torch hub's cache is looked into."""
    data: tuple[Name, ...] = ("chairs", "people")
    """Procedural things, of held-out seeds."""
    size: int = 64
    """Side of the images, pixels."""
    count: int = 40
    """Targets."""
    sources: int = 2
    """Sources of each."""
    sampler: Literal["gaussian", "bilinear"] = "gaussian"
    """Sampler of the loss."""
    threads: int = 1
    """Threads of PyTorch; the time depends on them."""
    seed: int = 0
    """Seed of the choice of views."""
    out: Path | None = None
    """Folder for matching_features.json and matching_features.md."""

    def run(self) -> dict[str, Any]:
        torch.set_num_threads(self.threads)
        sets: dict[str, FeatureSet] = {}
        missing: dict[str, str] = {}
        for name in self.features:
            try:
                sets[name] = make_features(name, self.feature_weights if name == "vgg19" else None)
            except (FileNotFoundError, ImportError) as error:
                missing[name] = "no package" if isinstance(error, ImportError) else "no weights"
        measurements = [
            {"data": data, "features": name, **row}
            for data in self.data
            for pairs in (self._pairs(data),)
            for name, features in sets.items()
            for row in measure(features, pairs, self.sampler)
        ]
        settings = {k: str(v) if isinstance(v, Path) else v for k, v in asdict(self).items()}
        return {
            "schema": "matching features 1",
            "machine": machine.facts("cpu"),
            "settings": settings,
            "missing": missing,
            "measurements": measurements,
        }

    def _pairs(self, data: Name) -> Pairs:
        config = DataConfig(data, size=self.size, count=self.count, truth=True)
        dataset = open_dataset(config, "test")
        rows = dataset.evaluation_rows(self.seed, self.count, self.sources)
        samples = [dataset.load(row) for row in rows]
        truth = stack([s.truth for s in samples if s.truth is not None])
        targets = torch.stack([s.target for s in samples])
        return Pairs(
            from_uint8(torch.cat([s.sources for s in samples])),
            from_uint8(targets.repeat_interleave(self.sources, dim=0)),
            {stride: pool(truth, stride) for stride in MATCHING_STRIDES},
        )


@torch.no_grad()
def measure(features: FeatureSet, pairs: Pairs, sampler: str) -> list[dict[str, Any]]:
    """The rows of the table, one for each level of the feature set: means over matched cells."""
    begin = time.thread_time()
    maps = [_maps(features, images) for images in (pairs.source, pairs.target)]
    milliseconds = (time.thread_time() - begin) * 1000 / (2 * len(pairs.source))
    rows = []
    for stride, source, target in zip(MATCHING_STRIDES, *maps, strict=True):
        level = pairs.truth[stride]
        flow, matched = level.flow.flatten(0, 1), level.seen.flatten(0, 2) >= MATCHED
        true = correctness(source, target, flow, matched, sampler)
        beside = [
            correctness(source, target, flow + torch.tensor(step).view(2, 1, 1), matched, sampler)
            for step in AROUND
        ]
        wrong = (nearest(source, target) - flow).norm(dim=1)[matched] * stride
        rows.append(
            {
                "stride": stride,
                "channels": source.shape[1],
                "cells": int(matched.sum()),
                "flow": float(flow.norm(dim=1)[matched].mean() * stride),
                "loss_true": true,
                "loss_zero": correctness(source, target, flow * 0, matched, sampler),
                "loss_beside": sum(beside) / len(beside),
                "matching_error": float(wrong.mean()),
                "matching_error_median": float(wrong.median()),
                "milliseconds": milliseconds,
            }
        )
    return rows


def _maps(features: FeatureSet, images: Tensor) -> list[Tensor]:
    parts = [features.maps(part, ["matching"])["matching"] for part in images.split(8)]
    return [torch.cat(level) for level in zip(*parts, strict=True)]


def correctness(
    source: Tensor, target: Tensor, flow: Tensor, matched: Tensor, sampler: str
) -> float:
    """:func:`rfwarp.training.losses.sampling_correctness` over the matched cells (N, h, w) only."""
    warped = SAMPLERS[sampler](source, flow)
    lengths = (warped.norm(dim=1) + EPSILON) * (target.norm(dim=1) + EPSILON)
    cosine = (warped * target).sum(dim=1) / lengths
    best = best_match(source, target).view_as(cosine)
    return float(torch.exp(-cosine / (best + EPSILON))[matched].mean()) - math.exp(-1)


def nearest(source: Tensor, target: Tensor) -> Tensor:
    """The flow (N, 2, h, w) to the most alike cell of the whole source."""
    n, _, h, w = source.shape
    s, t = (F.normalize(x.flatten(2), dim=1) for x in (source, target))
    found = torch.stack([(b.T @ a).argmax(dim=1) for a, b in zip(s, t, strict=True)]).view(n, h, w)
    y, x = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
    return torch.stack([found % w - x, found // w - y], dim=1).float()


def table(results: dict[str, Any]) -> str:
    """The measurements as Markdown; the smallest of the three losses is bold."""
    lines = [COLUMNS]
    for m in sorted(results["measurements"], key=lambda m: (m["data"], -m["stride"])):
        losses = [m[f"loss_{at}"] for at in ("true", "zero", "beside")]
        least = min(losses)
        lines.append(
            (
                *(m["data"], f"H/{m['stride']}", f"{m['flow']:.1f} px"),
                f"{m['features']} ({m['channels']})",
                *(f"**{loss:.4f}**" if loss == least else f"{loss:.4f}" for loss in losses),
                *(f"{m['matching_error']:.1f} px", f"{m['matching_error_median']:.1f} px"),
                f"{m['milliseconds']:.1f}",
            )
        )
    missing = [f"{name}: {why}, not measured." for name, why in results["missing"].items()]
    return "\n\n".join([heading(results), markdown(lines), *missing]) + "\n"


def main() -> None:
    config = tyro.cli(MatchingFeatures)
    results = config.run()
    text = table(results)
    if config.out is not None:
        write_results(results, config.out / "matching_features.json")
        write_atomically(config.out / "matching_features.md", lambda path: path.write_text(text))
    print(text)


if __name__ == "__main__":
    main()
