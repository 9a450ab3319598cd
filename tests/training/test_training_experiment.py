"""Experiments: a small grid, interrupted, continued and reported."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import nn

pytest.importorskip("accelerate")

from rfwarp.data.check_report import Options
from rfwarp.data.preparation import prepare
from rfwarp.metrics import EvaluationConfig, MetricNetworks, mask_of_target
from rfwarp.model_card import with_results
from rfwarp.training.config_file import load_config
from rfwarp.training.experiment import ExperimentConfig, read_result, run_experiment
from rfwarp.training.experiment_report import draw_plot, markdown_table, summarise
from rfwarp.training.trainer import Trainer

TRAIN: dict[str, Any] = {
    "data": {"name": "chairs", "size": 64, "count": 2},
    "network": {"width": 1 / 64},
    "batch_size": 1,
    "sources": [1, 2],
    "flow_steps": 1,
    "steps": 1,
    "features": "oriented-pyramid",
    "weights": {"style": 0, "adversarial": 0},
    "precision": "float32",
    "device": "cpu",
    "workers": 0,
    "sample_every": 0,
}
CONFIG = ExperimentConfig(
    TRAIN,
    {"baseline": {"network": {"residual_flow": False}}, "full": {"weights": {"l1": 3.0}}},
    seeds=(0, 1),
    evaluation=EvaluationConfig(sources=(1, 2), sets=2),
)
EXAMPLES = Path(__file__).parents[2] / "examples" / "configs"


@pytest.fixture(scope="module")
def _few_drawings() -> Iterator[None]:
    """Most of the time of such short runs would go into drawing: only the last plot is drawn."""

    def draw_at_the_end(rows, out):
        if rows[-1].seeds == 2:
            draw_plot(rows, out)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rfwarp.training.journal.plot_losses", lambda log, out: None)
        patch.setattr("rfwarp.training.experiment.draw_plot", draw_at_the_end)
        yield


@pytest.fixture(scope="module")
def out(tmp_path_factory, _few_drawings) -> Path:
    """The grid, interrupted after its first run and in the middle of the second."""
    folder = tmp_path_factory.mktemp("experiments") / "small"
    step = Trainer._step
    with pytest.MonkeyPatch.context() as patch:

        def stop(self, *args):
            if (self.config.out.name, self.step) == ("full-0", 1):
                raise KeyboardInterrupt
            return step(self, *args)

        patch.setattr(Trainer, "_step", stop)
        with pytest.raises(KeyboardInterrupt):
            run_experiment(CONFIG, folder, progress=False)
    assert "1 of 4 runs" in (folder / "table.md").read_text()
    first = (folder / "baseline-0" / "result.json").stat().st_mtime_ns
    run_experiment(CONFIG, folder, variants=["baseline"], progress=False)
    assert not (folder / "full-0" / "result.json").exists()
    assert run_experiment(CONFIG, folder, progress=False) == folder / "results.json"
    assert (folder / "baseline-0" / "result.json").stat().st_mtime_ns == first
    return folder


def test_results(out):
    report = json.loads((out / "results.json").read_text())
    runs = report["runs"]
    assert [(r["variant"], r["seed"]) for r in runs] == [
        *(("baseline", 0), ("full", 0), ("baseline", 1), ("full", 1)),
    ]
    assert {r["steps"] for r in runs} == {2}
    for run in runs:
        settings = run["settings"]["train"]
        assert settings["network"]["width"] == 1 / 64
        assert settings["network"]["residual_flow"] == (run["variant"] == "full")
        assert settings["weights"]["l1"] == (3.0 if run["variant"] == "full" else 2.5)
        assert settings["weights"]["style"] == 0
        assert settings["seed"] == run["seed"]
        assert run["dataset"] == {"name": "chairs", "first_seed": 900_000, "count": 2, "size": 64}
        assert run["protocol"] == {"sets": "drawn", "images": "rendered"}
        card = (out / f"{run['variant']}-{run['seed']}" / "model" / "README.md").read_text()
        assert card == with_results(card, run)  # every run's card has its results
        assert f"| 1 | model | {run['results'][0]['model']['psnr']:.2f} |" in card
    baselines = [[row["nearest_source"] for row in run["results"]] for run in runs]
    assert all(scores == baselines[0] for scores in baselines)  # the same held-out rows
    assert runs[0]["results"][0]["model"] != runs[2]["results"][0]["model"]
    methods = ["nearest source", "mean of sources", "baseline", "full"]
    summary = report["summary"]
    assert [(r["sources"], r["method"]) for r in summary] == [
        (k, method) for k in (1, 2) for method in methods
    ]
    one, two = (run["results"][1]["model"]["psnr"] for run in runs if run["variant"] == "full")
    assert summary[-1]["means"]["psnr"] == pytest.approx((one + two) / 2)
    assert summary[-1]["spreads"]["psnr"] == pytest.approx(abs(one - two) / 2**0.5)
    assert summary[0]["spreads"]["psnr"] is None


def test_table_and_plot(out):
    table = (out / "table.md").read_text()
    assert table.startswith("4 of 4 runs of 2 steps, 0.0 hours")
    assert table.count("\n| 1 |") == table.count("\n| 2 |") == 4
    assert "| 2 | full | 2 |" in table
    assert " ± " in table
    with Image.open(out / "plot.png") as image:
        assert image.width > 1000


def test_the_warp_is_measured(out):
    """Of chairs there is truth; what only a network has is a dash in the baselines' rows."""
    report = json.loads((out / "results.json").read_text())
    for run in report["runs"]:
        for row in run["results"]:
            assert row["model"]["flow_epe_zero"] > 0
            assert [level["stride"] for level in row["model"]["levels"]] == [8, 4]
            assert row["warped_by_truth"]["hp_r2"] > row["model"]["hp_r2"]
    means = {row["method"]: row["means"] for row in report["summary"]}
    assert {"flow_epe", "flow_epe_zero", "sharpness", "hp_r2"} < set(means["full"])
    assert "levels" not in means["full"]
    assert "flow_epe" not in means["nearest source"]
    assert "sharpness" in means["nearest source"]
    table = (out / "table.md").read_text()
    assert "| HP-R2 (higher is better) | EPE px (lower is better) |" in table
    assert "sharpness (1 is best)" in table
    nearest = next(line for line in table.splitlines() if "nearest source" in line)
    assert nearest.endswith("| - | - | - |")


def test_another_experiment_is_refused_before_any_work(out):
    before = (out / "results.json").read_bytes()
    for other in (
        replace(CONFIG, train={**TRAIN, "lr": 1e-3}),
        replace(CONFIG, evaluation=EvaluationConfig(sources=(1, 2), sets=3)),
    ):
        with pytest.raises(ValueError, match=r"baseline-0/result\.json was made with other"):
            run_experiment(other, out, progress=False)
    assert (out / "results.json").read_bytes() == before


class Features(nn.Module):
    """A stand-in for a network of which nothing is computed."""

    num_features = 8


@pytest.mark.parametrize(
    ("sets", "networks", "message"),
    [
        (2, MetricNetworks(Features(), mask_of_target), "people posed by keypoints, or a mask of"),
        (1, MetricNetworks(inception=Features()), "FID needs at least 2 sets, got 1"),
        (
            2,
            MetricNetworks(inception=Features(), real=[torch.zeros(1, 3, 64, 64)]),
            "at least two real images",
        ),
    ],
)
def test_what_cannot_be_evaluated_is_not_trained(tmp_path, monkeypatch, sets, networks, message):
    monkeypatch.setattr(Trainer, "train", untrained)
    monkeypatch.setattr(MetricNetworks, "open", lambda *_: networks)
    config = replace(CONFIG, evaluation=EvaluationConfig((1,), sets))
    with pytest.raises(ValueError, match=message):
        run_experiment(config, tmp_path, progress=False)


def test_sources_that_a_folder_does_not_have_are_refused_before_training(tmp_path, monkeypatch):
    """How many it has, only the opened dataset knows."""
    monkeypatch.setattr(Trainer, "train", untrained)
    for name in ("a", "b", "c"):
        (tmp_path / "own" / name).mkdir(parents=True)
        for azimuth in ("000", "030", "060"):
            path = tmp_path / "own" / name / f"{name}_{azimuth}_10.png"
            Image.new("RGB", (64, 64)).save(path)
    prepare("folder", tmp_path / "own", Options())
    data = {"name": "folder", "root": str(tmp_path / "own"), "size": 64}
    config = replace(
        CONFIG, train={**TRAIN, "data": data}, evaluation=EvaluationConfig((1, 3), sets=2)
    )
    with pytest.raises(ValueError, match=r"sources must lie in 1\.\.2, got 3"):
        run_experiment(config, tmp_path / "out", progress=False)


def untrained(*_: object, **__: object) -> None:
    pytest.fail("it was trained")


def test_results_from_before_the_network_was_nested_are_kept(out, tmp_path):
    """They have its fields beside the others, and lack those that came later."""
    run = next(iter(CONFIG.runs(tmp_path)))
    result = json.loads((out / "baseline-0" / "result.json").read_text())
    train = result["settings"]["train"]
    train |= train.pop("network")
    del train["padding_mode"], train["alignment"]
    run.config.out.mkdir()
    (run.config.out / "result.json").write_text(json.dumps(result))
    assert read_result(run, CONFIG.evaluation) == result


def test_parts_of_the_grid_must_exist(out):
    with pytest.raises(ValueError, match=r"no variant 'best'; there are \['baseline', 'full'\]"):
        run_experiment(CONFIG, out, variants=["best"])
    with pytest.raises(ValueError, match=r"no seed 7; there are \[0, 1\]"):
        run_experiment(CONFIG, out, seeds=[7])


def test_damaged_results(tmp_path):
    (tmp_path / "baseline-0").mkdir()
    (tmp_path / "baseline-0" / "result.json").write_text("{")
    with pytest.raises(ValueError, match=r"result\.json is damaged: .*; delete it"):
        run_experiment(CONFIG, tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"variants": {}}, "at least one variant"),
        ({"seeds": (1, 1)}, "no seed twice"),
        ({"variants": {"../x": {}}}, r"letters, digits, - and _, got '\.\./x'"),
        ({"variants": {"a": {"steps": 5}}}, r"variants\.a must not change steps: .* equally"),
        (
            {"variants": {"a": {"network": {"atention": False}}}},
            r"unknown field train\.network\.atention",
        ),
        (
            {"variants": {"a": {"weights": {"l1": -1.0}}}},
            r"train\.weights\.l1 must be greater than or equal to 0, got -1\.0",
        ),
        ({"train": {**TRAIN, "seed": 3}}, r"train\.seed is the experiment's"),
    ],
)
def test_bad_experiments(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(CONFIG, **changes)


def test_what_a_run_lacks_has_no_mean():
    """Runs of one variant of which one has no score of visibility, or is older."""
    baseline = {"psnr": 12.0}
    runs = [
        {"psnr": 20.0, "visibility_auc": 0.7, "flow_epe": 2.0},
        {"psnr": 22.0, "visibility_auc": None},
    ]
    results = [
        {
            "variant": "a",
            "results": [
                {"sources": 1, "model": m, "nearest_source": baseline, "mean_source": baseline}
            ],
        }
        for m in runs
    ]
    assert summarise(results, ["a"])[-1].means == {"psnr": 21.0}


def test_one_seed_has_no_spread():
    scores = {"psnr": 20.0, "ssim": 0.5, "lpips": 0.25, "fid": None}
    row = {"sources": 2, "model": scores, "nearest_source": scores, "mean_source": scores}
    result = {"variant": "a", "seconds": 7200, "steps": 9, "machine": "m", "results": [row]}
    table = markdown_table(summarise([result], ["a", "b"]), [result], 6)
    assert table.startswith("1 of 6 runs of 9 steps, 2.0 hours of training in all (m).")
    assert "| 2 | a | 1 | 20.00 | 0.5000 | 0.2500 |\n" in table
    assert "LPIPS (lower is better)" in table
    assert "±" not in table.splitlines()[-1]


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("ablation-*.yaml")), ids=lambda p: p.stem)
def test_examples_of_experiments(path):
    config = load_config(path, ExperimentConfig)
    runs = list(config.runs(Path("out")))
    assert len(runs) == len(config.variants) * 3
    full = {run.variant: run.config for run in runs}["full"]
    assert full.network.residual_flow
    assert full.network.attention
    assert full.network.occlusion
    switches = {
        "baseline": (False, False, False),
        "no-residual": (False, True, True),
        "no-attention": (True, False, True),
        "no-occlusion": (True, True, False),
        "full": (True, True, True),
        "paper-flow-no-residual": (False, True, True),
        "no-truth-no-residual": (False, True, True),
    }
    for run in runs:
        c = run.config.network
        expected = switches.get(run.variant, switches["full"])  # others take ingredients away
        assert (c.residual_flow, c.attention, c.occlusion) == expected
        same = replace(run.config, out=full.out, seed=full.seed) == full
        assert same == (run.variant == "full")
