"""The parts of the trainer that need no training: settings, batches, schedule, card."""

import math
import re
import shutil
import signal
import subprocess
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from huggingface_hub import ModelCard

from rfwarp.data import ProceduralChairs
from rfwarp.data.catalog import DATASETS, DataConfig
from rfwarp.data.chairs.tuples import ChairTuples
from rfwarp.interrupts import noted_interrupts
from rfwarp.model_card import with_results
from rfwarp.poses import Viewpoint
from rfwarp.training import LossWeights, TrainConfig
from rfwarp.training.batches import TupleBatches, check_dataset, split
from rfwarp.training.journal import LossWindow
from rfwarp.training.optimization import learning_rate
from rfwarp.training.precision import resolve_precision
from rfwarp.training.provenance import (
    describe_machine,
    describe_time,
    source_commit,
    trained_card,
)


def config(**changes) -> TrainConfig:
    return TrainConfig(out=Path("run"), **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": DataConfig(size=97)}, "size must be a multiple of 32, at least 64, got 97"),
        ({"data": DataConfig(size=32)}, "size must be"),
        ({"data": DataConfig("market1501", size=(128, 48))}, r"at least 64, got \(128, 48\)"),
        ({"sources": ()}, r"sources must have at least 1 item, got \(\)"),
        ({"sources": (1, 0)}, r"sources\[1\] must be greater than or equal to 1, got 0"),
        ({"batch_size": 0}, "batch_size must be greater than or equal to 1"),
        ({"steps": 0}, "steps must be greater than or equal to 1"),
        ({"log_every": 0}, "log_every must be greater than or equal to 1"),
        ({"flow_steps": -1}, "flow_steps must be greater than or equal to 0, got -1"),
        ({"seed": -1}, "seed must be greater than or equal to 0"),
        ({"seed": 2**32}, "seed must be less than 4294967296"),
        ({"lr": 0.0}, "lr must be greater than 0"),
        ({"lr": math.nan}, "lr must be a finite number, got nan"),
        ({"clip": math.inf}, "clip must be a finite number, got inf"),
        ({"ema": 1.0}, "ema must be less than 1"),
        ({"betas": (0.9, 1.0)}, r"betas\[1\] must be less than 1, got 1\.0"),
        ({"accumulate": 0}, "accumulate must be greater than or equal to 1"),
        ({"discriminator_lr": 0.0}, "discriminator_lr must be greater than 0"),
        ({"adversarial": "hinge"}, "adversarial must be 'log' or 'least-squares', got 'hinge'"),
        ({"features": "vgg16"}, "features must be 'vgg19', "),
        ({"precision": "fp8"}, "precision must be 'auto', .* got 'fp8'"),
        ({"device": "gpu"}, "device must be 'auto', 'cpu' or 'cuda', got 'gpu'"),
        ({"weights": {"l1": 1.0}}, "weights must be an instance of LossWeights, got {'l1': 1.0}"),
        ({"betas": (0.9,)}, r"field betas\[1\] is missing"),
        ({"lr": 0.0, "steps": 0}, "steps must be .*, got 0; lr must be greater than 0, got 0.0"),
    ],
)
def test_bad_settings(changes, message):
    with pytest.raises(ValueError, match=message):
        config(**changes)


def test_text_is_no_path():
    with pytest.raises(ValueError, match="out must be an instance of Path, got 'runs/mine'"):
        TrainConfig(out="runs/mine")


@pytest.mark.parametrize("weight", [-1.0, math.nan, math.inf, True, "1"])
def test_bad_weights(weight):
    with pytest.raises(ValueError, match=rf"affine must be .*, got {weight!r}"):
        LossWeights(affine=weight)


def test_only_where_and_how_long_may_change():
    data = DataConfig(cache=Path("cache"))
    changed = config(data=data, steps=7, workers=3, checkpoint_every=9, device="cpu")
    assert changed.fixed() == config().fixed()
    assert config(batch_size=6).fixed() != config().fixed()
    assert config(data=DataConfig(first_seed=1)).fixed() != config().fixed()


def test_learning_rate():
    c = config(warmup=4, cooldown=5)
    rates = [learning_rate(c, step, 20, last=True) for step in range(20)]
    assert rates[:5] == pytest.approx([0.25, 0.5, 0.75, 1, 1])
    assert rates[14:] == pytest.approx([1, 1, 0.8, 0.6, 0.4, 0.2])
    assert learning_rate(c, 19, 20, last=False) == 1
    assert learning_rate(config(warmup=0), 0, 20, last=True) == 1
    assert learning_rate(config(warmup=0, cooldown=1000), 999, 1000, last=True) == 0.01


def test_precision_on_a_cpu():
    expected = "bf16" if torch.cpu._is_avx512_bf16_supported() else "float32"
    assert resolve_precision(config(device="cpu")) == expected
    assert resolve_precision(config(device="cpu", precision="float32")) == "float32"


class NumberedViews:
    """Images whose values name the chair and the view."""

    count, size, available = 5, 2, tuple(range(54))

    def views(self, chair, indices):
        values = torch.tensor([[chair, int(i)] for i in indices], dtype=torch.uint8)
        return values[:, :, None, None].repeat(1, 1, 2, 2)


def test_batches_are_functions_of_seed_and_step():
    c = config(batch_size=3, sources=(1, 2, 4))
    first, second = (TupleBatches(ChairTuples(NumberedViews()), c, 100) for _ in range(2))
    assert len(first) == 100
    backwards = {step: second[step] for step in reversed(range(30))}
    for step in range(30):
        for name, value in first[step].items():
            assert torch.equal(value, backwards[step][name])
    other = TupleBatches(ChairTuples(NumberedViews()), config(batch_size=3, seed=1), 100)
    assert not all(torch.equal(other[s]["target"], first[s]["target"]) for s in range(5))


def test_batches_hold_what_they_say():
    c = config(batch_size=3, sources=(1, 2, 4))
    batches = TupleBatches(ChairTuples(NumberedViews()), c, 300)
    codes = torch.stack([v.code() for v in Viewpoint.grid()])
    counts = Counter()
    for step in range(300):
        batch = batches[step]
        k = batch["sources"].shape[1]
        counts[k] += 1
        assert batch["sources"].shape == (3, k, 2, 2, 2)
        source_views = batch["sources"][:, :, 1, 0, 0].long()
        target_views = batch["target"][:, 1, 0, 0].long()
        assert not (source_views == target_views[:, None]).any()
        assert all(len(set(row.tolist())) == k for row in source_views)
        chairs = batch["sources"][:, :, 0, 0, 0]
        assert torch.equal(chairs, batch["target"][:, None, 0, 0, 0].expand(-1, k))
        assert torch.equal(batch["poses"], codes[source_views])
        assert torch.equal(batch["target_pose"], codes[target_views])
    assert set(counts) == {1, 2, 4}
    assert min(counts.values()) > 70  # of 300, 100 expected


class ColourfulViews(NumberedViews):
    """Images of the 256 values, each channel times another factor."""

    size = 16

    def views(self, chair, indices):
        ramp = torch.arange(256).view(16, 16)
        image = torch.stack([ramp, ramp // 2, ramp // 4]).to(torch.uint8)
        return image.repeat(len(indices), 1, 1, 1)


def test_colours_are_drawn_apart_from_the_number_of_sources():
    """From one stream, K would tell which channel becomes the first."""
    settings = config(batch_size=1, recoloured=0.9, sources=(1, 2, 3))
    batches, seen = TupleBatches(ChairTuples(ColourfulViews()), settings, 100), set()
    for step in range(60):
        sources = batches[step]["sources"]
        seen.add((sources.shape[1], int(sources[0, 0, :, 15, 15].argmax())))
    assert len(seen) == 9


def test_samples_in_other_colours():
    dataset, orders = ChairTuples(ColourfulViews()), Counter()
    plain = TupleBatches(dataset, config(batch_size=3), 100)
    half = TupleBatches(dataset, config(batch_size=3, recoloured=0.5), 100)
    parts = [TupleBatches(dataset, replace(half.config, batch_size=3), 100, p, 2) for p in (0, 1)]
    whole = TupleBatches(dataset, replace(half.config, batch_size=6), 100)
    for step in range(40):
        batch, unchanged = half[step], plain[step]
        assert torch.equal(batch["poses"], unchanged["poses"])
        for sources, target in zip(batch["sources"], batch["target"], strict=True):
            assert (sources == target).all()  # one change of colours for all images of a sample
            assert (target[:, 0, 0] == 0).all()
            order = tuple(target[:, 15, 15].argsort(descending=True).tolist())
            assert (target[order[0]].flatten().diff().int() >= 0).all()
            assert target[order[0], 15, 15] == 255
            orders[order, bool((target == unchanged["target"][0]).all())] += 1
        both = torch.cat([part[step]["target"] for part in parts])
        assert torch.equal(whole[step]["target"], both)
    unchanged_samples = sum(n for (_, same), n in orders.items() if same)
    assert 40 < unchanged_samples < 80  # of 120, half expected
    assert len({order for order, _ in orders}) == 6


def test_datasets_that_cannot_be_trained_on():
    dataset = ChairTuples(NumberedViews())
    with pytest.raises(ValueError, match="at least 64, but those of chairs are 2 x 2: choose"):
        check_dataset(dataset, config())
    dataset = ChairTuples(ProceduralChairs(0, 1, 64))
    check_dataset(dataset, config(sources=(53,)))
    with pytest.raises(ValueError, match=r"sources of chairs must be in 1\.\.53, got \(1, 54\)"):
        check_dataset(dataset, config(sources=(1, 54)))


def test_processes_share_what_one_process_would_draw():
    dataset = ChairTuples(NumberedViews())
    parts = [TupleBatches(dataset, config(batch_size=3), 50, p, 2) for p in range(2)]
    for whole in (config(batch_size=6), config(batch_size=2, accumulate=3)):
        alone = TupleBatches(dataset, whole, 50)
        for step in range(20):
            for name, value in alone[step].items():
                assert torch.equal(value, torch.cat([part[step][name] for part in parts]))


def test_a_batch_is_split_in_order():
    batch = TupleBatches(ChairTuples(NumberedViews()), config(batch_size=2, accumulate=3), 5)[4]
    parts = split(batch, 3)
    assert len(parts) == 3
    for name, value in batch.items():
        assert [len(part[name]) for part in parts] == [2, 2, 2]
        assert torch.equal(torch.cat([part[name] for part in parts]), value)


def test_signals_that_were_ignored_stay_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as in a shell's background jobs
    try:
        with noted_interrupts() as interrupts:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGTERM)
        assert interrupts == [signal.SIGTERM]
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGINT, before)


def test_window_of_losses():
    window, restored = LossWindow(), LossWindow()
    assert window.means() == {}
    values = [0.1, 0.7, 0.4]
    for value in values:
        window.add({"a": torch.tensor(value, requires_grad=True), "b": torch.tensor(1.0)})
    restored.load_state_dict(window.state_dict())
    for w in (window, restored):
        w.add({"a": torch.tensor(0.3), "b": torch.tensor(3.0)})
        assert w.means() == pytest.approx({"a": 0.375, "b": 1.5}, rel=1e-7)
    assert window.means() == restored.means()
    window.clear()
    assert window.means() == {}


def test_card():
    report = {
        "dataset": {"name": "chairs", "count": 64, "first_seed": 900_000},
        "sets": 256,
        "results": [
            {
                "sources": k,
                "model": {"psnr": 20.123 + k, "ssim": 0.9, "l1": 0.03, "flow_epe": None},
                "nearest_source": {"psnr": 12.0, "ssim": 0.5, "l1": 0.1},
                "mean_source": {"psnr": 13.0, "ssim": 0.6, "l1": 0.09},
            }
            for k in (1, 4)
        ],
    }
    run = {"steps": 5, "time": describe_time(3725), "commit": source_commit()}
    data = DataConfig(first_seed=10, count=20, cache=Path("my-cache"))
    settings = config(data=data, steps=70, cooldown=7)
    fresh = trained_card({"width": 0.5}, settings, (64, 64), run)
    assert "## Held-out results\n\nNot evaluated yet.\n" in fresh
    card = with_results(fresh, report)
    assert with_results(with_results(fresh, {**report, "sets": 3}), report) == card
    _, _, body = card.split("---\n", 2)
    metadata = ModelCard(card).data
    assert (metadata.library_name, metadata.license) == ("rfwarp", "apache-2.0")
    assert metadata.model_name == "rfwarp generator, procedural chairs at 64 x 64"
    (psnr,) = (
        result
        for result in metadata.eval_results
        if (result.metric_type, result.dataset_config) == ("psnr", "sources: 4")
    )
    assert (psnr.metric_value, psnr.dataset_name) == (24.123, "chairs")
    assert {result.metric_type for result in metadata.eval_results} == {"psnr", "ssim", "l1"}
    assert body.startswith("# rfwarp generator, procedural chairs at 64 x 64\n")
    assert "seeds 10 to 29." in body
    assert "| time | 1 h 2 min |" in body
    assert '"steps": 70' in body
    assert body.count('"width"') == 1
    assert '"cooldown": 7' in body
    assert "my-cache" not in body  # where it ran is nobody's business
    assert "| 4 | model | 24.12 | 0.9000 | 0.0300 |" in body
    assert "| 1 | nearest source | 12.00 | 0.5000 | 0.1000 |" in body
    assert "## Limits" in body
    assert "256 sets of images of 64 chairs from seed 900000 on." in body
    assert "Not evaluated yet" not in card
    with pytest.raises(ValueError, match="has the headings '## Held-out results'"):
        with_results("# Of somebody else", report)


@pytest.mark.parametrize("name", DATASETS)
def test_card_of_every_dataset(name):
    card = trained_card({}, config(data=DataConfig(name)), (128, 64), {})
    _, header, body = card.split("---\n", 2)
    own = name in ("chairs", "people", "faces", "streets")
    assert yaml.safe_load(header)["license"] == ("apache-2.0" if own else "other")
    assert " at 128 x 64\n" in body
    assert "128 x 64 pixels" in body
    assert ("seeds 0 to 3999" in body) == own
    assert not re.search(r"[{}](size|first|last)", body)


def test_facts_of_a_run():
    assert describe_time(59.6) == "1 min 0 s"
    assert describe_time(0) == "0 min 0 s"
    assert describe_time(math.nan) == "not recorded"
    assert "CPU cores" in describe_machine(torch.device("cpu"), 1)


def test_the_commit_of_this_source():
    here, head = Path(__file__).parents[2], ""
    if (here / ".git").exists() and shutil.which("git"):
        command = ["git", "-C", str(here), "rev-parse", "HEAD"]
        head = subprocess.run(command, stdout=subprocess.PIPE, text=True).stdout.strip()
    assert source_commit().removesuffix("-dirty") == (head or "unknown")
