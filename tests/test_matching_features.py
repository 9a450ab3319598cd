"""Features for matching against true flows, and the benchmark that tabulates them."""

import sys
from pathlib import Path

import pytest
import torch

from rfwarp.efficientnet import PACKAGE
from rfwarp.training.losses import sampling_correctness

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
from matching_features import MatchingFeatures, correctness, nearest, table

SETS = ("efficientnet-lite0", "oriented-pyramid")


@pytest.fixture(scope="module")
def results():
    pytest.importorskip(PACKAGE)
    threads = torch.get_num_threads()
    yield MatchingFeatures(features=SETS, data=("chairs",), count=16).run()
    torch.set_num_threads(threads)


def test_learned_features_have_their_minimum_at_the_true_flow(results):
    learned = [m for m in results["measurements"] if m["features"] == "efficientnet-lite0"]
    assert [m["stride"] for m in learned] == [8, 4]
    for m in learned:
        assert m["cells"] > 40
        assert m["flow"] > 4  # else zero flow would be true enough
        assert m["loss_true"] < m["loss_zero"]
        assert 1.2 * m["loss_true"] < m["loss_beside"]


def test_they_match_better_than_filters(results):
    errors = {(m["features"], m["stride"]): m["matching_error"] for m in results["measurements"]}
    assert errors[SETS[0], 4] < 0.9 * errors[SETS[1], 4]
    text = table(results)
    assert text.count("| chairs") == 4
    assert "efficientnet-lite0 (608)" in text


def test_a_set_without_its_weights_is_said_to_be_missing(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    results = MatchingFeatures(features=("vgg19",), data=("chairs",), count=1).run()
    assert not results["measurements"]
    assert "vgg19: no weights, not measured." in table(results)


def test_the_loss_of_all_cells_is_that_of_training():
    g = torch.Generator().manual_seed(0)
    source, target = (torch.rand(2, 5, 8, 6, generator=g) for _ in range(2))
    flow = torch.randn(2, 2, 8, 6, generator=g)
    found = correctness(source, target, flow, torch.ones(2, 8, 6, dtype=torch.bool), "gaussian")
    assert found == pytest.approx(sampling_correctness(source, target, flow).item(), abs=1e-6)


def test_exhaustive_matching_finds_where_cells_went():
    target = torch.rand(1, 9, 6, 8, generator=torch.Generator().manual_seed(0))
    flow = nearest(target.roll((2, 1), (2, 3)), target)
    assert (flow[:, 0, :-2, :-1] == 1).all()
    assert (flow[:, 1, :-2, :-1] == 2).all()
