"""What faces and people have in common: images rendered on demand and kept, rows, refusals."""

import pickle
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import pytest
import torch

from rfwarp.data import (
    HELD_OUT_FIRST_SEED,
    ProceduralFaces,
    ProceduralPeople,
    render_face,
    render_person,
    write_faces_folder,
    write_people_folder,
)
from rfwarp.data.faces import dataset as faces_module
from rfwarp.data.people import dataset as people_module
from rfwarp.data.rendered_views import RenderedViews

SIZE = 16


@dataclass(frozen=True)
class Case:
    thing: str
    things: str
    dataset: Callable[..., Any]
    module: ModuleType
    render: Callable[..., Any]
    write: Callable[..., None]


CASES = [
    Case("face", "faces", ProceduralFaces, faces_module, render_face, write_faces_folder),
    Case("person", "people", ProceduralPeople, people_module, render_person, write_people_folder),
]


@pytest.fixture(params=CASES, ids=lambda case: case.things)
def case(request) -> Case:
    return request.param


def refuse(*_):
    raise AssertionError("rendered again")


def test_a_changed_sample_does_not_change_what_is_kept(tmp_path, case):
    for cache in (None, tmp_path / "cache"):
        dataset = case.dataset(3, 1, SIZE, views=3, cache=cache)
        for tensor in dataset.load((0, 1))[:4]:
            tensor.zero_()
        assert torch.equal(dataset.load((0, 1)).sources, case.render(3, [0], SIZE).images)


def test_memory_keeps_the_most_recent(monkeypatch, case):
    rendered = []

    def spy(seed, views, size):
        rendered.append(seed)
        return case.render(seed, views, size)

    monkeypatch.setattr(case.module, f"render_{case.thing}", spy)
    dataset: RenderedViews = case.dataset(0, 3, 4, views=2, **{f"memory_{case.things}": 2})
    for number in (0, 1, 0, 2, 0, 1):
        dataset.load((2 * number, 2 * number + 1))
    assert rendered == [0, 1, 2, 1]


def test_the_cache_outlives_the_dataset(tmp_path, monkeypatch, case):
    first = case.dataset(0, 2, SIZE, views=3, cache=tmp_path).images(1, range(3))
    monkeypatch.setattr(case.module, f"render_{case.thing}", refuse)
    again = case.dataset(0, 2, SIZE, views=3, cache=tmp_path)
    for kept, drawn in zip(again.images(1, range(3)), first, strict=True):
        assert torch.equal(kept, drawn)
        assert kept.dtype == drawn.dtype
    with pytest.raises(AssertionError, match="rendered again"):
        again.images(0, [0])


@pytest.mark.parametrize(
    ("first", "count", "size", "views"),
    [(1, 2, SIZE, 3), (0, 3, SIZE, 3), (0, 2, 8, 3), (0, 2, SIZE, 4)],
)
def test_a_cache_of_others_is_refused(tmp_path, case, first, count, size, views):
    case.dataset(0, 2, SIZE, views=3, cache=tmp_path)
    with pytest.raises(ValueError, match=rf"{case.things} cache .* was made with"):
        case.dataset(first, count, size, views=views, cache=tmp_path)


def test_a_cache_of_another_renderer_is_refused(tmp_path, monkeypatch, case):
    case.dataset(0, 2, SIZE, cache=tmp_path)
    monkeypatch.setattr(case.module, "RENDERER_VERSION", -1)
    with pytest.raises(ValueError, match="renderer_version"):
        case.dataset(0, 2, SIZE, cache=tmp_path)


def test_a_damaged_cache_is_refused(tmp_path, case):
    case.dataset(0, 2, SIZE, cache=tmp_path)
    images = tmp_path / "images.npy"
    images.write_bytes(images.read_bytes()[:1000])
    with pytest.raises(ValueError, match=rf"{case.things} cache .* damaged"):
        case.dataset(0, 2, SIZE, cache=tmp_path)


def test_pickles_carry_no_images(tmp_path, case):
    for cache in (None, tmp_path / "cache"):
        dataset = case.dataset(0, 50, SIZE, cache=cache)
        expected = dataset.load((0, 1, 2))
        sent = pickle.dumps(dataset)
        assert len(sent) < 2500
        assert torch.equal(pickle.loads(sent).load((0, 1, 2)).target, expected.target)


def test_splits_meet_but_do_not_overlap(case):
    assert case.dataset(HELD_OUT_FIRST_SEED - 2, 2, 8).seeds[-1] == 899_999
    assert case.dataset(HELD_OUT_FIRST_SEED, 2, 8).seeds[0] == 900_000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"first_seed": -1}, "first_seed must be at least 0, got -1"),
        ({"count": 0}, "count must be at least 1, got 0"),
        ({"size": 0}, "at least 1 pixel, got 0"),
        ({"views": 1}, "views must be at least 2, got 1"),
        ({"memory": 0}, "memory_{things} must be at least 1, got 0"),
        ({"first_seed": 899_999, "count": 2}, "mix training {things} with held-out {things}"),
    ],
)
def test_bad_datasets_are_refused(tmp_path, case, arguments, message):
    given = {"first_seed": 0, "count": 1, "size": 8, "cache": tmp_path / "new", **arguments}
    if "memory" in given:
        given[f"memory_{case.things}"] = given.pop("memory")
    with pytest.raises(ValueError, match=message.format(things=case.things)):
        case.dataset(**given)
    assert list(tmp_path.iterdir()) == []


def test_bad_rows_are_refused(case):
    dataset = case.dataset(0, 2, 8, views=3)
    with pytest.raises(ValueError, match=rf"one {case.thing}, got those of \[0, 1\]"):
        dataset.load((0, 3))
    for image in (-1, 6):
        with pytest.raises(IndexError, match=rf"{case.thing} must lie in 0\.\.1"):
            dataset.load((image,))
    with pytest.raises(IndexError, match=r"views must lie in 0\.\.2, got \[1, 3\]"):
        dataset.images(0, [1, 3])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"count": 0}, "count must be at least 1"),
        ({"views": 0}, "views must be at least 1"),
        ({"size": 0}, "at least 1 pixel"),
        ({"first_seed": -1}, "{thing} seed must be an integer of at least 0"),
    ],
)
def test_bad_folders_are_refused_before_anything_is_written(tmp_path, case, arguments, message):
    with pytest.raises(ValueError, match=message.format(thing=case.thing)):
        case.write(tmp_path / "new", **{"count": 1, "size": 8, **arguments})
    assert not (tmp_path / "new").exists()
