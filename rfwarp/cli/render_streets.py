"""``rfwarp render-streets``"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from rfwarp.cli.arguments import UsageError, check_size, progress_bar
from rfwarp.data.catalog import HELD_OUT_FIRST_SEED


@dataclass(frozen=True)
class RenderStreets:
    """Write drives along procedural streets in the layout of KITTI odometry."""

    out: Annotated[Path, arg(aliases=["-o"], metavar="FOLDER")]
    """Folder of the sequences and poses; created if missing."""
    count: int = 11
    """Number of streets, with consecutive seeds, one for each sequence; the last fifth for
    testing."""
    size: int = 128
    """Height of the images in pixels; they are as wide as KITTI's, 3.3 times that."""
    first_seed: Annotated[
        int,
        arg(help=f"Seed of the first street; training uses those below {HELD_OUT_FIRST_SEED}."),
    ] = 0
    frames: int = 32
    """Number of frames of each street, ten a second: 10 to 64."""

    def __post_init__(self) -> None:
        check_size(self.size)
        if not 1 <= self.count <= 100 or self.first_seed < 0:
            raise UsageError("--count must lie in 1..100, and --first-seed be at least 0")
        if not 10 <= self.frames <= 64:
            raise UsageError(f"--frames must lie in 10..64, got {self.frames}")

    def run(self) -> None:
        from rfwarp.data import write_street_folder

        if self.out.exists() and not self.out.is_dir():
            raise NotADirectoryError(f"{self.out} exists and is no folder")
        with progress_bar(self.count, "street") as progress:
            write_street_folder(
                self.out, self.count, self.size, self.first_seed, self.frames, progress
            )
        print(f"wrote {self.count} streets to {self.out}")
