"""What the generator hands out besides images: encoded sources, and maps of what it did."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class EncodedSources:
    """What depends on the sources alone; made by :meth:`rfwarp.nn.Generator.encode`.

    Attributes:
        features: appearance features, [(N, K, C8, H/8, W/8), (N, K, C4, H/4, W/4)], of the padded
            size.
        for_flow, for_residual: what the flow network and the two fusing blocks derive of the
            sources, tensors (N, K, ...); the optimized network derives more than the plain one.
        mask: (N, K) bool, False for a missing source; None if all are present.
        size: height and width before padding.
    """

    features: list[Tensor]
    for_flow: list[Tensor]
    for_residual: list[Tensor]
    mask: Tensor | None
    size: tuple[int, int]


@dataclass(frozen=True)
class LevelMaps:
    """What the network did at one level (Fig. 7), (h, w) its resolution, cropped like the image.

    Attributes:
        stride: pixels of the image per pixel of this level, 8 or 4.
        flow: initial flow, (N, K, 2, h, w), pixels of this level, channel 0 = x.
        residual: its correction, (N, K, 2, h, w), zeros without residual flow.
        attention: weight of each source, (N, K, 1, h, w), in [0, 1], summing to 1 over K.
        occlusion: invisibility in each source, (N, K, 1, h, w), in [0, 1].
    """

    stride: int
    flow: Tensor
    residual: Tensor
    attention: Tensor
    occlusion: Tensor


def level_maps(
    stride: int,
    size: tuple[int, int],
    mask: Tensor | None,
    flow: Tensor,
    residual: Tensor | None,
    attention: Tensor,
    occlusion: Tensor,
) -> LevelMaps:
    """Maps of one level from the inputs of its fusing block, which are logits and padded."""
    if mask is not None:
        attention = attention.masked_fill(~mask[:, :, None, None, None], -torch.inf)
    h, w = (-(-s // stride) for s in size)
    return LevelMaps(
        stride,
        flow[..., :h, :w],
        (torch.zeros_like(flow) if residual is None else residual)[..., :h, :w],
        attention.softmax(dim=1)[..., :h, :w],
        occlusion.sigmoid()[..., :h, :w],
    )
