"""The training loop of both stages: resumable at every checkpoint, with the same result."""

from __future__ import annotations

import logging
import math
import signal
import time
from collections import abc
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from tqdm import tqdm

from rfwarp.data.catalog import open_dataset
from rfwarp.interrupts import noted_interrupts, outlive_interrupts
from rfwarp.poses.kinds import POSE_KINDS
from rfwarp.training.accelerator import is_for, open_accelerator
from rfwarp.training.batches import Batch, TupleBatches, check_dataset, split
from rfwarp.training.checkpoint import load_checkpoint, save_checkpoint
from rfwarp.training.config import TrainConfig
from rfwarp.training.features import make_features
from rfwarp.training.journal import Journal, LossWindow
from rfwarp.training.networks import Networks
from rfwarp.training.optimization import StageOptimizer, learning_rate, train_step
from rfwarp.training.precision import resolve_precision
from rfwarp.training.processes import Processes
from rfwarp.training.provenance import run_facts, source_commit, trained_card
from rfwarp.training.samples import HeldOutSamples
from rfwarp.training.stages import DiscriminatorStage, FlowStage, FullStage

logger = logging.getLogger(__name__)

CHECKPOINT, MODEL = "checkpoint.pt", "model"


class Trainer:
    """Trains one generator as ``config`` says; continues the run found in ``config.out``.

    Started by ``torchrun``, its processes work on one run: with P of them a step has P times
    ``batch_size * accumulate`` samples. All must see the same ``config.out``; the first writes.
    Trainers of one process may differ, but must train one after the other.

    Raises:
        ValueError: if the run found there was started with another configuration or is damaged, if
            the dataset is unfit for the configuration, or if the device cannot do what it asks.
        NotADirectoryError: if ``config.out`` is a file.
        FileNotFoundError: if the data, the weights of the feature set or, for a new run, those to
            start from are not there.

    Example:
        >>> from pathlib import Path
        >>> from rfwarp.data import DataConfig
        >>> from rfwarp.nn import NetworkConfig
        >>> from rfwarp.training import TrainConfig, Trainer
        >>> config = TrainConfig(
        ...     out=Path("run"),
        ...     data=DataConfig("people", count=1),
        ...     network=NetworkConfig(width=0.125),
        ...     sources=(1,),
        ...     batch_size=1,
        ...     flow_steps=1,
        ...     steps=1,  # a run has many thousands
        ...     features="oriented-pyramid",
        ...     precision="float32",
        ...     device="cpu",
        ...     workers=0,
        ...     sample_every=0,
        ... )
        >>> trainer = Trainer(config)  # trainer.train() runs it, and returns the model's folder
        >>> trainer.step, trainer.total, trainer.precision
        (0, 2, 'float32')
    """

    def __init__(self, config: TrainConfig) -> None:
        self.config = config
        self.precision = resolve_precision(config)
        if config.out.exists() and not config.out.is_dir():
            raise NotADirectoryError(f"{config.out} is a file, not the folder of a run")
        self.dataset = open_dataset(config.data, "train")
        check_dataset(self.dataset, config)
        self.features = make_features(config.features, config.feature_weights)
        self.total = config.flow_steps + config.steps
        self.commit = source_commit()  # of the code that runs, which may differ from a later one
        self.resume()
        self.main = self.accelerator.is_main_process
        self.held_out = HeldOutSamples(config) if self.main and config.sample_every else None
        config.out.mkdir(parents=True, exist_ok=True)

    # -------------------------------------------------------------- persistence

    @property
    def checkpoint_path(self) -> Path:
        return self.config.out / CHECKPOINT

    @property
    def _settings(self) -> dict[str, Any]:
        return {**self.config.fixed(), "processes": self.accelerator.num_processes}

    def resume(self) -> None:
        """Continue from the checkpoint in the output folder; begin anew if there is none."""
        c, path = self.config, self.checkpoint_path
        self.accelerator = open_accelerator(c, self.precision)
        self.processes = Processes(self.accelerator)
        device = self.accelerator.device
        state = load_checkpoint(path, self._settings) if path.is_file() else None
        with torch.random.fork_rng(devices=[]):  # the caller's random numbers stay as they were
            self.networks = Networks(c, self.dataset, device, resumed=state is not None)
        kind, features = POSE_KINDS[self.dataset.pose_kind], self.features.to(device)
        given = (self.networks.generator, kind, features, c)
        self.stages: list[tuple[FlowStage | FullStage, int]] = [
            (FlowStage(*given), c.flow_steps),
            (FullStage(*given), c.steps),
        ]
        self.step = 0
        self.seconds = 0.0  # spent in training, over all sessions of the run
        self.window = LossWindow()
        self.pending = state  # its optimisers and scaler are still to be restored
        self.begun = False
        if state is not None:
            self.networks.load_state_dict(state["networks"])
            self.step, self.seconds = state["step"], state["seconds"]
            self.window.load_state_dict(state["window"])
            logger.info("resumed %s at step %d", c.out, self.step)

    def _save(self, optimizers: abc.Sequence[StageOptimizer], journal: Journal | None) -> None:
        self._finite_means()
        if journal is not None:
            scaler = self.accelerator.scaler
            save_checkpoint(
                self.checkpoint_path,
                {
                    "step": self.step,
                    "seconds": self.seconds,
                    "config": self._settings,
                    "networks": self.networks.state_dict(),
                    "optimizers": [optimizer.state_dict() for optimizer in optimizers],
                    "scaler": None if scaler is None else scaler.state_dict(),
                    "window": self.window.state_dict(),
                },
            )
            if self.networks.ema.n_averaged > 0:  # in stage 1 there is nothing to export
                self._export()
            journal.save()
        self.accelerator.wait_for_everyone()

    def _export(self) -> None:
        """The averaged model with its card, as ``Generator.from_pretrained`` reads it."""
        model = self.networks.average
        run = {
            "steps": f"{self.step} of {self.total}, {self.config.flow_steps} for the flow alone",
            **run_facts(self.seconds, self.accelerator.device, self.accelerator.num_processes),
            "precision": self.precision,
            "commit": self.commit,
        }
        size = (self.dataset.height, self.dataset.width)
        card = trained_card(model.config.to_dict(), self.config, size, run)
        model.save_pretrained(self.config.out / MODEL, card)

    # -------------------------------------------------------------- training

    def train(self, progress: bool = True) -> Path:
        """Run to the end; returns the folder of the exported, averaged model.

        After an error or interrupt it may be called again: it then continues from the last
        checkpoint, with new ``networks``, as another trainer would; also after another trainer was
        made for another device or precision.

        Raises:
            KeyboardInterrupt: on Ctrl-C or SIGTERM, to whichever process; all have then finished
                the same step, and it is saved.
            FloatingPointError: if a loss or gradient is not finite. Nothing is saved then.
        """
        if self.begun or not is_for(self.accelerator, self.config, self.precision):
            self.resume()
        self.begun = True
        if self.step >= self.total:
            logger.info("%s is complete: %d steps", self.config.out, self.step)
            if self.main:
                self._export()
            return self.config.out / MODEL
        hidden = not (progress and self.main)
        journal = Journal(self.config.out, self.step) if self.main else None
        with (
            tqdm(
                desc=self.config.out.name,
                total=self.total,
                initial=self.step,
                disable=hidden,
                unit="step",
            ) as bar,
            journal or nullcontext(),
            noted_interrupts() as interrupts,
            closing(self._batches()) as batches,
        ):
            begin = 0
            for stage, steps in self.stages:
                if self.step < begin + steps:
                    self._train_stage(stage, begin, steps, batches, journal, bar, interrupts)
                begin += steps
        return self.config.out / MODEL

    def _batches(self) -> abc.Generator[Batch, None, None]:
        """Batches from this step on; closing the generator ends the worker processes."""
        workers = self.config.workers
        process, processes = self.accelerator.process_index, self.accelerator.num_processes
        loader = DataLoader(
            TupleBatches(self.dataset, self.config, self.total, process, processes),
            batch_size=None,
            sampler=range(self.step, self.total),
            num_workers=workers,
            prefetch_factor=4 if workers else None,
            worker_init_fn=outlive_interrupts,
        )
        yield from loader

    def _prepare(self, stage: FlowStage | FullStage, begin: int) -> list[StageOptimizer]:
        """Optimisers of the generator and, in stage 2, the discriminator, from the checkpoint."""
        c, discriminator = self.config, self.networks.discriminator
        modules: list[tuple[nn.Module, float]] = [(stage, c.lr)]
        if discriminator is not None and isinstance(stage, FullStage):
            modules.append((DiscriminatorStage(discriminator, c), c.discriminator_lr))
        state, self.pending = self.pending, None
        states = [None] * len(modules)
        if state is not None:
            if self.step > begin:  # else they are of the stage before
                states = state["optimizers"]
            if self.accelerator.scaler is not None:
                self.accelerator.scaler.load_state_dict(state["scaler"])
        lrs = [] if c.flow_lr is None else [(self.networks.generator.flow, c.flow_lr)]
        return [
            StageOptimizer(
                self.accelerator, module, lr, c, optimizer, lrs if module is stage else ()
            )
            for (module, lr), optimizer in zip(modules, states, strict=True)
        ]

    def _train_stage(
        self,
        stage: FlowStage | FullStage,
        begin: int,
        steps: int,
        batches: abc.Iterator[Batch],
        journal: Journal | None,
        bar: tqdm[Any],
        interrupts: list[signal.Signals],
    ) -> None:
        c, end, last = self.config, begin + steps, stage is self.stages[-1][0]
        optimizers = self._prepare(stage, begin)
        while self.step < end:
            started = time.monotonic()
            rate = learning_rate(c, self.step - begin, steps, last)
            self.window.add(self._step(optimizers, next(batches), rate))
            self.step += 1
            if last:
                self.networks.ema.update_parameters(self.networks.generator)
            bar.update()
            if self.step % c.log_every == 0 or self.step == end:
                self._log(stage.name, rate, journal, bar)
            self.seconds += time.monotonic() - started
            stopping = self.processes.any(bool(interrupts))
            if self.step % c.checkpoint_every == 0 or self.step == end or stopping:
                self._save(optimizers, journal)
            if last and journal is not None:
                self._show(journal, self.step - begin)
            if stopping and self.step < self.total:
                names = " and ".join(s.name for s in interrupts) or "another process was stopped"
                raise KeyboardInterrupt(f"{names}; saved at step {self.step}")
        self.accelerator.free_memory()

    def _show(self, journal: Journal, step: int) -> None:
        """Held-out samples after so many steps of stage 2, if it is time for them."""
        if self.held_out is None:
            return
        if step % self.config.sample_every == 0 or self.step == self.total:
            average = self.networks.average.eval()
            journal.show(self.step, self.held_out.draw(average), self.held_out.score(average))

    def _step(
        self, optimizers: abc.Sequence[StageOptimizer], batch: Batch, rate: float
    ) -> dict[str, Tensor]:
        moved = {k: cast(Tensor, v).to(self.accelerator.device) for k, v in batch.items()}
        return train_step(optimizers, split(cast(Batch, moved), self.config.accumulate), rate)

    def _finite_means(self) -> dict[str, float]:
        self.window.share(self.processes.mean)
        means = self.window.means()
        if not all(math.isfinite(mean) for mean in means.values()):
            raise FloatingPointError(
                f"training diverged within the {self.window.steps} steps up to step {self.step}: "
                + ", ".join(f"{name} {mean:g}" for name, mean in means.items())
                + "; train in another folder with a lower lr or clip"
            )
        return means

    def _log(self, stage: str, rate: float, journal: Journal | None, bar: tqdm[Any]) -> None:
        means = self._finite_means()
        self.window.clear()
        bar.set_postfix(stage=stage, loss=f"{means['loss']:.4f}")
        if journal is not None:
            journal.log(self.step, stage, {"lr": self.config.lr * rate, **means})
