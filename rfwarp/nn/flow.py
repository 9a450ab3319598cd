"""Flow confidence extractor F (Table 6, Eq. 2): where to look in a source, how far to trust it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from rfwarp.nn.blocks import FullPrecisionConv2d, ResBlockD, ResBlockU


class FlowConfidence(NamedTuple):
    """Predictions at one level, in float32 (float64 for a double network).

    Attributes:
        flow: (N, K, 2, h, w), displacement from the target to the source position in pixels of
            this level, channel 0 = x.
        attention: (N, K, 1, h, w) logits, compared over the sources by a softmax; None if ablated.
        occlusion: (N, K, 1, h, w) logits of being invisible in the source; None if ablated.
    """

    flow: Tensor
    attention: Tensor | None
    occlusion: Tensor | None


class ConfidenceHeads(nn.Module):
    """The 3x3 output convolutions of one level."""

    def __init__(self, channels: int, *, attention: bool, occlusion: bool) -> None:
        super().__init__()
        self.flow = FullPrecisionConv2d(channels, 2, 3, padding=1)
        self.attention = FullPrecisionConv2d(channels, 1, 3, padding=1) if attention else None
        self.occlusion = FullPrecisionConv2d(channels, 1, 3, padding=1) if occlusion else None

    def forward(self, x: Tensor, k: int) -> FlowConfidence:
        """(N*K, C, h, w) to the predictions (N, K, ..., h, w)."""
        return FlowConfidence(
            self.flow(x).unflatten(0, (-1, k)),
            None if self.attention is None else self.attention(x).unflatten(0, (-1, k)),
            None if self.occlusion is None else self.occlusion(x).unflatten(0, (-1, k)),
        )


class FlowConfidenceExtractor(nn.Module):
    """Each source, its pose and the target pose to flow, attention and occlusion at H/8 and H/4.

    Args:
        pose_channels: c_p.
        channels: channels after each of the five ResBlockD; (32, 64, 128, 256, 512) in Table 6.
        encoder_norm, decoder_norm: normalisation of the ResBlockD and of the ResBlockU.
        attention, occlusion: False drops the head (ablations of Table 4).
    """

    def __init__(
        self,
        pose_channels: int,
        channels: tuple[int, int, int, int, int] = (32, 64, 128, 256, 512),
        *,
        encoder_norm: str = "none",
        decoder_norm: str = "instance",
        negative_slope: float = 0.1,
        attention: bool = True,
        occlusion: bool = True,
    ) -> None:
        super().__init__()
        inputs = (3 + 2 * pose_channels, *channels[:-1])
        self.down = nn.ModuleList(
            ResBlockD(i, o, norm=encoder_norm, negative_slope=negative_slope, first=level == 0)
            for level, (i, o) in enumerate(zip(inputs, channels, strict=True))
        )
        _, quarter, eighth, sixteenth, bottom = channels

        def up(i: int, o: int) -> ResBlockU:
            return ResBlockU(i, o, norm=decoder_norm, negative_slope=negative_slope)

        self.up16 = up(bottom, sixteenth)
        self.up8 = up(sixteenth, eighth)
        self.up4 = up(eighth, quarter)
        self.heads8 = ConfidenceHeads(eighth, attention=attention, occlusion=occlusion)
        self.heads4 = ConfidenceHeads(quarter, attention=attention, occlusion=occlusion)

    def encode(self, sources: Tensor, poses: Tensor) -> list[Tensor]:
        """What of the computation depends on the sources alone: here, no more than their input.

        Args:
            sources: (N, K, 3, H, W).
            poses: (N, K, c_p, H, W).

        Returns:
            Tensors (N, K, ...) for :meth:`forward`.
        """
        return [torch.cat([sources, poses], dim=2)]

    def pair(self, encoded: Sequence[Tensor], target_pose: Tensor) -> Tensor:
        """The first block on all pairs of M target poses and K sources, (M*K, C, H/2, W/2)."""
        (inputs,) = encoded
        m, k = target_pose.shape[0], inputs.shape[1]
        inputs = inputs.expand(m, -1, -1, -1, -1)
        targets = target_pose[:, None].expand(-1, k, -1, -1, -1)
        return self.down[0](torch.cat([inputs, targets], dim=2).flatten(0, 1))

    def forward(self, encoded: Sequence[Tensor], target_pose: Tensor) -> list[FlowConfidence]:
        """The predictions (M, K, ..., h, w) at H/8 and at H/4.

        Args:
            encoded: of :meth:`encode`, for M sets of sources, or for one that all targets share.
            target_pose: (M, c_p, H, W).
        """
        k = encoded[0].shape[1]
        x = self.pair(encoded, target_pose)
        skips = []
        for block in self.down[1:]:
            x = block(x)
            skips.append(x)
        at4, at8, at16, at32 = skips
        x = self.up16(at32) + at16
        x8 = self.up8(x) + at8
        x4 = self.up4(x8) + at4
        return [self.heads8(x8, k), self.heads4(x4, k)]
