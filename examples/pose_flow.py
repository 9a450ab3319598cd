"""People and faces warped into other poses by their poses alone: no network, nothing learned.

Writes a sheet of each: a source, its pose, the pose of the target, the source warped by the flow
between the two, and the truth. Prints the error of the flow.

    python examples/pose_flow.py

They are procedural and held out: what few constants there are were tuned on others.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import NamedTuple

import torch
from PIL import Image
from torch import Tensor

from rfwarp.data import HELD_OUT_FIRST_SEED, ProceduralFaces, ProceduralPeople, Sample
from rfwarp.images import from_uint8, to_pil
from rfwarp.nn.priors import OF_POINTS
from rfwarp.ops import warp
from rfwarp.poses import POSE_KINDS
from rfwarp.viz import draw_pose, draw_sheet, write_image

SIZE = 128  # pixels
COUNT = 12  # people, faces
ROWS = 3
MEASURED = 240  # pairs of images
COLUMNS = ("source", "its pose", "target pose", "warped", "truth")
DATASETS = {"keypoints": ProceduralPeople, "landmarks": ProceduralFaces}


def flow_of(kind: str, sample: Sample) -> Tensor:
    """The flow (1, 2, SIZE, SIZE) from the target to the one source, by their poses."""
    prior, codes = OF_POINTS[kind], torch.stack([sample.target_pose, sample.poses[0]])
    target, source = prior.points(POSE_KINDS[kind].expand(codes, SIZE, SIZE)).split(1)
    return prior.flow(target, source[None], SIZE, SIZE)[0]


def row(kind: str, sample: Sample) -> list[Image.Image]:
    """A row of the sheet, of a sample with one source."""
    source, target = from_uint8(sample.sources), from_uint8(sample.target)
    warped = warp(source, flow_of(kind, sample), "border")
    shown = (sample.poses[0], sample.target_pose)
    poses = [draw_pose(POSE_KINDS[kind], pose, SIZE, SIZE) for pose in shown]
    return [to_pil(source[0]), *poses, to_pil(warped[0]), to_pil(target)]


class Errors(NamedTuple):
    """Errors of a flow, over the pixels of the target that the source shows, in pixels."""

    mean: float
    median: float
    within: float
    """Share of pixels off by less than 1.5 pixels in an image 64 pixels high."""

    @classmethod
    def of(cls, flows: list[Tensor], samples: list[Sample]) -> Errors:
        distances = []
        for flow, sample in zip(flows, samples, strict=True):
            assert sample.truth is not None
            distances.append((flow - sample.truth.flow).norm(dim=1)[sample.truth.visible])
        found = torch.cat(distances)
        within = (found < 1.5 * SIZE / 64).float().mean()
        return cls(float(found.mean()), float(found.median()), float(within))

    def __str__(self) -> str:
        return f"mean {self.mean:.2f} px, median {self.median:.2f} px, {self.within:.0%} close"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for the results")
    parser.add_argument("--pairs", type=int, default=MEASURED, help="how many to measure")
    options = parser.parse_args()

    try:
        for kind, dataset in DATASETS.items():
            shown = dataset(HELD_OUT_FIRST_SEED, COUNT, SIZE, truth=True)
            rows = [shown.load(views) for views in shown.evaluation_rows(1, ROWS, 1)]
            samples = [shown.load(views) for views in shown.evaluation_rows(0, options.pairs, 1)]
            flows = [flow_of(kind, sample) for sample in samples]
            sheet = options.out / f"{kind.removesuffix('s')}_flow.png"
            write_image(sheet, draw_sheet([row(kind, x) for x in rows], columns=COLUMNS))
            print(f"flow from {kind}: {Errors.of(flows, samples)}")
            print(f"no flow at all:      {Errors.of([0 * flow for flow in flows], samples)}")
            print(f"held-out images, warped by it: {sheet}")
    except (OSError, ValueError) as error:
        sys.exit(f"{parser.prog}: error: {error}")


if __name__ == "__main__":
    main()
