"""The processes that torchrun started, and the gathering of their summaries."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from rfwarp.jobs.runner import Summary

POLL = 0.2  # seconds


@dataclass(frozen=True)
class Ranks:
    """This process's place among those that share the work.

    Attributes:
        rank, world_size: its number among all processes.
        local_rank: its number on its machine, which is also that of its GPU.
        launched: whether torchrun waits for it.
    """

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0
    launched: bool = False

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Ranks:
        """Read RANK, WORLD_SIZE and LOCAL_RANK, which torchrun sets; one process without them.

        Raises:
            ValueError: if they make no sense.
        """
        names = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
        if not any(name in environment for name in names[:2]):
            return cls()
        try:
            rank, world_size = (int(environment[name]) for name in names[:2])
            local_rank = int(environment.get(names[2], "0"))
        except (KeyError, ValueError) as error:
            raise ValueError(
                "the environment variables RANK, WORLD_SIZE and LOCAL_RANK must be numbers as "
                f"torchrun sets them: {error!r}"
            ) from error
        if not 0 <= rank < world_size or local_rank < 0:
            raise ValueError(f"RANK is {rank}, but WORLD_SIZE is {world_size}")
        return cls(rank, world_size, local_rank, "TORCHELASTIC_RUN_ID" in environment)

    def gather(self, summary: Summary) -> list[Summary] | None:
        """Return the summaries of all processes on rank 0, when they have ended; None on others.

        torchrun stops all processes when one fails. So it is rank 0 alone that says at the end that
        rows failed, and it says so when nobody has work left.

        Raises:
            ConnectionError: if torchrun cannot be reached.
        """
        if not self.launched:
            return [summary]
        from torch.distributed import DistError
        from torch.distributed.rendezvous import rendezvous

        try:
            store, _, _ = next(rendezvous("env://", self.rank, self.world_size))
            prefix = f"rfwarp/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}"
            keys = [f"{prefix}/{rank}" for rank in range(self.world_size)]
            store.set(keys[self.rank], json.dumps(asdict(summary), default=str))
            if self.rank != 0:
                return None
            while not store.check(keys):
                time.sleep(POLL)
            found = [json.loads(store.get(key)) for key in keys]
        except DistError as error:
            raise ConnectionError(f"the other processes cannot be reached: {error}") from error
        return [Summary(**{**fields, "log": Path(fields["log"])}) for fields in found]
