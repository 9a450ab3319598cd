"""Faces as data sets: procedural, cached, and as a folder of PNG files."""

import numpy as np
import pytest
import torch
from PIL import Image

from rfwarp.data import (
    DataConfig,
    ProceduralFaces,
    open_dataset,
    render_face,
    write_faces_folder,
)
from rfwarp.data.faces import dataset as dataset_module
from rfwarp.data.faces import face_bytes
from rfwarp.poses import FaceLandmarks

SIZE = 16


def refuse(*_):
    raise AssertionError("rendered again")


@pytest.mark.parametrize("cached", [False, True])
def test_samples_are_the_renderers_images(tmp_path, cached, monkeypatch):
    cache = tmp_path / "cache" if cached else None
    faces = ProceduralFaces(3, 2, SIZE, views=5, cache=cache)
    expected = render_face(4, [3, 0, 1], SIZE)
    codes = [FaceLandmarks(p.numpy(), SIZE, SIZE).code() for p in expected.landmarks]
    for _ in range(2):  # rendered, then remembered
        sample = faces.load((5 + 3, 5 + 0, 5 + 1))
        assert torch.equal(sample.sources, expected.images[:2])
        assert torch.equal(sample.poses, torch.stack(codes[:2]))
        assert torch.equal(sample.target, expected.images[2])
        assert torch.equal(sample.target_pose, codes[2])
        monkeypatch.setattr(dataset_module, "render_face", refuse)
    assert torch.equal(faces.images(1, [3, 0, 1]).visible, expected.visible)
    assert (faces.height, faces.width, faces.max_sources) == (SIZE, SIZE, 4)
    assert (faces.count, faces.seeds, faces.pose_kind) == (2, range(3, 5), "landmarks")


def test_truth_is_kept_with_the_images(tmp_path, monkeypatch):
    fresh = ProceduralFaces(0, 2, 24, views=3, truth=True).load((3, 5, 4)).truth
    cache = tmp_path / "cache"
    ProceduralFaces(0, 2, 24, views=3, cache=cache, truth=True).load((3, 4))
    monkeypatch.setattr(dataset_module, "render_face", refuse)
    again = ProceduralFaces(0, 2, 24, views=3, cache=cache, truth=True)
    for ours, expected in zip(again.load((3, 5, 4)).truth[:3], fresh[:3], strict=True):
        assert torch.equal(ours, expected)
    kept = sum(array.nbytes for array in map(np.load, cache.glob("[!d]*.npy")))
    assert kept == 2 * face_bytes(3, 24, True)
    with pytest.raises(ValueError, match=r"faces cache .* was made with"):
        ProceduralFaces(0, 2, 24, views=3, cache=cache)
    with pytest.raises(ValueError, match="made with truth=False"):
        ProceduralFaces(0, 1, 8).truth(0, [0, 1])
    with pytest.raises(ValueError, match="must end with the target"):
        again.truth(0, [])


def test_a_configuration_opens_its_split():
    config = DataConfig("faces", size=24, count=3)
    train, test = (open_dataset(config, split) for split in ("train", "test"))
    assert (train.seeds, test.seeds) == (range(3), range(900_000, 900_003))
    assert train.max_sources == 7
    with pytest.raises(ValueError, match="these images are square, but size is 64 x 32"):
        open_dataset(DataConfig("faces", size=(64, 32)), "train")


def test_a_folder_holds_what_was_rendered(tmp_path):
    seen = []
    arguments = {"first_seed": 900_007, "views": 3}
    write_faces_folder(tmp_path, 2, 32, **arguments, progress=lambda *n: seen.append(n))
    assert seen == [(1, 2), (2, 2)]
    files = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    assert len(files) == 2 * 3 * 2
    drawn = render_face(900_008, range(3), 32)
    for view in range(3):
        path = tmp_path / "900008" / f"{view:03d}.png"
        pixels = np.array(Image.open(path))
        assert np.array_equal(pixels.transpose(2, 0, 1), drawn.images[view].numpy())
        points = np.load(path.with_suffix(".npy"), allow_pickle=False)
        assert np.array_equal(points, drawn.landmarks[view].numpy())
    before = {path: path.read_bytes() for path in files}
    write_faces_folder(tmp_path, 2, 32, **arguments)
    assert {path: path.read_bytes() for path in files} == before


def test_a_folder_of_faces_can_be_trained_on(tmp_path):
    from rfwarp.cli import main

    write_faces_folder(tmp_path / "faces", 2, 32, views=3)
    assert main(["prepare", "folder", "--root", str(tmp_path / "faces")]) == 0
    dataset = open_dataset(DataConfig("folder", root=tmp_path / "faces", size=32), "train")
    sample = dataset.load(dataset.draw(0, 0, 1, 1)[0])
    assert dataset.pose_kind == "landmarks"
    assert sample.sources.shape == (1, 3, 32, 32)
