"""People as data sets: procedural, cached, and as a folder of PNG files."""

import csv
import json

import numpy as np
import pytest
import torch
from PIL import Image

from rfwarp.data import (
    ProceduralPeople,
    render_person,
    write_people_folder,
)
from rfwarp.data.people import dataset as dataset_module

SIZE = 16


def refuse(*_):
    raise AssertionError("rendered again")


@pytest.mark.parametrize("cached", [False, True])
def test_samples_are_the_renderers_images(tmp_path, cached, monkeypatch):
    cache = tmp_path / "cache" if cached else None
    people = ProceduralPeople(3, 2, (SIZE, 8), views=5, cache=cache)
    expected = render_person(4, [3, 0, 1], (SIZE, 8))
    for _ in range(2):  # rendered, then remembered
        sample = people.load((5 + 3, 5 + 0, 5 + 1))
        assert torch.equal(sample.sources, expected.images[:2])
        assert torch.equal(sample.poses, expected.keypoints[:2])
        assert torch.equal(sample.target, expected.images[2])
        assert torch.equal(sample.target_pose, expected.keypoints[2])
        monkeypatch.setattr(dataset_module, "render_person", refuse)
    assert torch.equal(people.images(1, [3, 0, 1]).visible, expected.visible)
    assert (people.height, people.width, people.max_sources) == (SIZE, 8, 4)
    assert (people.count, people.seeds, people.pose_kind) == (2, range(3, 5), "keypoints")


def test_sizes_that_are_not_square(tmp_path):
    cache = tmp_path / "cache"
    for size, message in ((0, "at least 1 pixel, got 0 x 0"), ((8, -1), "1 pixel, got 8 x -1")):
        with pytest.raises(ValueError, match=message):
            ProceduralPeople(0, 1, size, cache=cache)
    assert not cache.exists()
    ProceduralPeople(0, 2, SIZE, views=3, cache=cache)
    with pytest.raises(ValueError, match=r"people cache .* was made with"):
        ProceduralPeople(0, 2, (SIZE, 8), views=3, cache=cache)


def test_damaged_keypoints_are_refused(tmp_path):
    ProceduralPeople(0, 2, SIZE, cache=tmp_path)
    data = (tmp_path / "keypoints.npy").read_bytes()
    (tmp_path / "keypoints.npy").write_bytes(data[:1000])
    with pytest.raises(ValueError, match=r"people cache .* damaged"):
        ProceduralPeople(0, 2, SIZE, cache=tmp_path)


# --- rows --------------------------------------------------------------------------------------


def test_rows_are_valid_and_cover_everything():
    people = ProceduralPeople(0, 7, 8, views=6)
    rows = np.array(people.draw(1, 2, 3000, 3))
    assert rows.shape == (3000, 4)
    assert (rows // 6 == rows[:, :1] // 6).all()
    assert np.unique(rows).tolist() == list(range(42))
    assert all(len(set(row)) == 4 for row in rows.tolist())


def test_fewer_sources_are_a_prefix_of_more():
    people = ProceduralPeople(0, 7, 8, views=6)
    two, four = (people.draw(7, 3, 16, k) for k in (2, 4))
    assert [(*row[:2], row[-1]) for row in four] == two
    assert people.draw(7, 3, 16, 2) == two
    assert people.draw(7, 4, 16, 2) != two
    assert people.evaluation_rows(7, 16, 2) == people.draw(7, 0, 16, 2)
    with pytest.raises(ValueError, match=r"sources must lie in 1\.\.5, got 6"):
        people.draw(0, 0, 1, 6)


# --- folders -----------------------------------------------------------------------------------


def test_clips_are_walks_of_the_first_people():
    people = ProceduralPeople(900_000, 3, (48, 32), views=4)
    few, many = list(people.clips(2, 1)), list(people.clips(2, 3))
    assert len(few) == 2
    for number, (one, three) in enumerate(zip(few, many, strict=True)):
        assert one.frames.shape == (16, 3, 48, 32)
        assert one.frame_poses.shape == (16, 18, 3)
        for name in ("frames", "frame_poses"):
            assert getattr(one, name).equal(getattr(three, name))
        for name in ("sources", "poses"):
            assert getattr(one, name).equal(getattr(three, name)[:1])
        assert three.sources.equal(people.images(number, range(3)).images)
        steps = (one.frame_poses[1:] - one.frame_poses[:-1])[..., :2].norm(dim=-1)
        there = (one.frame_poses[1:, :, 2] > 0) & (one.frame_poses[:-1, :, 2] > 0)
        assert 0 < steps[there].max() < 4  # pixels: it moves, and does not jump
    assert not few[0].frame_poses.equal(few[1].frame_poses)
    assert len(list(people.clips(8, 1))) == 3
    for sources in (0, 4):
        with pytest.raises(ValueError, match=rf"sources must lie in 1\.\.3, got {sources}"):
            next(people.clips(1, sources))


def test_a_folder_holds_what_was_rendered(tmp_path):
    seen = []
    arguments = {"first_seed": 900_007, "views": 3}
    write_people_folder(tmp_path, 2, (32, 24), **arguments, progress=lambda *n: seen.append(n))
    assert seen == [(1, 2), (2, 2)]
    with (tmp_path / "keypoints.csv").open(newline="") as file:
        header, *rows = csv.reader(file, delimiter=":")
    assert header == ["name", "keypoints_y", "keypoints_x"]
    assert [row[0] for row in rows] == [
        f"{seed}_{view:03d}.png" for seed in (900_007, 900_008) for view in range(3)
    ]
    assert {path.name for path in tmp_path.iterdir()} == {"keypoints.csv", *(r[0] for r in rows)}
    for number, seed in enumerate((900_007, 900_008)):
        drawn = render_person(seed, range(3), (32, 24))
        for view in range(3):
            name, *fields = rows[3 * number + view]
            pixels = np.array(Image.open(tmp_path / name))
            assert np.array_equal(pixels.transpose(2, 0, 1), drawn.images[view].numpy())
            y, x = (np.array(json.loads(field)) for field in fields)
            exact = drawn.keypoints[view].numpy()
            there = exact[:, 2] > 0
            assert np.array_equal(x == -1, ~there)
            assert np.array_equal(y == -1, ~there)
            assert np.abs(np.stack([x, y], 1) - exact[:, :2])[there].max() <= 0.5
            assert (x < 24).all()
            assert (y < 32).all()
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    write_people_folder(tmp_path, 2, (32, 24), **arguments)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_an_interrupted_run_leaves_no_table(tmp_path):
    def interrupt(done, count):
        raise KeyboardInterrupt

    write_people_folder(tmp_path, 1, 8, views=1)
    with pytest.raises(KeyboardInterrupt):
        write_people_folder(tmp_path, 1, 8, views=1, progress=interrupt)
    assert not (tmp_path / "keypoints.csv").exists()
