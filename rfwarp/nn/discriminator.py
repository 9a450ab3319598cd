"""The discriminator of the adversarial loss (Eq. 11)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from rfwarp.nn.blocks import ResBlockD


class Discriminator(nn.Module):
    """Patch discriminator: a logit for every patch of an image, sigmoid(logit) = P(real).

    A ``ResBlockD`` per entry of ``channels``, then activation and a 1x1 convolution; spectral
    norm on every convolution. In training mode every forward pass refines the estimates of the
    norms, which are part of the state dict.

    Args:
        channels: after each block.
        negative_slope: of LeakyReLU.

    Raises:
        ValueError: if there are no channels, or a number is below 1.

    Example:
        >>> import torch
        >>> from rfwarp.nn import Discriminator
        >>> discriminator = Discriminator(channels=(8, 16))
        >>> discriminator(torch.zeros(1, 3, 32, 32)).shape  # a logit for every 4 x 4 pixels
        torch.Size([1, 1, 8, 8])
    """

    def __init__(
        self, channels: Sequence[int] = (32, 64, 128, 128), negative_slope: float = 0.1
    ) -> None:
        super().__init__()
        if not channels or min(channels) < 1:
            raise ValueError(f"channels must be positive numbers, got {tuple(channels)}")
        self.stride = 2 ** len(channels)
        pairs = zip((3, *channels[:-1]), channels, strict=True)
        self.blocks = nn.Sequential(
            *(
                ResBlockD(i, o, negative_slope=negative_slope, first=level == 0)
                for level, (i, o) in enumerate(pairs)
            )
        )
        self.act = nn.LeakyReLU(negative_slope)
        self.to_logits = nn.Conv2d(channels[-1], 1, 1)
        for module in list(self.modules()):
            if isinstance(module, nn.Conv2d):
                spectral_norm(module)

    def forward(self, image: Tensor) -> Tensor:
        """Image (N, 3, H, W) in [-1, 1] to logits (N, 1, H/16, W/16), for four blocks.

        Raises:
            ValueError: if H or W is no multiple of that stride.
        """
        if image.ndim != 4 or image.shape[1] != 3 or any(s % self.stride for s in image.shape[2:]):
            raise ValueError(
                f"image must be (N, 3, H, W), H and W multiples of {self.stride}, "
                f"got {tuple(image.shape)}"
            )
        logits: Tensor = self.to_logits(self.act(self.blocks(image)))
        return logits
