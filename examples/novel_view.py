"""New views of chairs that the network has never seen, from one, two and four images of each.

Writes a sheet (sources, our views, the truth), the network's maps of one of them (flows,
visibility, attention), and a turntable animation:

    python examples/novel_view.py

The chairs in ``assets`` are held out: training uses seeds below 900000. They were written by

    rfwarp render-chairs --out examples/assets --first-seed 900008 --count 6 \\
        --size 128 --views 320:10 120:10 220:20 20:0 60:10
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from PIL import Image

from rfwarp import Generator
from rfwarp.poses import Viewpoint
from rfwarp.viz import draw_maps, draw_sheet, legible, write_animation, write_image

ASSETS = Path(__file__).parent / "assets"
SOURCES = [Viewpoint(320, 10), Viewpoint(120, 10), Viewpoint(220, 20), Viewpoint(20, 0)]
TARGET = Viewpoint(60, 10)
TURNTABLE = [Viewpoint(azimuth, 10) for azimuth in Viewpoint.AZIMUTHS]
COUNTS = (1, 2, 4)


def photographed(chair: str, view: Viewpoint, size: int) -> Image.Image:
    """The chair as it looks, at the size of the network's images."""
    path = ASSETS / f"{chair}_{view.azimuth:03d}_{view.elevation:02d}.png"
    with Image.open(path) as image:
        return image.resize((size, size), Image.Resampling.LANCZOS)


def novel_views(generator: Generator, chair: str, size: int) -> list[Image.Image]:
    """A row of the sheet: the sources, our view from 1, 2 and 4 of them, the truth."""
    sources = [photographed(chair, view, size) for view in SOURCES]
    ours = [generator.generate(sources[:k], SOURCES[:k], TARGET) for k in COUNTS]
    return [*sources, *ours, photographed(chair, TARGET, size)]


def maps(generator: Generator, chair: str, size: int) -> Image.Image:
    """The network's maps of one row of the sheet: flows, visibility, attention."""
    sources = [photographed(chair, view, size) for view in SOURCES]
    image, levels = generator.generate_with_maps(sources, SOURCES, TARGET)
    return draw_maps(sources, image, levels[-1:])  # the finest, of the pixels themselves


def turntable(generator: Generator, chairs: list[str], size: int, scale: int) -> list[Image.Image]:
    """Frames that show all chairs side by side, each made of its four images."""
    turns = [
        generator.generate_many(
            [photographed(chair, view, size) for view in SOURCES], SOURCES, TURNTABLE
        )
        for chair in chairs
    ]
    return [draw_sheet([frame], scale=scale) for frame in zip(*turns, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--weights", default="chairs-128", help="bundled model, folder or Hub id")
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for the results")
    options = parser.parse_args()

    chairs = sorted({path.name.split("_")[0] for path in ASSETS.glob("*.png")})
    try:
        generator = Generator.from_pretrained(options.weights).optimize()
        size = generator.config.image_size
        if not isinstance(size, int):
            raise ValueError(f"the chairs are square, but {options.weights} is for {size} pixels")
        scale = legible(size)
        names = ("novel_view.png", "novel_view_maps.png", "turntable.gif")
        sheet, flows, animation = (options.out / name for name in names)
        rows = [novel_views(generator, chair, size) for chair in chairs]
        columns = [f"source {k}" for k in range(1, len(SOURCES) + 1)]
        columns += [f"ours from {k}" for k in COUNTS]
        write_image(sheet, draw_sheet(rows, columns=[*columns, "truth"], scale=scale))
        write_image(flows, maps(generator, chairs[0], size))
        write_animation(animation, turntable(generator, chairs, size, scale))
    except (OSError, ValueError) as error:
        sys.exit(f"{parser.prog}: error: {error}")
    print(
        f"new views of {len(chairs)} held-out chairs: {sheet}\nhow: {flows}\nturning: {animation}"
    )


if __name__ == "__main__":
    main()
