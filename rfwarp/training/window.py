"""Means of the losses over the steps since the last log entry."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor


class LossWindow:
    """Sums kept on the device, because reading a number makes the host wait for it."""

    def __init__(self) -> None:
        self.steps = 0
        self.sums: dict[str, Tensor] = {}

    def add(self, terms: Mapping[str, Tensor]) -> None:
        """Count one step with these scalars."""
        self.steps += 1
        for name, term in terms.items():
            value = term.detach().double()
            if name in self.sums:
                value = value + self.sums[name].to(value.device)  # a restored sum is on the CPU
            self.sums[name] = value

    def share(self, mean: Callable[[Tensor], Tensor]) -> None:
        """Take the mean of the sums over several processes, which all call this."""
        if self.sums:
            shared = mean(torch.stack(list(self.sums.values())))
            self.sums = dict(zip(self.sums, shared, strict=True))

    def means(self) -> dict[str, float]:
        """The mean of every scalar; an empty window has none."""
        if not self.sums:
            return {}
        values = torch.stack(list(self.sums.values())).tolist()
        return {name: v / self.steps for name, v in zip(self.sums, values, strict=True)}

    def clear(self) -> None:
        """Begin anew."""
        self.steps, self.sums = 0, {}

    def state_dict(self) -> dict[str, Any]:
        """For :meth:`load_state_dict`."""
        return {"steps": self.steps, "sums": {name: v.clone() for name, v in self.sums.items()}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue a window that was saved half full."""
        self.steps, self.sums = state["steps"], dict(state["sums"])
