"""Reports of evaluations: one JSON for command, experiment and model card, and its text."""

from __future__ import annotations

import hashlib
import importlib
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torchmetrics

import rfwarp
from rfwarp.data.catalog import DatasetRecord
from rfwarp.data.paper_results import PaperResult
from rfwarp.data.tuples import TupleDataset
from rfwarp.images import RESIZE_FILTER
from rfwarp.metrics.config import EvaluationConfig
from rfwarp.metrics.evaluation import CLIPS, Evaluation
from rfwarp.metrics.fid import FRECHET_TITLES
from rfwarp.metrics.networks import MetricNetworks
from rfwarp.metrics.tables import (
    LEVEL_NOTE,
    level_markdown_table,
    level_text_table,
    markdown_table,
    score_lines,
    text_table,
)

CAUTION = (
    "Lines with a table's number are the paper's. Numbers compare only if measured alike: FID "
    "depends on the number of images, on the real ones (--fid-real), on the type of their files "
    "and on how they are resized; the size of the paper's masks (MLPIPS) is not documented."
)


def evaluation_report(
    results: Sequence[Evaluation],
    record: DatasetRecord,
    facts: Mapping[str, Any],
    dataset: TupleDataset,
    config: EvaluationConfig,
    networks: MetricNetworks,
    device: torch.device,
) -> dict[str, Any]:
    """The results and what they depend on: other images, weights and versions give other numbers.

    Args:
        results: of :func:`rfwarp.metrics.evaluate`.
        record: of the dataset.
        facts: of the dataset, see :meth:`rfwarp.data.DataConfig.facts`.
        dataset: the one evaluated on.
        config: options of the evaluation.
        networks: those of ``config``.
        device: that of the generator.

    Returns:
        JSON-able values: ``dataset``, ``sets``, ``device``, ``protocol``, ``versions``,
        ``networks`` if there are any, and ``results``.
    """
    height, width = dataset.height, dataset.width
    size = height if height == width else [height, width]
    protocol, versions = _protocol(record, facts, bool(networks)), _versions(record)
    if results[0].video is not None:
        protocol["videos"] = f"of {CLIPS} clips at most, in their true poses"
        versions["opencv"] = importlib.import_module("cv2").__version__
    return {
        "dataset": {**facts, "size": size},
        "sets": results[0].sets,
        "device": device.type,
        "protocol": protocol,
        "versions": versions,
        **_networks(config, networks),
        "results": [result.to_dict() for result in results],
    }


def _protocol(record: DatasetRecord, facts: Mapping[str, Any], to_networks: bool) -> dict[str, str]:
    """The choice of sets, and the making of images and results, in words."""
    protocol = {"sets": "listed" if record.lists_sets else "drawn"}
    if "align" in record.options:
        aligned = facts.get("align", False)
        protocol["sources"] = "aligned with the target" if aligned else "not aligned"
    filter_name = RESIZE_FILTER.name.capitalize()
    resized = f", resized by {filter_name}" if record.is_download else ""
    protocol["images"] = f"{record.image_files}{resized}"
    if to_networks:
        protocol["results"] = "shown to networks in 8 bits, not compressed"
    return protocol


def _versions(record: DatasetRecord) -> dict[str, Any]:
    versions: dict[str, Any] = {
        "rfwarp": rfwarp.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchmetrics": torchmetrics.__version__,
    }
    if record.renderer_version is not None:
        versions["renderer"] = record.renderer_version
    return versions


def _networks(config: EvaluationConfig, networks: MetricNetworks) -> dict[str, Any]:
    files: dict[str, Any] = {}
    if networks.lpips is not None:
        files["lpips"] = {"net": networks.lpips.net, **_file_facts(networks.lpips.path)}
    if networks.st_lpips is not None:
        files["st_lpips"] = {"net": "alex", **_file_facts(networks.st_lpips.path)}
    for name, network in networks.frechet.items():
        others = config.fid_real if name == "fid" else None
        real = "the targets" if others is None else str(others)
        files[name] = {"real": real, "resize": network.resizing, **_file_facts(network.path)}
    return {"networks": files} if files else {}


def _file_facts(path: Path) -> dict[str, str]:
    return {"file": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


def headline(report: Mapping[str, Any]) -> str:
    """The sets and the dataset of a report, in a sentence."""
    data = report["dataset"]
    seeds = f" from seed {data['first_seed']} on" if "first_seed" in data else ""
    things = f"{data['count']} " if "count" in data else ""
    white = "white background" if data.get("background") == "white" else None
    notes = [data.get("category"), data.get("split"), white]
    kind = f" ({', '.join(filter(None, notes))})" if any(notes) else ""
    return f"{report['sets']} sets of images of {things}{data['name']}{kind}{seeds}."


def protocol_text(report: Mapping[str, Any]) -> str:
    """The protocol behind a report's numbers, in a sentence; empty for older reports."""
    protocol, networks = report.get("protocol"), report.get("networks", {})
    if protocol is None:
        return ""
    parts = [f"{name} {value}" for name, value in protocol.items()]
    for name, title in (("lpips", "LPIPS"), ("st_lpips", "ST-LPIPS")):
        if name in networks:
            parts.append(f"{title} by {networks[name]['net']} ({networks[name]['file']})")
    for name, title in FRECHET_TITLES.items():
        if name in networks:
            by = networks[name]
            parts.append(f"{title} by {by['file']}, {by['resize']}, real images: {by['real']}")
    return f"How our numbers were made: {'; '.join(parts)}."


def report_text(
    report: Mapping[str, Any],
    paper_results: Sequence[PaperResult] = (),
    paper_protocol: str = "",
    *,
    markdown: bool = False,
) -> str:
    """A report for people: all scores by method, those of the warp by level, the protocol.

    Args:
        report: of :func:`evaluation_report`.
        paper_results: to stand beside ours, as far as the numbers of sources agree.
        paper_protocol: differences of the paper's evaluation, in words.
        markdown: make tables in markdown, else for a terminal.
    """
    results = report["results"]
    lines = score_lines(results, paper_results)
    if markdown:
        scores, levels = markdown_table(lines), level_markdown_table(results)
    else:
        scores, levels = text_table(lines), level_text_table(results)
    parts = [headline(report), scores.rstrip()]
    if levels:
        parts += [levels.rstrip(), LEVEL_NOTE]
    if protocol := protocol_text(report):
        parts.append(protocol)
    if any(known.sources == result["sources"] for known in paper_results for result in results):
        parts.append(f"{CAUTION} The paper: {paper_protocol}." if paper_protocol else CAUTION)
    return "\n\n".join(parts)
