"""``rfwarp render-chairs``"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from rfwarp.cli.arguments import UsageError, check_size, parse_viewpoint, progress_bar
from rfwarp.data.catalog import HELD_OUT_FIRST_SEED


@dataclass(frozen=True)
class RenderChairs:
    """Write procedural chairs as PNG files, with their viewpoints in poses.csv."""

    out: Annotated[Path, arg(aliases=["-o"], metavar="FOLDER")]
    """Folder of the images; created if missing."""
    count: int = 10
    """Number of chairs, with consecutive seeds."""
    size: int = 64
    """Side of the images in pixels."""
    first_seed: Annotated[
        int,
        arg(help=f"Seed of the first chair; training uses those below {HELD_OUT_FIRST_SEED}."),
    ] = 0
    views: Annotated[tuple[str, ...], arg(metavar="AZIMUTH:ELEVATION")] = ()
    """Viewpoints in degrees; all 54 if none are named."""

    def __post_init__(self) -> None:
        check_size(self.size)
        if self.count < 1 or self.first_seed < 0:
            raise UsageError("--count must be at least 1, and --first-seed at least 0")

    def run(self) -> None:
        from rfwarp.data import write_chair_folder

        try:
            views = [parse_viewpoint(text).index for text in self.views] or None
        except ValueError as error:  # of a viewpoint that is none of the protocol's
            raise UsageError(error) from error
        if self.out.exists() and not self.out.is_dir():
            raise NotADirectoryError(f"{self.out} exists and is no folder")
        with progress_bar(self.count, "chair") as progress:
            write_chair_folder(self.out, self.count, self.size, self.first_seed, views, progress)
        print(f"wrote {self.count} chairs to {self.out}")
