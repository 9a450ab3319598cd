"""One step of optimisation: modules of losses with their optimisers, and the learning rate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any, TypeVar, cast

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from rfwarp.images import from_uint8
from rfwarp.training.batches import Batch
from rfwarp.training.config import TrainConfig
from rfwarp.training.stages import DiscriminatorStage

T = TypeVar("T")


class StageOptimizer:
    """A module that makes losses and the Adam that lowers them, as the launcher wraps both.

    Args:
        stage: its parameters that require a gradient are trained.
        lr: peak learning rate.
        lrs: other peaks, of the parameters of modules in ``stage``.
        state: of :meth:`state_dict`, to continue from.

    Attributes:
        stage, bare: the module as it was wrapped, and as it was given.
    """

    def __init__(
        self,
        accelerator: Accelerator,
        stage: nn.Module,
        lr: float,
        config: TrainConfig,
        state: dict[str, Any] | None = None,
        lrs: Sequence[tuple[nn.Module, float]] = (),
    ) -> None:
        self.accelerator = accelerator
        self.bare = stage
        self.clip = config.clip
        self.parameters = [p for p in stage.parameters() if p.requires_grad]
        groups = [([p for p in module.parameters() if p.requires_grad], own) for module, own in lrs]
        others = {id(p) for group, _ in groups for p in group}
        groups.insert(0, ([p for p in self.parameters if id(p) not in others], lr))
        groups = [(group, peak) for group, peak in groups if group]
        self.peaks = [peak for _, peak in groups]
        self._adam = torch.optim.Adam(
            [{"params": group, "lr": peak} for group, peak in groups], betas=config.betas
        )
        if state is not None:
            self._adam.load_state_dict(state)
        self.stage, self.optimizer = accelerator.prepare(stage.train(), self._adam)

    def state_dict(self) -> dict[str, Any]:
        """The state of the optimiser."""
        return self._adam.state_dict()

    def step(
        self,
        parts: Sequence[T],
        losses: Callable[[nn.Module, T], dict[str, Tensor]],
        rate: float,
    ) -> dict[str, Tensor]:
        """One step along the mean gradient of the parts.

        Args:
            parts: arguments of ``losses(stage, part)``, which is called with each in turn.
            rate: fraction of the peak learning rate.

        Returns:
            Means of the losses over the parts, their sum ``loss``, and the ``gradient_norm`` before
            clipping.
        """
        for group, peak in zip(self._adam.param_groups, self.peaks, strict=True):
            group["lr"] = peak * rate
        self.optimizer.zero_grad(set_to_none=True)
        means: dict[str, Tensor] = {}
        for place, part in enumerate(parts, start=1):
            # Processes exchange gradients once, with those of the last part.
            last = place == len(parts)
            with nullcontext() if last else self.accelerator.no_sync(self.stage):
                terms = losses(self.stage, part)
                terms["loss"] = torch.stack(list(terms.values())).sum()
                self.accelerator.backward(terms["loss"] / len(parts))
            for name, term in terms.items():
                means[name] = means.get(name, 0.0) + term.detach() / len(parts)
        self.accelerator.unscale_gradients(self.optimizer)
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, self.clip)
        self.optimizer.step()
        if self.accelerator.scaler is not None:
            norm = norm.nan_to_num(0.0, 0.0, 0.0)  # the scaler has skipped such a step
        return {**means, "gradient_norm": norm}


def train_step(
    optimizers: Sequence[StageOptimizer], parts: Sequence[Batch], rate: float
) -> dict[str, Tensor]:
    """One step of the generator, then one of the discriminator on what it made.

    Args:
        optimizers: of a stage, and of a :class:`DiscriminatorStage` if there is one.
        parts: batches whose gradients are averaged.
        rate: fraction of the peak learning rates.

    Returns:
        See :meth:`StageOptimizer.step`; of the discriminator, ``discriminator`` (its loss) and
        ``discriminator_gradient_norm``.
    """
    generated: list[Tensor] = []

    def generate(stage: nn.Module, part: Batch) -> dict[str, Tensor]:
        terms: dict[str, Tensor]
        terms, image = stage(part)
        for critic in optimizers[1:]:
            generated.append(image.detach())
            with critic.accelerator.autocast():
                terms["adversarial"] = cast(DiscriminatorStage, critic.bare).adversarial_loss(image)
        return terms

    def criticise(stage: nn.Module, place: int) -> dict[str, Tensor]:
        # Spectral norms are estimated anew once per step, however many parts it has.
        stage.train(place == 0)
        terms: dict[str, Tensor] = stage(from_uint8(parts[place]["target"]), generated[place])
        return terms

    terms = optimizers[0].step(parts, generate, rate)
    for critic in optimizers[1:]:
        theirs = critic.step(range(len(parts)), criticise, rate)
        terms["discriminator"] = theirs["loss"]
        terms["discriminator_gradient_norm"] = theirs["gradient_norm"]
    return terms


def learning_rate(config: TrainConfig, step: int, steps: int, last: bool) -> float:
    """Fraction of the peak: linear warm-up, constant, in the last stage a linear fall to 1 %."""
    rate = min(1.0, (step + 1) / max(1, config.warmup))
    if last and config.cooldown and step >= steps - config.cooldown:
        rate *= max(0.01, (steps - step) / config.cooldown)
    return rate
