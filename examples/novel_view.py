"""New views of chairs that the network has never seen, from one, two and four pictures of each.

Writes a sheet (sources, our view, what it really looks like) and a turntable animation:

    python examples/novel_view.py

The chairs in ``assets`` are held out: training uses seeds below 900000. They were written by

    rfwarp render-chairs --out examples/assets --first-seed 900008 --count 6 \\
        --views 320:10 120:10 220:20 20:0 60:10
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from PIL import Image

from rfwarp import Generator
from rfwarp.poses import Viewpoint
from rfwarp.viz import draw_sheet, write_animation, write_picture

ASSETS = Path(__file__).parent / "assets"
SOURCES = [Viewpoint(320, 10), Viewpoint(120, 10), Viewpoint(220, 20), Viewpoint(20, 0)]
TARGET = Viewpoint(60, 10)
TURNTABLE = [Viewpoint(azimuth, 10) for azimuth in Viewpoint.AZIMUTHS]
COUNTS = (1, 2, 4)


def picture(chair: str, view: Viewpoint) -> Path:
    return ASSETS / f"{chair}_{view.azimuth:03d}_{view.elevation:02d}.png"


def novel_views(generator: Generator, chair: str) -> list[Image.Image]:
    """A row of the sheet: the sources, the target view made of 1, 2 and 4 of them, the truth."""
    paths = [picture(chair, view) for view in SOURCES]
    ours = [generator.generate(paths[:k], SOURCES[:k], TARGET) for k in COUNTS]
    return [*map(Image.open, paths), *ours, Image.open(picture(chair, TARGET))]


def turntable(generator: Generator, chairs: list[str]) -> list[Image.Image]:
    """Frames that show all chairs side by side, each made of its four pictures."""
    turns = [
        generator.generate_many([picture(chair, view) for view in SOURCES], SOURCES, TURNTABLE)
        for chair in chairs
    ]
    return [draw_sheet([frame], scale=2) for frame in zip(*turns, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--weights", default="chairs-64", help="bundled model, folder or Hub id")
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for the results")
    options = parser.parse_args()

    chairs = sorted({path.name.split("_")[0] for path in ASSETS.glob("*.png")})
    try:
        generator = Generator.from_pretrained(options.weights).optimize()
        sheet, animation = options.out / "novel_view.png", options.out / "turntable.gif"
        rows = [novel_views(generator, chair) for chair in chairs]
        columns = [f"source {k}" for k in range(1, len(SOURCES) + 1)]
        columns += [f"ours from {k}" for k in COUNTS]
        write_picture(sheet, draw_sheet(rows, columns=[*columns, "truth"], scale=2))
        write_animation(animation, turntable(generator, chairs))
    except (OSError, ValueError) as error:
        sys.exit(f"{parser.prog}: error: {error}")
    print(f"new views of {len(chairs)} held-out chairs: {sheet}\nall around them: {animation}")


if __name__ == "__main__":
    main()
