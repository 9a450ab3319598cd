"""``rfwarp prepare``"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from rfwarp.cli.arguments import UsageError, choose_device, progress_bar
from rfwarp.data.catalog import DATASETS


@dataclass(frozen=True)
class Prepare:
    """Check a downloaded dataset, and write the tuples, landmarks or table that it needs."""

    dataset: Annotated[
        Positional[str],
        arg(metavar="DATASET", help=f"Name, of a download: {', '.join(DATASETS)}."),
    ]
    root: Annotated[Path, arg(metavar="FOLDER")]
    """Folder of the download, or of images of your own. prepare-report.txt is written there."""
    sources: int = 2
    """People: K, the number of sources in each tuple."""
    seed: int = 0
    """People: seed of the tuples."""
    pairs: bool = False
    """People: take the published pairs for the tuples with --sources 1, instead of drawing them."""
    decode: bool = False
    """Also read every image, not only find it."""
    detector: Literal["face-alignment", "facemesh"] = "face-alignment"
    """Faces: what detects their landmarks, rfwarp[face] or rfwarp[blazepose]."""
    device: str = "auto"
    """Faces: device that detects, cpu or cuda; auto takes a GPU if there is one for it."""

    def __post_init__(self) -> None:
        for name, least in (("sources", 1), ("seed", 0)):
            if getattr(self, name) < least:
                raise UsageError(f"--{name} must be at least {least}, got {getattr(self, name)}")
        if self.pairs and self.sources != 1:
            raise UsageError("--pairs needs --sources 1: published pairs have one source")

    @property
    def _on_cpu(self) -> bool:
        """FaceMesh has no other device."""
        return self.detector == "facemesh" and self.device == "auto"

    def run(self) -> None:
        from rfwarp.data.check_report import REPORT, Options
        from rfwarp.data.preparation import prepare

        device = "cpu" if self._on_cpu else str(choose_device(self.device))
        options = Options(self.sources, self.seed, self.pairs, self.decode, device, self.detector)
        with progress_bar(0, "file") as progress:
            report = prepare(self.dataset, self.root, options, progress)
        report.write(self.root / REPORT)
        for name, count in report.usable.items():
            print(f"{count:>9} {name}")
        print(f"{len(report.problems):>9} problems, see {self.root / REPORT}")
        if report.unusable:
            raise ValueError("; ".join(report.unusable))
