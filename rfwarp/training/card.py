"""The model card of trained weights: where they come from, and what they can do."""

from __future__ import annotations

import json
import math
import os
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from huggingface_hub import EvalResult, ModelCard, ModelCardData

from rfwarp.training.config import TrainConfig

TASK = "image-to-image"
RESULTS, LIMITS = "## Held-out results", "## Limits"

# Of rfwarp's own pictures; whoever trains on others must say under what terms theirs may be used.
OWN_LICENCE, THEIR_LICENCE = "apache-2.0", "other"


@dataclass(frozen=True)
class Subject:
    """What a card says of a dataset; ``{...}`` are filled in."""

    things: str
    data: str
    limits: str
    tag: str
    licence: str = THEIR_LICENCE


_GUESSED = "Parts that no source shows are guessed."
SUBJECTS = {
    "chairs": Subject(
        "procedural chairs",
        "Procedural chairs of rfwarp (`rfwarp.data.ProceduralChairs`): {size} pixels, white "
        "background, 18 azimuths x 3 elevations, seeds {first} to {last}.",
        "It knows these chairs and their 54 viewpoints, on a white background, and nothing else: "
        f"neither photographs nor other objects. {_GUESSED}",
        "novel-view-synthesis",
        OWN_LICENCE,
    ),
    "people": Subject(
        "procedural people",
        "Procedural people of rfwarp (`rfwarp.data.ProceduralPeople`): {size} pixels, 18 OpenPose "
        "keypoints, seeds {first} to {last}.",
        "It knows these drawn figures and nothing else: it was never shown a photograph of a "
        f"person. {_GUESSED}",
        "pose-transfer",
        OWN_LICENCE,
    ),
    "deepfashion": Subject(
        "DeepFashion",
        "DeepFashion, In-shop Clothes Retrieval benchmark: {size} pixels, 18 OpenPose keypoints.",
        "It knows people as fashion photographs show them, before a plain background. " + _GUESSED,
        "pose-transfer",
    ),
    "market1501": Subject(
        "Market-1501",
        "Market-1501: {size} pixels, 18 OpenPose keypoints.",
        "It knows pedestrians as six street cameras saw them, at low resolution. " + _GUESSED,
        "pose-transfer",
    ),
    "shapenet-chairs": Subject(
        "ShapeNet chairs",
        "Chairs of ShapeNet: {size} pixels, 18 azimuths x 3 elevations.",
        "It knows rendered chairs and these 54 viewpoints. " + _GUESSED,
        "novel-view-synthesis",
    ),
    "kitti": Subject(
        "KITTI odometry",
        "KITTI odometry: {size} pixels, sources within ten frames of the target.",
        "It knows streets as seen from one car, and small motions of its camera. " + _GUESSED,
        "novel-view-synthesis",
    ),
    "voxceleb2": Subject(
        "VoxCeleb2",
        "VoxCeleb2: {size} pixels, 68 facial landmarks drawn as lines.",
        "It knows faces as interviews show them. It can make a real person seem to look or speak "
        f"as they never did: ask them before you use it so. {_GUESSED}",
        "face-reenactment",
    ),
}


def model_card(
    *,
    title: str,
    subject: Subject,
    data: str,
    config: Mapping[str, Any],
    training: Mapping[str, Any],
    run: Mapping[str, Any],
) -> str:
    """A card in the Hugging Face format: markdown after a YAML header.

    Args:
        title: headline.
        subject: what the model was trained on, and what it cannot do.
        data: the subject's, filled in.
        config: fields of the generator.
        training: fields of the training configuration; JSON-able, as ``config``.
        run: what happened, by name: steps, time, machine, versions.
    """
    metadata = ModelCardData(
        library_name="rfwarp",
        license=subject.licence,
        pipeline_tag=TASK,
        tags=[subject.tag, "optical-flow"],
    )
    facts = "\n".join(f"| {name} | {value} |" for name, value in run.items())
    sections = [
        f"---\n{metadata}\n---\n# {title}",
        f"## Data\n\n{data}",
        f"## Training\n\n| | |\n|---|---|\n{facts}",
        f"Settings of the run:\n\n{_json(training)}",
        f"Settings of the network:\n\n{_json(config)}",
        f"{RESULTS}\n\nNot evaluated yet.",
        f"{LIMITS}\n\n{subject.limits}",
    ]
    return "\n\n".join(sections) + "\n"


def with_results(card: str, report: Mapping[str, Any]) -> str:
    """The card with what ``rfwarp evaluate --json`` reports, in the place of earlier results: as a
    table for people, and the model's scores for the Hub.

    Raises:
        ValueError: if it is no card of :func:`model_card`.
    """
    before, heading, rest = card.partition(f"{RESULTS}\n")
    _, limits, after = rest.partition(f"{LIMITS}\n")
    if not heading or not limits:
        raise ValueError(f"a model card has the headings {RESULTS!r} and {LIMITS!r}")
    data = report["dataset"]
    seeds = f" from seed {data['first_seed']} on" if "first_seed" in data else ""
    things = f"{data['count']} " if "count" in data else ""
    judged = f"{report['sets']} sets of pictures of {things}{data['name']}{seeds}."
    updated = ModelCard(f"{before}{heading}\n{judged}\n\n{_table(report)}\n\n{limits}{after}")
    metadata = cast(ModelCardData, updated.data)
    metadata.model_name = updated.text.lstrip().partition("\n")[0].removeprefix("# ")
    metadata.eval_results = [
        EvalResult(
            task_type=TASK,
            dataset_type=data["name"],
            dataset_name=data["name"],
            dataset_config=f"sources: {row['sources']}",
            dataset_split="test",
            metric_type=metric,
            metric_value=value,
        )
        for row in report["results"]
        for metric, value in row["model"].items()
        if isinstance(value, int | float)
    ]
    return str(updated)


def trained_card(
    config: Mapping[str, Any],
    training: TrainConfig,
    size: tuple[int, int],
    run: Mapping[str, Any],
) -> str:
    """:func:`model_card` of a generator that :class:`rfwarp.training.trainer.Trainer` made.

    Args:
        size: height and width of the pictures.
    """
    settings = {**training.fixed(), "steps": training.steps, "cooldown": training.cooldown}
    c, subject = training, SUBJECTS[training.data.name]
    pixels = f"{size[0]} x {size[1]}"
    last = c.data.first_seed + c.data.count - 1
    return model_card(
        title=f"rfwarp generator, {subject.things} at {pixels}",
        subject=subject,
        data=subject.data.format(size=pixels, first=c.data.first_seed, last=last),
        config=config,
        training={name: value for name, value in settings.items() if name != "network"},
        run=run,
    )


def _json(values: Mapping[str, Any]) -> str:
    return f"```json\n{json.dumps(dict(values), indent=2)}\n```"


def _table(report: Mapping[str, Any]) -> str:
    """Every score that there is by one number, of all methods; needs the extra ``metrics``."""
    from rfwarp.metrics.table import markdown_table, report_lines

    return markdown_table(report_lines(report["results"])).rstrip()


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
