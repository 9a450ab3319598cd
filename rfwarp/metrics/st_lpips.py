"""Shift-tolerant LPIPS (Ghildyal and Liu 2022): LPIPS that small shifts hardly change.

Its AlexNet has strides in blurs only, and was trained with them. The weights come with the
authors' package ``stlpips_pytorch``, of which only that file is used: its code asks for torchvision
and more. The network is here.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import torch.nn.functional as F
from torch import Tensor, nn

from rfwarp.metrics.lpips import BACKBONES, FeatureDistance
from rfwarp.published_weights import load_weights

PACKAGE, FILE = "stlpips_pytorch", "weights/vST0.0/alex_shift_tolerant.pth"
OUTPUTS = (2, 6, 10, 12, 14)


class Blur(nn.Module):
    """Antialiased subsampling by 2: a blur by (1, 2, 1) / 4 in both directions, of maps that are
    mirrored two pixels beyond their edges."""

    def forward(self, x: Tensor) -> Tensor:
        line = x.new_tensor([0.25, 0.5, 0.25])
        weight = (line[:, None] * line).expand(x.shape[1], 1, 3, 3)
        return F.conv2d(F.pad(x, (2,) * 4, mode="reflect"), weight, stride=2, groups=x.shape[1])


class StLpips(FeatureDistance):
    """The shift-tolerant distance of images by AlexNet, frozen; lower is more alike, 0 is equal.

    Attributes:
        path: of the file of weights.

    Raises:
        FileNotFoundError: if the package is not installed, or lacks the file.
        ValueError: if the file is damaged, or a tensor in it is missing, misshapen or not finite.

    Example:
        >>> import torch
        >>> from rfwarp.metrics import StLpips
        >>> distance = StLpips()
        >>> black, white = -torch.ones(1, 3, 64, 64), torch.ones(1, 3, 64, 64)
        >>> distance(black, black).item(), (distance(black, white) > 0.1).item()
        (0.0, True)
    """

    def __init__(self) -> None:
        path = _installed_file()
        super().__init__(path, _alexnet(), OUTPUTS, BACKBONES["alex"].channels)
        level = 0
        for index, layer in enumerate(self.features):
            if isinstance(layer, nn.Conv2d):
                load_weights(layer, path, "ST-LPIPS", prefix=f"net.slice{level + 1}.{index}.")
            level += index in OUTPUTS
        for level, head in enumerate(self.heads):
            load_weights(head, path, "ST-LPIPS", prefix=f"lin{level}.model.1.")
        self.requires_grad_(False)


def _installed_file() -> Path:
    advice = f"pip install --no-deps {PACKAGE}"
    spec = find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise FileNotFoundError(
            f"ST-LPIPS needs the weights in the package {PACKAGE}, which is not installed: {advice}"
        )
    path = Path(spec.origin).parent / FILE
    if not path.is_file():
        raise FileNotFoundError(f"no ST-LPIPS weights: {path} is no file; install anew: {advice}")
    return path


def _alexnet() -> nn.Sequential:
    """The authors' AlexNet up to the last activation, on the meta device."""

    def conv(i: int, o: int, size: int) -> nn.Conv2d:
        return nn.Conv2d(i, o, size, padding=2 if size > 3 else 1, device="meta")

    return nn.Sequential(
        *(conv(3, 64, 11), Blur(), nn.ReLU(), nn.MaxPool2d(3, 1), Blur()),
        *(conv(64, 192, 5), nn.ReLU(), nn.MaxPool2d(3, 1), Blur()),
        *(conv(192, 384, 3), nn.ReLU()),
        *(conv(384, 256, 3), nn.ReLU()),
        *(conv(256, 256, 3), nn.ReLU()),
    )
