"""``rfwarp train``: runs of a few steps, resumed, refused and interrupted."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from rfwarp import Generator
from rfwarp.cli import main

Refused = Callable[..., str]


TINY = (
    *("--network.width", "0.125", "--data.count", "2", "--batch-size", "2", "--sources", "1", "2"),
    *("--flow-steps", "1", "--workers", "0", "--device", "cpu", "--precision", "float32"),
    *("--checkpoint-every", "1", "--log-every", "1", "--ema", "0.5", "--sample-every", "0"),
    *("--features", "oriented-pyramid"),
)


def test_train_resumes_to_the_same_weights(tmp_path: Path, sources: list[str]) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert main(["train", *TINY, "--out", str(whole), "--steps", "2"]) == 0
    assert main(["train", *TINY, "--out", str(parts), "--steps", "1"]) == 0
    assert len((parts / "log.jsonl").read_text().splitlines()) == 2
    assert main(["train", *TINY, "--out", str(parts), "--steps", "2"]) == 0
    logs = [(folder / "log.jsonl").read_text() for folder in (whole, parts)]
    assert logs[0] == logs[1]
    assert len(logs[0].splitlines()) == 3
    weights = [Generator.from_pretrained(run / "model").state_dict() for run in (whole, parts)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    given = ["-s", sources[0], "-t", "40:10", "-w", str(whole / "model")]
    assert main(["generate", *given, "-o", str(tmp_path / "x.png")]) == 0


def test_train_refuses_to_resume_another_run(tmp_path: Path, refused: Refused) -> None:
    assert main(["train", *TINY, "--out", str(tmp_path), "--steps", "1"]) == 0
    arguments = [*TINY, "--out", tmp_path, "--steps", "1", "--seed", "1"]
    assert "seed was 0, now 1" in refused("train", *arguments, status=1)
    (tmp_path / "checkpoint.pt").write_bytes(b"damaged")
    assert "damaged" in refused("train", *TINY, "--out", tmp_path, status=1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data.size", "33"], "size must be a multiple of 32"),
        (["--sources", "0"], "sources[0] must be greater than or equal to 1, got 0"),
        (["--lr", "0"], "lr must be greater than 0, got 0.0"),
    ],
)
def test_train_refuses_bad_arguments(
    arguments: list[str], message: str, tmp_path: Path, refused: Refused
) -> None:
    assert message in refused("train", *TINY, "--out", tmp_path / "run", *arguments)
    assert list(tmp_path.iterdir()) == []


def test_train_names_the_missing_extra(
    tmp_path: Path, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rfwarp.training.extra.find_spec", lambda name: None)
    message = refused("train", "--out", tmp_path / "run", status=1)
    assert (
        "accelerate and matplotlib and tensorboard and torchmetrics and pyyaml: "
        'pip install "rfwarp[train]"' in message
    )


@pytest.fixture
def running(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A long training run that has written its first checkpoint."""
    arguments = ["train", *TINY, "--workers", "1", "--steps", "100000", "--out", str(tmp_path)]
    with subprocess.Popen(
        [sys.executable, "-m", "rfwarp", *arguments],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as run:
        while not (tmp_path / "checkpoint.pt").exists() and run.poll() is None:
            time.sleep(0.05)
        yield run
        run.kill()


@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_an_interrupted_run_says_that_it_resumes(
    running: subprocess.Popen[str], tmp_path: Path, number: signal.Signals
) -> None:
    # To all of its processes, as a terminal, `timeout` and batch systems do.
    os.killpg(running.pid, number)
    _, shown = running.communicate()
    assert running.returncode == 130
    message = "rfwarp: interrupted: the same command resumes at the last checkpoint in"
    assert f"{message} {tmp_path}" in shown
    assert "Traceback" not in shown
    assert not list(tmp_path.rglob(".*.tmp"))


def test_train_takes_a_file_and_overrides_it(tmp_path: Path, refused: Refused) -> None:
    file, out = tmp_path / "tiny.yaml", tmp_path / "run"
    file.write_text(
        "data: {name: chairs, size: 64, count: 2}\n"
        "network: {width: 0.125, attention: false, occlusion: false}\n"
        "features: oriented-pyramid\nworkers: 0\nflow_steps: 0\nsteps: 500\n"
        "weights: {adversarial: 0}\nsample_every: 1\n"
    )
    given = ["--config", file, "--device", "cpu", "--precision", "float32"]
    message = refused("train", *given, "--out", out, "--steps", "0")
    assert "steps must be greater than or equal to 1, got 0" in message
    options = ["--out", out, "--steps", "2", "--network.occlusion", "--weights.l1", "7"]
    assert main(["train", *map(str, [*given, *options])]) == 0
    config = Generator.from_pretrained(out / "model").config
    assert (config.width, config.attention, config.occlusion) == (0.125, False, True)
    card = (out / "model" / "README.md").read_text()
    assert '"l1": 7.0' in card
    assert '"adversarial": 0.0' in card
    assert [path.name for path in (out / "samples").iterdir()] != []
    file.write_text("network: {widht: 0.125}")
    assert "tiny.yaml: unknown field network.widht" in refused("train", "-c", file, "--out", out)
    assert "tiny.yml" in refused("train", "-c", tmp_path / "tiny.yml", "--out", out, status=1)
