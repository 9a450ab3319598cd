"""A network and images for the tests of tables of jobs."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from rfwarp import Generator


@pytest.fixture(scope="module")
def generator() -> Generator:
    """A generator in float64, where the order of sums does not change the rounded images."""
    torch.manual_seed(0)
    return Generator(pose_channels=3, image_size=64, width=0.125).double().eval()


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with images of several sizes, maps of poses, and files of neither kind."""
    folder = tmp_path_factory.mktemp("images")
    random = np.random.default_rng(0)
    for name, size in (("a", 64), ("b", 64), ("c", 64), ("large", 96), ("larger", 128)):
        pixels = random.integers(0, 256, (size, size, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{name}.png")
    Image.new("RGB", (64, 32)).save(folder / "wide.png")
    (folder / "cut.png").write_bytes((folder / "a.png").read_bytes()[:5000])
    (folder / "text.png").write_text("no image")
    np.save(folder / "map.npy", random.random((3, 64, 64)))
    np.save(folder / "short.npy", np.zeros(2))
    return folder


@pytest.fixture
def folder(images: Path, tmp_path: Path) -> Path:
    """A folder with the images, and place for a table."""
    for path in images.iterdir():
        (tmp_path / path.name).hardlink_to(path)
    return tmp_path
