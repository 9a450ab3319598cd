"""Communication between the processes of a data-parallel run, besides that of gradients."""

from __future__ import annotations

import torch
import torch.distributed
from accelerate import Accelerator
from torch import Tensor


class Processes:
    """All processes must call the same methods in the same order; alone, they cost nothing."""

    def __init__(self, accelerator: Accelerator) -> None:
        self.accelerator = accelerator
        # Apart from the group that exchanges gradients, so that a GPU need not be waited for.
        self._group = (
            torch.distributed.new_group(backend="gloo") if accelerator.num_processes > 1 else None
        )

    def any(self, flag: bool) -> bool:
        """Whether it is true in any process."""
        if self._group is None:
            return flag
        flags = torch.tensor(int(flag))
        torch.distributed.all_reduce(flags, torch.distributed.ReduceOp.MAX, self._group)
        return bool(flags)

    def mean(self, values: Tensor) -> Tensor:
        """Mean of a tensor over the processes."""
        reduced: Tensor = self.accelerator.reduce(values, "mean")
        return reduced
