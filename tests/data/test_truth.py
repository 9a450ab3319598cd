"""True correspondences as data: asked for, kept, sent to other processes, pooled."""

import itertools
import pickle
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest
import torch

from rfwarp.data.catalog import DataConfig, open_dataset
from rfwarp.data.chairs import (
    ChairFolder,
    ChairTuples,
    ProceduralChairs,
    write_chair_folder,
)
from rfwarp.data.people import ProceduralPeople, correspondence, person_bytes, render_person
from rfwarp.data.truth import Truth, pool, stack

FAMILIES = ("chairs", "people", "faces", "streets")
WITH_DEPTH = ("chairs", "streets")  # those whose cameras move


# --- datasets ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("split", ["train", "test"])
def test_truth_is_given_on_request_alone(name, split):
    config = DataConfig(name, size=16, count=2)
    (row,) = open_dataset(config, split).draw(0, 0, 1, 3)
    plain = open_dataset(config, split).load(row)
    assert plain.truth is None
    sample = open_dataset(DataConfig(name, size=16, count=2, truth=True), split).load(row)
    assert torch.equal(sample.sources, plain.sources)
    assert torch.equal(sample.target, plain.target)
    flow, visible, foreground, depth = sample.truth
    assert (flow.shape, flow.dtype) == ((3, 2, 16, 16), torch.float32)
    assert (visible.shape, visible.dtype) == ((3, 16, 16), torch.bool)
    assert (foreground.shape, foreground.dtype) == ((16, 16), torch.bool)
    if name not in WITH_DEPTH:
        assert depth is None
    else:
        assert (depth.shape, depth.dtype) == ((16, 16), torch.float32)
        assert torch.equal(depth > 0, foreground)
        nearest, farthest = (0.6, 1.4) if name == "chairs" else (4, 200)
        assert nearest < depth[foreground].min() < depth[foreground].max() < farthest


def test_only_procedural_chairs_have_truth(tmp_path):
    write_chair_folder(tmp_path, 1, 8, views=[0, 1, 2])
    assert ChairTuples(ChairFolder(tmp_path)).load((0, 1)).truth is None
    with pytest.raises(ValueError, match="ChairFolder have no true correspondences"):
        ChairTuples(ChairFolder(tmp_path), truth=True)
    chairs = ProceduralChairs(0, 1, 8)
    with pytest.raises(IndexError, match=r"chair must lie in 0\.\.0, got"):
        chairs.truth(1, [0, 1])
    with pytest.raises(ValueError, match="must end with the target"):
        chairs.truth(0, [])


def test_truth_of_people_is_kept_with_their_images(tmp_path, monkeypatch):
    fresh = ProceduralPeople(0, 2, (24, 16), views=3, truth=True).load((3, 5, 4)).truth
    cache = tmp_path / "cache"
    ProceduralPeople(0, 2, (24, 16), views=3, cache=cache, truth=True).load((3, 4))
    monkeypatch.setattr("rfwarp.data.people.dataset.render_person", None)
    kept = ProceduralPeople(0, 2, (24, 16), views=3, cache=cache, truth=True)
    for ours, expected in zip(kept.load((3, 5, 4)).truth[:3], fresh[:3], strict=True):
        assert torch.equal(ours, expected)
    kept = sum(array.nbytes for array in map(np.load, cache.glob("[!d]*.npy")))
    assert kept == 2 * person_bytes(3, 24, 16, True)


def test_caches_with_and_without_truth_are_told_apart(tmp_path):
    arguments = {"first_seed": 0, "count": 1, "size": 8, "views": 2}
    ProceduralPeople(**arguments, cache=tmp_path / "plain").load((0, 1))
    ProceduralPeople(**arguments, cache=tmp_path / "true", truth=True)
    for folder, truth in (("plain", True), ("true", False)):
        with pytest.raises(ValueError, match=r"was made with .* is needed"):
            ProceduralPeople(**arguments, cache=tmp_path / folder, truth=truth)
    assert "truth" not in (tmp_path / "plain" / "cache.json").read_text()
    again = ProceduralPeople(**arguments, cache=tmp_path / "plain")
    assert torch.equal(again.load((0, 1)).sources, render_person(0, [0], 8).images)
    with pytest.raises(ValueError, match="made with truth=False"):
        again.truth(0, [0, 1])


@pytest.fixture(scope="module")
def other_process():
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as executor:
        yield executor


@pytest.mark.parametrize("name", FAMILIES)
def test_other_processes_give_the_same(name, other_process):
    dataset = open_dataset(DataConfig(name, size=16, count=1, truth=True), "test")
    expected = dataset.load((0, 1, 2)).truth
    given = other_process.submit(dataset.load, (0, 1, 2)).result().truth
    for ours, theirs in zip(expected[:3], given[:3], strict=True):
        assert torch.equal(ours, theirs)
    assert len(pickle.dumps(dataset)) < 20_000


def test_a_mesh_that_does_not_fit_is_told(monkeypatch):
    monkeypatch.setattr(correspondence, "POINTS", 100)
    with pytest.raises(ValueError, match="at most 100 points and 6588 triangles, got"):
        correspondence.trace_person(0, [0], (8, 8))


def test_images_with_little_or_nothing_in_them():
    for size in (1, 3):
        assert ProceduralChairs(0, 1, size).truth(0, [0, 1]).flow.shape == (1, 2, size, size)
        people = ProceduralPeople(0, 1, size, views=2, truth=True)
        assert people.load((0, 1)).truth.visible.shape == (1, size, size)
    alone = ProceduralChairs(0, 1, 8).truth(0, [0])
    assert alone.flow.shape == (0, 2, 8, 8)


# --- levels of a network -----------------------------------------------------------------------


@pytest.mark.parametrize("stride", [1, 2, 4])
@pytest.mark.parametrize("with_depth", [False, True])
def test_pooling_takes_means_over_what_is_visible(stride, with_depth):
    random = torch.Generator().manual_seed(3)
    n, k, height, width = 2, 3, 8, 12
    shown = torch.rand(n, height, width, generator=random) < 0.5
    shown[:, :4, :4] = False
    truth = Truth(
        torch.randn(n, k, 2, height, width, generator=random) * 9,
        (torch.rand(n, k, height, width, generator=random) < 0.5) & shown[:, None],
        shown,
        torch.rand(n, height, width, generator=random) * shown if with_depth else None,
    )
    level = pool(truth, stride)
    assert (level.depth is not None) == with_depth
    cells = itertools.product(range(n), range(height // stride), range(width // stride))
    for i, row, column in cells:
        y, x = row * stride, column * stride
        cell = (slice(y, y + stride), slice(x, x + stride))
        inside = truth.foreground[i][cell].double()
        assert float(level.foreground[i, 0, 0, row, column]) == pytest.approx(float(inside.mean()))
        if with_depth:
            depths = truth.depth[i][cell].double()[inside > 0]
            mean = len(depths) / (1 / depths).sum() if len(depths) else 0.0
            assert float(level.depth[i, 0, row, column]) == pytest.approx(float(mean), rel=1e-4)
        for source in range(k):
            seen = truth.visible[i, source][cell].double()
            at = (i, source, slice(None), row, column)
            assert float(level.seen[at]) == pytest.approx(float(seen.mean()))
            share = seen.sum() / inside.sum().clamp_min(1)
            assert float(level.visible[at]) == pytest.approx(float(share), rel=1e-4)
            moved = truth.flow[i, source][:, cell[0], cell[1]].double() * seen
            mean = moved.sum((1, 2)) / seen.sum().clamp_min(1) / stride
            assert level.flow[at].tolist() == pytest.approx(mean.tolist(), rel=1e-4, abs=1e-5)


def test_stacking_makes_a_batch():
    for name in FAMILIES:
        dataset = open_dataset(DataConfig(name, size=8, count=1, truth=True), "test")
        truths = [dataset.load(row).truth for row in ((0, 1, 2), (3, 4, 5))]
        batch = stack(truths)
        assert batch.flow.shape == (2, 2, 2, 8, 8)
        assert torch.equal(batch.visible[1], truths[1].visible)
        assert (batch.depth is None) == (name not in WITH_DEPTH)
