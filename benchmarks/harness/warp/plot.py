"""The plot of a run: ratios to the alternatives, and shares of the speed of light."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

from harness.warp.report import MAIN, OTHERS, Row, heading, main_rows, rows, table
from rfwarp.files import write_atomically

_MARKERS = dict(zip(OTHERS, "os^D", strict=True))


def plot(shown: Sequence[Row], title: str, out: Path) -> None:
    """Draw the rows that are valid, as a PNG."""
    drawn = [row for row in shown if not row.invalid]
    figure = Figure(figsize=(12, 1.6 + 0.24 * len(drawn)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    y = range(len(drawn))
    left.barh(
        y,
        [row.ratios["fastest"] for row in drawn],
        color="0.85",
        label="fastest of eager, algebra and compile",
    )
    for kind in OTHERS:
        points = [(row.ratios[kind], i) for i, row in enumerate(drawn) if kind in row.ratios]
        if points:
            label = "rfwarp, torch" if kind == "reference" else kind
            left.scatter(*zip(*points, strict=True), s=18, marker=_MARKERS[kind], label=label)
    left.set(xscale="log", xlabel="times as long as rfwarp takes")
    left.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    left.xaxis.set_major_formatter(ScalarFormatter())
    left.xaxis.set_minor_formatter(NullFormatter())
    left.set_yticks(y, [row.label for row in drawn], fontsize=7)
    left.axvline(1, color="black", linewidth=0.8)
    left.invert_yaxis()
    right.barh(y, [100 / row.over_stream for row in drawn], color="tab:blue", alpha=0.6)
    right.set(xlabel="% of the speed of a stream of the minimal bytes")
    right.axvline(100, color="black", linewidth=0.8)
    for axes in (left, right):
        axes.grid(axis="x", alpha=0.3)
    figure.suptitle(title, fontsize=9)
    figure.legend(loc="outside lower center", ncols=5, fontsize=8)
    write_atomically(out, lambda path: figure.savefig(path, dpi=110, format="png"))


def render(results: Mapping[str, Any], folder: Path) -> None:
    """``table.md`` and ``plot.png`` in folder."""
    every = rows(results)
    main = main_rows(every)
    parts = [heading(results), *([MAIN, table(main), "Everything:"] if main else []), table(every)]
    text = "\n\n".join(parts) + "\n"
    write_atomically(folder / "table.md", lambda path: path.write_text(text))
    title = f"{heading(results)}\n{MAIN}" if main else heading(results)
    plot(main or every, title, folder / "plot.png")
