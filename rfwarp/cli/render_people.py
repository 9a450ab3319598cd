"""``rfwarp render-people``"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from rfwarp.cli.arguments import MAX_SIZE, UsageError, progress_bar
from rfwarp.data.catalog import HELD_OUT_FIRST_SEED


@dataclass(frozen=True)
class RenderPeople:
    """Write procedural people as PNG files, with their keypoints in keypoints.csv."""

    out: Annotated[Path, arg(aliases=["-o"], metavar="FOLDER")]
    """Folder of the images; created if missing."""
    count: int = 10
    """Number of people, with consecutive seeds."""
    size: int = 128
    """Height of the images in pixels."""
    width: int | None = None
    """Width of the images in pixels; as the height if not given."""
    first_seed: Annotated[
        int,
        arg(help=f"Seed of the first person; training uses those below {HELD_OUT_FIRST_SEED}."),
    ] = 0
    views: int = 24
    """Number of images of each person."""

    def __post_init__(self) -> None:
        for name, value in (
            ("size", self.size),
            ("width", self.size if self.width is None else self.width),
        ):
            if not 1 <= value <= MAX_SIZE:
                raise UsageError(f"--{name} must lie in 1..{MAX_SIZE}, got {value}")
        if self.count < 1 or self.views < 1 or self.first_seed < 0:
            raise UsageError("--count and --views must be at least 1, and --first-seed at least 0")

    def run(self) -> None:
        from rfwarp.data.people import write_people_folder

        if self.out.exists() and not self.out.is_dir():
            raise NotADirectoryError(f"{self.out} exists and is no folder")
        size = (self.size, self.size if self.width is None else self.width)
        with progress_bar(self.count, "person") as progress:
            write_people_folder(self.out, self.count, size, self.first_seed, self.views, progress)
        print(f"wrote {self.count} people to {self.out}")
