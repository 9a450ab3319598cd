"""Target image predictor (Table 7): from target pose through two fusing levels to the image."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rfwarp.nn.blocks import ResBlock, ResBlockD, ResBlockU
from rfwarp.nn.fusing import ResFusingBlock


class TargetImagePredictor(nn.Module):
    """Target pose, source features and flow predictions to the image.

    Args:
        pose_channels: c_p.
        channels: widths at H/2, H/4 and H/8; (64, 128, 256) in Table 7. They must be those of the
            appearance extractor, whose features are fused here.
    """

    def __init__(
        self,
        pose_channels: int,
        channels: tuple[int, int, int] = (64, 128, 256),
        *,
        encoder_norm: str = "none",
        decoder_norm: str = "instance",
        negative_slope: float = 0.1,
        residual_flow: bool = True,
        padding_mode: str = "zeros",
    ) -> None:
        super().__init__()
        c2, c4, c8 = channels

        def down(i: int, o: int, first: bool = False) -> ResBlockD:
            return ResBlockD(i, o, norm=encoder_norm, negative_slope=negative_slope, first=first)

        def up(i: int, o: int) -> ResBlockU:
            return ResBlockU(i, o, norm=decoder_norm, negative_slope=negative_slope)

        def keep(c: int) -> ResBlock:
            return ResBlock(c, norm=decoder_norm, negative_slope=negative_slope)

        def fuse(c: int) -> ResFusingBlock:
            return ResFusingBlock(c, residual_flow=residual_flow, padding_mode=padding_mode)

        self.encode_pose = nn.Sequential(down(pose_channels, c2, True), down(c2, c4), down(c4, c8))
        self.fuse8 = fuse(c8)
        self.decode8 = nn.Sequential(keep(c8), up(c8, c4))
        self.fuse4 = fuse(c4)
        self.decode4 = nn.Sequential(keep(c4), up(c4, c2))
        self.decode2 = nn.Sequential(keep(c2), up(c2, c2))
        self.to_rgb: nn.Module = nn.Conv2d(c2, 3, 3, padding=1)

    def encode(self, features: list[Tensor]) -> list[Tensor]:
        """What both fusing levels derive of the source features alone."""
        at8, at4 = features
        return [self.fuse8.encode(at8), self.fuse4.encode(at4)]

    def forward(
        self,
        target_pose: Tensor,
        features: list[Tensor],
        encoded: list[Tensor],
        flows: list[Tensor],
        occlusions: list[Tensor],
        attentions: list[Tensor],
        mask: Tensor | None = None,
    ) -> tuple[Tensor, list[Tensor | None]]:
        """The image (N, 3, H, W) in [-1, 1], and the residual flow of both levels.

        The five lists hold the (N, K, ..., h, w) inputs of the fusing blocks at H/8 and at H/4.
        """
        at8, at4 = zip(features, encoded, flows, occlusions, attentions, strict=True)
        x = self.encode_pose(target_pose)
        x, residual8 = self.fuse8(x, *at8, mask)
        x, residual4 = self.fuse4(self.decode8(x), *at4, mask)
        image = torch.tanh(self.to_rgb(self.decode2(self.decode4(x))))
        return image, [residual8, residual4]
