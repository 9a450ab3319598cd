"""Data-parallel training: two processes against one."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

pytest.importorskip("accelerate")

# Leaves the gradients of both stages beside the run, as the optimisers are about to use them.
PROGRAM = """
import sys
from pathlib import Path
import torch
from rfwarp.data.catalog import DataConfig
from rfwarp.nn import NetworkConfig
from rfwarp.training import TrainConfig
from rfwarp.training.trainer import Trainer

out, batch_size, accumulate, steps = Path(sys.argv[1]), *map(int, sys.argv[2:])
torch.set_num_threads(1)
config = TrainConfig(
    out=out, data=DataConfig("chairs", size=64, count=4), network=NetworkConfig(width=1 / 64),
    features="oriented-pyramid", batch_size=batch_size, accumulate=accumulate,
    flow_steps=1, steps=steps, warmup=0, lr=1e-12,
    discriminator_lr=1e-12, clip=1e9, log_every=1, checkpoint_every=1000, sample_every=0,
    precision="float32", device="cpu", workers=0,
)
trainer = Trainer(config)
networks = {name: getattr(trainer.networks, name) for name in ("generator", "discriminator")}
adam_step, gradients = torch.optim.Adam.step, []

def step(self, *args, **kwargs):
    gradients.append({
        f"{owner}.{name}": p.grad.clone()
        for owner, network in networks.items() for name, p in network.named_parameters()
        if p.grad is not None
    })
    return adam_step(self, *args, **kwargs)

if steps < 10:
    torch.optim.Adam.step = step
trainer.train(progress=False)
if trainer.main:
    torch.save(gradients, out / "gradients.pt")
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("program") / "train.py"
    path.write_text(PROGRAM)
    return path


def start(*arguments: object, processes: int = 1) -> subprocess.Popen[str]:
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    return subprocess.Popen(
        [sys.executable, *(launcher if processes > 1 else []), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        start_new_session=True,
    )


def finish(run: subprocess.Popen[str]) -> str:
    try:
        shown, _ = run.communicate(timeout=120)
    finally:
        if run.poll() is None:
            os.killpg(run.pid, signal.SIGKILL)
    assert run.returncode == 0, shown
    return shown


def log(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_two_processes_have_the_gradients_of_one(program, tmp_path):
    """On the same samples: two processes with two batches of two, one with one of eight."""
    for processes, settings in ((1, (8, 1)), (2, (2, 2))):
        finish(start(program, tmp_path / str(processes), *settings, 2, processes=processes))
    expected, found = (
        torch.load(tmp_path / name / "gradients.pt", weights_only=True) for name in ("1", "2")
    )
    assert len(expected) == 1 + 2 * 2  # the flow once, then generator and discriminator by turns
    assert any(name.startswith("discriminator") for name in expected[-1])
    apart = []
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.keys() == theirs.keys()
        one, other = (torch.cat([g[key].flatten() for key in theirs]) for g in (theirs, ours))
        apart.append(float((one - other).norm() / one.norm()))
    # Rounding, but for a coordinate that it moves across the border of a pixel.
    assert sorted(apart)[2] < 1e-5
    assert max(apart) < 1e-3
    for ours, theirs in zip(log(tmp_path / "2"), log(tmp_path / "1"), strict=True):
        assert ours.keys() == theirs.keys()
        numbers = [key for key, value in theirs.items() if isinstance(value, float)]
        assert len(numbers) >= 5
        for key in numbers:
            assert ours[key] == pytest.approx(theirs[key], rel=1e-4), key


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.slow
def test_a_signal_to_one_process_stops_all_at_one_step(program, tmp_path):
    out = tmp_path / "run"
    run = start(program, out, 1, 1, 1_000_000, processes=2)
    while not (out / "log.jsonl").exists() or len(log(out)) < 3:
        assert run.poll() is None, run.communicate()[0]
        time.sleep(0.1)
    children = Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()
    os.kill(int(children[-1]), signal.SIGTERM)
    shown, _ = run.communicate(timeout=60)
    stopped = torch.load(out / "checkpoint.pt", weights_only=True)["step"]
    assert f"SIGTERM; saved at step {stopped}" in shown
    assert f"another process was stopped; saved at step {stopped}" in shown
    assert log(out)[-1]["step"] == stopped
