"""The report of an experiment: mean and spread over seeds, as a table and as a plot."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from rfwarp.files import write_atomically
from rfwarp.metrics import tables
from rfwarp.metrics.report import protocol_text
from rfwarp.metrics.tables import TITLES, Line, better

BASELINES = {"nearest_source": "nearest source", "mean_source": "mean of sources"}
PANELS = 4  # of a plot, side by side


@dataclass(frozen=True)
class Row:
    """One method with one number of sources.

    Attributes:
        method: a variant, or a baseline that needs no network.
        sources: K.
        seeds: number of runs; 0 for a baseline, which is the same for all.
        means: by metric, of those that every run has.
        spreads: sample standard deviation over the seeds, by metric; None for fewer than two.
    """

    method: str
    sources: int
    seeds: int
    means: dict[str, float]
    spreads: dict[str, float | None]


def summarise(results: Sequence[Mapping[str, Any]], variants: Sequence[str]) -> list[Row]:
    """Rows of finished runs (see :func:`rfwarp.training.experiment.read_result`): K by K, first
    the baselines, then the variants in the given order, as far as there are any."""
    rows = []
    for place, first in enumerate(results[0]["results"]):
        k = first["sources"]
        for key, name in BASELINES.items():
            rows.append(_row(name, k, 0, [first[key]]))
        for variant in variants:
            runs = [r["results"][place]["model"] for r in results if r["variant"] == variant]
            if runs:
                rows.append(_row(variant, k, len(runs), runs))
    return rows


def _row(method: str, sources: int, seeds: int, scores: Sequence[Mapping[str, Any]]) -> Row:
    metrics = [
        name for name in scores[0] if all(isinstance(s.get(name), int | float) for s in scores)
    ]
    values = {name: [float(score[name]) for score in scores] for name in metrics}
    return Row(
        method,
        sources,
        seeds,
        {name: statistics.fmean(v) for name, v in values.items()},
        {name: statistics.stdev(v) if len(v) > 1 else None for name, v in values.items()},
    )


def _title(metric: str) -> str:
    return f"{TITLES.get(metric, metric)}, {better(metric)}"


def _metrics(rows: Sequence[Row]) -> list[str]:
    """The metrics that any method has, in the order of all tables."""
    there = dict.fromkeys(name for row in rows for name in row.means)
    return sorted(there, key=[*TITLES, *there].index)


def markdown_table(rows: Sequence[Row], results: Sequence[Mapping[str, Any]], planned: int) -> str:
    """One table: a row for each K and method, a column for each metric, mean ± spread.

    A dash stands where a method has no such number.
    """
    hours = sum(result["seconds"] for result in results) / 3600
    steps = " or ".join(sorted({str(result["steps"]) for result in results}))
    machines = "; ".join(sorted({result["machine"] for result in results}))
    lines = [Line(row.sources, row.method, row.means, row.spreads, row.seeds) for row in rows]
    parts = [
        f"{len(results)} of {planned} runs of {steps} steps, {hours:.1f} hours of training in all "
        f"({machines}). Mean over seeds ± sample standard deviation.",
        tables.markdown_table(lines).rstrip(),
        protocol_text(results[0]),
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def draw_plot(rows: Sequence[Row], out: Path) -> None:
    """A PNG: one panel for each metric, K to the right, a line with error bars for each method."""
    metrics = _metrics(rows)
    methods = list(dict.fromkeys(row.method for row in rows))
    down, across = -(-len(metrics) // PANELS), min(PANELS, len(metrics))
    figure = Figure(figsize=(4.5 * across, 4.2 * down), layout="constrained")
    for place, metric in enumerate(metrics):
        axes = figure.add_subplot(down, across, place + 1)
        for number, method in enumerate(methods):
            own = [row for row in rows if row.method == method and metric in row.means]
            if not own:
                continue
            axes.errorbar(
                [row.sources * (1 + 0.012 * (number - len(methods) / 2)) for row in own],
                [row.means[metric] for row in own],
                [row.spreads[metric] or 0.0 for row in own],
                label=method,
                color=f"C{number}",  # the same in panels that lack some methods
                capsize=3,
                marker="o",
                markersize=4,
                linestyle=":" if own[0].seeds == 0 else "-",
            )
        ticks = sorted({row.sources for row in rows})
        axes.set(xlabel="sources", title=_title(metric), xscale="log")
        axes.set_xticks(ticks, [str(k) for k in ticks])
        axes.minorticks_off()
        axes.grid(alpha=0.3)
    handles = figure.axes[0].get_legend_handles_labels()  # all methods have the first metric
    figure.legend(*handles, loc="outside right center", fontsize="small")
    write_atomically(out, lambda temporary: figure.savefig(temporary, dpi=120, format="png"))
