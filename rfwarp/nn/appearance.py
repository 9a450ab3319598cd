"""Source appearance extractor F_a (Table 5): what a source looks like, whatever the target pose."""

from __future__ import annotations

from torch import Tensor, nn

from rfwarp.nn.blocks import ResBlockD


class SourceAppearanceExtractor(nn.Module):
    """Image (N, 3, H, W) to the features that get warped: [(N, 256, H/8, W/8), (N, 128, H/4, W/4)].

    Args:
        channels: channels after each of the three ResBlockD; (64, 128, 256) in Table 5.
    """

    def __init__(
        self,
        channels: tuple[int, int, int] = (64, 128, 256),
        *,
        norm: str = "none",
        negative_slope: float = 0.1,
    ) -> None:
        super().__init__()
        half, quarter, eighth = channels
        self.down2 = ResBlockD(3, half, norm=norm, negative_slope=negative_slope, first=True)
        self.down4 = ResBlockD(half, quarter, norm=norm, negative_slope=negative_slope)
        self.down8 = ResBlockD(quarter, eighth, norm=norm, negative_slope=negative_slope)

    def forward(self, image: Tensor) -> list[Tensor]:
        at_quarter = self.down4(self.down2(image))
        return [self.down8(at_quarter), at_quarter]
