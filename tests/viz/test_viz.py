"""Sheets, animations and colours."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from rfwarp import Generator
from rfwarp.viz import (
    draw_maps,
    draw_sheet,
    enlarge,
    flow_to_rgb,
    map_to_rgb,
    write_animation,
    write_image,
)

COLOURS = ["red", "lime", "blue", "black"]


def plain(colour: str, size: tuple[int, int] = (8, 6)) -> Image.Image:
    return Image.new("RGB", size, colour)


def test_a_sheet_holds_its_images_in_place() -> None:
    red, green, blue, black = map(plain, COLOURS)
    sheet = draw_sheet([[red, None, green], [blue, black]], gap=2)
    assert sheet.size == (2 + 3 * 10, 2 + 2 * 8)
    pixels = np.asarray(sheet)
    assert (pixels[2:8, 2:10] == [255, 0, 0]).all()
    assert (pixels[2:8, 12:20] == 255).all()
    assert (pixels[2:8, 22:30] == [0, 255, 0]).all()
    assert (pixels[10:16, 2:10] == [0, 0, 255]).all()
    assert (pixels[10:16, 12:20] == 0).all()
    assert (pixels[:2] == 255).all()


def test_labels_are_drawn_beside_the_images() -> None:
    bare = draw_sheet([[plain("white", (80, 80))]] * 2)
    labelled = draw_sheet([[plain("white", (80, 80))]] * 2, columns=["truth"], names=["a", "bcd"])
    assert labelled.width > bare.width
    assert labelled.height > bare.height
    pixels = np.asarray(labelled)
    assert (pixels[-bare.height :, -bare.width :] == 255).all(), "text over an image"
    assert pixels[: -bare.height].min() < 128, "no column label"
    assert pixels[:, : -bare.width].min() < 128, "no row label"


def test_sheets_refuse_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match="of one size, got 8 x 6, 9 x 6"):
        draw_sheet([[plain("red"), plain("red", (9, 6))]])
    with pytest.raises(ValueError, match="no image"):
        draw_sheet([[None]])
    with pytest.raises(ValueError, match="2 column and 0 row labels are too many"):
        draw_sheet([[plain("red")]], columns=["a", "b"])
    with pytest.raises(ValueError, match="scale must be at least 1"):
        enlarge(plain("red"), 0)


@pytest.mark.parametrize(
    ("name", "form"), [("a.png", "PNG"), ("b.JPG", "JPEG"), ("c.webp", "WEBP"), ("d.gif", "GIF")]
)
def test_images_have_the_format_of_their_name(tmp_path: Path, name: str, form: str) -> None:
    path = tmp_path / "new" / name
    write_image(path, plain("blue"))
    with Image.open(path) as written:
        assert (written.format, written.size) == (form, (8, 6))
        assert np.abs(np.asarray(written.convert("RGB"), int) - [0, 0, 255]).max() <= 4
    assert [child.name for child in path.parent.iterdir()] == [name]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"old")
    with pytest.raises(OSError, match="RGBA"):
        write_image(path, Image.new("RGBA", (4, 4)))
    assert [child.name for child in tmp_path.iterdir()] == ["a.jpg"]
    assert path.read_bytes() == b"old"


def test_unknown_formats_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"can be written to \.png"):
        write_image(tmp_path / "a.txt", plain("red"))
    with pytest.raises(ValueError, match=r"written to \.gif"):
        write_animation(tmp_path / "a.png", [plain("red")])


def test_an_animation_holds_its_frames(tmp_path: Path) -> None:
    path = tmp_path / "turn.gif"
    write_animation(path, [plain(colour) for colour in COLOURS], milliseconds=50)
    with Image.open(path) as gif:
        assert (gif.n_frames, gif.info["loop"], gif.info["duration"]) == (4, 0, 50)
        for index, colour in enumerate(COLOURS):
            gif.seek(index)
            expected = np.asarray(plain(colour), int)
            assert np.abs(np.asarray(gif.convert("RGB"), int) - expected).max() <= 4
    for frames in ([], [plain("red"), plain("red", (9, 6))]):
        with pytest.raises(ValueError, match="frames of one size"):
            write_animation(path, frames)


@pytest.mark.parametrize(
    ("x", "y", "colour"),
    [
        (0, 0, (255, 255, 255)),
        (1, 0, (255, 0, 0)),
        (0.5, 0, (255, 128, 128)),  # half as long, half as much colour
        (2, 0, (191, 0, 0)),  # longer than the limit: darker
    ],
)
def test_flow_colours(x: float, y: float, colour: tuple[int, int, int]) -> None:
    flow = torch.tensor([x, y]).view(2, 1, 1)
    assert np.asarray(flow_to_rgb(flow, limit=1))[0, 0].tolist() == list(colour)


def test_flow_hues_follow_the_wheel() -> None:
    """Down is yellow, left is cyan, up is violet; the wheel closes without a jump."""
    steps = torch.linspace(-torch.pi, torch.pi, 1001, dtype=torch.float64)
    flow = torch.stack([-steps.cos(), -steps.sin()])[:, None]
    wheel = np.asarray(flow_to_rgb(flow, limit=1.0), int)[0]
    assert np.abs(np.diff(wheel, axis=0)).max() <= 5
    assert np.abs(wheel[0] - wheel[-1]).max() <= 45  # 54 of 55 steps, as in the original

    def at(x: float, y: float) -> list[int]:
        return np.asarray(flow_to_rgb(torch.tensor([x, y]).view(2, 1, 1)))[0, 0].tolist()

    red, green, blue = at(0, 1)
    assert (red, blue) == (255, 0)
    assert green > 200
    red, green, blue = at(-1, 0)
    assert red == 0
    assert min(green, blue) > 200
    red, green, blue = at(0, -1)
    assert (green, blue) == (0, 255)
    assert 60 < red < 140


def test_maps_are_grey() -> None:
    grey = np.asarray(map_to_rgb(torch.tensor([[[0.0, 0.5, 1.0, 2.0]]])))
    assert grey[0, :, 0].tolist() == [0, 128, 255, 255]
    assert (grey == grey[..., :1]).all()


@pytest.mark.parametrize("draw", [flow_to_rgb, map_to_rgb])
def test_colours_refuse_what_is_no_map(draw: object) -> None:
    assert callable(draw)
    channels = 2 if draw is flow_to_rgb else 1
    with pytest.raises(ValueError, match="must be"):
        draw(torch.zeros(4, 4, 4))
    with pytest.raises(ValueError, match="non-finite"):
        draw(torch.full((channels, 4, 4), torch.nan))


def test_maps_of_a_generator_become_a_sheet() -> None:
    torch.manual_seed(0)
    generator = Generator(pose_channels=2, width=0.125).eval()
    with torch.no_grad():
        _, levels = generator(
            torch.rand(1, 3, 3, 64, 64),
            torch.rand(1, 3, 2, 64, 64),
            torch.rand(1, 2, 64, 64),
            return_maps=True,
        )
    sheet = draw_maps([plain("red", (64, 64))] * 3, plain("blue", (64, 64)), levels)
    assert sheet.size[0] == 4 + 12 * 132
    assert (np.asarray(sheet)[-110:-20, 20:110] == [255, 0, 0]).all()
