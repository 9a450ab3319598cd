"""The algebra of the inference form: identities between convolutions, as functions of weights.

All are exact in real arithmetic. Weights are (O, I, h, w) as in ``nn.Conv2d``; images are padded
with zeros.
"""

from __future__ import annotations

from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rfwarp.nn.blocks import FullPrecisionConv2d

# Nearest upsampling by 2 along one axis. A tap of a 3-tap filter on the larger image reads one of
# three pixels of the smaller one: [which half of the pixel is computed, pixel read, tap].
_UPSAMPLED_TAPS = [
    [[1, 0, 0], [0, 1, 1], [0, 0, 0]],
    [[0, 0, 0], [1, 1, 0], [0, 0, 1]],
]


def fold_pooling(weight: Tensor) -> Tensor:
    """3x3 with padding 1, then average pooling by 2: 4x4 with stride 2 and padding 1."""
    return _shifted(weight).mean(0)


def fold_upsampling(weight: Tensor) -> Tensor:
    """Nearest upsampling by 2, then 3x3: 4x4 transposed (I, O, 4, 4), stride 2, padding 1."""
    return _shifted(weight.flip(2, 3).transpose(0, 1)).sum(0)


def compose(first: Tensor, second: Tensor) -> Tensor:
    """3x3 (C, I), then 3x3 (O, C): 5x5 with padding 2.

    But for the outermost ring of pixels: there the second one reads zeros beyond the image, and
    the 5x5 what the first one, and its bias, would have computed there.
    """
    return F.conv2d(second, first.transpose(0, 1).flip(2, 3), padding=2)


def fold_pixels(weight: Tensor) -> Tensor:
    """kxk as (k+1)x(k+1) with stride 2 and the same padding, (4 O, I), before a pixel shuffle by 2.

    Of few output channels it makes four times as many, which convolutions compute as fast.
    """
    return _shifted(weight).transpose(0, 1).flatten(0, 1)


def fold_upsampled_pixels(weight: Tensor) -> Tensor:
    """Nearest upsampling by 2, then 3x3: 3x3 (4 O, I), padding 1, before a pixel shuffle by 2."""
    taps = torch.tensor(_UPSAMPLED_TAPS, dtype=weight.dtype, device=weight.device)
    return torch.einsum("aqt,bps,oits->oabiqp", taps, taps, weight).flatten(0, 2)


def products(weight: Tensor) -> Tensor:
    """3x3 (O, I) as 1x1 (9 O, I): the products that :func:`shift_and_add` adds up."""
    return weight.flatten(2).transpose(1, 2).flatten(0, 1)[:, :, None, None]


def shift_and_add(products: Tensor) -> Tensor:
    """The 3x3 convolution (N, O, H, W) from the products (N, 9 O, H, W) of every pixel."""
    height, width = products.shape[-2:]
    taps = F.pad(products, (1, 1, 1, 1)).unflatten(1, (-1, 9)).unbind(2)
    moved = [
        tap[..., y : y + height, x : x + width]
        for tap, (y, x) in zip(taps, ((y, x) for y in range(3) for x in range(3)), strict=True)
    ]
    out = moved[0]
    for tap in moved[1:]:
        out = out + tap
    return out


def conv(weight: Tensor, bias: Tensor | None, *, stride: int = 1, padding: int = 0) -> nn.Conv2d:
    """A convolution with these weights."""
    o, i, size, _ = weight.shape
    made = nn.Conv2d(i, o, size, stride, padding, bias=bias is not None, device="meta")
    return _with(made, weight, bias)


def full_precision_conv(
    weight: Tensor, bias: Tensor | None, *, padding: int = 0
) -> FullPrecisionConv2d:
    """The same in float32 at least."""
    o, i, size, _ = weight.shape
    made = FullPrecisionConv2d(i, o, size, 1, padding, bias=bias is not None, device="meta")
    return _with(made, weight, bias)


def upsampling_conv(weight: Tensor, bias: Tensor | None) -> nn.ConvTranspose2d:
    """The transposed convolution of :func:`fold_upsampling`."""
    i, o, size, _ = weight.shape
    made = nn.ConvTranspose2d(i, o, size, 2, 1, bias=bias is not None, device="meta")
    return _with(made, weight, bias)


def _shifted(weight: Tensor) -> Tensor:
    """(4, ..., k+1, k+1): the weight moved by (0, 0), (0, 1), (1, 0) and (1, 1) pixels."""
    moves = [(y, x) for y in (0, 1) for x in (0, 1)]
    return torch.stack([F.pad(weight, (x, 1 - x, y, 1 - y)) for y, x in moves])


_Conv = TypeVar("_Conv", bound=nn.Module)


def _with(made: _Conv, weight: Tensor, bias: Tensor | None) -> _Conv:
    made.weight = nn.Parameter(weight.detach().clone())
    if bias is not None:
        made.bias = nn.Parameter(bias.detach().clone())
    return made
