"""Which scores by networks are wanted, and by which files: options of commands and experiments."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from rfwarp.data.tuples import TupleDataset
from rfwarp.metrics.inception import Inception
from rfwarp.metrics.judges import Judges
from rfwarp.metrics.lpips import Lpips
from rfwarp.metrics.masks import mask_of_target
from rfwarp.metrics.real import PictureFolder
from rfwarp.metrics.st_lpips import StLpips

Metric = Literal["lpips", "mask-lpips", "st-lpips", "fid"]

USERS = {"lpips": ("lpips", "mask-lpips"), "fid": ("fid",)}
"""By the first part of an option's name: the metrics that it is for."""


@dataclass(frozen=True)
class JudgeOptions:
    """What :class:`Judges` are made of."""

    metrics: tuple[Metric, ...] = ()
    """More scores, by networks whose weights must be there: lpips; mask-lpips, which is lpips and
    that of people without the background; st-lpips, which small shifts hardly change; fid."""
    lpips_net: Literal["alex", "vgg"] = "alex"
    """Network of LPIPS: AlexNet, as usual, or VGG-16."""
    lpips_weights: Path | None = None
    """torchvision's file of that network; without it the torch hub's cache is looked into."""
    fid_weights: Path | None = None
    """pytorch-fid's file of Inception; without it the torch hub's cache is looked into."""
    fid_real: Path | None = None
    """Folder of pictures that FID compares with, of the results' size; without it the targets."""

    def __post_init__(self) -> None:
        given = {
            "lpips_net": self.lpips_net != "alex",
            "lpips_weights": self.lpips_weights is not None,
            "fid_weights": self.fid_weights is not None,
            "fid_real": self.fid_real is not None,
        }
        for name, there in given.items():
            metric = name.partition("_")[0]
            if there and not set(USERS[metric]) & set(self.metrics):
                raise ValueError(f"{name} is for the metric {metric}, got {self.metrics}")

    def facts(self) -> dict[str, Any]:
        """What decides the scores, without where files are; empty if there are none."""
        if not self.metrics:
            return {}
        return {
            "metrics": list(self.metrics),
            "lpips_net": self.lpips_net,
            "fid_real": self.fid_real is not None,
        }

    def open(self, dataset: TupleDataset, device: torch.device, batch_size: int = 16) -> Judges:
        """The networks, on the device.

        Raises:
            FileNotFoundError: if a file is not there; the message says how to get it.
            ValueError: if a file is damaged.
        """
        lpips = inception = real = None
        masked = "mask-lpips" in self.metrics
        if masked or "lpips" in self.metrics:
            lpips = Lpips(self.lpips_weights, self.lpips_net).to(device)
        if "fid" in self.metrics:
            inception = Inception(self.fid_weights).to(device)
        if self.fid_real is not None:
            real = PictureFolder(self.fid_real, dataset.height, dataset.width, batch_size)
        tolerant = StLpips().to(device) if "st-lpips" in self.metrics else None
        return Judges(lpips, mask_of_target if masked else None, inception, real, tolerant)
