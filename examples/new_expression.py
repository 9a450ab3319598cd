"""New expressions of faces that the network has never seen, from one, two and four images of each.

Writes a sheet (sources, landmarks of the target, our images, the truth), the network's maps of one
of them (flows, visibility, attention), and an animation: everybody smiles and turns the head, ours
above the truth.

    python examples/new_expression.py

The faces are procedural and held out: training uses seeds below 900000.
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path

from PIL import Image

from rfwarp import Generator
from rfwarp.data import ProceduralFaces
from rfwarp.data.faces import VIEWS, FacePose, Faces, render_expressions
from rfwarp.poses import FaceLandmarks
from rfwarp.sheets import result_sheet
from rfwarp.viz import draw_maps, draw_sheet, write_animation, write_image

FIRST_SEED, COUNT = 900_008, 6
COUNTS = (1, 2, 4)
FRAMES = 24
SOURCES = max(COUNTS)


def shown(drawn: Faces) -> tuple[list[Image.Image], list[FaceLandmarks]]:
    """Images of one face, and the pose in each, as :meth:`Generator.generate` takes them."""
    height, width = drawn.images.shape[-2:]
    images = [Image.fromarray(x.permute(1, 2, 0).numpy()) for x in drawn.images]
    return images, [FaceLandmarks(x.numpy(), height, width) for x in drawn.landmarks]


def smile(time: float) -> FacePose:
    """From neutral to a laugh and back while the head turns; ``time`` from 0 to 1."""
    much = (1 - math.cos(2 * math.pi * time)) / 2
    units = {"mouthSmile": 0.9, "mouthUpperUp": 0.4, "cheekSquint": 0.6, "eyeSquint": 0.4}
    both = {f"{unit}{side}": much * u for unit, u in units.items() for side in ("Left", "Right")}
    return FacePose(both | {"jawOpen": 0.3 * much}, yaw=0.4 * math.sin(2 * math.pi * time))


def maps(generator: Generator, faces: ProceduralFaces) -> Image.Image:
    """The network's maps of the first row of the sheet: flows, visibility, attention."""
    (*sources, _), (*poses, target) = shown(faces.images(0, range(SOURCES + 1)))
    result, levels = generator.generate_with_maps(sources, poses, target)
    return draw_maps(sources, result, levels[-1:])  # the finest, of the pixels themselves


def smiles(generator: Generator, faces: ProceduralFaces) -> list[Image.Image]:
    """Frames of everybody: ours, all made from the same sources, and below them the truth."""
    size, columns = faces.height, []
    for face, seed in enumerate(faces.seeds):
        sources, poses = shown(faces.images(face, range(SOURCES)))
        expressions = [smile(frame / FRAMES) for frame in range(FRAMES)]
        truth, targets = shown(render_expressions(seed, expressions, size))
        columns.append(zip(generator.generate_many(sources, poses, targets), truth, strict=True))
    frames = zip(*columns, strict=True)
    return [draw_sheet([list(row) for row in zip(*frame, strict=True)]) for frame in frames]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--weights", default="faces-128", help="of faces: bundled model, folder or Hub id"
    )
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for the results")
    options = parser.parse_args()

    try:
        generator = Generator.from_pretrained(options.weights).optimize()
        size = generator.config.image_size
        if not isinstance(size, int):
            raise ValueError(f"faces are square, but {options.weights} is for {size} pixels")
        faces = ProceduralFaces(FIRST_SEED, COUNT, size)
        rows = [tuple(VIEWS * face + view for view in range(SOURCES + 1)) for face in range(COUNT)]
        names = ("new_expression.png", "new_expression_maps.png", "smile.gif")
        sheet, flows, animation = (options.out / name for name in names)
        write_image(sheet, result_sheet(generator, faces, rows, COUNTS))
        write_image(flows, maps(generator, faces))
        write_animation(animation, smiles(generator, faces))
    except (OSError, ValueError) as error:
        sys.exit(f"{parser.prog}: error: {error}")
    print(f"new expressions of {COUNT} held-out faces: {sheet}\nhow: {flows}\nsmiling: {animation}")


if __name__ == "__main__":
    main()
