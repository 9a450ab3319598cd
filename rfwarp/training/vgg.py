"""VGG-19 as a feature set, from torchvision's published weights; torchvision is not needed."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from rfwarp.published_weights import find_weights, load_weights

FILE_NAME = "vgg19-dcbb9e9d.pth"
URL = f"https://download.pytorch.org/models/{FILE_NAME}"
ADVICE = f"Choose another feature set, or download {URL} (548 MB)"

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, in [0, 1]
# Channels and convolutions of each block. The last has two more, which nothing here reads.
BLOCKS = ((64, 2), (128, 2), (256, 4), (512, 4), (512, 2))
MATCHING_STRIDES = (8, 4)
LAYERS = {
    "matching": ("relu4_1", "relu3_1"),
    "perceptual": ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"),
    "style": ("relu2_2", "relu3_4", "relu4_4", "relu5_2"),
}
"""The activations that each loss compares."""

log = logging.getLogger(__name__)


class Vgg19(nn.Module):
    """Activations of VGG-19 up to relu5_2, frozen.

    It reads images (N, 3, H, W) in [-1, 1], of any float type that the module is in, and normalises
    them as ImageNet is; H and W must be multiples of 16, as the maps halve four times. No map is
    negative. The gradient goes to the images only.

    Args:
        weights: the file ``vgg19-dcbb9e9d.pth``, or one ending in ``.safetensors`` with the same
            tensors (``features.0.weight``, ``features.0.bias``, ...; those of the classifier may
            be missing). None takes the file from the torch hub's cache.

    Raises:
        FileNotFoundError: if it is not there; the message says how to get it.
        ValueError: if it is damaged, or a tensor in it is missing, misshapen or not finite.

    Example:
        >>> from pathlib import Path
        >>> from rfwarp.training import Vgg19
        >>> Vgg19(Path("vgg19.pth"))  # a file that is not there
        Traceback (most recent call last):
            ...
        FileNotFoundError: no VGG-19 weights: vgg19.pth is no file. ...
    """

    name = "vgg19"

    def __init__(self, weights: Path | None = None) -> None:
        super().__init__()
        path = find_weights(weights, FILE_NAME, "VGG-19", ADVICE)
        self.features, self.outputs = _layers()
        load_weights(self.features, path, "VGG-19", prefix="features.")
        self.mean: Tensor
        self.std: Tensor
        for name, values in (("mean", MEAN), ("std", STD)):
            self.register_buffer(name, torch.tensor(values).view(3, 1, 1), persistent=False)
        self.requires_grad_(False)
        log.info("VGG-19 from %s", path)

    def forward(self, image: Tensor, layers: Sequence[str]) -> list[Tensor]:
        """The named activations, ``relu1_1`` to ``relu5_2``, in one pass no deeper than needed."""
        unknown = [name for name in layers if name not in self.outputs]
        if unknown:
            raise ValueError(f"no layers {unknown}: there are {', '.join(self.outputs)}")
        if image.ndim != 4 or image.shape[1] != 3 or any(s % 16 or s == 0 for s in image.shape[2:]):
            raise ValueError(
                f"image must be (N, 3, H, W), H and W multiples of 16, got {tuple(image.shape)}"
            )
        wanted = {self.outputs[name]: name for name in layers}
        x = ((image + 1) / 2 - self.mean) / self.std
        found: dict[str, Tensor] = {}
        for index, layer in enumerate(self.features):
            if len(found) == len(wanted):
                break
            x = layer(x)
            if index in wanted:
                found[wanted[index]] = x
        return [found[name] for name in layers]

    def maps(self, image: Tensor, uses: Iterable[str]) -> dict[str, list[Tensor]]:
        """The activations in ``LAYERS``, by use, in one pass for all of them."""
        layers = {use: LAYERS[use] for use in uses}
        names = sorted({name for wanted in layers.values() for name in wanted})
        found = dict(zip(names, self(image, names), strict=True))
        return {use: [found[name] for name in wanted] for use, wanted in layers.items()}


def _layers() -> tuple[nn.Sequential, dict[str, int]]:
    """torchvision's ``features`` up to relu5_2, on the meta device, and where activations are."""
    layers: list[nn.Module] = []
    outputs: dict[str, int] = {}
    channels = 3
    for block, (width, count) in enumerate(BLOCKS, 1):
        if block > 1:
            layers.append(nn.MaxPool2d(2))
        for i in range(1, count + 1):
            layers.append(nn.Conv2d(channels, width, 3, padding=1, device="meta"))
            layers.append(nn.ReLU(inplace=True))
            outputs[f"relu{block}_{i}"] = len(layers) - 1
            channels = width
    return nn.Sequential(*layers), outputs
