"""Experiments: the same training for several variants and seeds, each run evaluated alike."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from rfwarp.config import Config
from rfwarp.data.catalog import dataset_record, open_dataset
from rfwarp.files import write_atomically
from rfwarp.metrics import EvaluationConfig, MetricNetworks, evaluate
from rfwarp.metrics.evaluation import check_evaluation
from rfwarp.metrics.report import evaluation_report
from rfwarp.model_card import write_results
from rfwarp.nn import Generator
from rfwarp.pretrained import CARD_NAME
from rfwarp.training.config import TrainConfig, nested, stored
from rfwarp.training.experiment_report import draw_plot, markdown_table, summarise
from rfwarp.training.provenance import run_facts
from rfwarp.training.trainer import Trainer

logger = logging.getLogger(__name__)

RESULT, RESULTS, TABLE, PLOT = "result.json", "results.json", "table.md", "plot.png"

# What makes training equal: no variant may change it.
EQUAL = (
    *("out", "seed", "data", "sources", "batch_size", "accumulate", "flow_steps", "steps"),
    *("ema", "precision", "device"),
)


@dataclass(frozen=True)
class Run:
    """One cell of the grid."""

    variant: str
    config: TrainConfig


@dataclass(frozen=True)
class ExperimentConfig(Config):
    """A grid of runs.

    Attributes:
        train: fields of :class:`TrainConfig` that all runs share, without ``out`` and ``seed``.
        variants: by name, the fields that each changes; none of those that make training equal.
        seeds: of initialisation and of what is drawn; every variant is trained with each.
        evaluation: options of the runs' evaluation.

    Example:
        >>> from pathlib import Path
        >>> from rfwarp.training import ExperimentConfig
        >>> config = ExperimentConfig(
        ...     train={"steps": 1000},
        ...     variants={"full": {}, "without-residual": {"network": {"residual_flow": False}}},
        ...     seeds=(0, 1),
        ... )
        >>> [(run.variant, run.config.seed) for run in config.runs(Path("out"))]
        [('full', 0), ('without-residual', 0), ('full', 1), ('without-residual', 1)]
    """

    train: dict[str, Any]
    variants: dict[str, dict[str, Any]]
    seeds: tuple[int, ...] = (0, 1, 2)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.variants or not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise ValueError("at least one variant and one seed are needed, and no seed twice")
        for name, changes in self.variants.items():
            if not name or not name.replace("-", "").replace("_", "").isalnum():
                raise ValueError(f"variants are named by letters, digits, - and _, got {name!r}")
            unequal = [key for key in changes if key in EQUAL]
            if unequal:
                raise ValueError(
                    f"variants.{name} must not change {', '.join(unequal)}: "
                    "variants are trained equally"
                )
        for key in ("out", "seed"):
            if key in self.train:
                raise ValueError(f"train.{key} is the experiment's to choose")
        list(self.runs(Path()))  # every configuration is valid

    def runs(self, out: Path) -> Iterator[Run]:
        """All runs, seed by seed: cut short, they still compare all variants, on fewer seeds."""
        for seed in self.seeds:
            for name, changes in self.variants.items():
                values = _merged(nested(self.train), nested(changes))
                folder = out / f"{name}-{seed}"
                values |= {"out": folder, "seed": seed}
                yield Run(name, TrainConfig.from_dict(values, "train."))


def _merged(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(values)
    for name, change in changes.items():
        inner = isinstance(change, dict) and isinstance(values.get(name), dict)
        merged[name] = _merged(values[name], change) if inner else change
    return merged


def run_experiment(
    config: ExperimentConfig,
    out: Path,
    *,
    variants: Sequence[str] = (),
    seeds: Sequence[int] = (),
    progress: bool = True,
) -> Path:
    """Train and evaluate what is not yet done; writes ``results.json``, ``table.md``, ``plot.png``.

    An interrupted run continues, finished ones are left alone. Several commands, also on several
    machines, may share the folder, if each is given other variants or seeds.

    Args:
        variants, seeds: the part of the grid to run; all by default.
        progress: show bars.

    Returns:
        The file of results.

    Raises:
        ValueError: if there is no such variant or seed, the folder holds another experiment, or the
            dataset does not give what the evaluation asks for; see also :class:`Trainer`.
        FileNotFoundError, ImportError: if a network of the evaluation is not there.
        KeyboardInterrupt: see :meth:`Trainer.train`.

    Example:
        >>> from pathlib import Path
        >>> from rfwarp.training import ExperimentConfig, run_experiment
        >>> config = ExperimentConfig(train={"steps": 1000}, variants={"full": {}}, seeds=(0,))
        >>> run_experiment(config, Path("out"), variants=["wide"])
        Traceback (most recent call last):
            ...
        ValueError: there is no variant 'wide'; there are ['full']
    """
    for name, asked, known in (
        ("variant", variants, list(config.variants)),
        ("seed", seeds, list(config.seeds)),
    ):
        if missing := [value for value in asked if value not in known]:
            raise ValueError(f"there is no {name} {missing[0]!r}; there are {known}")
    runs = list(config.runs(out))
    for run in runs:
        read_result(run, config.evaluation)  # another experiment's are refused before any work
    for run in runs:
        wanted = run.variant in (variants or config.variants)
        if not wanted or run.config.seed not in (seeds or config.seeds):
            continue
        if read_result(run, config.evaluation) is None:
            logger.info("variant %s, seed %d", run.variant, run.config.seed)
            _finish(run, config.evaluation, progress)
        if int(os.environ.get("RANK", "0")) == 0:  # of the processes that torchrun started
            _write_results(config, runs, out)
    return out / RESULTS


def _settings(run: Run, evaluation: EvaluationConfig) -> dict[str, Any]:
    settings = {
        "train": {
            **run.config.fixed(),
            "steps": run.config.steps,
            "cooldown": run.config.cooldown,
        },
        "evaluation": evaluation.for_dataset(dataset_record(run.config.data.name)).facts(),
    }
    plain: dict[str, Any] = json.loads(json.dumps(settings))
    return plain


def read_result(run: Run, evaluation: EvaluationConfig) -> dict[str, Any] | None:
    """Read the result of a finished run; None if it is not finished.

    Raises:
        ValueError: if it was made with other settings, or is damaged.
    """
    path = run.config.out / RESULT
    if not path.is_file():
        return None
    try:
        result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        settings = {**result["settings"], "train": stored(result["settings"]["train"])}
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged: {error}; delete it to evaluate again") from error
    if settings != _settings(run, evaluation):
        raise ValueError(f"{path} was made with other settings; choose another folder")
    return result


def _finish(run: Run, evaluation: EvaluationConfig, progress: bool) -> None:
    """Train to the end, evaluate, and leave the result in the folder of the run."""
    trainer = Trainer(run.config)
    # What evaluate() would refuse is refused before any work, as are files that are missing.
    record = dataset_record(run.config.data.name)
    data = replace(run.config.data.beside_training(), truth=record.gives_truth)
    dataset, device = open_dataset(data, "test"), trainer.accelerator.device
    evaluation = evaluation.for_dataset(record)
    networks = MetricNetworks.open(evaluation, dataset, device)
    check_evaluation(trainer.networks.generator, dataset, evaluation, networks)
    if networks.real is not None:
        _check_real(networks.real)
    model = trainer.train(progress)
    if trainer.main:
        generator = Generator.from_pretrained(model, device=device)
        results = evaluate(generator, dataset, evaluation, networks=networks)
        report = evaluation_report(
            results, record, data.facts("test"), dataset, evaluation, networks, device
        )
        write_results(model / CARD_NAME, report)
        result = {
            "variant": run.variant,
            "seed": run.config.seed,
            "steps": trainer.step,
            "seconds": trainer.seconds,
            **run_facts(trainer.seconds, device, trainer.accelerator.num_processes),
            "commit": trainer.commit,
            "settings": _settings(run, evaluation),
            **report,
        }
        _write_json(run.config.out / RESULT, result)
    trainer.accelerator.wait_for_everyone()


def _check_real(real: Iterable[Tensor]) -> None:
    """Raise ValueError unless there are two real images or more, and all are as they must be."""
    if sum(len(images) for images in real) < 2:  # each is checked when its turn comes
        raise ValueError("a Frechet distance needs at least two real images")


def _write_results(config: ExperimentConfig, runs: Sequence[Run], out: Path) -> None:
    """Write the results of all finished runs, whoever ran them."""
    done = [result for run in runs if (result := read_result(run, config.evaluation)) is not None]
    if not done:
        return
    rows = summarise(done, list(config.variants))
    text = markdown_table(rows, done, len(runs))
    write_atomically(out / TABLE, lambda path: path.write_text(text, encoding="utf-8"))
    draw_plot(rows, out / PLOT)
    report = {"runs_planned": len(runs), "summary": [asdict(row) for row in rows], "runs": done}
    _write_json(out / RESULTS, report)


def _write_json(path: Path, values: Mapping[str, Any]) -> None:
    text = json.dumps(values, indent=2) + "\n"
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
