"""Chairs as data sets: procedural, cached, and as a folder of PNG files."""

import errno
import multiprocessing
import os
import pickle
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest
import torch
from PIL import Image

from rfwarp.data import (
    HELD_OUT_FIRST_SEED,
    ChairFolder,
    ProceduralChairs,
    render_views,
    sample_view_sets,
    write_chair_folder,
)
from rfwarp.data.chairs import dataset as dataset_module

SIZE = 16


@pytest.fixture
def folder(tmp_path):
    write_chair_folder(tmp_path / "chairs", 2, SIZE, first_seed=900_007, views=[0, 4, 53])
    return tmp_path / "chairs"


# --- procedural --------------------------------------------------------------------------------


@pytest.mark.parametrize("cached", [False, True])
def test_views_are_the_renderers_images(tmp_path, cached):
    chairs = ProceduralChairs(3, 2, SIZE, cache=tmp_path / "cache" if cached else None)
    expected = render_views(4, [9, 0, 9], SIZE)
    for _ in range(2):  # rendered, then remembered
        assert torch.equal(chairs.views(1, [9, 0, 9]), expected)
    assert torch.equal(chairs.views(1, torch.tensor([9, 0, 9])), expected)
    assert chairs.views(0, []).shape == (0, 3, SIZE, SIZE)
    assert (chairs.count, chairs.size, chairs.seeds) == (2, SIZE, range(3, 5))
    assert chairs.available == tuple(range(54))


def test_a_changed_image_does_not_change_what_is_kept(tmp_path):
    for cache in (None, tmp_path / "cache"):
        chairs = ProceduralChairs(3, 1, SIZE, cache=cache)
        chairs.views(0, [0]).zero_()
        assert torch.equal(chairs.views(0, [0]), render_views(3, [0], SIZE))


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="space cannot be reserved here")
def test_a_full_disk_is_noticed_before_any_rendering(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match="No space left"):
        ProceduralChairs(3, 2, SIZE, cache=tmp_path / "cache")
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_left_of_an_interrupted_creation(tmp_path, monkeypatch):
    def interrupted(path):
        raise KeyboardInterrupt

    monkeypatch.setattr("rfwarp.data.disk_cache._reserve", interrupted)
    with pytest.raises(KeyboardInterrupt):
        ProceduralChairs(3, 2, SIZE, cache=tmp_path / "cache")
    assert list(tmp_path.iterdir()) == []


def test_without_memory_only_the_views_asked_for_are_rendered(monkeypatch):
    rendered = []

    def spy(seed, views, size):
        rendered.append((seed, list(views)))
        return render_views(seed, views, size)

    monkeypatch.setattr(dataset_module, "render_views", spy)
    chairs = ProceduralChairs(3, 2, SIZE, memory_chairs=0)
    expected = render_views(4, [9, 0, 9], SIZE)
    for _ in range(2):
        assert torch.equal(chairs.views(1, [9, 0, 9]), expected)
    assert chairs.views(1, []).shape == (0, 3, SIZE, SIZE)
    assert rendered == [(4, [9, 0, 9]), (4, [9, 0, 9]), (4, [])]


def test_memory_keeps_the_most_recent_chairs(monkeypatch):
    rendered = []

    def spy(seed, views, size):
        rendered.append(seed)
        return render_views(seed, views, size)

    monkeypatch.setattr(dataset_module, "render_views", spy)
    chairs = ProceduralChairs(0, 3, 4, memory_chairs=2)
    for chair in (0, 1, 0, 2, 0, 1):
        chairs.views(chair, [0])
    assert rendered == [0, 1, 2, 1]


def test_the_cache_outlives_the_dataset(tmp_path, monkeypatch):
    first = ProceduralChairs(0, 2, SIZE, cache=tmp_path).views(1, range(54))

    def refuse(*_):
        raise AssertionError("rendered again")

    monkeypatch.setattr(dataset_module, "render_views", refuse)
    again = ProceduralChairs(0, 2, SIZE, cache=tmp_path)
    assert torch.equal(again.views(1, range(54)), first)
    with pytest.raises(AssertionError, match="rendered again"):
        again.views(0, [0])


def test_pickles_carry_no_images(tmp_path):
    for cache in (None, tmp_path / "cache"):
        chairs = ProceduralChairs(0, 50, SIZE, cache=cache)
        expected = chairs.views(2, [5])
        sent = pickle.dumps(chairs)
        assert len(sent) < 2000
        assert torch.equal(pickle.loads(sent).views(2, [5]), expected)


def _touch_all(cache: str) -> int:
    torch.set_num_threads(1)
    chairs = ProceduralChairs(0, 6, 8, cache=cache)
    return sum(int(chairs.views(i, range(54)).long().sum()) for i in range(6))


def test_processes_share_one_cache(tmp_path):
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        sums = list(pool.map(_touch_all, [str(tmp_path / "cache")] * 2))
    expected = sum(int(render_views(i, range(54), 8).long().sum()) for i in range(6))
    assert sums == [expected, expected]
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]  # no leftovers


@pytest.mark.parametrize("other", [(1, 2, SIZE), (0, 3, SIZE), (0, 2, 2 * SIZE)])
def test_a_cache_of_other_chairs_is_refused(tmp_path, other):
    ProceduralChairs(0, 2, SIZE, cache=tmp_path)
    with pytest.raises(ValueError, match="was made with"):
        ProceduralChairs(*other, cache=tmp_path)


def test_a_cache_of_another_renderer_is_refused(tmp_path, monkeypatch):
    ProceduralChairs(0, 2, SIZE, cache=tmp_path)
    monkeypatch.setattr(dataset_module, "RENDERER_VERSION", -1)
    with pytest.raises(ValueError, match="renderer_version"):
        ProceduralChairs(0, 2, SIZE, cache=tmp_path)


def test_a_folder_of_something_else_is_refused_as_cache(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(ValueError, match="not a chair cache"):
        ProceduralChairs(0, 2, SIZE, cache=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_damaged_cache_is_refused(tmp_path):
    ProceduralChairs(0, 2, SIZE, cache=tmp_path)
    data = (tmp_path / "images.npy").read_bytes()
    for damaged in (data[:1000], b""):
        (tmp_path / "images.npy").write_bytes(damaged)
        with pytest.raises(ValueError, match="damaged"):
            ProceduralChairs(0, 2, SIZE, cache=tmp_path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((-1, 1, 8), "first_seed must be at least 0, got -1"),
        ((0, 0, 8), "count must be at least 1, got 0"),
        ((0, 1, 0), "size must be at least 1, got 0"),
        ((HELD_OUT_FIRST_SEED - 1, 2, 8), "mix training chairs with held-out"),
    ],
)
def test_bad_datasets_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        ProceduralChairs(*arguments)


def test_splits_meet_but_do_not_overlap():
    assert HELD_OUT_FIRST_SEED == 900_000
    assert ProceduralChairs(HELD_OUT_FIRST_SEED - 2, 2, 8).seeds[-1] == 899_999
    assert ProceduralChairs(HELD_OUT_FIRST_SEED, 2, 8).seeds[0] == 900_000


def test_bad_requests_are_refused():
    chairs = ProceduralChairs(0, 2, 8)
    for chair in (2, -1):
        with pytest.raises(IndexError, match=rf"0\.\.1, got {chair}"):
            chairs.views(chair, [0])
    with pytest.raises(ValueError, match=r"view indices \[-1, 54\] are not available"):
        chairs.views(0, [54, 3, -1])


# --- view sets ---------------------------------------------------------------------------------


def test_view_sets_are_valid_and_cover_everything():
    sets = sample_view_sets(1, 2, batch_size=4000, sources=4, things=10, available=range(54))
    assert sets.things.shape == (4000,)
    assert sets.sources.shape == (4000, 4)
    assert sets.targets.shape == (4000,)
    assert {t.dtype for t in sets} == {torch.int64}
    assert sets.things.unique().tolist() == list(range(10))
    assert sets.targets.unique().tolist() == list(range(54))
    assert not (sets.sources == sets.targets[:, None]).any()
    assert all(len(set(row)) == 4 for row in sets.sources.tolist())


def test_view_sets_are_uniform():
    counts = torch.bincount(sample_view_sets(0, 0, 54_000, 2, 5, range(54)).targets, minlength=54)
    assert ((counts - 1000).abs() < 5 * 1000**0.5).all()


def test_view_sets_depend_on_seed_and_step_alone():
    def drawn(seed, step):
        return [t.tolist() for t in sample_view_sets(seed, step, 8, 3, 100, range(54))]

    assert drawn(1, 2) == drawn(1, 2)
    assert drawn(1, 2) != drawn(1, 3)
    assert drawn(1, 2) != drawn(2, 1)


def test_fewer_sources_are_a_prefix_of_more():
    two, four = (sample_view_sets(7, 0, 16, k, 100, range(54)) for k in (2, 4))
    assert torch.equal(two.things, four.things)
    assert torch.equal(two.targets, four.targets)
    assert torch.equal(two.sources, four.sources[:, :2])


def test_view_sets_draw_from_the_available_views():
    sets = sample_view_sets(0, 0, 100, 2, 1, available=(4, 30, 53))
    assert torch.cat([sets.sources.flatten(), sets.targets]).unique().tolist() == [4, 30, 53]
    assert sets.rows(54)[0] == (*sets.sources[0].tolist(), int(sets.targets[0]))
    with pytest.raises(ValueError, match=r"sources must lie in 1\.\.2, got 3"):
        sample_view_sets(0, 0, 100, 3, 1, available=(4, 30, 53))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("seed", r"seed and step must be at least 0, got -1 and \[0\]"),
        ("step", r"seed and step must be at least 0, got 0 and \[-1\]"),
        ("batch_size", "batch_size must be at least 1, got -1"),
        ("sources", r"sources must lie in 1\.\.53, got -1"),
        ("things", "things must be at least 1, got -1"),
    ],
)
def test_bad_view_set_numbers_are_refused(name, message):
    numbers = {"seed": 0, "step": 0, "batch_size": 1, "sources": 1, "things": 1, name: -1}
    with pytest.raises(ValueError, match=message):
        sample_view_sets(**numbers, available=range(54))


# --- folders -----------------------------------------------------------------------------------


def test_a_folder_gives_back_what_was_rendered(folder):
    chairs = ChairFolder(folder)
    assert (chairs.count, chairs.size, chairs.available) == (2, SIZE, (0, 4, 53))
    assert chairs.chairs == ("900007", "900008")
    for number in range(2):
        expected = render_views(900_007 + number, [53, 0, 4], SIZE)
        assert torch.equal(chairs.views(number, [53, 0, 4]), expected)
    assert chairs.views(0, []).shape == (0, 3, SIZE, SIZE)


def test_folder_names_and_table(folder):
    rows = (folder / "poses.csv").read_text().splitlines()
    assert rows[:3] == [
        "file,chair,azimuth,elevation",
        "900007_000_00.png,900007,0,0",
        "900007_020_10.png,900007,20,10",
    ]
    names = sorted(path.name for path in folder.iterdir())
    assert names == sorted([*(row.split(",")[0] for row in rows[1:]), "poses.csv"])


def test_writing_again_gives_the_same_files(folder):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    seen = []
    write_chair_folder(
        folder, 2, SIZE, 900_007, views=[0, 4, 53], progress=lambda *done: seen.append(done)
    )
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert seen == [(1, 2), (2, 2)]


def test_an_interrupted_run_leaves_no_table(folder):
    def interrupt(done, count):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_chair_folder(folder, 2, SIZE, 900_007, progress=interrupt)
    with pytest.raises(ValueError, match=r"cannot read .*poses\.csv"):
        ChairFolder(folder)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"count": 0}, "count must be at least 1"),
        ({"size": 0}, "size must be at least 1"),
        ({"first_seed": -1}, "first_seed must be at least 0"),
        ({"views": [54]}, "got 54"),
        ({"views": []}, "at least one view"),
        ({"views": [1, 1]}, "only once"),
    ],
)
def test_bad_folders_are_refused_before_anything_is_written(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        write_chair_folder(tmp_path / "new", **{"count": 1, "size": 8, **arguments})
    assert not (tmp_path / "new").exists()


def edit(folder, line, text):
    table = folder / "poses.csv"
    lines = table.read_text().splitlines()
    lines[line - 1] = text
    table.write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize(
    ("line", "text", "message"),
    [
        (1, "file,azimuth", "line 1: expected file,chair,azimuth,elevation, got file,azimuth"),
        (3, "900007_020_10.png,900007,25,10", "line 3: azimuth must be one of .* got 25"),
        (3, "900007_020_10.png,900007,20,15", "line 3: elevation must be one of .* got 15"),
        (3, "900007_020_10.png,900007,twenty,10", "line 3: .*'twenty'"),
        (3, "900007_020_10.png,900007,20", "line 3: expected 4 fields, got 3"),
        (3, "gone.png,900007,20,10", "line 3: there is no file 'gone.png'"),
        (3, "../poses.csv,900007,20,10", "line 3: there is no file"),
        (3, "900007_020_10.png,900007,0,0", "line 3: .* was listed before"),
        (3, "900007_020_10.png,900007,40,10", "900008 has 3 views that are not the 3 views"),
    ],
)
def test_bad_tables_are_refused(folder, line, text, message):
    edit(folder, line, text)
    with pytest.raises(ValueError, match=message):
        ChairFolder(folder)


def test_missing_and_empty_tables_are_refused(folder, tmp_path):
    with pytest.raises(ValueError, match="cannot read"):
        ChairFolder(tmp_path / "nowhere")
    (folder / "poses.csv").write_text("file,chair,azimuth,elevation\n")
    with pytest.raises(ValueError, match="lists no images"):
        ChairFolder(folder)
    (folder / "poses.csv").write_text("")
    with pytest.raises(ValueError, match="got an empty file"):
        ChairFolder(folder)
    (folder / "poses.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="cannot read"):
        ChairFolder(folder)


def test_corrupt_images_are_refused(folder):
    chairs = ChairFolder(folder)
    path = folder / "900008_020_10.png"
    whole = path.read_bytes()
    for broken in (b"", b"not an image", whole[:60], whole[:-30]):
        path.write_bytes(broken)
        with pytest.raises(ValueError, match=r"900008_020_10\.png cannot be read as an image"):
            chairs.views(1, [4])
    path.unlink()
    with pytest.raises(ValueError, match=r"900008_020_10\.png cannot be read as an image"):
        chairs.views(1, [4])


def test_images_of_another_size_are_refused(folder):
    chairs = ChairFolder(folder)
    Image.new("RGB", (SIZE, SIZE + 1)).save(folder / "900008_020_10.png")
    with pytest.raises(ValueError, match="has 16 x 17 pixels, expected 16 x 16"):
        chairs.views(1, [4])
    Image.new("RGB", (20, 10)).save(folder / "900007_000_00.png")
    with pytest.raises(ValueError, match="has 20 x 10 pixels, expected 20 x 20"):
        ChairFolder(folder)


@pytest.mark.parametrize("limit", [SIZE * SIZE // 2 - 1, SIZE * SIZE - 1])
def test_huge_images_are_refused(folder, monkeypatch, limit):
    """Both of PIL's alarms: its warning above the limit, its error above twice the limit."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with pytest.raises(ValueError, match="too large to be decoded safely"):
        ChairFolder(folder)


def test_other_colour_modes_become_rgb(folder):
    chairs = ChairFolder(folder)
    path = folder / "900007_000_00.png"
    Image.new("L", (SIZE, SIZE), 77).save(path)
    assert (chairs.views(0, [0]) == 77).all()
    clear = np.zeros((SIZE, SIZE, 4), np.uint8)
    Image.fromarray(clear).save(path)
    assert (chairs.views(0, [0]) == 255).all()


def test_images_that_would_be_clipped_or_executed_are_refused(folder):
    chairs = ChairFolder(folder)
    path = folder / "900007_000_00.png"
    Image.fromarray(np.full((SIZE, SIZE), 30000, np.uint16)).save(path)
    with pytest.raises(ValueError, match=r"900007_000_00\.png: images must have 8 bits"):
        chairs.views(0, [0])
    Image.new("RGB", (SIZE, SIZE)).save(path, format="EPS")  # Ghostscript would read it
    with pytest.raises(ValueError, match=r"900007_000_00\.png cannot be read as an image"):
        chairs.views(0, [0])


def test_bad_folder_requests_are_refused(folder):
    chairs = ChairFolder(folder)
    with pytest.raises(IndexError, match=r"0\.\.1, got 2"):
        chairs.views(2, [0])
    with pytest.raises(ValueError, match=r"view indices \[1\] are not available"):
        chairs.views(0, [1])
