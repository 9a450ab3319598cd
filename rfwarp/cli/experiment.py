"""``rfwarp experiment``"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from rfwarp.training.extra import require_extra


@dataclass(frozen=True)
class Experiment:
    """Train variants with several seeds and compare them; the same command resumes.

    Writes results.json, table.md and plot.png, anew after each run.
    """

    file: Annotated[Positional[Path], arg(metavar="FILE")]
    """YAML file of the experiment, such as examples/configs/ablation-chairs-64.yaml."""
    out: Annotated[Path, arg(metavar="FOLDER")]
    """Folder of the runs and results."""
    variants: tuple[str, ...] = ()
    """Run only these; all by default. Several processes may so share the work."""
    seeds: tuple[int, ...] = ()
    """Run only these; all by default."""

    def run(self) -> None:
        require_extra()
        from rfwarp.training.config_file import load_config
        from rfwarp.training.experiment import ExperimentConfig, run_experiment

        config = load_config(self.file, ExperimentConfig)
        try:
            results = run_experiment(config, self.out, variants=self.variants, seeds=self.seeds)
        except KeyboardInterrupt as interrupt:
            raise KeyboardInterrupt(f"the same command resumes in {self.out}") from interrupt
        if int(os.environ.get("RANK", "0")) == 0:
            print(results.with_name("table.md").read_text(encoding="utf-8"))
            print(f"wrote {results}")
