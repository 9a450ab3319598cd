"""Inner maps of the network (Fig. 7 of the paper), in colours."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from rfwarp.images import to_rgb, to_tensor
from rfwarp.nn import LevelMaps
from rfwarp.nn.flow_models import enlarge
from rfwarp.ops import warp
from rfwarp.viz.origins import frame, source_colour, where_from
from rfwarp.viz.sheet import draw_sheet, legible

# The colour wheel of Baker et al., "A Database and Evaluation Methodology for Optical Flow" (2011):
# hues red, yellow, green, cyan, blue, magenta, red at these positions of 55.
_KNOTS = (0, 15, 21, 25, 36, 49, 55)
_HUES = np.array(
    [[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 1, 1], [0, 0, 1], [1, 0, 1], [1, 0, 0]], dtype=float
)


def flow_to_rgb(flow: Tensor, limit: float | None = None) -> Image.Image:
    """A flow field in the Middlebury colours: hue is direction, saturation is length.

    White stands still; red goes right, yellow down, cyan left, blue-violet up.

    Args:
        flow: (2, H, W), channel 0 = x (right), 1 = y (down).
        limit: length that gets the full colour, in the unit of the flow; longer is darker. None
            takes the longest of this flow.

    Raises:
        ValueError: for another shape, non-finite values, or a limit that is not positive.

    Example:
        >>> import torch
        >>> from rfwarp.viz import flow_to_rgb
        >>> flow = torch.tensor([[[0.0, 2.0]], [[0.0, 0.0]]])  # still, and to the right
        >>> [flow_to_rgb(flow).getpixel((x, 0)) for x in (0, 1)]
        [(255, 255, 255), (255, 0, 0)]
    """
    if flow.ndim != 3 or flow.shape[0] != 2:
        raise ValueError(f"flow must be (2, H, W), got {tuple(flow.shape)}")
    x, y = flow.detach().cpu().double().numpy()
    length = np.hypot(x, y)
    if not np.isfinite(length).all():
        raise ValueError("flow has non-finite values")
    if limit is not None and limit <= 0:
        raise ValueError(f"limit must be positive, got {limit}")
    length = length / (limit or length.max() or 1.0)
    # The wheel has 55 colours from angle -pi to pi of the reversed vector.
    place = (np.arctan2(-y, -x) / np.pi + 1) / 2 * 54
    hue = np.stack([np.interp(place, _KNOTS, channel) for channel in _HUES.T], axis=-1)
    within = 1 - np.minimum(length, 1)[..., None] * (1 - hue)
    return _to_image(np.where(length[..., None] > 1, hue * 0.75, within))


def map_to_rgb(values: Tensor) -> Image.Image:
    """A map (1, H, W) with values in [0, 1] as grey: 0 is black, 1 is white; others are clipped.

    Raises:
        ValueError: for another shape or non-finite values.

    Example:
        >>> import torch
        >>> from rfwarp.viz import map_to_rgb
        >>> [map_to_rgb(torch.tensor([[[0.0, 1.0]]])).getpixel((x, 0)) for x in (0, 1)]
        [(0, 0, 0), (255, 255, 255)]
    """
    if values.ndim != 3 or values.shape[0] != 1:
        raise ValueError(f"a map must be (1, H, W), got {tuple(values.shape)}")
    grey = values[0].detach().cpu().double().numpy()
    if not np.isfinite(grey).all():
        raise ValueError("the map has non-finite values")
    return _to_image(np.repeat(grey[..., None], 3, axis=-1))


def draw_maps(
    sources: Sequence[Image.Image], result: Image.Image, levels: Sequence[LevelMaps]
) -> Image.Image:
    """A sheet with a row for each source: the source, then at each level its flow, the correction
    of the flow, how visible the result is in it (white: all of it) and how much attention it gets;
    then the source as the corrected flow of the last level moves it.

    At the end are the result and where its pixels come from: from the source whose frame has their
    colour, or painted where they have none, see :func:`rfwarp.viz.where_from`.

    Flows and corrections of one level are coloured on one scale, see :func:`flow_to_rgb`. They, and
    moved sources, fade to white where they do not matter, which is where the source does not show
    the result or, if the network tells the object from the background, beside the object.
    Visibility and attention are black there.

    Args:
        sources: K images.
        result: the network's output for them, at its own size.
        levels: the maps of a batch of one, coarse first; of all levels or of some.

    Raises:
        ValueError: for a larger batch, or a result of another size than the maps are for.

    Example:
        >>> import torch
        >>> from PIL import Image
        >>> from rfwarp import Generator
        >>> from rfwarp.viz import draw_maps
        >>> generator = Generator(pose_channels=21, width=0.125).eval()
        >>> tensors = torch.zeros(1, 2, 3, 64, 64), torch.zeros(1, 2, 21, 64, 64)
        >>> _, levels = generator(*tensors, torch.zeros(1, 21, 64, 64), return_maps=True)
        >>> grey = Image.new("RGB", (64, 64), "grey")
        >>> draw_maps([grey, grey], result=grey, levels=levels).size
        (1588, 295)
    """
    fitted = [source.resize(result.size, Image.Resampling.LANCZOS) for source in sources]
    rows: list[list[Image.Image | None]] = [
        [frame(source, source_colour(k))] for k, source in enumerate(fitted)
    ]
    columns = ["source"]
    for level in levels:
        columns += [f"{name} 1/{level.stride}" for name in ("flow", "resid.", "visible", "attn.")]
        for row, images in zip(rows, _draw_level(level), strict=True):
            row += [_cells(image, level.stride, result.size) for image in images]
    for row, moved in zip(rows, _moved(fitted, levels[-1]), strict=True):
        row += [moved, None, None]
    rows[0][-2:] = [result, where_from(levels[-1], result)]
    columns += ["moved", "result", "from"]
    return draw_sheet(rows, columns=columns, scale=legible(result.width))


def _draw_level(level: LevelMaps) -> list[tuple[Image.Image, ...]]:
    """Flow, correction, visibility and attention of each source, a pixel for each cell."""
    flows, residuals = level.flow[0], level.residual[0]
    matters, attention = _matters(level), level.attention[0]
    if level.foreground is not None:
        attention = attention * level.foreground
    lengths = torch.stack([flows, residuals]).detach().norm(dim=2)
    longest = float((lengths * (matters[:, 0] > 0.5)).max()) or float(lengths.max()) or 1.0
    return [
        (
            _fade(flow_to_rgb(flows[k], longest), matters[k, 0]),
            _fade(flow_to_rgb(residuals[k], longest), matters[k, 0]),
            map_to_rgb(matters[k]),
            map_to_rgb(attention[k]),
        )
        for k in range(len(flows))
    ]


def _matters(level: LevelMaps) -> Tensor:
    """(K, 1, h, w) in [0, 1]: how much each source shows of the object."""
    visible = 1 - level.occlusion[0]
    return visible if level.foreground is None else visible * level.foreground


def _moved(sources: Sequence[Image.Image], level: LevelMaps) -> list[Image.Image]:
    """The sources, each moved by its flow of a level."""
    pixels = torch.stack([to_tensor(to_rgb(source)) for source in sources]).double()
    height, width = pixels.shape[-2:]
    flow = (level.flow + level.residual)[0].detach().cpu().double()
    known = torch.cat([flow * level.stride, _matters(level).detach().cpu().double()], dim=1)
    known = enlarge(known, level.stride)[..., :height, :width]
    moved = warp(pixels, known[:, :2].contiguous(), "border").permute(0, 2, 3, 1).numpy()
    return [_fade(_to_image((m + 1) / 2), k[2]) for m, k in zip(moved, known, strict=True)]


def _fade(image: Image.Image, kept: Tensor) -> Image.Image:
    """The image, faded to white where ``kept`` (h, w) is 0; unchanged where it is 1."""
    weight = kept.detach().cpu().double().clamp(0, 1).numpy()[..., None]
    return _to_image(1 - weight * (1 - np.asarray(image, dtype=float) / 255))


def _cells(image: Image.Image, stride: int, size: tuple[int, int]) -> Image.Image:
    """The image with its pixels as squares, cut to a result's ``size`` (width, height)."""
    whole = (image.width * stride, image.height * stride)
    return image.resize(whole, Image.Resampling.NEAREST).crop((0, 0, *size))


def _to_image(rgb: npt.NDArray[np.float64]) -> Image.Image:
    return Image.fromarray(np.rint(rgb.clip(0, 1) * 255).astype(np.uint8))
