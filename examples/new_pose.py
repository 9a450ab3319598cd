"""New poses of people that the network has never seen, from one, two and four images of each.

Writes a sheet (sources, target pose, our images, the truth), the network's maps of one of them
(flows, visibility, attention), and an animation: everybody walks and turns, ours above the truth.

    python examples/new_pose.py

The people are procedural and held out: training uses seeds below 900000.
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from rfwarp import Generator
from rfwarp.data.people import (
    BodyPose,
    Camera,
    People,
    render_person,
    render_poses,
    walking_pose,
)
from rfwarp.poses import POSE_KINDS, Keypoints
from rfwarp.viz import draw_maps, draw_pose, draw_sheet, legible, write_animation, write_image

SEEDS = range(900_008, 900_014)
COUNTS = (1, 2, 4)
FRAMES = 24
SOURCES = max(COUNTS)


class Views(NamedTuple):
    """Images of one person, and the pose in each, as :meth:`Generator.generate` takes them."""

    images: list[Image.Image]
    poses: list[Keypoints]

    @classmethod
    def of(cls, drawn: People) -> Views:
        height, width = drawn.images.shape[-2:]
        images = [Image.fromarray(x.permute(1, 2, 0).numpy()) for x in drawn.images]
        return cls(images, [Keypoints(x.numpy(), height, width) for x in drawn.keypoints])


def new_pose(generator: Generator, views: Views) -> list[Image.Image]:
    """A row of the sheet: sources, target pose, our image from 1, 2 and 4 sources, the truth."""
    (*sources, truth), (*poses, target) = views
    ours = [generator.generate(sources[:k], poses[:k], target) for k in COUNTS]
    skeleton = draw_pose(POSE_KINDS[Keypoints.kind], target.code(), truth.height, truth.width)
    return [*sources, skeleton, *ours, truth]


def maps(generator: Generator, views: Views) -> Image.Image:
    """The network's maps of one row of the sheet: flows, visibility, attention."""
    (*sources, _), (*poses, target) = views
    result, levels = generator.generate_with_maps(sources, poses, target)
    return draw_maps(sources, result, levels[-1:])  # the finest, of the pixels themselves


def step(time: float) -> tuple[BodyPose, Camera]:
    """A walk of two steps in which the camera goes around once; ``time`` from 0 to 1."""
    return walking_pose(2 * time), Camera(
        2 * math.pi * time - math.pi, math.radians(6), 1.0, (0.0, 0.0)
    )


def walk(generator: Generator, seed: int, views: Views) -> list[tuple[Image.Image, Image.Image]]:
    """Our image and the true one for each frame; all of ours are made from the same sources."""
    poses = [step(frame / FRAMES) for frame in range(FRAMES)]
    first = views.images[0]
    frames, targets = Views.of(render_poses(seed, poses, (first.height, first.width)))
    ours = generator.generate_many(views.images[:SOURCES], views.poses[:SOURCES], targets)
    return list(zip(ours, frames, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--weights", default="people-128", help="bundled model, folder or Hub id")
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for the results")
    options = parser.parse_args()

    try:
        generator = Generator.from_pretrained(options.weights).optimize()
        size = generator.config.image_size
        if size is None:
            raise ValueError(f"{options.weights} does not say what size its images have")
        names = ("new_pose.png", "new_pose_maps.png", "walk.gif")
        sheet, flows, animation = (options.out / name for name in names)
        columns = [f"source {k + 1}" for k in range(SOURCES)] + ["pose"]
        columns += [f"ours from {k}" for k in COUNTS] + ["truth"]
        people = {seed: Views.of(render_person(seed, range(SOURCES + 1), size)) for seed in SEEDS}
        scale = legible(people[SEEDS[0]].images[0].height)
        rows = [new_pose(generator, views) for views in people.values()]
        write_image(sheet, draw_sheet(rows, columns=columns, scale=scale))
        write_image(flows, maps(generator, people[SEEDS[0]]))
        walks = [walk(generator, seed, views) for seed, views in people.items()]
        frames = [
            draw_sheet([list(row) for row in zip(*frame, strict=True)], scale=scale)
            for frame in zip(*walks, strict=True)
        ]
        write_animation(animation, frames)
    except (OSError, ValueError) as error:
        sys.exit(f"{parser.prog}: error: {error}")
    print(f"new poses of {len(SEEDS)} held-out people: {sheet}\nhow: {flows}\nwalking: {animation}")


if __name__ == "__main__":
    main()
