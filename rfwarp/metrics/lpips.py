"""LPIPS (Zhang et al. 2018): perceptual distance by features of AlexNet or VGG-16.

The linear weights of version 0.1 come with torchmetrics; those of the networks are torchvision's.
The networks are here because torchmetrics takes them from torchvision, which we do not ask for.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from rfwarp.metrics.config import LpipsNet
from rfwarp.published_weights import find_weights, load_weights

# Of the colours in [-1, 1].
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
EPSILON = 1e-10
MIN_SIZE = 32  # five halvings leave one pixel of it


class Backbone(NamedTuple):
    """A network whose activations LPIPS compares."""

    title: str
    file_name: str
    megabytes: int
    outputs: tuple[int, ...]
    """Places of these activations in torchvision's ``features``."""
    channels: tuple[int, ...]
    """Numbers of channels of these activations."""

    @property
    def advice(self) -> str:
        """Advice on getting the weights."""
        url = f"https://download.pytorch.org/models/{self.file_name}"
        return f"Download {url} ({self.megabytes} MB)"


BACKBONES: dict[LpipsNet, Backbone] = {
    "alex": Backbone(
        *("AlexNet", "alexnet-owt-7be5be79.pth", 233),
        outputs=(1, 4, 7, 9, 11),
        channels=(64, 192, 384, 256, 256),
    ),
    "vgg": Backbone(
        *("VGG-16", "vgg16-397923af.pth", 528),
        outputs=(3, 8, 15, 22, 29),
        channels=(64, 128, 256, 512, 512),
    ),
}
"""Networks by their names in the authors' package; its default, and the usual one, is alex."""


class FeatureDistance(nn.Module):
    """Distance of two images' activations in a network: the common part of LPIPS and its variants.

    Args:
        path: of the file of weights.
        features: the network.
        outputs: places in it whose activations are compared.
        channels: of these activations.
    """

    def __init__(
        self, path: Path, features: nn.Sequential, outputs: Sequence[int], channels: Sequence[int]
    ) -> None:
        super().__init__()
        self.path, self.outputs = path, tuple(outputs)
        self.features = features
        self.heads = nn.ModuleList(_head(count) for count in channels)
        self.shift: Tensor
        self.scale: Tensor
        for name, values in (("shift", SHIFT), ("scale", SCALE)):
            self.register_buffer(name, torch.tensor(values).view(3, 1, 1), persistent=False)

    def forward(self, images: Tensor, references: Tensor) -> Tensor:
        """(N,) distances of images and references (N, 3, H, W) in [-1, 1]; H and W at least 32."""
        given = (images.shape, references.shape)
        if given[0] != given[1] or images.ndim != 4 or images.shape[1] != 3:
            raise ValueError(
                f"images and references must both be (N, 3, H, W), got {_shown(given)}"
            )
        if min(images.shape[2:]) < MIN_SIZE:
            raise ValueError(
                f"images and references must have H and W >= {MIN_SIZE}, got {_shown(given)}"
            )
        x = (torch.cat([images, references]) - self.shift) / self.scale
        distance = x.new_zeros(len(images))
        heads = iter(self.heads)
        for index, layer in enumerate(self.features):
            x = layer(x)
            if index in self.outputs:
                ours, theirs = (x / (x.norm(dim=1, keepdim=True) + EPSILON)).chunk(2)
                distance = distance + next(heads)((ours - theirs).square()).mean((1, 2, 3))
        return distance


class Lpips(FeatureDistance):
    """The distance of images, frozen; lower is more alike, 0 is equal.

    Args:
        weights: torchvision's ``alexnet-owt-7be5be79.pth`` or ``vgg16-397923af.pth``, or its
            tensors as ``.safetensors``. None takes the file from the torch hub's cache.
        net: which network.

    Attributes:
        net: which network.
        path: of the file.

    Raises:
        FileNotFoundError: if a file is not there; the message says how to get it.
        ValueError: if the net is unknown, the file is damaged, or a tensor in it is missing,
            misshapen or not finite.

    Example:
        >>> from pathlib import Path
        >>> from rfwarp.metrics import Lpips
        >>> Lpips(Path("alexnet.pth"))  # a file that is not there
        Traceback (most recent call last):
            ...
        FileNotFoundError: no AlexNet weights: alexnet.pth is no file. ...
    """

    def __init__(self, weights: Path | None = None, net: LpipsNet = "alex") -> None:
        if net not in BACKBONES:
            raise ValueError(f"net must be one of {', '.join(BACKBONES)}, got {net!r}")
        backbone = BACKBONES[net]
        path = find_weights(weights, backbone.file_name, backbone.title, backbone.advice)
        features = _alexnet() if net == "alex" else _vgg16()
        super().__init__(path, features, backbone.outputs, backbone.channels)
        self.net = net
        load_weights(self.features, path, backbone.title, prefix="features.")
        for level, head in enumerate(self.heads):
            load_weights(head, heads_file(net), f"LPIPS ({net})", prefix=f"lin{level}.model.1.")
        self.requires_grad_(False)


def _shown(shapes: tuple[torch.Size, torch.Size]) -> str:
    return " and ".join(str(tuple(shape)) for shape in shapes)


def _head(channels: int) -> nn.Conv2d:
    return nn.Conv2d(channels, 1, 1, bias=False, device="meta")


def heads_file(net: LpipsNet) -> Path:
    """The linear weights that torchmetrics brings along.

    Raises:
        FileNotFoundError: if this version of torchmetrics does not.
    """
    spec = find_spec("torchmetrics")
    folder = Path(spec.origin).parent if spec and spec.origin else Path()
    path = folder / "functional" / "image" / "lpips_models" / f"{net}.pth"
    if not path.is_file():
        raise FileNotFoundError(
            f"no linear weights of LPIPS: torchmetrics has no file {path}. Install a version from "
            '1.4 on: pip install "rfwarp[metrics]"'
        )
    return path


def _alexnet() -> nn.Sequential:
    """torchvision's ``features`` of AlexNet up to the last activation, on the meta device."""

    def conv(i: int, o: int, size: int, stride: int = 1) -> nn.Conv2d:
        padding = 2 if size > 3 else 1
        return nn.Conv2d(i, o, size, stride, padding, device="meta")

    return nn.Sequential(
        *(conv(3, 64, 11, 4), nn.ReLU(), nn.MaxPool2d(3, 2)),
        *(conv(64, 192, 5), nn.ReLU(), nn.MaxPool2d(3, 2)),
        *(conv(192, 384, 3), nn.ReLU()),
        *(conv(384, 256, 3), nn.ReLU()),
        *(conv(256, 256, 3), nn.ReLU()),
    )


def _vgg16() -> nn.Sequential:
    """torchvision's ``features`` of VGG-16 up to the last activation, on the meta device."""
    layers: list[nn.Module] = []
    channels = 3
    for block, (width, count) in enumerate(((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))):
        if block:
            layers.append(nn.MaxPool2d(2))
        for _ in range(count):
            layers += [nn.Conv2d(channels, width, 3, padding=1, device="meta"), nn.ReLU()]
            channels = width
    return nn.Sequential(*layers)
