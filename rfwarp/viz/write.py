"""Image files, written to a temporary name and renamed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from rfwarp.files import write_atomically

_FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP", ".gif": "GIF"}


def image_format(path: str | os.PathLike[str]) -> str:
    """Pillow's name of the format that the end of a file name stands for.

    Raises:
        ValueError: if it is not one that is written here.

    Example:
        >>> from rfwarp.viz import image_format
        >>> image_format("view.jpg")
        'JPEG'
        >>> image_format("view.bmp")
        Traceback (most recent call last):
            ...
        ValueError: images can be written to .png, .jpg, .jpeg, .webp, .gif, got 'view.bmp'
    """
    suffix = Path(path).suffix.lower()
    if suffix not in _FORMATS:
        raise ValueError(f"images can be written to {', '.join(_FORMATS)}, got {str(path)!r}")
    return _FORMATS[suffix]


def write_image(path: str | os.PathLike[str], image: Image.Image) -> None:
    """Write a still image; missing folders are created.

    Raises:
        ValueError: for an unknown format.
        OSError: if the file cannot be written.

    Example:
        >>> from PIL import Image
        >>> from rfwarp.viz import write_image
        >>> write_image("out/view.png", Image.new("RGB", (32, 16)))
        >>> Image.open("out/view.png").size
        (32, 16)
    """
    form, path = image_format(path), Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, lambda temporary: image.save(temporary, format=form, quality=95))


def write_animation(
    path: str | os.PathLike[str], frames: Sequence[Image.Image], milliseconds: int = 120
) -> None:
    """Write a GIF that repeats for ever; missing folders are created.

    All frames share one palette and are not dithered, so that what stands still does not flicker.

    Args:
        path: ends in ``.gif``.
        frames: RGB images of one size.
        milliseconds: how long each frame is shown.

    Raises:
        ValueError: for another format, no frames, or frames of several sizes.
        OSError: if the file cannot be written.

    Example:
        >>> from PIL import Image
        >>> from rfwarp.viz import write_animation
        >>> frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "green", "blue")]
        >>> write_animation("out/turn.gif", frames)
        >>> Image.open("out/turn.gif").n_frames
        3
    """
    path = Path(path)
    if image_format(path) != "GIF":
        raise ValueError(f"animations are written to .gif, got {str(path)!r}")
    if len({frame.size for frame in frames}) != 1:
        sizes = ", ".join(f"{f.width} x {f.height}" for f in frames) or "none"
        raise ValueError(f"an animation needs frames of one size, got {sizes}")
    width, height = frames[0].size
    strip = Image.new("RGB", (width, height * len(frames)))
    for index, frame in enumerate(frames):
        strip.paste(frame, (0, index * height))
    # Median cut would grey the white that surrounds most images.
    palette = strip.quantize(256, method=Image.Quantize.FASTOCTREE)
    first, *others = [
        frame.convert("RGB").quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(
        path,
        lambda temporary: first.save(
            temporary,
            format="GIF",
            save_all=True,
            append_images=others,
            duration=milliseconds,
            loop=0,
        ),
    )
