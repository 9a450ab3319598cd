"""The networks' maps in colours: sources of pixels, and flows where they matter."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from network_cases import arguments, network
from PIL import Image

from rfwarp.images import to_pil
from rfwarp.nn import LevelMaps
from rfwarp.viz import draw_maps, flow_to_rgb, source_colour, where_from


def level(stride: int, k: int, h: int, w: int) -> LevelMaps:
    """Every source has the same say, and nothing is hidden."""
    flow = torch.zeros(1, k, 2, h, w)
    one = torch.ones(1, k, 1, h, w)
    return LevelMaps(stride, flow, flow.clone(), one / k, one * 0)


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image, dtype=int)


def test_colours_of_sources_differ():
    colours = np.array([source_colour(k) for k in range(12)], dtype=float)
    apart = np.linalg.norm(colours[:, None] - colours, axis=-1) + 1e3 * np.eye(12)
    assert apart.min() > 30
    assert apart[:4, :4].min() > 100
    assert colours.max(1).min() > 200  # none is dark, none nearly white
    assert colours.min(1).max() < 60


def test_pixels_have_the_colour_of_their_source():
    maps = level(1, 3, 2, 4)
    weights = torch.tensor([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.3, 0.3, 0.4], [0.8, 0.1, 0.1]])
    maps.attention[0, :, 0] = weights.T[:, None].expand(3, 2, 4)
    maps.occlusion[0, 0, 0, :, 3] = 1.0  # its attention is for nothing: 0.8 is painted
    result = Image.new("RGB", (4, 2), (100, 100, 100))
    seen = pixels(where_from(maps, result))
    white = np.full(3, 255.0)
    for column, (source, taken) in enumerate([(0, 1), (1, 1), (2, 1), (1, 0.2)]):
        tint = taken * np.array(source_colour(source)) + (1 - taken) * white
        expected = 0.6 * tint + 0.4 * 100
        assert np.abs(seen[:, column] - expected).max() <= 0.5 + 1e-6


def test_the_decoders_pixels_have_no_colour_and_the_results_brightness():
    maps = level(1, 2, 8, 8)
    maps = replace(maps, occlusion=torch.ones_like(maps.occlusion))
    grey = torch.linspace(-1, 1, 64).view(1, 8, 8)
    result = to_pil(grey.expand(3, 8, 8))
    seen = pixels(where_from(maps, result))
    assert (seen == seen[..., :1]).all()
    expected = 0.6 * 255 + 0.4 * pixels(result)[..., 0]
    assert np.abs(seen[..., 0] - expected).max() <= 0.5 + 1e-6


def test_cells_of_a_level_are_as_large_as_in_the_result():
    """Also where the last ones stick out; in between, borders are where shares are equal."""
    maps = level(8, 2, 3, 2)
    maps.attention[0, :, 0] = torch.tensor([[1.0, 0.0], [0.0, 1.0]])[:, None].expand(2, 3, 2)
    seen = pixels(where_from(maps, Image.new("RGB", (13, 20), "black")))
    assert seen.shape == (20, 13, 3)
    first, second = (np.rint(0.6 * np.array(source_colour(k))) for k in (0, 1))
    assert np.abs(seen[:, :8] - first).max() <= 1
    assert np.abs(seen[:, 8:] - second).max() <= 1


def test_maps_that_do_not_fit():
    maps = level(4, 1, 4, 4)
    with pytest.raises(ValueError, match="4 x 4 cells of stride 4 are not for a result of 16 x 20"):
        where_from(maps, Image.new("RGB", (20, 16)))
    two = replace(maps, attention=maps.attention.repeat(2, 1, 1, 1, 1))
    with pytest.raises(ValueError, match="batch of one, got 2"):
        where_from(two, Image.new("RGB", (16, 16)))


def places(sheet: Image.Image, columns: int, size: int) -> list[list[np.ndarray]]:
    """The images of a sheet whose labels are above."""
    side, values = size + 4, pixels(sheet)
    top = values.shape[0] % side
    return [
        [values[y : y + size, 4 + x * side : 4 + x * side + size] for x in range(columns)]
        for y in range(top, values.shape[0], side)
    ]


def test_flows_fade_where_they_do_not_matter():
    maps = level(1, 2, 96, 96)
    maps.flow[0, :, 0] = 3.0
    maps.flow[0, 1, 0, :, 48:] = 300.0  # nobody looks there
    maps.occlusion[0, 1, 0, :, 48:] = 1.0
    foreground = torch.zeros(1, 1, 96, 96)
    foreground[..., :24, :] = 1
    sources = [Image.new("RGB", (96, 96), "red")] * 2
    red = pixels(flow_to_rgb(torch.tensor([3.0, 0.0]).view(2, 1, 1)))[0, 0]
    for shown in (None, foreground):
        drawn = draw_maps(sources, sources[0], [replace(maps, foreground=shown)])
        (_, first, *_), (_, second, *_) = places(drawn, 8, 96)
        rows = 96 if shown is None else 24
        assert (first[:rows] == red).all()
        assert (second[:rows, :48] == red).all()
        assert (second[:, 48:] == 255).all()
        assert (first[rows:] == 255).all()


def test_sources_have_frames_of_their_colours():
    maps = level(1, 3, 96, 96)
    result = Image.new("RGB", (96, 96), "black")
    grid = places(draw_maps([Image.new("RGB", (96, 96), "red")] * 3, result, [maps]), 8, 96)
    for k, row in enumerate(grid):
        assert row[0][0, 0].tolist() == list(source_colour(k))
        assert row[0][95, 50].tolist() == list(source_colour(k))
        assert row[0][48, 48].tolist() == [255, 0, 0]
    assert (grid[0][6] == 0).all()
    assert (grid[0][7] == pixels(where_from(maps, result))).all()
    assert (grid[1][6] == 255).all()


@pytest.mark.parametrize("stride", [1, 4])
def test_sources_are_shown_where_their_flows_take_them(stride):
    maps = level(stride, 2, 96 // stride, 96 // stride)
    maps.flow[0, 0, 0] = 8 / stride  # what is at 8 px to the right appears here
    maps.occlusion[0, 1] = 1.0
    source = Image.new("RGB", (96, 96), "blue")
    source.paste("red", (48, 0, 96, 96))
    first, second = places(draw_maps([source] * 2, source, [maps]), 8, 96)
    assert (first[5][:, :40] == [0, 0, 255]).all()
    assert (first[5][:, 40:] == [255, 0, 0]).all()
    assert (second[5] == 255).all()  # it shows nothing of the result


@pytest.mark.parametrize("name", ["8421", "viewpoint", "no occlusion"])
def test_maps_of_any_levels(name):
    generator = network(name).requires_grad_(False)
    sources, poses, target = arguments(name, n=1, k=2, h=70, w=100, dtype=torch.float32)
    image, levels = generator(sources, poses, target, return_maps=True)
    drawn = draw_maps(list(map(to_pil, sources[0])), to_pil(image[0]), levels)
    assert drawn.size[0] == 4 + (4 + 4 * len(levels)) * 104
