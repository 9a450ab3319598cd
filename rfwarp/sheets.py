"""Sheets of results, for inspection by eye."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from PIL import Image

from rfwarp.data.tuples import Row, TupleDataset
from rfwarp.images import from_uint8
from rfwarp.nn import Generator
from rfwarp.poses.kinds import POSE_KINDS
from rfwarp.prediction import predict_images
from rfwarp.viz import draw_samples


@torch.inference_mode()
def result_sheet(
    generator: Generator, dataset: TupleDataset, rows: Sequence[Row], sources: Sequence[int]
) -> Image.Image:
    """A sheet with a row for each of ``rows``: sources, target pose, result of each K, truth.

    Args:
        generator: in eval mode, for the dataset's kind of pose; it runs on its own device.
        rows: of the same number of sources, at least the largest K.
        sources: numbers of sources K.
    """
    kind = POSE_KINDS[dataset.pose_kind]
    samples = [dataset.load(row) for row in rows]
    results = [
        [
            predict_images(
                generator,
                kind,
                from_uint8(x.sources[None, :k]),
                x.poses[None, :k],
                x.target_pose[None],
            )[0]
            for k in sources
        ]
        for x in samples
    ]
    return draw_samples(kind, samples, results, [f"K = {k}" for k in sources])
