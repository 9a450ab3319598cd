"""Masks of people, for LPIPS without the background (MLPIPS, as used on Market-1501)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from rfwarp.data.tuples import Row, Sample
from rfwarp.poses.keypoints import LIMBS

Mask = Callable[[Row, Sample], Tensor]
"""A row of a dataset and its loaded sample to (H, W) bool, True where the target counts."""

LIMB, HEAD = 1 / 15, 1 / 10  # of the image's height: how far a body reaches around its skeleton
HEAD_JOINTS = (0, 14, 15, 16, 17)  # nose, eyes, ears


def person_mask(keypoints: Tensor, height: int, width: int) -> Tensor:
    """Masks of people by their keypoints: capsules around the limbs and a disc for the head.

    A pixel is a person's if it is within ``LIMB`` of the height of a present joint or of a limb
    (:data:`rfwarp.poses.keypoints.LIMBS`) whose two joints are present, or within ``HEAD`` of the
    height of the mean of the head's present joints. The published score masks by a body drawn
    around the target's joints too (Ma et al. 2017), but of a size that is not documented: hold such
    scores against it with care.

    Args:
        keypoints: codes (N, 18, 3), see :mod:`rfwarp.poses.kinds`.

    Returns:
        (N, height, width) bool.

    Example:
        >>> import torch
        >>> from rfwarp.metrics import person_mask
        >>> keypoints = torch.zeros(1, 18, 3)
        >>> keypoints[0, 1] = torch.tensor([15.0, 15.0, 1.0])  # a neck alone
        >>> person_mask(keypoints, 30, 30)[0, 15].nonzero().flatten().tolist()  # along its row
        [13, 14, 15, 16, 17]
    """
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    pixels = torch.stack([columns, rows], dim=-1).to(keypoints)
    points, present = keypoints[..., :2], keypoints[..., 2] > 0
    inside = torch.zeros(len(keypoints), height, width, dtype=torch.bool, device=keypoints.device)
    for a, b in (*LIMBS, *((joint, joint) for joint in range(keypoints.shape[1]))):
        near = _distance(pixels, points[:, a], points[:, b]) <= LIMB * height
        inside |= near & (present[:, a] & present[:, b])[:, None, None]
    head = present[:, HEAD_JOINTS]
    seen = head.sum(1)
    centre = (points[:, HEAD_JOINTS] * head[..., None]).sum(1) / seen.clamp(min=1)[:, None]
    return inside | (
        (_distance(pixels, centre, centre) <= HEAD * height) & (seen > 0)[:, None, None]
    )


def _distance(pixels: Tensor, start: Tensor, end: Tensor) -> Tensor:
    """(N, H, W): from pixels (H, W, 2) to segments between points (N, 2)."""
    along = (end - start)[:, None, None]
    offset = pixels - start[:, None, None]
    share = (offset * along).sum(-1) / along.square().sum(-1).clamp(min=1e-9)
    return (offset - share.clamp(0, 1)[..., None] * along).norm(dim=-1)


def mask_of_target(row: Row, sample: Sample) -> Tensor:
    """:func:`person_mask` of a sample's target, which must be posed by keypoints.

    Example:
        >>> from rfwarp.data import ProceduralPeople
        >>> from rfwarp.metrics import mask_of_target
        >>> row = (0, 1, 2)
        >>> mask = mask_of_target(row, ProceduralPeople(0, 1, size=(32, 16), views=3).load(row))
        >>> mask.shape, mask.dtype
        (torch.Size([32, 16]), torch.bool)
    """
    return person_mask(sample.target_pose[None].float(), *sample.target.shape[-2:])[0]
