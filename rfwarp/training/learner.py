"""A module of losses with its optimiser: one step of either."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any, TypeVar

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from rfwarp.training.config import TrainConfig

T = TypeVar("T")


class Learner:
    """A module that makes losses and the Adam that lowers them, as the launcher wraps both.

    Args:
        stage: its parameters that require a gradient are trained.
        lr: peak learning rate.
        state: of :meth:`state_dict`, to continue from.
    """

    def __init__(
        self,
        accelerator: Accelerator,
        stage: nn.Module,
        lr: float,
        config: TrainConfig,
        state: dict[str, Any] | None = None,
    ) -> None:
        self.accelerator = accelerator
        self.clip = config.clip
        self.lr = lr
        self.parameters = [p for p in stage.parameters() if p.requires_grad]
        self._adam = torch.optim.Adam(self.parameters, lr=lr, betas=config.betas)
        if state is not None:
            self._adam.load_state_dict(state)
        self.stage, self.optimizer = accelerator.prepare(stage.train(), self._adam)

    def state_dict(self) -> dict[str, Any]:
        """Of the optimiser."""
        return self._adam.state_dict()

    def step(
        self,
        parts: Sequence[T],
        losses: Callable[[nn.Module, T], dict[str, Tensor]],
        rate: float,
    ) -> dict[str, Tensor]:
        """One step along the mean gradient of the parts.

        Args:
            parts: what ``losses(stage, part)`` is called with, one after the other.
            rate: fraction of the peak learning rate.

        Returns:
            Means of the losses over the parts, their sum ``loss``, and the ``gradient_norm`` before
            clipping.
        """
        for group in self._adam.param_groups:
            group["lr"] = self.lr * rate
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
