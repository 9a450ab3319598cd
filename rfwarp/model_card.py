"""The model card of weights: their description, provenance and results."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from rfwarp.data.catalog import DatasetRecord
from rfwarp.files import write_atomically

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
        record: of the dataset that the model was trained on.
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
    """The parts of a card before and after its results.

    Raises:
        ValueError: if it is no card of :func:`model_card`.
    """
    before, heading, rest = card.partition(f"{RESULTS}\n")
    _, limits, after = rest.partition(f"{LIMITS}\n")
    if not heading or not limits:
        raise ValueError(f"a model card has the headings {RESULTS!r} and {LIMITS!r}")
    return before + heading, limits + after


def _json(values: Mapping[str, Any]) -> str:
    return f"```json\n{json.dumps(dict(values), indent=2)}\n```"
