"""``rfwarp train``"""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from tyro import MISSING
from tyro.conf import arg

from rfwarp.training.config import TrainConfig
from rfwarp.training.extra import require_extra


@dataclass(frozen=True)
class Train:
    """Train a generator in the paper's two stages; the same command resumes an interrupted run."""

    settings: Annotated[TrainConfig, arg(name="")]
    config: Annotated[Path | None, arg(metavar="FILE", aliases=["-c"])] = None
    """YAML file of settings, such as those in examples/configs; options given here override it."""

    def run(self) -> None:
        require_extra()
        from rfwarp.training.trainer import Trainer

        try:
            trainer = Trainer(self.settings)
            model = trainer.train()
        except KeyboardInterrupt as interrupt:
            raise KeyboardInterrupt(
                f"the same command resumes at the last checkpoint in {self.settings.out}"
            ) from interrupt
        if trainer.main:
            print(f"wrote {model}")


def configured(arguments: Sequence[str]) -> Any:
    """The Train that ``train --config FILE ...`` overrides, for tyro; MISSING without a file.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it holds anything but known fields of the right types.
    """
    parser = ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("-c", "--config", type=Path)
    path = parser.parse_known_args(arguments)[0].config
    if arguments[:1] != ["train"] or path is None:
        return MISSING
    from rfwarp.training.config_file import load_config

    settings = load_config(path, TrainConfig, out=Path())
    object.__setattr__(settings, "out", MISSING)  # tyro asks for it
    return Train(settings, path)
