"""Patch discriminator."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from rfwarp.nn.blocks import ResBlockD


class Discriminator(nn.Module):
    """ResBlockD 3->32->64->128->128 with spectral norm: (N, 3, H, W) to logits (N, 1, h, w)."""

    def __init__(
        self, channels: tuple[int, ...] = (32, 64, 128, 128), negative_slope: float = 0.1
    ) -> None:
        super().__init__()
        pairs = enumerate(zip((3, *channels[:-1]), channels, strict=True))
        self.blocks = nn.Sequential(
            *(
                ResBlockD(i, o, norm="none", negative_slope=negative_slope, first=level == 0)
                for level, (i, o) in pairs
            ),
            nn.LeakyReLU(negative_slope),
            nn.Conv2d(channels[-1], 1, 1),
        )
        for module in list(self.modules()):
            if isinstance(module, nn.Conv2d):
                spectral_norm(module)

    def forward(self, image: Tensor) -> Tensor:
        logits: Tensor = self.blocks(image)
        return logits
