"""Results as tables, with published ones beside them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rfwarp.metrics.evaluation import METHODS, Evaluation
from rfwarp.metrics.published import Published

TITLES = {
    "psnr": "PSNR dB",
    "ssim": "SSIM",
    "l1": "L1",
    "lpips": "LPIPS",
    "mask_lpips": "MLPIPS",
    "fid": "FID",
}
DIGITS = {"psnr": 2, "fid": 3}
HIGHER_IS_BETTER = ("psnr", "ssim")


class Line(NamedTuple):
    """Scores of one method, by name."""

    sources: int
    method: str
    scores: dict[str, float]


def table_lines(results: Sequence[Evaluation], published: Sequence[Published] = ()) -> list[Line]:
    """For each K of the results: the model, the baselines, and what is published of this K."""
    lines = []
    for result in results:
        scores = result.to_dict()
        lines += [Line(result.sources, m.replace("_", " "), scores[m]) for m in METHODS]
        for known in published:
            if known.sources == result.sources:
                values = {"lpips": known.lpips, "mask_lpips": known.mask_lpips, "fid": known.fid}
                given = {name: value for name, value in values.items() if value is not None}
                lines.append(Line(known.sources, f"{known.method}, {known.table}", given))
    return lines


def text_table(lines: Sequence[Line]) -> str:
    """For a terminal: columns of equal width, a dash where there is no number."""
    columns = _columns(lines)
    width = max(14, *(len(line.method) for line in lines))
    head = f"{'sources':>7}  {'':<{width}}" + "".join(f" {TITLES[name]:>8}" for name in columns)
    rows = [
        f"{line.sources:>7}  {line.method:<{width}}"
        + "".join(f" {_cell(line, name):>8}" for name in columns)
        for line in lines
    ]
    return "\n".join([head, *rows])


def markdown_table(lines: Sequence[Line]) -> str:
    """In markdown, with what is better in the head."""
    columns = _columns(lines)
    titles = [
        f"{TITLES[name]} ({'higher' if name in HIGHER_IS_BETTER else 'lower'} is better)"
        for name in columns
    ]
    rows = [
        ["sources", "method", *titles],
        ["---"] * (2 + len(columns)),
        *([str(x.sources), x.method, *(_cell(x, name) for name in columns)] for x in lines),
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"


def _columns(lines: Sequence[Line]) -> list[str]:
    return [name for name in TITLES if any(name in line.scores for line in lines)]


def _cell(line: Line, name: str) -> str:
    return f"{line.scores[name]:.{DIGITS.get(name, 4)}f}" if name in line.scores else "-"
