"""Reports of measurements: ratios, tables, and files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rfwarp.files import write_atomically

SCHEMA = "warp_fused 1"
MAIN = "float32, smooth flow, cold caches; one thread on a CPU"
BASELINES = ("eager", "algebra", "compile")
OTHERS = (*BASELINES, "reference")


@dataclass(frozen=True)
class Row:
    """One of our candidates in one measurement. Times are medians in milliseconds."""

    measurement: Mapping[str, Any]
    name: str
    time: float
    fastest: str
    """Name of the fastest baseline: what one would write without rfwarp."""
    ratios: Mapping[str, float]
    """Times of others over ours: of the fastest of each kind, and of all baselines."""
    over_stream: float
    """Our time over that of the stream of the minimal bytes."""
    share_of_copy: float
    """Minimal bytes per second, by those of a copy."""
    efficiency: float | None
    """t_1 / (threads t_threads), in wall time; None with one thread, or where either is invalid."""

    @property
    def invalid(self) -> str | None:
        """The reason why these numbers must not be used, if there is one."""
        if self.measurement["clock"] != "wall":
            return None
        return self.measurement["invalid"]

    @property
    def label(self) -> str:
        case, m = self.measurement["case"], self.measurement
        words = [case["shape"], case["layout"], case["passes"]]
        words += [case["dtype"]] * (case["dtype"] != "float32")
        words += [case["flow"]] * (case["flow"] != "smooth")
        words += [m["caches"]] * (m["caches"] != "cold")
        words += [f"{m['threads']} threads"] * (m["threads"] != 1)
        words += [self.name.removeprefix("rfwarp, ")] * (self.name != "rfwarp")
        return " ".join(words)


def rows(results: Mapping[str, Any]) -> list[Row]:
    """A row for each of our candidates in each measurement."""
    measurements = results["measurements"]
    return [
        _row(m, name, measurements)
        for m in measurements
        for name, kind in m["kinds"].items()
        if kind == "ours"
    ]


def main_rows(every: Sequence[Row]) -> list[Row]:
    """The rows that the README shows."""
    wanted = {"dtype": "float32", "flow": "smooth"}
    return [
        row
        for row in every
        if row.measurement["caches"] == "cold"
        and row.measurement["threads"] == 1
        and row.name == "rfwarp"
        and wanted.items() <= row.measurement["case"].items()
    ]


def _row(m: Mapping[str, Any], name: str, measurements: Sequence[Mapping[str, Any]]) -> Row:
    times = {n: by[m["clock"]]["median"] for n, by in m["timings"].items()}
    ours = times[name]
    best: dict[str, str] = {}
    for other, kind in m["kinds"].items():
        if kind in OTHERS and times[other] < times.get(best.get(kind, ""), float("inf")):
            best[kind] = other
    fastest = min((best[kind] for kind in BASELINES if kind in best), key=times.__getitem__)
    ratios = {kind: times[other] / ours for kind, other in best.items()}
    return Row(
        measurement=m,
        name=name,
        time=ours,
        fastest=fastest,
        ratios={**ratios, "fastest": times[fastest] / ours},
        over_stream=ours / times["stream"],
        share_of_copy=times["copy"] / ours,
        efficiency=_efficiency(m, name, measurements),
    )


def _efficiency(
    m: Mapping[str, Any], name: str, measurements: Sequence[Mapping[str, Any]]
) -> float | None:
    same = ("case", "caches")
    for other in measurements:
        if other["threads"] == 1 < m["threads"] and all(other[key] == m[key] for key in same):
            if m["invalid"] or other["invalid"]:
                return None
            wall = [x["timings"][name]["wall"]["median"] for x in (other, m)]
            return wall[0] / (m["threads"] * wall[1])
    return None


_COLUMNS = (
    *("N,K,C,H,W", "layout", "dtype", "flow", "pass", "caches", "threads", "which", "ms"),
    *("x fastest", "the fastest", "x eager", "x algebra", "x compile", "x rfwarp torch"),
    *("of stream", "of copy", "efficiency", "kernels ms", "call ms", "wall ms"),
)


def table(chosen: Sequence[Row]) -> str:
    """Rows as Markdown, without columns that are empty or say the same in all of them.

    ``x``: time of the baseline over ours. ``of stream``, ``of copy``: our share of the
    measured speed of light. A star: other processes ran meanwhile. On a GPU ``ms`` is of a CUDA
    graph; ``kernels`` sums their times, ``call`` and ``wall`` are of one call without a graph.
    """
    lines = [_cells(row) for row in chosen]
    different = [{line[i] for line in lines} for i in range(len(_COLUMNS))]
    used = [i for i, cells in enumerate(different) if len(cells) > 1 or i >= _COLUMNS.index("ms")]
    used = [i for i in used if different[i] != {""}]
    return markdown([[line[i] for i in used] for line in (_COLUMNS, *lines)])


def markdown(lines: Sequence[Sequence[str]]) -> str:
    """A table, its first line the names of the columns."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    rule = ["-" * width for width in widths]
    return "\n".join(
        "| " + " | ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) + " |"
        for line in (lines[0], rule, *lines[1:])
    )


def _cells(row: Row) -> list[str]:
    m, case = row.measurement, row.measurement["case"]
    what = [case[key] for key in ("shape", "layout", "dtype", "flow", "passes")]
    what += [m["caches"], str(m["threads"]), "" if row.name == "rfwarp" else row.name]
    if row.invalid:
        return [*what, "INVALID", *[""] * (len(_COLUMNS) - len(what) - 1)]
    star = "*" if m["invalid"] else ""
    ratios = [f"{row.ratios[kind]:.1f}" if kind in row.ratios else "" for kind in OTHERS]
    clocks = m["timings"][row.name]
    gpu = [f"{clocks[c]['median']:.4f}" if c in clocks else "" for c in ("kernel", "event")]
    gpu.append(f"{clocks['wall']['median']:.4f}" if m["clock"] == "graph" else "")
    return [
        *(*what, f"{row.time:.3f}{star}", f"{row.ratios['fastest']:.1f}", row.fastest, *ratios),
        *(f"{1 / row.over_stream:.0%}", f"{row.share_of_copy:.0%}"),
        "" if row.efficiency is None else f"{row.efficiency:.2f}",
        *gpu,
    ]


def heading(results: Mapping[str, Any]) -> str:
    """Machine, versions, commit and date of the results, in one line."""
    machine = results["machine"]
    capability = machine["cpu"]["rfwarp_capability"]
    parts = [machine["device"], f"torch {machine['versions']['torch']}"]
    parts += [f"kernels {capability}"] * (capability is not None)
    parts += [f"commit {(machine['commit'] or 'unknown')[:10]}", machine["date"][:10]]
    return ", ".join(parts)


def write_results(results: Mapping[str, Any], file: Path) -> None:
    """Write results as JSON, completely or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(results) + "\n"
    write_atomically(file, lambda path: path.write_text(text))


def read_results(file: Path, schema: str = SCHEMA) -> dict[str, Any]:
    """Read a JSON object that says of which schema it is, such as what `write_results` wrote.

    Raises:
        ValueError: if the file is no such thing, or of another version.
    """
    try:
        results = json.loads(file.read_text())
    except json.JSONDecodeError as error:
        raise ValueError(f"{file} is no JSON: {error}") from error
    version = results.get("schema") if isinstance(results, dict) else None
    if version != schema:
        raise ValueError(f"{file} must have the schema {schema!r}, got {version!r}")
    return results
