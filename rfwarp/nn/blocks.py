"""The residual blocks that all three sub-networks are stacked from (Tables 5-7).

They are the BigGAN blocks with LeakyReLU: ``ResBlockD`` halves the resolution, ``ResBlockU``
doubles it, ``ResBlock`` keeps it. All map (N, in_channels, H, W) to (N, out_channels, H', W').
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rfwarp.nn.config import Norm


def laid_out(x: Tensor, weight: Tensor) -> Tensor:
    """``x`` (N, C, H, W) in the memory format of the weight of a convolution that reads it.

    The convolution would copy it otherwise, in every pass over it, and all that is computed from
    its output, element by element, would have that format no more.
    """
    return x.contiguous(memory_format=torch.channels_last) if _is_last(weight) else x


def repeat_each(x: Tensor, k: int) -> Tensor:
    """(N, C, H, W) to (N*K, C, H, W), each K times in turn, in the memory format that it has."""
    if not _is_last(x):
        return x[:, None].expand(-1, k, -1, -1, -1).flatten(0, 1)
    return repeat_each(x.permute(0, 2, 3, 1), k).permute(0, 3, 1, 2)


class InstanceNorm2d(nn.InstanceNorm2d):
    """``nn.InstanceNorm2d`` whose output has the memory format of its input."""

    def forward(self, input: Tensor) -> Tensor:
        out = super().forward(input)
        return out.contiguous(memory_format=torch.channels_last) if _is_last(input) else out


def _is_last(x: Tensor) -> bool:
    return x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()


def make_norm(norm: Norm, channels: int) -> nn.Module:
    """The normalisation layer called ``norm``."""
    if norm == "instance":
        return InstanceNorm2d(channels, affine=True)
    return nn.Identity()


def zero(conv: nn.Conv2d) -> None:
    """Set a convolution to 0, so that training starts from the network without it."""
    nn.init.zeros_(conv.weight)
    assert conv.bias is not None
    nn.init.zeros_(conv.bias)


class ResBlockD(nn.Module):
    """``avgpool2(conv3(act(conv3(act(x))))) + avgpool2(conv1(x))``; H and W must be even.

    ``first`` drops the leading norm and activation, for the block that reads an image or a pose.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        norm: Norm = "none",
        negative_slope: float = 0.1,
        first: bool = False,
    ) -> None:
        super().__init__()
        self.first = first
        self.norm1 = nn.Identity() if first else make_norm(norm, in_channels)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.norm2 = make_norm(norm, out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.shortcut = nn.Conv2d(in_channels, out_channels, 1)
        self.act = nn.LeakyReLU(negative_slope)

    def forward(self, x: Tensor) -> Tensor:
        x = laid_out(x, self.conv1.weight)
        h = x if self.first else self.act(self.norm1(x))
        h = self.conv2(self.act(self.norm2(self.conv1(h))))
        # A 1x1 convolution commutes with pooling: the shortcut pools first, a quarter of the work.
        return F.avg_pool2d(h, 2) + self.shortcut(F.avg_pool2d(x, 2))


class ResBlockU(nn.Module):
    """``conv3(act(norm(conv3(up2(act(norm(x))))))) + up2(conv1(x))`` with nearest upsampling."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        norm: Norm = "instance",
        negative_slope: float = 0.1,
    ) -> None:
        super().__init__()
        self.norm1 = make_norm(norm, in_channels)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.norm2 = make_norm(norm, out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.shortcut = nn.Conv2d(in_channels, out_channels, 1)
        self.act = nn.LeakyReLU(negative_slope)

    def forward(self, x: Tensor) -> Tensor:
        h = F.interpolate(self.act(self.norm1(x)), scale_factor=2.0, mode="nearest")
        h = self.conv2(self.act(self.norm2(self.conv1(h))))
        return h + F.interpolate(self.shortcut(x), scale_factor=2.0, mode="nearest")


class ResBlock(nn.Module):
    """``conv3(act(norm(conv3(act(norm(x)))))) + x``: channels and resolution stay."""

    def __init__(
        self, channels: int, *, norm: Norm = "instance", negative_slope: float = 0.1
    ) -> None:
        super().__init__()
        self.norm1 = make_norm(norm, channels)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm2 = make_norm(norm, channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.act = nn.LeakyReLU(negative_slope)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(self.act(self.norm1(x)))
        return x + self.conv2(self.act(self.norm2(h)))


class FullPrecisionConv2d(nn.Conv2d):
    """A convolution whose arithmetic and output are float32 (float64 for double), for any input.

    Flows and confidences come out of these: in half precision a flow of a few hundred pixels would
    be off by half a pixel, under autocast too. Its weights stay in float32 when the network around
    it is cast to a 16-bit type.
    """

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> FullPrecisionConv2d:
        def keeping_float32(tensor: Tensor) -> Tensor:
            applied = fn(tensor)
            dtype = torch.promote_types(applied.dtype, torch.float32)
            if applied.dtype == dtype or torch.promote_types(tensor.dtype, dtype) != tensor.dtype:
                return applied
            return torch.empty_like(applied, dtype=dtype).copy_(tensor)

        return super()._apply(keeping_float32, recurse)

    def forward(self, input: Tensor) -> Tensor:
        dtype = torch.promote_types(input.dtype, torch.float32)
        with torch.autocast(input.device.type, enabled=False):
            bias = None if self.bias is None else self.bias.to(dtype)
            return self._conv_forward(input.to(dtype), self.weight.to(dtype), bias)
