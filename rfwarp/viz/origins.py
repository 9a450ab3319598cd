"""Sources that the pixels of a result were taken from, in colours."""

from __future__ import annotations

import colorsys

import numpy as np
from PIL import Image, ImageDraw
from torch import Tensor

from rfwarp.nn import LevelMaps
from rfwarp.nn.flow_models import enlarge

PAINTED = np.array([255.0, 255.0, 255.0])
_TINT = 0.6  # share of the source's colour in a pixel; the rest is its brightness
_TURN = (5**0.5 - 1) / 2  # of the wheel of hues, from a source to the next: never twice the same


def source_colour(k: int) -> tuple[int, int, int]:
    """The RGB colour that stands for source ``k``, counted from 0: blue, lime, magenta, ...

    Example:
        >>> from rfwarp.viz import source_colour
        >>> source_colour(0), source_colour(1)
        ((22, 123, 217), (180, 217, 22))
    """
    red, green, blue = colorsys.hsv_to_rgb((0.58 + k * _TURN) % 1, 0.9, 0.85)
    return round(255 * red), round(255 * green), round(255 * blue)


def frame(image: Image.Image, colour: tuple[int, int, int]) -> Image.Image:
    """A copy with its outermost pixels in a colour."""
    framed = image.convert("RGB")
    framed = framed.copy() if framed is image else framed
    corner = (0, 0, framed.width - 1, framed.height - 1)
    ImageDraw.Draw(framed).rectangle(corner, outline=colour, width=max(1, min(framed.size) // 20))
    return framed


def where_from(maps: LevelMaps, result: Image.Image) -> Image.Image:
    """A result in the colours of the sources that its pixels were mostly taken from.

    A fusing level takes the share ``attention * (1 - occlusion)`` of a pixel from each source, and
    what is left of it from what the decoder painted. The source with the largest share gives the
    colour, see :func:`source_colour`, and the share of all sources its strength: what the decoder
    painted is white. The brightness of the result shows through. At level 1 shares are of the very
    pixels, at others of features: the finest level says most.

    Args:
        maps: of that level, for a batch of one.
        result: the network's output, at its own size.

    Raises:
        ValueError: for a larger batch, or a result of another size than the maps are for.

    Example:
        >>> import torch
        >>> from PIL import Image
        >>> from rfwarp.nn import LevelMaps
        >>> from rfwarp.viz import where_from
        >>> flow, half = torch.zeros(1, 2, 2, 1, 1), torch.full((1, 2, 1, 1, 1), 0.5)
        >>> hidden = torch.tensor([0.0, 1.0]).view(1, 2, 1, 1, 1)  # in source 1
        >>> maps = LevelMaps(1, flow, flow, attention=half, occlusion=hidden)
        >>> white = Image.new("RGB", (1, 1), "white")
        >>> where_from(maps, white).getpixel((0, 0))  # pale blue: source 0
        (185, 215, 244)
    """
    shares = source_shares(maps)
    width, height = result.size
    cells = tuple(-(-side // maps.stride) for side in (height, width))
    if shares.shape[-2:] != cells:
        raise ValueError(
            f"maps of {shares.shape[-2]} x {shares.shape[-1]} cells of stride {maps.stride} are "
            f"not for a result of {height} x {width} pixels"
        )
    shares = enlarge(shares[None], maps.stride)[0, :, :height, :width]
    colours = np.array([source_colour(k) for k in range(len(shares))], dtype=float)
    taken = shares.sum(0).clamp(0, 1).numpy()[..., None]
    tint = taken * colours[shares.argmax(0).numpy()] + (1 - taken) * PAINTED
    grey = np.asarray(result.convert("L"), dtype=float)[..., None]
    tinted = _TINT * tint + (1 - _TINT) * grey
    return Image.fromarray(np.rint(tinted).astype(np.uint8))


def source_shares(maps: LevelMaps) -> Tensor:
    """(K, h, w) float64 on the CPU: share of each source in every pixel of a level."""
    if len(maps.attention) != 1:
        raise ValueError(f"maps must be of a batch of one, got {len(maps.attention)}")
    shares = maps.attention * (1 - maps.occlusion)
    return shares[0, :, 0].detach().cpu().double()
