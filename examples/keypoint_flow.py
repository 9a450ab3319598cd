"""People in other poses, warped by their keypoints alone: no network, nothing learned.

Writes a sheet: a source, its skeleton, the skeleton of the target, the source warped by the flow
between the two skeletons, and the truth. Prints the error of the flow.

    python examples/keypoint_flow.py

The people are procedural and held out: what few constants there are were tuned on others.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import NamedTuple

import torch
from PIL import Image
from torch import Tensor

from rfwarp.data import HELD_OUT_FIRST_SEED, ProceduralPeople, Sample
from rfwarp.images import from_uint8, to_pil
from rfwarp.ops import warp
from rfwarp.poses import POSE_KINDS, keypoint_flow
from rfwarp.viz import draw_pose, draw_sheet, write_image

SIZE = 128  # pixels
PEOPLE = 12
ROWS = 3
MEASURED = 240  # pairs of images
COLUMNS = ("source", "its pose", "target pose", "warped", "truth")


def row(sample: Sample) -> list[Image.Image]:
    """A row of the sheet, of a sample with one source."""
    flow = keypoint_flow(sample.target_pose[None], sample.poses[None], SIZE, SIZE)
    source, target = from_uint8(sample.sources), from_uint8(sample.target)
    warped = warp(source, flow[0], "border")
    kind = POSE_KINDS["keypoints"]
    poses = [draw_pose(kind, pose, SIZE, SIZE) for pose in (sample.poses[0], sample.target_pose)]
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
        people = ProceduralPeople(HELD_OUT_FIRST_SEED, PEOPLE, SIZE, truth=True)
        shown = [people.load(views) for views in people.evaluation_rows(1, ROWS, 1)]
        samples = [people.load(views) for views in people.evaluation_rows(0, options.pairs, 1)]
        flows = [keypoint_flow(s.target_pose[None], s.poses[None], SIZE, SIZE)[0] for s in samples]
        sheet = options.out / "keypoint_flow.png"
        write_image(sheet, draw_sheet([row(sample) for sample in shown], columns=COLUMNS))
    except (OSError, ValueError) as error:
        sys.exit(f"{parser.prog}: error: {error}")
    print(f"flow from keypoints: {Errors.of(flows, samples)}")
    print(f"no flow at all:      {Errors.of([0 * flow for flow in flows], samples)}")
    print(f"held-out people, warped by it: {sheet}")


if __name__ == "__main__":
    main()
