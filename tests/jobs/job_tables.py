"""Tables of jobs, and the outcome of their rows."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rfwarp import Generator
from rfwarp.jobs import Summary, run_jobs

Row = dict[str, Any]


def row(sources: str, target: object = (0.5, 0.0, 1.0), poses: object = None, **more: Any) -> Row:
    """``sources``: names without their ends."""
    names = [f"{name}.png" for name in sources.split()]
    if poses is None:
        poses = [[0.1 * k, 1.0, -0.5] for k in range(len(names))]
    return {"sources": names, "poses": poses, "target": target, **more}


def targets(sources: str, count: int) -> list[Row]:
    return [row(sources, (n / count, 0.0, 1.0)) for n in range(count)]


def write_table(folder: Path, rows: Sequence[Row], name: str = "jobs.jsonl") -> Path:
    path = folder / name
    path.write_text("".join(json.dumps(fields) + "\n" for fields in rows))
    return path


def entries(out: Path) -> list[Row]:
    """The lines of rows that ended."""
    lines = [json.loads(line) for log in out.glob("*.jsonl") for line in log.open()]
    return [line for line in lines if line["status"] != "begun"]


def ended(out: Path) -> dict[int, list[str]]:
    """Row -> how it ended, each time."""
    found: dict[int, list[str]] = {}
    for entry in sorted(entries(out), key=lambda entry: entry["time"]):
        found.setdefault(entry["row"], []).append(entry["status"])
    return found


def run(generator: Generator, table: Path, **options: Any) -> Summary:
    options = {"workers": 0, "batch_size": 4, **options}
    return run_jobs(generator, table, table.parent / "out", **options)


def counts(summary: Summary) -> tuple[int, int, int]:
    return summary.done, summary.skipped, summary.failed
