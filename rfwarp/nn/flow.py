"""Flow confidence extractor F (Table 6, Eq. 2): where to look in a source, how far to trust it."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from rfwarp.nn.blocks import FullPrecisionConv2d, ResBlockD, ResBlockU


class FlowConfidence(NamedTuple):
    """Predictions at one level, in float32 (float64 for a double network).

    Attributes:
        flow: (N, 2, h, w), displacement from the target to the source position in pixels of this
            level, channel 0 = x.
        attention: (N, 1, h, w) logits, compared over the sources by a softmax; None if ablated.
        occlusion: (N, 1, h, w) logits of being invisible in the source; None if ablated.
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

    def forward(self, x: Tensor) -> FlowConfidence:
        return FlowConfidence(
            self.flow(x),
            None if self.attention is None else self.attention(x),
            None if self.occlusion is None else self.occlusion(x),
        )


class FlowConfidenceExtractor(nn.Module):
    """One source, its pose and the target pose to flow, attention and occlusion at H/8 and H/4.

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

    def forward(
        self, source: Tensor, source_pose: Tensor, target_pose: Tensor
    ) -> list[FlowConfidence]:
        """(N, 3, H, W), (N, c_p, H, W), (N, c_p, H, W) to the predictions at H/8 and at H/4."""
        x = torch.cat([source, source_pose, target_pose], dim=1)
        skips = []
        for block in self.down:
            x = block(x)
            skips.append(x)
        _, at4, at8, at16, at32 = skips
        x = self.up16(at32) + at16
        x8 = self.up8(x) + at8
        x4 = self.up4(x8) + at4
        return [self.heads8(x8), self.heads4(x4)]
