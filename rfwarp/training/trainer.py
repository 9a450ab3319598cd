"""The training loop of both stages: resumable at every checkpoint, with the same result."""

from __future__ import annotations

import json
import logging
import math
import time
from collections import abc
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader
from tqdm import tqdm

from rfwarp.files import write_atomically
from rfwarp.interrupts import noted_interrupts, outlive_interrupts
from rfwarp.nn import Generator
from rfwarp.poses import Viewpoint
from rfwarp.training.batches import Batch, ViewBatches, training_chairs
from rfwarp.training.card import (
    chair_model_card,
    describe_machine,
    describe_time,
    source_commit,
)
from rfwarp.training.checkpoint import load_checkpoint, save_checkpoint
from rfwarp.training.config import TrainConfig
from rfwarp.training.curve import plot_losses
from rfwarp.training.features import FEATURE_SETS
from rfwarp.training.precision import resolve_precision
from rfwarp.training.schedule import learning_rate
from rfwarp.training.stages import FlowStage, FullStage
from rfwarp.training.window import LossWindow

logger = logging.getLogger(__name__)

CHECKPOINT, LOG, CURVE, MODEL = "checkpoint.pt", "log.jsonl", "loss.png", "model"


class Trainer:
    """Trains one generator as ``config`` says; continues the run found in ``config.out``.

    Raises:
        ValueError: if the run found there was started with another configuration or is damaged, or
            if the device cannot do what the configuration asks.
        NotADirectoryError: if ``config.out`` is a file.
    """

    def __init__(self, config: TrainConfig) -> None:
        self.config = config
        self.precision = resolve_precision(config)
        if config.out.exists() and not config.out.is_dir():
            raise NotADirectoryError(f"{config.out} is a file, not the folder of a run")
        self.views = training_chairs(config)
        self.accelerator = Accelerator(
            cpu=config.device == "cpu" or not torch.cuda.is_available(),
            mixed_precision={"float32": "no"}.get(self.precision, self.precision),
        )
        torch.manual_seed(config.seed)
        self.generator = Generator(
            pose_channels=Viewpoint.channels,
            pose_kind=Viewpoint.kind,
            image_size=config.size,
            width=config.width,
            decoder_norm=config.decoder_norm,
            residual_flow=config.residual_flow,
            attention=config.attention,
            occlusion=config.occlusion,
        ).to(self.accelerator.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.ema = AveragedModel(
            self.generator, multi_avg_fn=get_ema_multi_avg_fn(config.ema), use_buffers=True
        )
        features = FEATURE_SETS[config.features]().to(self.accelerator.device)
        self.stages: list[tuple[nn.Module, int]] = [
            (FlowStage(self.generator, features, config.weights), config.flow_steps),
            (FullStage(self.generator, features, config.weights), config.steps),
        ]
        self.total = sum(steps for _, steps in self.stages)
        self.step = 0
        self.seconds = 0.0  # spent in training, over all sessions of the run
        self.commit = source_commit()  # of the code that runs, which may differ from a later one
        self.window = LossWindow()
        self.pending: dict[str, Any] | None = None  # a checkpoint whose optimiser is to be restored
        config.out.mkdir(parents=True, exist_ok=True)
        self.resume()

    # -------------------------------------------------------------- persistence

    @property
    def checkpoint_path(self) -> Path:
        return self.config.out / CHECKPOINT

    def resume(self) -> None:
        """Continue from the checkpoint in the output folder, if there is one."""
        if not self.checkpoint_path.is_file():
            if self.accelerator.is_main_process:
                self._drop_log_after(0)
            return
        state = load_checkpoint(self.checkpoint_path)
        ours = {**self.config.fixed(), "processes": self.accelerator.num_processes}
        theirs = {"processes": 1, **state["config"]}
        changed = [k for k in sorted(ours.keys() | theirs.keys()) if ours.get(k) != theirs.get(k)]
        if changed:
            raise ValueError(
                f"{self.config.out} holds a run with other settings: "
                + ", ".join(f"{k} was {theirs.get(k)!r}, now {ours.get(k)!r}" for k in changed)
                + "; choose another folder or the same settings"
            )
        self.generator.load_state_dict(state["generator"])
        self.ema.load_state_dict(state["ema"])
        self.step, self.seconds = state["step"], state.get("seconds", math.nan)
        if "window" in state:
            self.window.load_state_dict(state["window"])
        self.pending = state
        if self.accelerator.is_main_process:
            self._drop_log_after(self.step)
        logger.info("resumed %s at step %d", self.config.out, self.step)

    def _drop_log_after(self, step: int) -> None:
        """Entries that an interrupted run wrote after its last checkpoint will be written again."""
        path = self.config.out / LOG
        if path.is_file():
            lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
            kept = "".join(x for x in lines if x.endswith("\n") and json.loads(x)["step"] <= step)
            write_atomically(path, lambda temporary: temporary.write_text(kept, encoding="utf-8"))

    def _save(self, optimizer: torch.optim.Optimizer) -> None:
        self._finite_means()
        if not self.accelerator.is_main_process:
            return
        scaler = self.accelerator.scaler
        save_checkpoint(
            self.checkpoint_path,
            {
                "step": self.step,
                "seconds": self.seconds,
                "config": {**self.config.fixed(), "processes": self.accelerator.num_processes},
                "generator": self.generator.state_dict(),
                "ema": self.ema.state_dict(),
                "optimizer": optimizer.state_dict(),
                "scaler": None if scaler is None else scaler.state_dict(),
                "window": self.window.state_dict(),
            },
        )
        if self.ema.n_averaged > 0:  # in stage 1 there is nothing to export
            self._export()
        if (self.config.out / LOG).is_file():
            plot_losses(self.config.out / LOG, self.config.out / CURVE)

    def _export(self) -> None:
        """The averaged model with its card, as ``Generator.from_pretrained`` reads it."""
        model = cast(Generator, self.ema.module)
        run = {
            "steps": f"{self.step} of {self.total}, {self.config.flow_steps} for the flow alone",
            "time": describe_time(self.seconds),
            "machine": describe_machine(self.accelerator.device, self.accelerator.num_processes),
            "precision": self.precision,
            "torch": torch.__version__,
            "commit": self.commit,
        }
        card = chair_model_card(model.config.to_dict(), self.config, run)
        model.save_pretrained(self.config.out / MODEL, card)

    # -------------------------------------------------------------- training

    def train(self, progress: bool = True) -> Path:
        """Run to the end; returns the folder of the exported, averaged model.

        Raises:
            KeyboardInterrupt: on Ctrl-C or SIGTERM, after the step is finished and saved.
            FloatingPointError: if a loss or gradient is not finite. Nothing is saved then.
        """
        if self.step >= self.total:
            logger.info("%s is complete: %d steps", self.config.out, self.step)
            if self.accelerator.is_main_process:
                self._export()
            return self.config.out / MODEL
        shown = progress and self.accelerator.is_main_process
        bar = tqdm(total=self.total, initial=self.step, disable=not shown, unit="step")
        with bar, noted_interrupts() as interrupts, closing(self._batches()) as batches:
            begin = 0
            for stage, steps in self.stages:
                if self.step < begin + steps:
                    self._train_stage(stage, begin, begin + steps, batches, bar, interrupts)
                begin += steps
        return self.config.out / MODEL

    def _batches(self) -> abc.Generator[Batch, None, None]:
        """From this step on; closing it ends the worker processes."""
        workers = self.config.workers
        process, processes = self.accelerator.process_index, self.accelerator.num_processes
        loader = DataLoader(
            ViewBatches(self.views, self.config, self.total, process, processes),
            batch_size=None,
            sampler=range(self.step, self.total),
            num_workers=workers,
            prefetch_factor=4 if workers else None,
            worker_init_fn=outlive_interrupts,
        )
        yield from loader

    def _prepare(self, stage: nn.Module, begin: int) -> tuple[nn.Module, Any, torch.optim.Adam]:
        """The stage and its optimiser as the launcher wraps them, and the bare optimiser."""
        raw = torch.optim.Adam(stage.parameters(), lr=self.config.lr)
        state, self.pending = self.pending, None
        # A checkpoint at the end of a stage has no optimiser state for the next.
        inside = state is not None and self.step > begin
        if state is not None and inside:
            raw.load_state_dict(state["optimizer"])
        model, optimizer = self.accelerator.prepare(stage, raw)
        if state is not None and inside and self.accelerator.scaler is not None:
            self.accelerator.scaler.load_state_dict(state["scaler"])
        return model, optimizer, raw

    def _train_stage(
        self,
        stage: nn.Module,
        begin: int,
        end: int,
        batches: abc.Iterator[Batch],
        bar: tqdm[Any],
        interrupts: list[Any],
    ) -> None:
        c = self.config
        last = stage is self.stages[-1][0]
        model, optimizer, raw = self._prepare(stage, begin)
        model.train()
        while self.step < end:
            started = time.monotonic()
            rate = learning_rate(c, self.step - begin, end - begin, last)
            for group in raw.param_groups:
                group["lr"] = rate
            self.window.add(self._step(model, optimizer, next(batches)))
            self.step += 1
            if last:
                self.ema.update_parameters(self.generator)
            bar.update()
            if self.step % c.log_every == 0 or self.step == end:
                self._log(str(stage.name), rate, bar)
            self.seconds += time.monotonic() - started
            if self.step % c.checkpoint_every == 0 or self.step == end or interrupts:
                self._save(raw)
            if interrupts and self.step < self.total:
                raise KeyboardInterrupt(f"{interrupts[0].name}; saved at step {self.step}")
        self.accelerator.free_memory()

    def _step(self, model: nn.Module, optimizer: Any, batch: Batch) -> dict[str, Tensor]:
        moved = {k: cast(Tensor, v).to(self.accelerator.device) for k, v in batch.items()}
        terms: dict[str, Tensor] = model(moved)
        loss = torch.stack(list(terms.values())).sum()
        optimizer.zero_grad(set_to_none=True)
        self.accelerator.backward(loss)
        norm: Tensor = self.accelerator.clip_grad_norm_(model.parameters(), self.config.clip)
        optimizer.step()
        if self.accelerator.scaler is not None:
            norm = norm.nan_to_num(0.0, 0.0, 0.0)  # the scaler has skipped such a step
        return {**terms, "loss": loss, "gradient_norm": norm}

    def _finite_means(self) -> dict[str, float]:
        means = self.window.means()
        if not all(math.isfinite(mean) for mean in means.values()):
            raise FloatingPointError(
                f"training diverged within the {self.window.steps} steps up to step {self.step}: "
                + ", ".join(f"{name} {mean:g}" for name, mean in means.items())
                + "; train in another folder with a lower lr or clip"
            )
        return means

    def _log(self, stage: str, rate: float, bar: tqdm[Any]) -> None:
        means = self._finite_means()
        self.window.clear()
        bar.set_postfix(stage=stage, loss=f"{means['loss']:.4f}")
        if self.accelerator.is_main_process:
            entry = {"step": self.step, "stage": stage, "lr": rate, **means}
            with (self.config.out / LOG).open("a", encoding="utf-8") as file:
                file.write(json.dumps(entry) + "\n")
