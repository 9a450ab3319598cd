"""Streets that the network has never seen, from places between and beside those of a few frames.

Writes a sheet (sources, motion of the camera, our images, the truth), the network's maps of one of
them (flows, visibility, attention), and a drive along all streets as a video: every eighth frame is
given and the seven between are ours, from the given ones around them; below is the truth.

    python examples/new_place.py

The streets are procedural and held out: training uses seeds below 900000.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

from PIL import Image

from rfwarp import Generator
from rfwarp.data import ProceduralStreets
from rfwarp.images import from_uint8, to_pil
from rfwarp.sheets import result_sheet
from rfwarp.video import Frame, write_video
from rfwarp.viz import draw_maps, draw_sheet, write_image

FIRST_SEED, COUNT = 900_008, 6
SOURCES, TARGET = (10, 16, 7, 19), 13  # frames
COUNTS = (1, 2, 4)
GIVEN = range(0, 32, 8)
RATE = 10  # frames per second


def between(generator: Generator, streets: ProceduralStreets, street: int) -> Iterator[Image.Image]:
    """A drive: given frames, and ours between them."""
    first = street * streets.frames
    for begin, end in pairwise(GIVEN):
        for frame in range(begin, end):
            sample = streets.load((first + begin, first + end, first + frame))
            given, *_ = images = [to_pil(from_uint8(source)) for source in sample.sources]
            poses, target = list(sample.poses), sample.target_pose
            yield given if frame == begin else generator.generate(images, poses, target)


def truth(streets: ProceduralStreets, street: int) -> Iterator[Image.Image]:
    """The same frames as they are."""
    for frame in range(GIVEN[0], GIVEN[-1]):
        image = street * streets.frames + frame
        yield to_pil(from_uint8(streets.load((image, image)).target))


def drive(generator: Generator, streets: ProceduralStreets) -> Iterator[Frame]:
    """All streets side by side: ours, and below them the truth."""
    ours = [between(generator, streets, street) for street in range(streets.count)]
    true = [truth(streets, street) for street in range(streets.count)]
    pairs = zip(zip(*ours, strict=True), zip(*true, strict=True), strict=True)
    for number, (above, below) in enumerate(pairs):
        yield Frame(draw_sheet([list(above), list(below)]), Fraction(number, RATE))


def maps(generator: Generator, streets: ProceduralStreets) -> Image.Image:
    """The network's maps of the first row of the sheet: flows, visibility, attention."""
    sample = streets.load((*SOURCES, TARGET))
    sources = [to_pil(from_uint8(source)) for source in sample.sources]
    result, levels = generator.generate_with_maps(sources, list(sample.poses), sample.target_pose)
    return draw_maps(sources, result, levels[-1:])  # the finest, of the pixels themselves


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--weights", default="streets-64", help="of streets: bundled model, folder or Hub id"
    )
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for the results")
    options = parser.parse_args()

    try:
        generator = Generator.from_pretrained(options.weights).optimize()
        size = generator.config.image_size
        if size is None:
            raise ValueError(f"{options.weights} does not say what size its images have")
        streets = ProceduralStreets(FIRST_SEED, COUNT, size)
        begins = range(0, COUNT * streets.frames, streets.frames)
        rows = [tuple(begin + frame for frame in (*SOURCES, TARGET)) for begin in begins]
        names = ("new_place.png", "new_place_maps.png", "drive.mp4")
        sheet, flows, video = (options.out / name for name in names)
        write_image(sheet, result_sheet(generator, streets, rows, COUNTS))
        write_image(flows, maps(generator, streets))
        write_video(video, drive(generator, streets), RATE)
    except (OSError, ValueError, ImportError) as error:
        sys.exit(f"{parser.prog}: error: {error}")
    print(f"new places of {COUNT} held-out streets: {sheet}\nhow: {flows}\ndriving: {video}")


if __name__ == "__main__":
    main()
