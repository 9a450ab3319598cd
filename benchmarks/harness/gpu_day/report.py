"""The report of a day as Markdown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from harness.gpu_day.plan import STEPS
from harness.warp.report import markdown


def render(report: Mapping[str, Any]) -> str:
    """Where it ran, what passed, and every fact, step by step."""
    machine = report["machine"]
    title = f"{machine['card']}, driver {machine['driver']}, torch {machine['torch']}"
    parts = [f"# {title}", markdown([["", ""], *([k, str(v)] for k, v in machine.items())])]
    for step, name in STEPS.items():
        results = {n: r for n, r in report["tasks"].items() if r["step"] == step}
        parts.append(f"## {step}. {name}")
        if not results:
            parts.append("Not run.")
            continue
        counts = Counter(result["state"] for result in results.values())
        parts.append(", ".join(f"{count} {state}" for state, count in counts.items()) + ".")
        lines = [["task", "state", "s", "what"]]
        for task, result in results.items():
            what = "; ".join(filter(None, [result.get("reason"), _plain(result)]))
            lines.append([task, result["state"], str(result.get("seconds", "")), what])
        parts.append(markdown(lines))
        parts += [_table(task, result) for task, result in results.items() if _records(result)]
        for task, result in results.items():
            if result.get("tail"):
                parts.append(f"The end of the output of {task}:\n\n```text\n{result['tail']}\n```")
    return "\n\n".join(parts) + "\n"


def _records(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    facts = result.get("facts", {})
    return facts.get("measurements") or facts.get("kernels") or []


def _plain(result: Mapping[str, Any]) -> str:
    facts = result.get("facts", {}).items()
    words = [
        f"{k} {', '.join(v) if isinstance(v, list) else v}" for k, v in facts if k not in _MANY
    ]
    return ", ".join(words)


_MANY = ("measurements", "kernels")


def _table(task: str, result: Mapping[str, Any]) -> str:
    records = [_flat(record) for record in _records(result)]
    columns = list(dict.fromkeys(key for record in records for key in record))
    lines = [columns, *([record.get(column, "") for column in columns] for record in records)]
    return f"{task}:\n\n{markdown(lines)}"


def _flat(record: Mapping[str, Any]) -> dict[str, str]:
    flat = {}
    for key, value in record.items():
        if isinstance(value, dict):
            flat |= {f"{key} {name}": _text(v) for name, v in value.items()}
        else:
            flat[key] = _text(value)
    return flat


def _text(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
