"""The training loop: what it writes, and that it can be stopped anywhere without a trace."""

import json
import logging
import shutil
import signal
import subprocess
import sys
import threading
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from PIL import Image

pytest.importorskip("accelerate")

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from rfwarp import Generator
from rfwarp.data.catalog import DataConfig
from rfwarp.nn import NetworkConfig
from rfwarp.training import LossWeights, TrainConfig
from rfwarp.training.trainer import Trainer

SETTINGS = {
    "data": DataConfig("chairs", size=64, count=3),
    "network": NetworkConfig(width=1 / 64),
    "batch_size": 2,
    "flow_steps": 4,
    "steps": 5,
    "warmup": 2,
    "checkpoint_every": 3,
    "log_every": 2,
    "precision": "float32",
    "device": "cpu",
    "workers": 0,
    "lr": 1e-3,
    "ema": 0.5,
    "features": "oriented-pyramid",
    "sample_every": 0,
}
TOTAL = 9


def config(out: Path, **changes) -> TrainConfig:
    return TrainConfig(out=out, **{**SETTINGS, **changes})


def checkpoint(out: Path) -> dict:
    return torch.load(out / "checkpoint.pt", weights_only=True)


def log(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def identical(a, b) -> bool:
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(identical(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(identical, a, b))
    return a == b


def same_run(a: Path, b: Path) -> bool:
    first, second = checkpoint(a), checkpoint(b)
    first.pop("seconds"), second.pop("seconds")
    weights = [(out / "model" / "model.safetensors").read_bytes() for out in (a, b)]
    return identical(first, second) and log(a) == log(b) and weights[0] == weights[1]


def test_the_callers_random_numbers_stay(tmp_path):
    before = torch.get_rng_state()
    Trainer(config(tmp_path / "run"))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.fixture(scope="module")
def straight(tmp_path_factory) -> Path:
    """A run without an interruption."""
    out = tmp_path_factory.mktemp("runs") / "straight"
    assert Trainer(config(out)).train(progress=False) == out / "model"
    return out


@pytest.fixture(autouse=True)
def _no_curves(straight, monkeypatch):
    """Half the time of such short runs would go into drawing them; one is drawn, and looked at."""
    monkeypatch.setattr("rfwarp.training.journal.plot_losses", lambda log, out: None)


def stop_after(monkeypatch, step: int, how) -> None:
    """Let ``how()`` happen in the middle of the step that comes after ``step`` steps."""
    proceed = Trainer._step

    def patched(self, *args):
        if self.step == step:
            how()
        return proceed(self, *args)

    monkeypatch.setattr(Trainer, "_step", patched)


class Crash(Exception):
    pass


def crash():
    raise Crash


def interrupt():
    signal.raise_signal(signal.SIGINT)


# ------------------------------------------------------------------ what a run leaves


def test_files_of_a_run(straight):
    names = sorted(p.name for p in straight.iterdir())
    assert names == ["checkpoint.pt", "log.jsonl", "loss.png", "model", "tensorboard"]
    with Image.open(straight / "loss.png") as image:
        assert image.size[0] > 500
        assert len(image.convert("RGB").getcolors(1 << 20)) > 20


def test_log_entries_are_means_over_their_own_steps(tmp_path):
    dense, sparse = tmp_path / "dense", tmp_path / "sparse"
    Trainer(config(dense, log_every=1, cooldown=3)).train(progress=False)
    Trainer(config(sparse, log_every=3, cooldown=3)).train(progress=False)
    each = {entry["step"]: entry for entry in log(dense)}
    assert sorted(each) == list(range(1, TOTAL + 1))
    assert [e["stage"] for e in log(dense)] == ["flow"] * 4 + ["full"] * 5
    # Each stage warms up over two steps; the last cools down over three.
    rates = [0.5, 1, 1, 1, 0.5, 1, 1, 2 / 3, 1 / 3]
    assert [e["lr"] for e in log(dense)] == pytest.approx([1e-3 * rate for rate in rates])
    spans = {3: (1, 2, 3), 4: (4,), 6: (5, 6), 9: (7, 8, 9)}  # stage 1 ends at step 4
    assert [e["step"] for e in log(sparse)] == list(spans)
    for entry in log(sparse):
        steps = [each[s] for s in spans[entry["step"]]]
        for name in entry.keys() - {"step", "stage", "lr"}:
            mean = sum(s[name] for s in steps) / len(steps)
            assert entry[name] == pytest.approx(mean, rel=1e-12)
        terms = entry.keys() & set(asdict(LossWeights()))
        assert entry["loss"] == pytest.approx(sum(entry[t] for t in terms), rel=1e-5)
        assert len(terms) == (6 if entry["stage"] == "full" else 2)
        assert ("discriminator" in entry) == (entry["stage"] == "full")
        assert entry["lr"] == each[entry["step"]]["lr"]


def test_exported_model_is_the_average_with_a_card(straight):
    model = Generator.from_pretrained(straight / "model")
    assert model.config.pose_kind == "viewpoint"
    assert model.config.image_size == 64
    average = checkpoint(straight)["networks"]["ema"]
    for name, value in model.state_dict().items():
        assert torch.equal(value, average[f"module.{name}"])
    assert any(
        not torch.equal(value, model.state_dict()[name])
        for name, value in checkpoint(straight)["networks"]["generator"].items()
    )
    card = (straight / "model" / "README.md").read_text()
    for fact in ("seeds 0 to 2", "| steps | 9 of 9", "| torch |", '"seed": 0', "Not evaluated yet"):
        assert fact in card


def test_average_follows_its_formula(tmp_path, monkeypatch):
    trainer = Trainer(config(tmp_path / "run", flow_steps=0, steps=4))
    seen = []
    update = trainer.networks.ema.update_parameters

    def record(model):
        update(model)
        seen.append({n: p.detach().clone() for n, p in model.named_parameters()})

    monkeypatch.setattr(trainer.networks.ema, "update_parameters", record)
    trainer.train(progress=False)
    for name, average in trainer.networks.average.named_parameters():
        expected = seen[0][name].double()
        for weights in seen[1:]:
            expected = 0.5 * expected + 0.5 * weights[name].double()
        torch.testing.assert_close(average.double(), expected, rtol=1e-5, atol=1e-7)


def test_stage_1_trains_the_flow_alone(tmp_path, monkeypatch):
    out = tmp_path / "run"
    trainer = Trainer(config(out))
    before = {n: p.clone() for n, p in trainer.networks.generator.state_dict().items()}
    stop_after(monkeypatch, 4, crash)
    with pytest.raises(Crash):
        trainer.train(progress=False)
    after = checkpoint(out)["networks"]["generator"]
    assert checkpoint(out)["step"] == 4
    changed = {n for n in before if not torch.equal(before[n], after[n])}
    heads = {n for n in before if ".attention." in n or ".occlusion." in n}
    # Before an instance norm a bias has no effect, hence no gradient but rounding.
    assert changed >= {n for n in before if n.startswith("flow.") and "weight" in n} - heads
    assert all(n.startswith("flow.") for n in changed - heads)
    assert not changed & heads
    assert not (out / "model").exists()  # nothing worth exporting yet


def test_workers_change_nothing(straight, tmp_path):
    out = tmp_path / "run"
    Trainer(config(out, workers=1)).train(progress=False)
    assert same_run(out, straight)


def test_another_seed_changes_all(straight, tmp_path):
    out = tmp_path / "run"
    Trainer(config(out, seed=1, steps=1)).train(progress=False)
    assert log(out)[0]["loss"] != log(straight)[0]["loss"]


def test_sheets_of_samples_and_tensorboard(tmp_path):
    out = tmp_path / "run"
    Trainer(config(out, sample_every=2)).train(progress=False)
    sheets = sorted(out.glob("samples/*.png"))
    # Of stage 2, which begins after step 4: every two steps, and the last.
    assert [path.stem for path in sheets] == ["00000006", "00000008", "00000009"]
    for path in sheets:
        with Image.open(path) as sheet:
            # four sources, pose, result, truth; four rows
            assert sheet.width > 7 * 64
            assert sheet.height > 4 * 64
    assert sheets[0].read_bytes() != sheets[1].read_bytes()
    scores = [json.loads(line) for line in (out / "held_out.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in scores] == [6, 8, 9]
    assert all(0 < entry["psnr"] < 60 and 0 < entry["ssim"] < 1 for entry in scores)
    board = EventAccumulator(str(out / "tensorboard"))
    board.Reload()
    for entry in log(out):
        for name in entry.keys() - {"step", "stage"}:
            found = {event.step: event.value for event in board.Scalars(name)}
            assert found[entry["step"]] == pytest.approx(entry[name], rel=1e-6)
    assert [event.step for event in board.Images("samples")] == [6, 8, 9]


def test_gradients_of_several_batches_are_averaged(tmp_path):
    """Losses of a step are those of the same samples in one batch, and so is what it changes."""
    runs = {"one": {"batch_size": 4}, "two": {"batch_size": 2, "accumulate": 2}}
    for name, changes in runs.items():
        Trainer(config(tmp_path / name, **changes, steps=1, flow_steps=1, log_every=1)).train(False)
    for ours, theirs in zip(log(tmp_path / "one"), log(tmp_path / "two"), strict=True):
        assert ours.keys() == theirs.keys()
        for key in ours.keys() - {"stage"}:
            assert ours[key] == pytest.approx(theirs[key], rel=1e-3), key


def test_the_discriminator_learns_and_the_generator_hears_of_it(tmp_path):
    with_it, without = tmp_path / "with", tmp_path / "without"
    Trainer(config(with_it, log_every=1)).train(False)
    Trainer(config(without, log_every=1, weights=LossWeights(adversarial=0.0))).train(False)
    networks = [checkpoint(out)["networks"] for out in (with_it, without)]
    assert "discriminator" not in networks[1]
    assert not identical(networks[0]["generator"], networks[1]["generator"])
    first = Trainer(config(tmp_path / "new")).networks.discriminator.state_dict()
    changed = [not torch.equal(v, networks[0]["discriminator"][n]) for n, v in first.items()]
    assert sum(changed) > len(changed) // 2
    # Stage 1 knows nothing of it.
    assert log(with_it)[:4] == log(without)[:4]
    assert {"style", "discriminator"} <= log(with_it)[-1].keys()
    assert not {"adversarial", "discriminator"} & log(without)[-1].keys()


# ------------------------------------------------------------------ resuming


@pytest.mark.parametrize("step", [1, 2, 4, 5])  # before and after a log entry, a checkpoint
def test_a_crashed_run_resumes_exactly(straight, tmp_path, monkeypatch, step):
    out = tmp_path / "run"
    with monkeypatch.context() as patch:
        stop_after(patch, step, crash)
        with pytest.raises(Crash):
            Trainer(config(out)).train(progress=False)
    Trainer(config(out)).train(progress=False)
    assert same_run(out, straight)


def test_a_killed_process_resumes_exactly(straight, tmp_path):
    out = tmp_path / "run"
    code = f"""
import os, signal, torch
from pathlib import Path
from rfwarp.data.catalog import DataConfig
from rfwarp.nn import NetworkConfig
from rfwarp.training import TrainConfig
from rfwarp.training.trainer import Trainer
torch.set_num_threads({torch.get_num_threads()})
proceed = Trainer._log
def log(self, *args):
    proceed(self, *args)
    if self.step == 8:  # logged, but the last checkpoint is that of step 6
        os.kill(os.getpid(), signal.SIGKILL)
Trainer._log = log
Trainer(TrainConfig(out=Path({str(out)!r}), **{SETTINGS!r})).train(progress=False)
"""
    killed = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=120)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert checkpoint(out)["step"] == 6
    assert log(out)[-1]["step"] == 8
    with (out / "log.jsonl").open("a") as file:
        file.write('{"step": 9, "sta')  # as if killed while writing
    Trainer(config(out)).train(progress=False)
    assert same_run(out, straight)


@pytest.mark.parametrize(("number", "step"), [(signal.SIGINT, 4), (signal.SIGTERM, 3)])
def test_an_interrupt_saves_and_resumes_exactly(straight, tmp_path, monkeypatch, number, step):
    out = tmp_path / "run"
    before = signal.getsignal(number)
    with monkeypatch.context() as patch:
        stop_after(patch, step, lambda: signal.raise_signal(number))
        message = f"{number.name}; saved at step {step + 1}"
        with pytest.raises(KeyboardInterrupt, match=message):
            Trainer(config(out)).train(progress=False)
    assert signal.getsignal(number) is before
    assert checkpoint(out)["step"] == step + 1  # the step was finished
    Trainer(config(out)).train(progress=False)
    assert same_run(out, straight)


@pytest.mark.parametrize(
    ("step", "how"),
    [
        (1, crash),
        (5, crash),
        (3, interrupt),
        (4, interrupt),
    ],  # before any checkpoint, after one, ...
)
def test_one_trainer_resumes_exactly(straight, tmp_path, monkeypatch, step, how):
    out = tmp_path / "run"
    trainer = Trainer(config(out))
    with monkeypatch.context() as patch:
        stop_after(patch, step, how)
        with pytest.raises((Crash, KeyboardInterrupt)):
            trainer.train(progress=False)
    trainer.train(progress=False)
    assert same_run(out, straight)


def test_what_diverged_at_the_end_is_not_taken_for_complete(tmp_path, monkeypatch):
    trainer = Trainer(config(tmp_path / "run", checkpoint_every=100))
    stop_after(
        monkeypatch, TOTAL - 1, lambda: trainer.window.add({"loss": torch.tensor(torch.nan)})
    )
    for _ in range(2):
        with pytest.raises(FloatingPointError, match="up to step 9"):
            trainer.train(progress=False)
    assert checkpoint(tmp_path / "run")["step"] == 4


def test_a_run_resumes_with_its_scaler(tmp_path, monkeypatch):
    """Of fp16, also between the stages. It needs a GPU, so one of a CPU is put in its place."""
    resume = Trainer.resume

    def scaled(self):
        resume(self)
        self.accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=4.0, growth_interval=3)

    monkeypatch.setattr(Trainer, "resume", scaled)
    outs = [tmp_path / "straight", tmp_path / "broken"]
    Trainer(config(outs[0])).train(progress=False)
    assert checkpoint(outs[0])["scaler"]["scale"] > 4
    with monkeypatch.context() as patch:
        stop_after(patch, 3, interrupt)  # which ends stage 1
        with pytest.raises(KeyboardInterrupt):
            Trainer(config(outs[1])).train(progress=False)
    Trainer(config(outs[1])).train(progress=False)
    assert same_run(*outs)


def test_training_in_a_thread_handles_no_signals(straight, tmp_path):
    out = tmp_path / "run"
    thread = threading.Thread(target=lambda: Trainer(config(out)).train(progress=False))
    thread.start()
    thread.join()
    assert same_run(out, straight)


def test_a_finished_run_is_left_alone(straight, tmp_path, caplog):
    out = tmp_path / "run"
    Trainer(config(out)).train(progress=False)
    before = (out / "checkpoint.pt").read_bytes()
    (out / "model" / "model.safetensors").unlink()
    with caplog.at_level(logging.INFO, logger="rfwarp"):
        Trainer(config(out)).train(progress=False)
    assert "is complete: 9 steps" in caplog.text
    assert (out / "checkpoint.pt").read_bytes() == before
    assert same_run(out, straight)


def test_a_finished_run_can_be_made_longer(straight, tmp_path):
    out = tmp_path / "run"
    Trainer(config(out, steps=4)).train(progress=False)
    assert checkpoint(out)["step"] == 8
    Trainer(config(out)).train(progress=False)
    assert identical(checkpoint(out)["networks"], checkpoint(straight)["networks"])


def test_other_settings_are_refused(straight):
    with pytest.raises(
        ValueError,
        match=r"other settings: lr was 0\.001, now 0\.002, network\.width .*; choose another",
    ):
        Trainer(config(straight, lr=0.002, network=NetworkConfig(width=0.125)))
    with pytest.raises(ValueError, match=r"weights\.l1 was 2\.5, now 3\.0;"):
        Trainer(config(straight, weights=LossWeights(l1=3.0)))


def test_runs_from_before_the_network_was_nested(straight, tmp_path):
    """Their checkpoints have its fields beside the others, and lack those that came later."""
    out = tmp_path / "run"
    shutil.copytree(straight, out)
    state = checkpoint(out)
    network = state["config"].pop("network")
    later = ("padding_mode", "negative_slope", "alignment", "refinement")
    state["config"] |= {name: value for name, value in network.items() if name not in later}
    state["config"] |= {"width": 1 / 64}
    assert "levels" in state["config"]
    for name in ("category", "background"):
        del state["config"]["data"][name]
    torch.save(state, out / "checkpoint.pt")
    assert Trainer(config(out)).step == TOTAL
    with pytest.raises(ValueError, match=r"settings: network\.alignment was False, now True;"):
        Trainer(config(out, network=NetworkConfig(width=1 / 64, alignment=True)))


@pytest.mark.parametrize("damage", ["empty", "half", "text", "pickle", "other", "missing"])
def test_damaged_checkpoints(straight, tmp_path, damage):
    path = tmp_path / "checkpoint.pt"
    data = (straight / "checkpoint.pt").read_bytes()
    if damage in ("empty", "half", "text"):
        path.write_bytes({"empty": b"", "half": data[: len(data) // 2], "text": b"hello"}[damage])
    elif damage == "pickle":
        torch.save({"step": 1, "config": Path("x")}, path)
    elif damage == "other":
        torch.save([1, 2], path)
    else:
        state = checkpoint(straight)
        del state["optimizers"]
        torch.save(state, path)
    with pytest.raises(ValueError, match=r"checkpoint\.pt is (damaged or )?no checkpoint"):
        Trainer(config(tmp_path))


# ------------------------------------------------------------------ what goes wrong


def test_divergence_stops_the_run_and_spares_the_checkpoint(tmp_path, monkeypatch):
    out = tmp_path / "run"
    trainer = Trainer(config(out))

    def poison():
        with torch.no_grad():
            trainer.networks.generator.flow.heads8.flow.bias.fill_(float("nan"))

    stop_after(monkeypatch, 4, poison)
    message = r"diverged within the 2 steps up to step 6: .*loss nan.*lower lr or clip"
    with pytest.raises(FloatingPointError, match=message):
        trainer.train(progress=False)
    assert checkpoint(out)["step"] == 4
    assert all(v.isfinite().all() for v in checkpoint(out)["networks"]["generator"].values())


def test_out_may_not_be_a_file_or_below_one(tmp_path):
    (tmp_path / "file").write_text("precious")
    with pytest.raises(NotADirectoryError, match="file is a file, not the folder of a run"):
        Trainer(config(tmp_path / "file"))
    with pytest.raises(NotADirectoryError):
        Trainer(config(tmp_path / "file" / "run"))
    assert (tmp_path / "file").read_text() == "precious"


def test_held_out_chairs_are_not_trained_on(tmp_path):
    for first_seed in (899_998, 900_000):  # 3 chairs
        with pytest.raises(ValueError, match=r"from seed 900000 are held out .* cannot be trained"):
            Trainer(config(tmp_path / "run", data=DataConfig(first_seed=first_seed, count=3)))
    assert not (tmp_path / "run").exists()


def test_a_device_that_is_not_there(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="device is cuda, but torch finds no CUDA device"):
        Trainer(config(tmp_path / "run", device="cuda"))
    with pytest.raises(ValueError, match="fp16 training needs a GPU"):
        Trainer(config(tmp_path / "run", precision="fp16"))
    assert not (tmp_path / "run").exists()


def test_accelerate_may_not_choose_another_device(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setenv("ACCELERATE_USE_CPU", "1")
    with pytest.raises(ValueError, match=r"training on cuda in float32 .* Accelerate has cpu and"):
        Trainer(config(tmp_path / "run", device="cuda"))
    assert not (tmp_path / "run").exists()


def test_trainers_of_one_process_may_differ_in_precision(straight, tmp_path):
    """Also one that was made before another, and trains after it."""
    first = Trainer(config(tmp_path / "float32"))
    half = Trainer(config(tmp_path / "bf16", precision="bf16", flow_steps=1, steps=1))
    half.train(progress=False)
    assert half.accelerator.mixed_precision == "bf16"
    first.train(progress=False)
    assert same_run(tmp_path / "float32", straight)


def test_nothing_is_printed_without_progress(tmp_path, capfd):
    Trainer(config(tmp_path / "run", flow_steps=1, steps=1)).train(progress=False)
    assert capfd.readouterr() == ("", "")


def test_the_stages_may_be_ablated(tmp_path):
    out = tmp_path / "run"
    off = {"residual_flow": False, "attention": False, "occlusion": False, "decoder_norm": "none"}
    network = NetworkConfig(width=1 / 64, **off)
    Trainer(config(out, flow_steps=1, steps=1, network=network)).train(progress=False)
    trained = Generator.from_pretrained(out / "model").config
    assert trained == replace(trained, **off)
