"""The inference form of the networks: the same function, computed with less arithmetic.

Each part here replaces a part of the plain networks, from whose weights it is made by the
identities of :mod:`rfwarp.nn.folding`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rfwarp.nn import folding
from rfwarp.nn.blocks import InstanceNorm2d, ResBlockD, ResBlockU, laid_out
from rfwarp.nn.flow import ConfidenceHeads, FlowConfidence, FlowConfidenceExtractor
from rfwarp.nn.fusing import ResFusingBlock
from rfwarp.nn.predictor import TargetImagePredictor
from rfwarp.ops import warp

PRODUCTS = 18  # of a 3x3 convolution to a flow: 9 taps, x and y


def optimize_parts(module: nn.Module) -> nn.Module:
    """Replace, in place, all parts of a network that have a cheaper form; returns the network."""
    if type(module) in _FORMS:
        return _FORMS[type(module)](module)
    for name, child in module.named_children():
        setattr(module, name, optimize_parts(child))
    return module


class FoldedResBlockD(nn.Module):
    """:class:`ResBlockD` whose last convolution pools too."""

    def __init__(self, block: ResBlockD) -> None:
        super().__init__()
        self.first, self.negative_slope = block.first, block.act.negative_slope
        self.norm1, self.norm2 = optimize_parts(block.norm1), optimize_parts(block.norm2)
        self.conv1, self.shortcut = block.conv1, block.shortcut
        self.conv2 = folding.conv(
            folding.fold_pooling(block.conv2.weight), block.conv2.bias, stride=2, padding=1
        )

    def forward(self, x: Tensor) -> Tensor:
        h = x if self.first else F.leaky_relu(self.norm1(x), self.negative_slope)
        return self.finish(self.conv1(h), self.shortcut(F.avg_pool2d(x, 2)))

    def finish(self, h: Tensor, shortcut: Tensor) -> Tensor:
        """The rest of the block after the first convolution, whose result ``h`` is overwritten."""
        h = F.leaky_relu_(self.norm2(h), self.negative_slope)
        out: Tensor = self.conv2(h).add_(shortcut)
        return out


class SplitResBlockD(FoldedResBlockD):
    """The flow network's first block.

    A convolution of concatenated channels is the sum of the convolutions of its parts, so those of
    the sources need not wait for the target pose, nor those of the target pose be done K times.
    """

    def __init__(self, block: ResBlockD, of_source: int, of_target: int) -> None:
        """The first input channels are the source's, the last the target's, and those between
        them, if any, the pair's."""
        super().__init__(block)
        of_pair = block.conv1.in_channels - of_source - of_target
        sizes = [of_source, of_pair, of_target]
        self.conv1, self.conv1_pair, self.conv1_target = _split(block.conv1, sizes)
        self.shortcut, self.shortcut_pair, self.shortcut_target = _split(block.shortcut, sizes)

    def encode(self, source: Tensor) -> list[Tensor]:
        """The terms of the sums that come from a source and its pose (N, C, H, W)."""
        return [self.conv1(source), self.shortcut(F.avg_pool2d(source, 2))]

    def pair(
        self, encoded: Sequence[Tensor], of_pairs: Tensor | None, target_pose: Tensor
    ) -> Tensor:
        """All pairs of M target poses and K sources, (M*K, C, H/2, W/2)."""
        conv1, shortcut = encoded
        h = _pairs(conv1, self.conv1_target(target_pose))
        x = _pairs(shortcut, self.shortcut_target(F.avg_pool2d(target_pose, 2)))
        if of_pairs is not None:
            assert self.conv1_pair is not None
            assert self.shortcut_pair is not None
            h, x = h + self.conv1_pair(of_pairs), x + self.shortcut_pair(F.avg_pool2d(of_pairs, 2))
        return self.finish(h, x)


class SplitFlowConfidenceExtractor(FlowConfidenceExtractor):
    """:class:`FlowConfidenceExtractor` that reads the sources when they are encoded."""

    def __init__(self, plain: FlowConfidenceExtractor) -> None:
        nn.Module.__init__(self)
        self.set_up(plain.config)
        first, *others = plain.down
        assert isinstance(first, ResBlockD)
        split = SplitResBlockD(first, self.source_channels, plain.config.pose_channels)
        self.down = nn.ModuleList([split, *map(optimize_parts, others)])
        for name, child in plain.named_children():
            if name != "down":
                self.add_module(name, optimize_parts(child))

    @property
    def first(self) -> SplitResBlockD:
        return cast(SplitResBlockD, self.down[0])

    def encode_pairs(self, inputs: Tensor) -> list[Tensor]:
        flat = laid_out(inputs.flatten(0, 1), self.first.conv1.weight)
        return [x.unflatten(0, inputs.shape[:2]) for x in self.first.encode(flat)]

    def pair(
        self, encoded: Sequence[Tensor], of_pairs: Tensor | None, target_pose: Tensor
    ) -> Tensor:
        return self.first.pair(encoded[:2], of_pairs, target_pose)


class FoldedResBlockU(nn.Module):
    """:class:`ResBlockU` whose first convolution upsamples too."""

    def __init__(self, block: ResBlockU) -> None:
        super().__init__()
        self.negative_slope = block.act.negative_slope
        self.norm1, self.norm2 = optimize_parts(block.norm1), optimize_parts(block.norm2)
        self.conv1 = folding.upsampling_conv(
            folding.fold_upsampling(block.conv1.weight), block.conv1.bias
        )
        self.conv2, self.shortcut = block.conv2, block.shortcut

    def forward(self, x: Tensor) -> Tensor:
        return self.finish(self.start(x), x)

    def start(self, x: Tensor) -> Tensor:
        """The input of the second convolution."""
        h = self.conv1(F.leaky_relu(self.norm1(x), self.negative_slope))
        return F.leaky_relu_(self.norm2(h), self.negative_slope)

    def finish(self, h: Tensor, x: Tensor) -> Tensor:
        """The second convolution and the shortcut."""
        shortcut = F.interpolate(self.shortcut(x), scale_factor=2.0, mode="nearest")
        out: Tensor = self.conv2(h).add_(shortcut)
        return out


class FoldedImageBlock(FoldedResBlockU):
    """The last :class:`ResBlockU` with the convolution to RGB, which nothing separates."""

    def __init__(self, block: ResBlockU, to_rgb: nn.Conv2d) -> None:
        super().__init__(block)
        self.to_rgb = to_rgb
        conv2, shortcut, rgb = block.conv2, block.shortcut, to_rgb.weight
        bias = _bias(to_rgb) + rgb.sum((2, 3)) @ (_bias(conv2) + _bias(shortcut))
        self.of_h = folding.conv(
            folding.fold_pixels(folding.compose(conv2.weight, rgb)),
            bias.repeat_interleave(4),
            stride=2,
            padding=2,
        )
        of_x = torch.einsum("ocyx,ci->oiyx", rgb, shortcut.weight[:, :, 0, 0])
        self.of_x = folding.conv(folding.fold_upsampled_pixels(of_x), None, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        n, h = x.shape[0], self.start(x)
        image = F.pixel_shuffle(self.of_h(h).add_(self.of_x(x)), 2)
        # The outermost ring, for which folding.compose does not hold, is computed the plain way
        # from the four rows and columns that it depends on.
        rows = self.to_rgb(self.finish(_ends(h, 4, dim=2), _ends(x, 2, dim=2)))
        columns = self.to_rgb(self.finish(_ends(h, 4, dim=3), _ends(x, 2, dim=3)))
        image[:, :, 0], image[:, :, -1] = rows[:n, :, 0], rows[n:, :, -1]
        image[..., 0], image[..., -1] = columns[:n, ..., 0], columns[n:, ..., -1]
        return image


class CentredGroupNorm(nn.GroupNorm):
    """``nn.InstanceNorm2d``, which PyTorch does not do in channels_last, as a group per channel."""

    def __init__(self, norm: nn.InstanceNorm2d) -> None:
        super().__init__(norm.num_features, norm.num_features, norm.eps, device="meta")
        self.weight, self.bias = norm.weight, norm.bias

    def forward(self, x: Tensor) -> Tensor:
        # Centred first, as on CPUs the variance comes of E[x^2] - E[x]^2 in float32.
        return super().forward(x - x.mean((2, 3), keepdim=True))


class MergedHeads(nn.Module):
    """:class:`ConfidenceHeads` as one convolution."""

    def __init__(self, heads: ConfidenceHeads) -> None:
        super().__init__()
        parts = [heads.flow, heads.attention, heads.occlusion]
        present = [part for part in parts if part is not None]
        outputs = [0 if part is None else part.out_channels for part in parts]
        self.sizes = [count // heads.enlarge**2 for count in outputs]
        weight = torch.cat([part.weight for part in present])
        bias = torch.cat([_bias(part) for part in present])
        self.conv = folding.full_precision_conv(weight, bias, padding=1)
        self.enlarge = heads.enlarge

    def forward(self, x: Tensor, k: int) -> FlowConfidence:
        merged = self.conv(x)
        if self.enlarge > 1:
            merged = F.pixel_shuffle(merged, self.enlarge)
        flow, attention, occlusion = merged.unflatten(0, (-1, k)).split(self.sizes, dim=2)
        return FlowConfidence(
            flow,
            attention if attention.shape[2] else None,
            occlusion if occlusion.shape[2] else None,
        )


class ProjectedResFusingBlock(ResFusingBlock):
    """:class:`ResFusingBlock` that warps 18 products of the features with R instead of them all.

    The warp moves the channels of a pixel together: it may go before or after a 1x1 convolution.
    """

    def __init__(self, block: ResFusingBlock) -> None:
        nn.Module.__init__(self)
        assert block.residual is not None
        self.padding_mode, self.residual_limit = block.padding_mode, block.residual_limit
        of_target, of_source = block.residual.weight.chunk(2, dim=1)
        # The bias comes with the tap in the middle, which no edge cuts off.
        bias = F.pad(_bias(block.residual)[:, None], (4, 4)).flatten()
        self.of_target = folding.full_precision_conv(folding.products(of_target), bias)
        self.of_source = folding.full_precision_conv(folding.products(of_source), None)

    def encode(self, features: Tensor) -> Tensor:
        """The products (N, K, 18, H, W) with the sources, float32 (float64 for double features)."""
        products: Tensor = self.of_source(features.flatten(0, 1))
        return products.unflatten(0, features.shape[:2])

    def predict_residual(self, target: Tensor, encoded: Tensor, flow: Tensor) -> Tensor:
        shape = flow.shape[:2]
        warped = warp(encoded.flatten(0, 1), flow.flatten(0, 1), self.padding_mode)
        products = _pairs(warped.unflatten(0, shape), self.of_target(target))
        return self.bound(folding.shift_and_add(products).unflatten(0, shape))


def _optimize_fusing(block: ResFusingBlock) -> nn.Module:
    # Pixels of images have fewer channels than products: nothing would be saved.
    few = block.residual is None or block.residual.in_channels < PRODUCTS
    return block if few else ProjectedResFusingBlock(block)


def _optimize_predictor(predictor: TargetImagePredictor) -> nn.Module:
    # A refinement reads what the convolution to RGB reads: there the two stay apart.
    if predictor.refine is None:
        last = predictor.decode2[-1]
        assert isinstance(last, ResBlockU)
        assert isinstance(predictor.to_rgb, nn.Conv2d)
        predictor.decode2[-1] = FoldedImageBlock(last, predictor.to_rgb)
        predictor.to_rgb = nn.Identity()
    for name, child in predictor.named_children():
        setattr(predictor, name, optimize_parts(child))
    return predictor


def _split(conv: nn.Conv2d, sizes: Sequence[int]) -> tuple[nn.Conv2d, nn.Conv2d | None, nn.Conv2d]:
    """Convolutions of three groups of input channels, which sum to ``conv``; the middle group may
    be empty."""
    padding = conv.kernel_size[0] // 2
    first, middle, last = conv.weight.split(list(sizes), dim=1)
    return (
        folding.conv(first, conv.bias, padding=padding),
        folding.conv(middle, None, padding=padding) if sizes[1] else None,
        folding.conv(last, None, padding=padding),
    )


def _bias(conv: nn.Conv2d) -> Tensor:
    assert conv.bias is not None
    return conv.bias


def _pairs(of_sources: Tensor, of_targets: Tensor) -> Tensor:
    """(M or 1, K, C, H, W) + (M, C, H, W) as (M*K, C, H, W)."""
    return (of_sources + of_targets[:, None]).flatten(0, 1)


def _ends(x: Tensor, size: int, dim: int) -> Tensor:
    """The beginnings of the images along a dimension, then their ends, as one batch (2N, ...)."""
    return torch.cat([x.narrow(dim, 0, size), x.narrow(dim, x.shape[dim] - size, size)])


_FORMS: dict[type[nn.Module], Callable[[Any], nn.Module]] = {
    ResBlockD: FoldedResBlockD,
    ResBlockU: FoldedResBlockU,
    InstanceNorm2d: CentredGroupNorm,
    ConfidenceHeads: MergedHeads,
    FlowConfidenceExtractor: SplitFlowConfidenceExtractor,
    ResFusingBlock: _optimize_fusing,
    TargetImagePredictor: _optimize_predictor,
}
