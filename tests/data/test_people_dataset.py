"""People as data sets: procedural, cached, and as a folder of PNG files."""

import csv
import json
import pickle

import numpy as np
import pytest
import torch
from PIL import Image

from rfwarp.data import (
    HELD_OUT_FIRST_SEED,
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


def test_a_changed_sample_does_not_change_what_is_kept(tmp_path):
    for cache in (None, tmp_path / "cache"):
        people = ProceduralPeople(3, 1, SIZE, views=3, cache=cache)
        for tensor in people.load((0, 1))[:4]:
            tensor.zero_()
        assert torch.equal(people.load((0, 1)).sources, render_person(3, [0], SIZE).images)


def test_memory_keeps_the_most_recent_people(monkeypatch):
    rendered = []

    def spy(seed, views, size):
        rendered.append(seed)
        return render_person(seed, views, size)

    monkeypatch.setattr(dataset_module, "render_person", spy)
    people = ProceduralPeople(0, 3, 4, views=2, memory_people=2)
    for person in (0, 1, 0, 2, 0, 1):
        people.images(person, [0])
    assert rendered == [0, 1, 2, 1]


def test_the_cache_outlives_the_dataset(tmp_path, monkeypatch):
    first = ProceduralPeople(0, 2, SIZE, views=3, cache=tmp_path).images(1, range(3))
    monkeypatch.setattr(dataset_module, "render_person", refuse)
    again = ProceduralPeople(0, 2, SIZE, views=3, cache=tmp_path)
    for kept, drawn in zip(again.images(1, range(3)), first, strict=True):
        assert torch.equal(kept, drawn)
        assert kept.dtype == drawn.dtype
    with pytest.raises(AssertionError, match="rendered again"):
        again.images(0, [0])


@pytest.mark.parametrize(
    ("first", "count", "size", "views"),
    [(1, 2, SIZE, 3), (0, 3, SIZE, 3), (0, 2, (SIZE, 8), 3), (0, 2, SIZE, 4)],
)
def test_a_cache_of_other_people_is_refused(tmp_path, first, count, size, views):
    ProceduralPeople(0, 2, SIZE, views=3, cache=tmp_path)
    with pytest.raises(ValueError, match=r"people cache .* was made with"):
        ProceduralPeople(first, count, size, views=views, cache=tmp_path)


def test_a_cache_of_another_renderer_is_refused(tmp_path, monkeypatch):
    ProceduralPeople(0, 2, SIZE, cache=tmp_path)
    monkeypatch.setattr(dataset_module, "RENDERER_VERSION", -1)
    with pytest.raises(ValueError, match="renderer_version"):
        ProceduralPeople(0, 2, SIZE, cache=tmp_path)


def test_a_damaged_cache_is_refused(tmp_path):
    ProceduralPeople(0, 2, SIZE, cache=tmp_path)
    data = (tmp_path / "keypoints.npy").read_bytes()
    (tmp_path / "keypoints.npy").write_bytes(data[:1000])
    with pytest.raises(ValueError, match=r"people cache .* damaged"):
        ProceduralPeople(0, 2, SIZE, cache=tmp_path)


def test_pickles_carry_no_images(tmp_path):
    for cache in (None, tmp_path / "cache"):
        people = ProceduralPeople(0, 50, SIZE, cache=cache)
        expected = people.load((0, 1, 2))
        sent = pickle.dumps(people)
        assert len(sent) < 2500
        assert torch.equal(pickle.loads(sent).load((0, 1, 2)).target, expected.target)


def test_splits_meet_but_do_not_overlap():
    assert ProceduralPeople(HELD_OUT_FIRST_SEED - 2, 2, 8).seeds[-1] == 899_999
    assert ProceduralPeople(HELD_OUT_FIRST_SEED, 2, 8).seeds[0] == 900_000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"first_seed": -1}, "first_seed must be at least 0, got -1"),
        ({"count": 0}, "count must be at least 1, got 0"),
        ({"size": 0}, "at least 1 pixel, got 0 x 0"),
        ({"size": (8, -1)}, "at least 1 pixel, got 8 x -1"),
        ({"views": 1}, "views must be at least 2, got 1"),
        ({"memory_people": 0}, "memory_people must be at least 1, got 0"),
        ({"first_seed": 899_999, "count": 2}, "mix training people with held-out people"),
    ],
)
def test_bad_datasets_are_refused(tmp_path, arguments, message):
    given = {"first_seed": 0, "count": 1, "size": 8, "cache": tmp_path / "new", **arguments}
    with pytest.raises(ValueError, match=message):
        ProceduralPeople(**given)
    assert list(tmp_path.iterdir()) == []


def test_bad_rows_are_refused():
    people = ProceduralPeople(0, 2, 8, views=3)
    with pytest.raises(ValueError, match=r"one person, got those of \[0, 1\]"):
        people.load((0, 3))
    for image in (-1, 6):
        with pytest.raises(IndexError, match=r"person must lie in 0\.\.1"):
            people.load((image,))
    with pytest.raises(IndexError, match=r"views must lie in 0\.\.2, got \[1, 3\]"):
        people.images(0, [1, 3])


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


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"count": 0}, "count must be at least 1"),
        ({"views": 0}, "views must be at least 1"),
        ({"size": 0}, "at least 1 pixel"),
        ({"first_seed": -1}, "person seed must be an integer of at least 0"),
    ],
)
def test_bad_folders_are_refused_before_anything_is_written(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        write_people_folder(tmp_path / "new", **{"count": 1, "size": 8, **arguments})
    assert not (tmp_path / "new").exists()
