"""The weights that come with the package: they load, they say where they come from, they work."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from rfwarp import Generator, list_models
from rfwarp.data import HELD_OUT_FIRST_SEED, ChairTuples, ProceduralChairs
from rfwarp.metrics import Evaluation, evaluate
from rfwarp.pretrained import BUNDLED

# Evaluated once, in one process.
pytestmark = pytest.mark.xdist_group("bundled weights")

RESULTS = Path(__file__).parents[1] / "benchmarks" / "results"


def test_the_documented_model_is_there() -> None:
    assert "chairs-64" in list_models()


@pytest.mark.parametrize("name", list_models())
def test_card_states_origin_results_and_limits(name: str) -> None:
    card = (BUNDLED / name / "README.md").read_text(encoding="utf-8")
    headings = [line for line in card.splitlines() if line.startswith("## ")]
    assert headings == ["## Data", "## Training", "## Held-out results", "## Limits"]
    for fact in ("steps", "time", "machine", "commit", '"seed"'):
        assert fact in card
    assert "Not evaluated yet" not in card


@pytest.mark.parametrize("name", list_models())
def test_card_and_committed_results_agree(name: str) -> None:
    card = (BUNDLED / name / "README.md").read_text(encoding="utf-8")
    report = json.loads((RESULTS / name / "held_out.json").read_text(encoding="utf-8"))
    assert report["weights"] == name
    assert report["dataset"]["first_seed"] >= HELD_OUT_FIRST_SEED
    for row in report["results"]:
        assert f"| {row['sources']} | model | {row['model']['psnr']:.2f} |" in card


@pytest.fixture(scope="module")
def chairs() -> ChairTuples:
    return ChairTuples(ProceduralChairs(HELD_OUT_FIRST_SEED, 12, 64))


@pytest.fixture(scope="module")
def held_out(chairs: ChairTuples) -> dict[int, Evaluation]:
    """A sample of the committed evaluation: fewer sets, the same protocol."""
    generator = Generator.from_pretrained("chairs-64")
    return {r.sources: r for r in evaluate(generator, chairs, sources=(1, 2, 4), sets=48)}


@pytest.mark.parametrize("dtype", [None, torch.bfloat16, torch.float16])
def test_the_inference_form_loses_nothing_and_half_precision_hardly_anything(
    held_out: dict[int, Evaluation], chairs: ChairTuples, dtype: torch.dtype | None
) -> None:
    generator = Generator.from_pretrained("chairs-64").optimize(dtype)
    (result,) = evaluate(generator, chairs, sources=(2,), sets=48)
    lost = held_out[2].model.psnr - result.model.psnr
    assert abs(lost) < (1e-3 if dtype is None else 0.1)  # dB


def test_four_sources_beat_the_nearest_and_the_mean_by_6_db(
    held_out: dict[int, Evaluation],
) -> None:
    result = held_out[4]
    assert result.model.psnr >= result.nearest_source.psnr + 6
    assert result.model.psnr >= result.mean_source.psnr + 6


def test_more_sources_give_better_pictures(held_out: dict[int, Evaluation]) -> None:
    assert held_out[1].model.psnr < held_out[2].model.psnr < held_out[4].model.psnr
    assert held_out[1].model.l1 > held_out[2].model.l1 > held_out[4].model.l1


def test_the_order_of_the_sources_does_not_matter() -> None:
    generator = Generator.from_pretrained("chairs-64", dtype=torch.float64)
    chairs = ProceduralChairs(HELD_OUT_FIRST_SEED, 1, 64, memory_chairs=0)
    sources = chairs.views(0, [3, 20, 40]).double()[None] / 127.5 - 1
    poses = torch.rand(1, 3, 21, 64, 64, dtype=torch.float64, generator=torch.manual_seed(0))
    target = torch.rand(1, 21, 64, 64, dtype=torch.float64, generator=torch.manual_seed(1))
    order = [2, 0, 1]
    a = generator(sources, poses, target)
    b = generator(sources[:, order], poses[:, order], target)
    torch.testing.assert_close(a, b, rtol=0, atol=1e-9)
