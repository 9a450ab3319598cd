"""Conversion between images (files, PIL images, arrays) and the tensors of the networks."""

from __future__ import annotations

import io
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError
from torch import Tensor

logger = logging.getLogger(__name__)

ImageLike: TypeAlias = "str | os.PathLike[str] | Image.Image | np.ndarray[Any, Any] | Tensor"

RESIZE_FILTER = Image.Resampling.LANCZOS
"""Filter of every resizing of an image that the networks read; antialiased where it shrinks."""

MAX_PIXELS = 64_000_000  # larger files are refused before they are decoded
# Not everything that PIL can open: EPS, for one, would run another program.
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
# Of the still images that a folder is searched for.
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".ppm")


def open_image(path: str | os.PathLike[str]) -> Image.Image:
    """Read an image completely; its format must be one of ``FORMATS``.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not an image, is truncated, or has more than ``MAX_PIXELS`` pixels.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no image file at {path}")
    return _decode(path, str(path))


def image_from_bytes(name: str, data: bytes) -> Image.Image:
    """The image of a file that was read already; ``name`` is what errors call it.

    Raises:
        ValueError: see :func:`open_image`.
    """
    return _decode(io.BytesIO(data), name)


def open_unread(file: Path | io.BytesIO) -> ImageFile.ImageFile:
    """An image of which only the header was read, to be closed by the caller.

    Raises:
        OSError, SyntaxError, Image.DecompressionBombError: if its format is none of ``FORMATS``.
        ValueError: if it has more than ``MAX_PIXELS`` pixels.
    """
    image = Image.open(file, formats=FORMATS)
    if image.width * image.height > MAX_PIXELS:
        image.close()
        raise ValueError(f"it has {image.width} x {image.height} pixels, more than {MAX_PIXELS:,}")
    return image


def _decode(file: Path | io.BytesIO, name: str) -> Image.Image:
    try:
        with open_unread(file) as image:
            if getattr(image, "is_animated", False):
                logger.warning("%s has several frames: the first one is taken", name)
            if image.mode.startswith("RGB") and ";16" in str(image.tile):
                logger.warning("%s has 16 bits a channel: 8 of them are taken", name)
            image.load()
            return image
    except UnidentifiedImageError as error:  # its text names the file, or where bytes are kept
        raise ValueError(
            f"{name} cannot be read as an image: it is none of {', '.join(FORMATS)}"
        ) from error
    except (OSError, EOFError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"{name} cannot be read as an image: {error}") from error


def to_rgb(image: Image.Image) -> Image.Image:
    """The image in 8-bit RGB, EXIF rotation applied, transparency laid over white.

    Raises:
        ValueError: for modes with more than 8 bits per channel, which PIL would clip, and for
            damaged EXIF data.
    """
    try:
        image = ImageOps.exif_transpose(image)
    except Exception as error:  # Pillow raises whatever the damaged bytes lead to
        raise ValueError(f"the image has damaged EXIF data: {error}") from error
    if image.mode.startswith(("I", "F")):
        raise ValueError(f"images must have 8 bits per channel, got PIL mode {image.mode!r}")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def array_to_pil(name: str, array: np.ndarray[Any, Any]) -> Image.Image:
    """An RGB array (H, W, 3), uint8 or floating point in [0, 1], as a PIL image, rounded to 8 bits.

    Raises:
        TypeError, ValueError: for another dtype, shape or range, or non-finite values.
    """
    if array.ndim != 3 or array.shape[2] != 3 or 0 in array.shape:
        raise ValueError(f"{name} must be an RGB array (H, W, 3), got {array.shape}")
    if array.dtype != np.uint8:
        if not np.issubdtype(array.dtype, np.floating):
            raise TypeError(f"{name} must be uint8 or floating point, got {array.dtype}")
        if not np.isfinite(array).all():
            raise ValueError(f"{name} has non-finite values")
        low, high = float(array.min()), float(array.max())
        if low < 0 or high > 1:
            raise ValueError(
                f"{name}: floating-point images must lie in [0, 1], got [{low:.9g}, {high:.9g}]; "
                "for 0..255 use uint8"
            )
        array = np.rint(array.astype(np.float64) * 255).astype(np.uint8)
    return Image.fromarray(np.ascontiguousarray(array))


def load_image(name: str, image: ImageLike) -> Image.Image:
    """An image in any accepted form as a PIL image in RGB; error messages call it ``name``.

    Raises:
        FileNotFoundError, TypeError, ValueError: see :func:`open_image`, :func:`to_rgb` and
            :func:`array_to_pil`.
    """
    if isinstance(image, str | os.PathLike):
        image = open_image(image)
    if isinstance(image, Image.Image):
        try:
            return to_rgb(image)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error
    if isinstance(image, Tensor):
        if image.ndim != 3 or image.shape[0] != 3:
            raise ValueError(f"{name} must be an RGB tensor (3, H, W), got {tuple(image.shape)}")
        image = image.detach().cpu()
        wide = image.float() if image.dtype in (torch.bfloat16, torch.float16) else image
        return array_to_pil(name, wide.permute(1, 2, 0).numpy())
    if isinstance(image, np.ndarray):
        return array_to_pil(name, image)
    raise TypeError(
        f"{name} must be a path, a PIL image, an RGB array or an RGB tensor, "
        f"got {type(image).__name__}"
    )


def load_images(
    images: Sequence[ImageLike], size: int | tuple[int, int] | None, name: str = "images"
) -> Tensor:
    """K images as (K, 3, H, W) float32 in [-1, 1].

    Args:
        size: (height, width) or side to resize to, with PIL's antialiasing Lanczos filter; None
            leaves the images as they are.
        name: what errors call the images.

    Raises:
        TypeError, ValueError: see :func:`load_image`; also if ``size`` is not one, if the sizes
            differ and no ``size`` is given, or if resizing would distort an image by more than a
            pixel.
    """
    wanted = None if size is None else height_and_width(size)
    loaded = []
    for k, image in enumerate(images):
        one = load_image(f"{name}[{k}]", image)
        # Resized at once: of many large images only one is held at its full size.
        loaded.append(_resize(f"{name}[{k}]", one, *wanted) if wanted else one)
    if len({one.size for one in loaded}) > 1:
        sizes = ", ".join(f"{p.height} x {p.width}" for p in loaded)
        raise ValueError(f"{name} must have one size, got {sizes}; pass size= to resize them")
    return torch.stack([to_tensor(one) for one in loaded])


def height_and_width(size: int | tuple[int, int]) -> tuple[int, int]:
    """A side or a (height, width) in pixels as the latter.

    Raises:
        ValueError: unless they are positive integers, of at most ``MAX_PIXELS`` pixels.
    """
    pair = (size, size) if isinstance(size, int) else size
    if (
        not isinstance(pair, tuple | list)
        or [type(side) for side in pair] != [int, int]
        or min(pair) < 1
        or pair[0] * pair[1] > MAX_PIXELS
    ):
        raise ValueError(
            "size must be a side or a (height, width) in pixels, positive integers with at most "
            f"{MAX_PIXELS:,} pixels, got {size!r}"
        )
    return pair[0], pair[1]


def _resize(name: str, image: Image.Image, height: int, width: int) -> Image.Image:
    if (image.height, image.width) == (height, width):
        return image
    if abs(image.width * height - image.height * width) > max(image.width, image.height):
        raise ValueError(
            f"{name} is {image.height} x {image.width} (H x W) and would be distorted at "
            f"{height} x {width}: crop or pad it to that shape first"
        )
    return image.resize((width, height), RESIZE_FILTER)


def to_tensor(image: Image.Image) -> Tensor:
    """A PIL image in RGB as (3, H, W) float32 in [-1, 1]."""
    return from_uint8(torch.from_numpy(np.array(image)).permute(2, 0, 1))


def from_uint8(image: Tensor) -> Tensor:
    """uint8 images of any shape to float32 in [-1, 1]."""
    return image.float() / 127.5 - 1


def to_uint8(image: Tensor) -> Tensor:
    """Images in [-1, 1] of any shape to uint8, rounded; values outside are clipped."""
    return ((image.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def to_pil(image: Tensor) -> Image.Image:
    """A tensor (3, H, W) in [-1, 1] as a PIL image."""
    return Image.fromarray(to_uint8(image.detach()).permute(1, 2, 0).cpu().numpy())
