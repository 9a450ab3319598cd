"""Source appearance extractor F_a (Table 5): what a source looks like, whatever the target pose."""

from __future__ import annotations

from torch import Tensor, nn

from rfwarp.nn.blocks import ResBlockD
from rfwarp.nn.config import GeneratorConfig


class SourceAppearanceExtractor(nn.Module):
    """Image (N, 3, H, W) to the features that get warped, at every level of ``config.levels``.

    After the three ResBlockD of Table 5 they have (64, 128, 256) times ``config.width`` channels,
    at H/2, H/4 and H/8; at level 1 they are the image itself.
    """

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.levels = config.levels
        half, quarter, eighth = config.channels(64, 128, 256)
        norm, slope = config.encoder_norm, config.negative_slope
        self.down2 = ResBlockD(3, half, norm=norm, negative_slope=slope, first=True)
        if max(self.levels) >= 4:
            self.down4 = ResBlockD(half, quarter, norm=norm, negative_slope=slope)
        if max(self.levels) >= 8:
            self.down8 = ResBlockD(quarter, eighth, norm=norm, negative_slope=slope)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Features (N, C, H / stride, W / stride), coarse first."""
        features = {1: image, 2: self.down2(image)}
        if max(self.levels) >= 4:
            features[4] = self.down4(features[2])
        if max(self.levels) >= 8:
            features[8] = self.down8(features[4])
        return [features[stride] for stride in self.levels]
