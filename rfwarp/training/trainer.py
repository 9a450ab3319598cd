"""The training loop of both stages: resumable at every checkpoint, with the same result."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader
from tqdm import tqdm

from rfwarp.data import ProceduralChairs
from rfwarp.nn import Generator
from rfwarp.poses import Viewpoint
from rfwarp.pretrained import write_atomically
from rfwarp.training.batches import Batch, ViewBatches
from rfwarp.training.checkpoint import load_checkpoint, save_checkpoint
from rfwarp.training.config import TrainConfig
from rfwarp.training.curve import plot_losses
from rfwarp.training.features import FEATURE_SETS
from rfwarp.training.stages import FlowStage, FullStage

logger = logging.getLogger(__name__)

CHECKPOINT, LOG, CURVE, MODEL = "checkpoint.pt", "log.jsonl", "loss.png", "model"


class Trainer:
    """Trains one generator as ``config`` says; continues the run found in ``config.out``.

    Raises:
        ValueError: if the run found there was started with another configuration.
    """

    def __init__(self, config: TrainConfig) -> None:
        self.config = config
        precision = resolve_precision(config)
        self.accelerator = Accelerator(
            cpu=config.device == "cpu" or not torch.cuda.is_available(),
            mixed_precision={"float32": "no"}.get(precision, precision),
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
        self.pending: dict[str, Any] | None = None  # optimiser state of a stage to be resumed
        self.resume()

    # -------------------------------------------------------------- persistence

    @property
    def checkpoint_path(self) -> Path:
        return self.config.out / CHECKPOINT

    def resume(self) -> None:
        """Continue from the checkpoint in the output folder, if there is one."""
        if not self.checkpoint_path.is_file():
            return
        state = load_checkpoint(self.checkpoint_path)
        theirs, ours = state["config"], self.config.fixed()
        changed = [k for k in sorted(ours.keys() | theirs.keys()) if ours.get(k) != theirs.get(k)]
        if changed:
            raise ValueError(
                f"{self.config.out} holds a run with other settings: "
                + ", ".join(f"{k} was {theirs.get(k)!r}, now {ours.get(k)!r}" for k in changed)
                + "; choose another folder or the same settings"
            )
        self.generator.load_state_dict(state["generator"])
        self.ema.load_state_dict(state["ema"])
        self.step, self.pending = state["step"], state["optimizer"]
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
        if not self.accelerator.is_main_process:
            return
        save_checkpoint(
            self.checkpoint_path,
            {
                "step": self.step,
                "config": self.config.fixed(),
                "generator": self.generator.state_dict(),
                "ema": self.ema.state_dict(),
                "optimizer": optimizer.state_dict(),
            },
        )
        cast(Generator, self.ema.module).save_pretrained(self.config.out / MODEL)
        if (self.config.out / LOG).is_file():
            plot_losses(self.config.out / LOG, self.config.out / CURVE)

    # -------------------------------------------------------------- training

    def train(self, progress: bool = True) -> Path:
        """Run to the end; returns the folder of the exported, averaged model."""
        self.config.out.mkdir(parents=True, exist_ok=True)
        batches = self._batches()
        bar = tqdm(
            total=self.total,
            initial=self.step,
            disable=not progress or not self.accelerator.is_main_process,
            unit="step",
        )
        begin = 0
        for stage, steps in self.stages:
            if self.step < begin + steps:
                self._train_stage(stage, begin, begin + steps, batches, bar)
            begin += steps
        bar.close()
        return self.config.out / MODEL

    def _batches(self) -> Iterator[Batch]:
        c = self.config
        views = ProceduralChairs(c.first_seed, c.chairs, c.size, cache=c.cache)
        loader = DataLoader(
            ViewBatches(views, c, self.total),
            batch_size=None,
            sampler=range(self.step, self.total),
            num_workers=c.workers,
            prefetch_factor=4 if c.workers else None,
        )
        return iter(loader)

    def _train_stage(
        self, stage: nn.Module, begin: int, end: int, batches: Iterator[Batch], bar: tqdm[Any]
    ) -> None:
        raw = torch.optim.Adam(stage.parameters(), lr=self.config.lr)
        if self.pending is not None:
            raw.load_state_dict(self.pending)
            self.pending = None
        model, optimizer = self.accelerator.prepare(stage, raw)
        sums: dict[str, float] = {}
        model.train()
        while self.step < end:
            rate = learning_rate(
                self.config, self.step - begin, end - begin, stage is self.stages[-1][0]
            )
            for group in raw.param_groups:
                group["lr"] = rate
            terms = self._step(model, optimizer, next(batches))
            self.step += 1
            if isinstance(stage, FullStage):
                self.ema.update_parameters(self.generator)
            for name, term in terms.items():
                sums[name] = sums.get(name, 0.0) + term
            bar.update()
            if self.step % self.config.log_every == 0:
                self._log(str(stage.name), rate, sums, bar)
                sums = {}
            if self.step % self.config.checkpoint_every == 0 or self.step == end:
                self._save(raw)
        self.accelerator.free_memory()

    def _step(self, model: nn.Module, optimizer: Any, batch: Batch) -> dict[str, float]:
        moved = {k: cast(Tensor, v).to(self.accelerator.device) for k, v in batch.items()}
        terms: dict[str, Tensor] = model(moved)
        loss = torch.stack(list(terms.values())).sum()
        optimizer.zero_grad(set_to_none=True)
        self.accelerator.backward(loss)
        norm = self.accelerator.clip_grad_norm_(model.parameters(), self.config.clip)
        if not bool(torch.isfinite(loss)):
            raise FloatingPointError(
                f"the loss at step {self.step} is {float(loss)}: {terms}; "
                f"continue from {self.checkpoint_path} with a lower lr"
            )
        optimizer.step()
        values = {name: float(term) for name, term in terms.items()}
        return {**values, "loss": float(loss), "gradient_norm": float(norm)}

    def _log(self, stage: str, rate: float, sums: dict[str, float], bar: tqdm[Any]) -> None:
        means = {name: total / self.config.log_every for name, total in sums.items()}
        bar.set_postfix(stage=stage, loss=f"{means['loss']:.4f}")
        if self.accelerator.is_main_process:
            entry = {"step": self.step, "stage": stage, "lr": rate, **means}
            with (self.config.out / LOG).open("a", encoding="utf-8") as file:
                file.write(json.dumps(entry) + "\n")


def resolve_precision(config: TrainConfig) -> str:
    """The precision that ``auto`` stands for: bf16 on devices that multiply in it, else float32."""
    if config.precision != "auto":
        return config.precision
    if config.device != "cpu" and torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    return "bf16" if torch.cpu._is_avx512_bf16_supported() else "float32"


def learning_rate(config: TrainConfig, step: int, steps: int, last: bool) -> float:
    """Linear warm-up, then constant, then in the last stage a linear fall to 1 %."""
    rate = config.lr * min(1.0, (step + 1) / max(1, config.warmup))
    if last and config.cooldown and step >= steps - config.cooldown:
        rate *= max(0.01, (steps - step) / config.cooldown)
    return rate
