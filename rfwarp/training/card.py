"""The model card of trained weights: where they come from, and what they can do."""

from __future__ import annotations

import json
import math
import os
import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from huggingface_hub import EvalResult, ModelCard, ModelCardData

from rfwarp.data.catalog import DataConfig, DatasetRecord, dataset_record
from rfwarp.files import write_atomically
from rfwarp.training.config import TrainConfig

TASK = "image-to-image"
RESULTS, LIMITS = "## Held-out results", "## Limits"


def model_card(
    *,
    title: str,
    record: DatasetRecord,
    data: str,
    config: Mapping[str, Any],
    training: Mapping[str, Any],
    run: Mapping[str, Any],
) -> str:
    """A card in the Hugging Face format: markdown after a YAML header.

    Args:
        title: headline.
        record: of what the model was trained on.
        data: its description, filled in.
        config: fields of the generator.
        training: fields of the training configuration; JSON-able, as ``config``.
        run: what happened, by name: steps, time, machine, versions.
    """
    metadata = ModelCardData(
        library_name="rfwarp",
        license=record.licence,
        pipeline_tag=TASK,
        tags=[record.tag, "optical-flow"],
    )
    facts = "\n".join(f"| {name} | {value} |" for name, value in run.items())
    sections = [
        f"---\n{metadata}\n---\n# {title}",
        f"## Data\n\n{data}",
        f"## Training\n\n| | |\n|---|---|\n{facts}",
        f"Settings of the run:\n\n{_json(training)}",
        f"Settings of the network:\n\n{_json(config)}",
        f"{RESULTS}\n\nNot evaluated yet.",
        f"{LIMITS}\n\n{record.limits}",
    ]
    return "\n\n".join(sections) + "\n"


def with_results(card: str, report: Mapping[str, Any]) -> str:
    """The card with a report in the place of earlier results: as a table for people, and the
    model's scores for the Hub; needs the extra ``metrics``.

    Args:
        card: of :func:`model_card`.
        report: see :func:`rfwarp.metrics.report.evaluation_report`.

    Raises:
        ValueError: if it is no such card.
    """
    from rfwarp.metrics.report import report_text

    before, after = split_results(card)
    updated = ModelCard(f"{before}\n{report_text(report, markdown=True)}\n\n{after}")
    name = report["dataset"]["name"]
    metadata = cast(ModelCardData, updated.data)
    metadata.model_name = updated.text.lstrip().partition("\n")[0].removeprefix("# ")
    metadata.eval_results = [
        EvalResult(
            task_type=TASK,
            dataset_type=name,
            dataset_name=name,
            dataset_config=f"sources: {row['sources']}",
            dataset_split=report["dataset"].get("split", "test"),
            metric_type=metric,
            metric_value=value,
        )
        for row in report["results"]
        for metric, value in row["model"].items()
        if isinstance(value, int | float)
    ]
    return str(updated)


def write_results(path: Path, report: Mapping[str, Any]) -> None:
    """:func:`with_results` of a file, which is replaced."""
    text = with_results(path.read_text(encoding="utf-8"), report)
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def split_results(card: str) -> tuple[str, str]:
    """What a card has before and after its results.

    Raises:
        ValueError: if it is no card of :func:`model_card`.
    """
    before, heading, rest = card.partition(f"{RESULTS}\n")
    _, limits, after = rest.partition(f"{LIMITS}\n")
    if not heading or not limits:
        raise ValueError(f"a model card has the headings {RESULTS!r} and {LIMITS!r}")
    return before + heading, limits + after


def trained_card(
    config: Mapping[str, Any],
    training: TrainConfig,
    size: tuple[int, int],
    run: Mapping[str, Any],
) -> str:
    """:func:`model_card` of a generator that :class:`rfwarp.training.Trainer` made.

    Args:
        size: height and width of the pictures.
    """
    settings = {**training.fixed(), "steps": training.steps, "cooldown": training.cooldown}
    c, record = training, dataset_record(training.data.name)
    pixels = f"{size[0]} x {size[1]}"
    return model_card(
        title=f"rfwarp generator, {record.title} at {pixels}",
        record=record,
        data=_described(record, pixels, c.data),
        config=config,
        training={name: value for name, value in settings.items() if name != "network"},
        run=run,
    )


def _json(values: Mapping[str, Any]) -> str:
    return f"```json\n{json.dumps(dict(values), indent=2)}\n```"


def _described(record: DatasetRecord, pixels: str, data: DataConfig) -> str:
    last = data.first_seed + data.count - 1
    text = record.description.format(size=pixels, first=data.first_seed, last=last)
    return f"{text} Source: {', '.join(record.origins)}" if record.origins else text


def run_facts(seconds: float, device: torch.device, processes: int) -> dict[str, str]:
    """How long a run took, on what, with which torch."""
    return {
        "time": describe_time(seconds),
        "machine": describe_machine(device, processes),
        "torch": torch.__version__,
    }


def describe_machine(device: torch.device, processes: int) -> str:
    """The hardware that a run used, for people."""
    if device.type == "cuda":
        return f"{processes} x {torch.cuda.get_device_name(device)}"
    threads = f"{torch.get_num_threads()} thread(s) on {os.cpu_count()} CPU cores"
    return f"{threads} ({platform.machine()}), {processes} process(es)"


def describe_time(seconds: float) -> str:
    """Hours and minutes; below an hour minutes and seconds. NaN is an unknown time."""
    if math.isnan(seconds):
        return "not recorded"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def source_commit() -> str:
    """The git commit of this source, with ``-dirty`` if files were changed since; else "unknown".

    A repository that merely contains an installed copy is not the source's.
    """
    here = Path(__file__)
    git = ["git", "-C", str(here.parent)]
    try:
        subprocess.run([*git, "ls-files", "--error-unmatch", here.name], **_QUIET)
        return subprocess.run(
            [*git, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"], **_QUIET
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


_QUIET: dict[str, Any] = {"check": True, "capture_output": True, "text": True}
