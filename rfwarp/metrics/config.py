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

Metric = Literal["lpips", "mask-lpips", "st-lpips", "fid"]
LpipsNet = Literal["alex", "vgg"]
DRAWN_SETS = 256  # where nobody says how many

READERS: dict[str, tuple[Metric, ...]] = {"lpips": ("lpips", "mask-lpips"), "fid": ("fid",)}
"""By the first part of an option's name: the metrics that read it."""


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
    """More scores, by networks whose weights must be there: lpips; mask-lpips, which is lpips and
    that of people without the background; st-lpips, which small shifts hardly change (pip install
    --no-deps stlpips_pytorch); fid."""
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
        """With a number of sets: 256, or all that the protocol lists, if none is given.

        Raises:
            ValueError: if the dataset has not so many sources.
        """
        if record.max_sources is not None and max(self.sources) > record.max_sources:
            raise ValueError(
                f"sources must be at most {record.max_sources} of {record.title}, "
                f"got {self.sources}"
            )
        if self.sets is not None:
            return self
        return replace(self, sets=sys.maxsize if record.lists_sets else DRAWN_SETS)

    def rows(self, dataset: TupleDataset) -> Sequence[Row]:
        """The sets of sources and target, with the largest K."""
        sets = DRAWN_SETS if self.sets is None else self.sets
        return dataset.evaluation_rows(self.seed, sets, max(self.sources))

    def facts(self) -> dict[str, Any]:
        """What decides the scores, as JSON-able values, without where files are."""
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
