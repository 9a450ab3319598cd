"""Results of a generator on samples, beside its input and the true images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from PIL import Image
from torch import Tensor

from rfwarp.images import from_uint8, to_pil
from rfwarp.poses.kinds import PoseKind
from rfwarp.viz.poses import draw_pose
from rfwarp.viz.sheet import draw_sheet, legible

if TYPE_CHECKING:
    from rfwarp.data.tuples import Sample


def draw_samples(
    kind: PoseKind,
    samples: Sequence[Sample],
    results: Sequence[Sequence[Tensor]],
    names: Sequence[str] = ("result",),
) -> Image.Image:
    """A sheet with one row for each sample: sources, target pose, results and truth.

    Images of at most 64 rows are enlarged by a whole number, to 128 at most.

    Args:
        kind: of the poses.
        samples: with the same number of sources each.
        results: for each sample, images (3, H, W) in [-1, 1], one for each name.
        names: of the results.

    Raises:
        ValueError: if there is no sample, or the images differ in size.

    Example:
        >>> from rfwarp.data import ProceduralPeople
        >>> from rfwarp.images import from_uint8
        >>> from rfwarp.poses import POSE_KINDS
        >>> from rfwarp.viz import draw_samples
        >>> sample = ProceduralPeople(0, 1, size=64, views=3).load((0, 1, 2))
        >>> perfect = from_uint8(sample.target)
        >>> draw_samples(POSE_KINDS["keypoints"], [sample], [[perfect]]).width  # of five columns
        664
    """
    rows = []
    for sample, images in zip(samples, results, strict=True):
        sources = [to_pil(from_uint8(source)) for source in sample.sources]
        pose = draw_pose(kind, sample.target_pose, *sample.target.shape[-2:])
        truth = to_pil(from_uint8(sample.target))
        rows.append([*sources, pose, *map(to_pil, images), truth])
    most = max((len(sample.sources) for sample in samples), default=0)
    columns = [f"source {k + 1}" for k in range(most)]
    scale = legible(samples[0].target.shape[-2]) if samples else 1
    return draw_sheet(rows, columns=[*columns, "pose", *names, "truth"], scale=scale)
