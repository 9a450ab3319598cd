"""``rfwarp render-faces``"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from rfwarp.cli.arguments import UsageError, check_size, progress_bar
from rfwarp.data.catalog import HELD_OUT_FIRST_SEED


@dataclass(frozen=True)
class RenderFaces:
    """Write procedural faces as PNG files, each with its 68 landmarks in a .npy file beside it."""

    out: Annotated[Path, arg(aliases=["-o"], metavar="FOLDER")]
    """Folder of the images; created if missing."""
    count: int = 10
    """Number of faces, with consecutive seeds."""
    size: int = 128
    """Height and width of the images in pixels."""
    first_seed: Annotated[
        int,
        arg(help=f"Seed of the first face; training uses those below {HELD_OUT_FIRST_SEED}."),
    ] = 0
    views: int = 8
    """Number of images of each face."""

    def __post_init__(self) -> None:
        check_size(self.size)
        if self.count < 1 or self.views < 1 or self.first_seed < 0:
            raise UsageError("--count and --views must be at least 1, and --first-seed at least 0")

    def run(self) -> None:
        from rfwarp.data.faces import write_faces_folder

        if self.out.exists() and not self.out.is_dir():
            raise NotADirectoryError(f"{self.out} exists and is no folder")
        with progress_bar(self.count, "face") as progress:
            write_faces_folder(
                self.out, self.count, self.size, self.first_seed, self.views, progress
            )
        print(f"wrote {self.count} faces to {self.out}")
