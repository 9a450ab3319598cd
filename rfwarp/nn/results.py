"""Results of the generator besides images: encoded sources, and maps of flow and confidence."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from rfwarp.deprecation import warn
from rfwarp.nn.flow import FlowConfidence


@dataclass(frozen=True)
class EncodedSources:
    """Everything that depends on the sources alone; made by :meth:`rfwarp.nn.Generator.encode`.

    Attributes:
        features: appearance features (N, K, C, H / stride, W / stride) of every level, coarse
            first, of the padded size.
        for_flow: the flow network's tensors of the sources (N, K, ...); the optimized network
            computes more of them than the plain one.
        for_residual: the same of the fusing blocks.
        present: (N, K) bool, False for a missing source; None if all are present.
        size: height and width before padding.

    Example:
        >>> import torch
        >>> from rfwarp import Generator
        >>> generator = Generator(pose_channels=21, width=0.125).eval()
        >>> encoded = generator.encode(torch.zeros(1, 2, 3, 64, 64), torch.zeros(1, 2, 21, 64, 64))
        >>> encoded.size, [tuple(level.shape[-2:]) for level in encoded.features]
        ((64, 64), [(8, 8), (16, 16)])
        >>> image = generator.decode(encoded, torch.zeros(5, 21, 64, 64))  # five target poses
        >>> image.shape
        torch.Size([5, 3, 64, 64])
    """

    features: list[Tensor]
    for_flow: list[Tensor]
    for_residual: list[Tensor]
    present: Tensor | None
    size: tuple[int, int]

    @property
    def mask(self) -> Tensor | None:
        """Former name of ``present``."""
        warn("mask", "present", 3)
        return self.present


@dataclass(frozen=True)
class LevelMaps:
    """Maps of one level of the network (Fig. 7), (h, w) its resolution, cropped like the image.

    Attributes:
        stride: pixels of the image per pixel of this level.
        flow: initial flow, (N, K, 2, h, w), pixels of this level, channel 0 = x.
        residual: its correction, (N, K, 2, h, w), zeros without residual flow.
        attention: weight of each source, (N, K, 1, h, w), in [0, 1], summing to 1 over K.
        occlusion: invisibility in each source, (N, K, 1, h, w), in [0, 1].
        depth: of the target, (N, 1, h, w); None unless flows come of it.
        foreground: probability that the target shows the object, (N, 1, h, w), in [0, 1]; None with
            free flows without silhouette.

    Example:
        >>> import torch
        >>> from rfwarp import Generator
        >>> generator = Generator(pose_channels=21, width=0.125).eval()
        >>> sources, poses = torch.zeros(1, 2, 3, 64, 64), torch.zeros(1, 2, 21, 64, 64)
        >>> image, levels = generator(sources, poses, torch.zeros(1, 21, 64, 64), return_maps=True)
        >>> [level.stride for level in levels], levels[0].flow.shape
        ([8, 4], torch.Size([1, 2, 2, 8, 8]))
    """

    stride: int
    flow: Tensor
    residual: Tensor
    attention: Tensor
    occlusion: Tensor
    depth: Tensor | None = None
    foreground: Tensor | None = None


def level_maps(
    stride: int,
    size: tuple[int, int],
    present: Tensor | None,
    predictions: FlowConfidence,
    residual: Tensor | None,
) -> LevelMaps:
    """Maps of one level from its predictions, which are logits and padded."""
    p, (h, w) = predictions, (-(-side // stride) for side in size)
    attention = logits(p.attention, p.flow, 0.0)
    if present is not None:
        attention = attention.masked_fill(~present[:, :, None, None, None], -torch.inf)
    return LevelMaps(
        stride,
        p.flow[..., :h, :w],
        (torch.zeros_like(p.flow) if residual is None else residual)[..., :h, :w],
        attention.softmax(dim=1)[..., :h, :w],
        # sigmoid(-inf) = 0: without occlusion maps everything counts as visible.
        logits(p.occlusion, p.flow, -torch.inf).sigmoid()[..., :h, :w],
        None if p.depth is None else p.depth[..., :h, :w],
        None if p.foreground is None else p.foreground.sigmoid()[..., :h, :w],
    )


def logits(predicted: Tensor | None, flow: Tensor, constant: float) -> Tensor:
    """The predicted logits, or a constant (N, K, 1, h, w) in the place of an ablated head."""
    return torch.full_like(flow[:, :, :1], constant) if predicted is None else predicted
