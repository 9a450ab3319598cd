"""``rfwarp train``"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Annotated

from tyro.conf import arg

from rfwarp.training.config import TrainConfig


@dataclass(frozen=True)
class Train:
    """Train a generator on procedural chairs; the same command resumes an interrupted run."""

    config: Annotated[TrainConfig, arg(name="")]

    def run(self) -> None:
        missing = [name for name in ("accelerate", "matplotlib") if find_spec(name) is None]
        if missing:
            raise ImportError(
                f'training needs {" and ".join(missing)}: pip install "rfwarp[train]"'
            )
        from rfwarp.training.trainer import Trainer

        try:
            model = Trainer(self.config).train()
        except KeyboardInterrupt as interrupt:
            raise KeyboardInterrupt(
                f"the same command resumes at the last checkpoint in {self.config.out}"
            ) from interrupt
        print(f"wrote {model}")
