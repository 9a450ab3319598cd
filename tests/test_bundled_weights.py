"""The weights that come with the package: they load, they say where they come from, they work."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from rfwarp import Generator, list_models
from rfwarp.data import HELD_OUT_FIRST_SEED, DataConfig, ProceduralChairs, open_dataset
from rfwarp.metrics import EvaluationConfig, evaluate
from rfwarp.pretrained import BUNDLED

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
OUTSIDE = {path.name: path for path in sorted((ROOT / "examples" / "weights").iterdir())}
"""Weights that are no part of the package."""
SAMPLE = EvaluationConfig(sources=(1, 2, 4), sets=4)  # of the committed evaluation's protocol
PSNR = {
    "chairs-128": (17.469, 19.505, 21.245),
    "chairs-64": (19.189, 21.272, 22.986),
    "faces-128": (24.690, 25.748, 25.643),
    "people-128": (19.430, 19.766, 19.455),
    "people-64": (20.651, 21.282, 21.030),
    "streets-64": (23.384, 24.948, 27.090),
}
"""Of the sample, dB, by the number of sources: what these weights drew when they were committed."""
MARGIN = {
    "chairs-64": 8.5,
    "chairs-128": 7.5,
    "faces-128": 4.0,
    "people-64": 5.5,
    "people-128": 5.0,
    "streets-64": 7.0,
}
"""Least gain in PSNR, dB, by four sources over the nearest source and over the mean of sources."""


def test_the_documented_models_are_there() -> None:
    assert set(list_models()) == set(MARGIN)


def test_they_are_small_enough_for_a_package() -> None:
    sizes = [path.stat().st_size for path in BUNDLED.rglob("*.safetensors")]
    assert sum(sizes) <= 40e6


@pytest.mark.parametrize("name", list_models())
def test_card_states_origin_results_and_limits(name: str) -> None:
    card = (BUNDLED / name / "README.md").read_text(encoding="utf-8")
    headings = [line for line in card.splitlines() if line.startswith("## ")]
    assert headings == ["## Data", "## Training", "## Held-out results", "## Limits"]
    for fact in ("steps", "time", "machine", "commit", '"seed"'):
        assert fact in card
    assert "Not evaluated yet" not in card


@pytest.mark.parametrize("name", [*list_models(), *OUTSIDE])
def test_card_and_committed_results_agree(name: str) -> None:
    card = (OUTSIDE.get(name, BUNDLED / name) / "README.md").read_text(encoding="utf-8")
    report = json.loads((RESULTS / name / "held_out.json").read_text(encoding="utf-8"))
    assert Path(report["weights"]).name == name
    if name not in OUTSIDE:
        assert report["dataset"]["first_seed"] >= HELD_OUT_FIRST_SEED
    for row in report["results"]:
        assert f"| {row['sources']} | model | {row['model']['psnr']:.2f} |" in card


def held_out(name: str) -> dict[int, dict[str, dict[str, float]]]:
    """The committed results of a model, by the number of sources."""
    report = json.loads((RESULTS / name / "held_out.json").read_text(encoding="utf-8"))
    return {row["sources"]: row for row in report["results"]}


def test_the_readmes_table_has_the_results() -> None:
    pattern = r"\| `([\w-]+)` \| .* \| ([\d., ]+) dB \| ([\d.]+) dB \| ([\d., ]+) px \|"
    rows = re.findall(pattern, (ROOT / "README.md").read_text(encoding="utf-8"))
    assert sorted(name for name, *_ in rows) == list_models()
    for name, ours, mean, flows in rows:
        results = held_out(name)
        assert ours == ", ".join(f"{results[k]['model']['psnr']:.2f}" for k in (1, 2, 4))
        assert mean == f"{results[4]['mean_source']['psnr']:.2f}"
        scores = results[4]["model"]
        assert flows == f"{scores['flow_epe']:.1f}, {scores['flow_epe_zero']:.1f}"


@pytest.mark.parametrize(
    ("heading", "models"),
    [
        ("Held-out results", list_models()),
        ("furniture-128: things on white", ["furniture-128", "furniture-128-no-hull"]),
    ],
)
def test_the_page_of_models_has_the_results(heading: str, models: list[str]) -> None:
    """To the digits that it shows, of every model and what stands beside it."""
    columns = {
        "psnr": ".2f",
        "ssim": ".3f",
        "st_lpips": ".3f",
        "sharpness": ".2f",
        "hp_r2": ".2f",
        "flow_epe": ".2f",
        "visibility_auc": ".3f",
    }
    beside = {
        "nearest source": "nearest_source",
        "mean of sources": "mean_source",
        "warped by truth": "warped_by_truth",
    }
    page = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
    section = page.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    found, results, of = [], {}, ""
    for line in re.findall(r"^\|.*\|$", section, flags=re.M):
        title, sources, *cells = (cell.strip() for cell in line.strip("|").split("|"))
        if title.startswith("**"):
            results = held_out(title.strip("*"))
            found.append(title.strip("*"))
        of = title or of  # rows of other numbers of sources follow without a title
        if not sources.isdecimal() or of == "first weights":
            continue
        scores = results[int(sources)][beside.get(of, "model")]
        expected = [format(scores[k], form) if k in scores else "" for k, form in columns.items()]
        assert cells == expected, line
    assert sorted(found) == models


class Evaluated:
    """A sample of the committed evaluation: few sets, the same protocol."""

    def __init__(self, name: str) -> None:
        self.name = name
        thing, size = name.split("-")
        config = DataConfig(thing, size=int(size), first_seed=HELD_OUT_FIRST_SEED, count=4)
        self.dataset = open_dataset(config, "test")
        self.results = evaluate(Generator.from_pretrained(name), self.dataset, SAMPLE)


@pytest.fixture(scope="module", params=sorted(MARGIN))
def evaluated(request: pytest.FixtureRequest) -> Evaluated:
    return Evaluated(request.param)


def test_they_draw_what_they_drew(evaluated: Evaluated) -> None:
    found = [result.model.psnr for result in evaluated.results]
    assert found == pytest.approx(PSNR[evaluated.name], abs=0.01)


@pytest.mark.parametrize("dtype", [None, torch.bfloat16, torch.float16])
def test_the_inference_form_loses_nothing_and_half_precision_hardly_anything(
    evaluated: Evaluated, dtype: torch.dtype | None
) -> None:
    generator = Generator.from_pretrained(evaluated.name).optimize(dtype)
    (result,) = evaluate(generator, evaluated.dataset, replace(SAMPLE, sources=(2,)))
    lost = evaluated.results[1].model.psnr - result.model.psnr
    assert abs(lost) < (1e-3 if dtype is None else 0.1)  # dB


@pytest.mark.parametrize("name", list_models())
def test_four_sources_beat_the_nearest_and_the_mean(name: str) -> None:
    result, margin = held_out(name)[4], MARGIN[name]
    for other in ("nearest_source", "mean_source"):
        assert result["model"]["psnr"] >= result[other]["psnr"] + margin


@pytest.mark.parametrize("name", list_models())
def test_more_sources_give_better_images(name: str) -> None:
    scores = [held_out(name)[k]["model"] for k in (1, 2, 4)]
    assert scores[0]["psnr"] < scores[1]["psnr"] < scores[2]["psnr"]
    assert scores[0]["l1"] > scores[1]["l1"] > scores[2]["l1"]


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
