"""Plane sweep: what the sources show along every ray of the target, where cameras are known."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from rfwarp.nn.blocks import zero
from rfwarp.ops import warp

COLOURS = 7  # a plane's channels: the source's own colour, the mean of all, how they spread


class PlaneSweep(nn.Module):
    """Evidence of where surfaces are: on the plane that a surface lies in, the sources agree.

    A ray of the target is cut by planes of constant depth. The sources, warped by each plane as if
    all of the target lay in it, tell the colour that each sees at the cut (Collins, CVPR 1996).

    Args:
        planes: number of planes.
        channels: of the features that learn from it.
    """

    def __init__(self, planes: int, channels: int, negative_slope: float) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(COLOURS * planes, 2 * channels, 3, padding=1)
        self.conv2 = nn.Conv2d(2 * channels, channels, 3, padding=1)
        zero(self.conv2)  # training starts from the network without
        self.act = nn.LeakyReLU(negative_slope)

    def forward(self, sources: Tensor, flows: Iterable[Tensor], present: Tensor | None) -> Tensor:
        """Features of the pairs of targets and sources, (M*K, channels, h, w).

        Args:
            sources: (M, K, 3, h, w).
            flows: of every plane, (M, K, 2, h, w), pixels.
            present: (M, K) bool, False for a missing source.
        """
        m, k = sources.shape[:2]
        present = sources.new_ones(m, k) if present is None else present.to(sources.dtype)
        weight = (present / present.sum(1, keepdim=True))[..., None, None, None]
        flat, seen = sources.flatten(0, 1), []
        for flow in flows:
            own = warp(flat, flow.flatten(0, 1), "border").unflatten(0, (m, k))
            mean = (weight * own).sum(1, keepdim=True)
            spread = (weight * (own - mean).square()).sum((1, 2), keepdim=True)
            both = torch.cat([mean, spread], dim=2).expand(-1, k, -1, -1, -1)
            seen.append(torch.cat([own, both], dim=2).flatten(0, 1))
        features: Tensor = self.conv2(self.act(self.conv1(torch.cat(seen, dim=1))))
        return features
