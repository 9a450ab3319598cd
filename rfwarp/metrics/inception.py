"""InceptionV3 as FID is computed with (Heusel et al. 2017), from its published weights.

The network of TensorFlow's 2015 release, as its PyTorch ports have it: names are torchvision's, but
average pools leave out the padding, and the last block pools by maximum.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rfwarp.published_weights import find_weights, load_weights

FILE_NAME = "pt_inception-2015-12-05-6726825d.pth"
ADVICE = f"Download {FILE_NAME} (91 MB), which the authors of pytorch-fid publish"
SIZE = 299
CLASSES = 1008


class FrozenNorm(nn.Module):
    """Batch normalisation by the fixed statistics of the training."""

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        for name in ("weight", "bias", "running_mean", "running_var"):
            self.register_buffer(name, torch.empty(channels))

    def forward(self, x: Tensor) -> Tensor:
        mean, variance = self.running_mean, self.running_var
        return F.batch_norm(x, mean, variance, self.weight, self.bias, eps=0.001)


class Conv(nn.Module):
    """Convolution, batch normalisation, ReLU."""

    def __init__(self, i: int, o: int, size: int | tuple[int, int] = 1, stride: int = 1) -> None:
        super().__init__()
        height, width = (size, size) if isinstance(size, int) else size
        # Convolutions with a stride see no padding, all others keep the size.
        padding = (0, 0) if stride > 1 else (height // 2, width // 2)
        self.conv = nn.Conv2d(i, o, (height, width), stride, padding, bias=False)
        self.bn = FrozenNorm(o)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)), inplace=True)


class Block(nn.Module):
    """Branches whose results are concatenated.

    Args:
        branches: chains of the names of convolutions, in the order of concatenation. A list within
            a chain is a fork, whose ends are concatenated. ``"average"``, ``"maximum"`` and
            ``"halve"`` are pools.
        convolutions: by name.
    """

    def __init__(self, branches: list[list[object]], convolutions: dict[str, Conv]) -> None:
        super().__init__()
        self.branches = branches
        for name, convolution in convolutions.items():
            self.add_module(name, convolution)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self._follow(x, branch) for branch in self.branches], dim=1)

    def _follow(self, x: Tensor, chain: list[object]) -> Tensor:
        for step in chain:
            if isinstance(step, list):
                x = torch.cat([self._follow(x, [name]) for name in step], dim=1)
            elif step == "average":
                x = F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
            elif step == "maximum":
                x = F.max_pool2d(x, 3, 1, 1)
            elif step == "halve":
                x = F.max_pool2d(x, 3, 2)
            else:
                x = self.get_submodule(str(step))(x)
        return x


def _chain(name: str, *parts: str) -> list[object]:
    return [f"{name}_{part}" for part in parts]


def _mixed_a(i: int, pool: int) -> Block:
    return Block(
        [
            ["branch1x1"],
            _chain("branch5x5", "1", "2"),
            _chain("branch3x3dbl", "1", "2", "3"),
            ["average", "branch_pool"],
        ],
        {
            "branch1x1": Conv(i, 64),
            "branch5x5_1": Conv(i, 48),
            "branch5x5_2": Conv(48, 64, 5),
            "branch3x3dbl_1": Conv(i, 64),
            "branch3x3dbl_2": Conv(64, 96, 3),
            "branch3x3dbl_3": Conv(96, 96, 3),
            "branch_pool": Conv(i, pool),
        },
    )


def _mixed_b(i: int) -> Block:
    return Block(
        [["branch3x3"], _chain("branch3x3dbl", "1", "2", "3"), ["halve"]],
        {
            "branch3x3": Conv(i, 384, 3, 2),
            "branch3x3dbl_1": Conv(i, 64),
            "branch3x3dbl_2": Conv(64, 96, 3),
            "branch3x3dbl_3": Conv(96, 96, 3, 2),
        },
    )


def _mixed_c(c: int) -> Block:
    i, wide, high = 768, (1, 7), (7, 1)
    return Block(
        [
            ["branch1x1"],
            _chain("branch7x7", "1", "2", "3"),
            _chain("branch7x7dbl", "1", "2", "3", "4", "5"),
            ["average", "branch_pool"],
        ],
        {
            "branch1x1": Conv(i, 192),
            "branch7x7_1": Conv(i, c),
            "branch7x7_2": Conv(c, c, wide),
            "branch7x7_3": Conv(c, 192, high),
            "branch7x7dbl_1": Conv(i, c),
            "branch7x7dbl_2": Conv(c, c, high),
            "branch7x7dbl_3": Conv(c, c, wide),
            "branch7x7dbl_4": Conv(c, c, high),
            "branch7x7dbl_5": Conv(c, 192, wide),
            "branch_pool": Conv(i, 192),
        },
    )


def _mixed_d() -> Block:
    i = 768
    return Block(
        [_chain("branch3x3", "1", "2"), _chain("branch7x7x3", "1", "2", "3", "4"), ["halve"]],
        {
            "branch3x3_1": Conv(i, 192),
            "branch3x3_2": Conv(192, 320, 3, 2),
            "branch7x7x3_1": Conv(i, 192),
            "branch7x7x3_2": Conv(192, 192, (1, 7)),
            "branch7x7x3_3": Conv(192, 192, (7, 1)),
            "branch7x7x3_4": Conv(192, 192, 3, 2),
        },
    )


def _mixed_e(i: int, pool: str) -> Block:
    return Block(
        [
            ["branch1x1"],
            ["branch3x3_1", _chain("branch3x3", "2a", "2b")],
            ["branch3x3dbl_1", "branch3x3dbl_2", _chain("branch3x3dbl", "3a", "3b")],
            [pool, "branch_pool"],
        ],
        {
            "branch1x1": Conv(i, 320),
            "branch3x3_1": Conv(i, 384),
            "branch3x3_2a": Conv(384, 384, (1, 3)),
            "branch3x3_2b": Conv(384, 384, (3, 1)),
            "branch3x3dbl_1": Conv(i, 448),
            "branch3x3dbl_2": Conv(448, 384, 3),
            "branch3x3dbl_3a": Conv(384, 384, (1, 3)),
            "branch3x3dbl_3b": Conv(384, 384, (3, 1)),
            "branch_pool": Conv(i, 192),
        },
    )


class Inception(nn.Module):
    """The 2048 features of an image that FID compares, frozen.

    Args:
        weights: the file ``pt_inception-2015-12-05-6726825d.pth``, or its tensors as
            ``.safetensors``. None takes the file from the torch hub's cache.

    Attributes:
        num_features: 2048.
        resizing: how images come to the network's size, in words.
        path: of the file.

    Raises:
        FileNotFoundError: if it is not there; the message says how to get it.
        ValueError: if it is damaged, a tensor in it is missing, misshapen or not finite, or it is
            torchvision's InceptionV3, whose features FID is not defined by.

    Example:
        >>> from pathlib import Path
        >>> from rfwarp.metrics import Inception
        >>> Inception(Path("inception.pth"))  # a file that is not there
        Traceback (most recent call last):
            ...
        FileNotFoundError: no FID's Inception weights: inception.pth is no file. ...
    """

    num_features = 2048
    resizing = f"bilinear, not antialiased, to {SIZE} x {SIZE}"

    def __init__(self, weights: Path | None = None) -> None:
        super().__init__()
        self.path = find_weights(weights, FILE_NAME, "FID's Inception", ADVICE)
        with torch.device("meta"):
            self.layers, classifier = _layers(), nn.Linear(self.num_features, CLASSES)
        # Unused, but the only shape that tells this network from torchvision's, of 1000 classes.
        load_weights(classifier, self.path, "FID's Inception", prefix="fc.")
        load_weights(self.layers, self.path, "FID's Inception")
        self.requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) in [-1, 1] to (N, 2048); resized to 299 x 299, not antialiased."""
        x = F.interpolate(images, (SIZE, SIZE), mode="bilinear", align_corners=False)
        return self.layers(x).mean((2, 3))


def _layers() -> nn.Sequential:
    layers = nn.Sequential()
    for name, layer in {
        "Conv2d_1a_3x3": Conv(3, 32, 3, 2),
        "Conv2d_2a_3x3": _unpadded(32, 32),
        "Conv2d_2b_3x3": Conv(32, 64, 3),
        "pool1": nn.MaxPool2d(3, 2),
        "Conv2d_3b_1x1": Conv(64, 80),
        "Conv2d_4a_3x3": _unpadded(80, 192),
        "pool2": nn.MaxPool2d(3, 2),
        "Mixed_5b": _mixed_a(192, 32),
        "Mixed_5c": _mixed_a(256, 64),
        "Mixed_5d": _mixed_a(288, 64),
        "Mixed_6a": _mixed_b(288),
        "Mixed_6b": _mixed_c(128),
        "Mixed_6c": _mixed_c(160),
        "Mixed_6d": _mixed_c(160),
        "Mixed_6e": _mixed_c(192),
        "Mixed_7a": _mixed_d(),
        "Mixed_7b": _mixed_e(1280, "average"),
        "Mixed_7c": _mixed_e(2048, "maximum"),
    }.items():
        layers.add_module(name, layer)
    return layers


def _unpadded(i: int, o: int) -> Conv:
    made = Conv(i, o, 3)
    made.conv.padding = (0, 0)
    return made
