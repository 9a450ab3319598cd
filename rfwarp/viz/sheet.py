"""Images in rows and columns, with labels."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

INK, PAPER = (60, 60, 60), (255, 255, 255)
LEGIBLE = 128  # pixels of a side


def legible(side: int) -> int:
    """How many times images with a side of so many pixels are enlarged to be looked at: to 128
    pixels at most, larger ones not at all.

    Example:
        >>> from rfwarp.viz import legible
        >>> legible(48), legible(64), legible(256)
        (2, 2, 1)
    """
    return max(1, LEGIBLE // side)


def enlarge(image: Image.Image, scale: int) -> Image.Image:
    """The image ``scale`` times as wide and high, smooth (Lanczos).

    Raises:
        ValueError: if ``scale`` is less than 1.

    Example:
        >>> from PIL import Image
        >>> from rfwarp.viz import enlarge
        >>> enlarge(Image.new("RGB", (32, 16)), 3).size
        (96, 48)
    """
    if scale < 1:
        raise ValueError(f"scale must be at least 1, got {scale}")
    size = (image.width * scale, image.height * scale)
    return image if scale == 1 else image.resize(size, Image.Resampling.LANCZOS)


def draw_sheet(
    rows: Sequence[Sequence[Image.Image | None]],
    *,
    columns: Sequence[str] = (),
    names: Sequence[str] = (),
    scale: int = 1,
    gap: int = 4,
) -> Image.Image:
    """One RGB image made of many.

    Args:
        rows: images of one size, row by row; None leaves a place empty. Short rows end early.
        columns: text above the columns, at most one for each.
        names: text to the left of the rows, at most one for each.
        scale: every image is enlarged that many times.
        gap: pixels between the images and around them.

    Raises:
        ValueError: if there is no image, if their sizes differ, or if there are too many labels.

    Example:
        >>> from PIL import Image
        >>> from rfwarp.viz import draw_sheet
        >>> red, blue = (Image.new("RGB", (32, 32), colour) for colour in ("red", "blue"))
        >>> draw_sheet([[red, blue], [blue, None]]).size
        (76, 76)
    """
    sizes = {image.size for row in rows for image in row if image is not None}
    if len(sizes) != 1:
        found = ", ".join(f"{w} x {h}" for w, h in sorted(sizes)) or "no image"
        raise ValueError(f"a sheet needs images of one size, got {found}")
    count = max(map(len, rows))
    if len(columns) > count or len(names) > len(rows):
        raise ValueError(
            f"{len(columns)} column and {len(names)} row labels are too many for a sheet of "
            f"{count} x {len(rows)} images"
        )
    width, height = (side * scale for side in sizes.pop())
    font = ImageFont.load_default(max(10, min(width // 7, 20)))
    line = round(font.size * 1.5)  # type: ignore[union-attr]
    left = gap + (max(round(font.getlength(name)) for name in names) + gap if names else 0)
    top = gap + (line if columns else 0)
    sheet = Image.new(
        "RGB", (left + count * (width + gap), top + len(rows) * (height + gap)), PAPER
    )
    draw = ImageDraw.Draw(sheet)
    for x, text in enumerate(columns):
        at = (left + x * (width + gap) + width / 2, gap + line / 2)
        draw.text(at, text, fill=INK, font=font, anchor="mm")
    for y, text in enumerate(names):
        at = (left - gap, top + y * (height + gap) + height / 2)
        draw.text(at, text, fill=INK, font=font, anchor="rm")
    for y, row in enumerate(rows):
        for x, image in enumerate(row):
            if image is not None:
                corner = (left + x * (width + gap), top + y * (height + gap))
                sheet.paste(enlarge(image.convert("RGB"), scale), corner)
    return sheet
