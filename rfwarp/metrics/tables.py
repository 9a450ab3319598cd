"""Tables of scores: of a model and its baselines, of an experiment, and the paper's beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from rfwarp.data.paper_results import PaperResult
from rfwarp.metrics.evaluation import METHODS
from rfwarp.metrics.fid import FRECHET_TITLES

TITLES = {
    "psnr": "PSNR dB",
    "ssim": "SSIM",
    "l1": "L1",
    "lpips": "LPIPS",
    "mask_lpips": "MLPIPS",
    "st_lpips": "ST-LPIPS",
    **FRECHET_TITLES,
    "sharpness": "sharpness",
    "hp_r2": "HP-R2",
    "flow_epe": "EPE px",
    "flow_epe_zero": "zero EPE",
    "visibility_auc": "vis. AUC",
    "warping_error": "warping error",
    "warping_error_truth": "truth's warping error",
}
"""Titles of the scores that are one number, by their names in reports."""
DIGITS = {
    "psnr": 2,
    **dict.fromkeys(FRECHET_TITLES, 3),
    **dict.fromkeys(("flow_epe", "flow_epe_zero"), 2),
    **dict.fromkeys(("warping_error", "warping_error_truth"), 6),
}
HIGHER_IS_BETTER = ("psnr", "ssim", "hp_r2", "visibility_auc")

LEVEL_TITLES = [
    *("sources", "stride", "EPE of w", "of w+r", "pooled truth", "zero"),
    *("median w+r", "near", "vis. AUC", "attention", "if uniform"),
]
LEVEL_NOTE = (
    "Of each level, coarse first. EPE: mean end-point error in pixels of the image over all that a "
    "source shows, of the initial flow w, of w + r, of the true flow pooled to the level, and of "
    "zero. near: share of w + r off by less than 1.5 pixels per 64 of height. vis. AUC: of "
    "1 - occlusion against true visibility. attention: on the sources that show the point."
)


def better(name: str) -> str:
    """The better direction of a score, in words."""
    if name == "sharpness":
        return "1 is best"
    if name == "warping_error_truth":
        return "to compare with"
    return f"{'higher' if name in HIGHER_IS_BETTER else 'lower'} is better"


class Line(NamedTuple):
    """Scores of one method, by name."""

    sources: int
    method: str
    scores: Mapping[str, Any]
    spreads: Mapping[str, float | None] = {}
    """Spreads of scores that are means over several runs."""
    runs: int | None = None
    """Number of runs; 0 for a method without training. None outside of experiments."""


def score_lines(
    results: Sequence[Mapping[str, Any]], paper_results: Sequence[PaperResult] = ()
) -> list[Line]:
    """The lines for each K: the model, the baselines, and the paper's numbers for this K.

    Args:
        results: of a report, see :meth:`Evaluation.to_dict`.
    """
    lines = []
    for result in results:
        k = result["sources"]
        lines += [Line(k, m.replace("_", " "), result[m]) for m in METHODS if m in result]
        for known in paper_results:
            if known.sources == k:
                values = {"lpips": known.lpips, "mask_lpips": known.mask_lpips, "fid": known.fid}
                lines.append(Line(k, f"{known.method}, {known.table}", values))
    return lines


def text_table(lines: Sequence[Line]) -> str:
    """The lines as text: columns of equal width, a dash where there is no number."""
    columns = _columns(lines)
    titles = ["sources", "", *(TITLES[name] for name in columns)]
    method = max(14, *(len(line.method) for line in lines))
    rows = [titles, *_cells(lines, columns)]
    return _aligned([[row[0], f" {row[1]:<{method}}", *row[2:]] for row in rows])


def markdown_table(lines: Sequence[Line]) -> str:
    """The lines in markdown: better directions in the head, mean ± spread over several runs."""
    columns = _columns(lines)
    runs = ["seeds"] if any(line.runs is not None for line in lines) else []
    titles = [f"{TITLES[name]} ({better(name)})" for name in columns]
    return _markdown([["sources", "method", *runs, *titles], *_cells(lines, columns)])


def level_text_table(results: Sequence[Mapping[str, Any]]) -> str:
    """The warp's scores at each level, as text; empty without true correspondences."""
    rows = _level_rows(results)
    return _aligned([LEVEL_TITLES, *rows]) if rows else ""


def level_markdown_table(results: Sequence[Mapping[str, Any]]) -> str:
    """The table of :func:`level_text_table`, in markdown."""
    rows = _level_rows(results)
    return _markdown([LEVEL_TITLES, *rows]) if rows else ""


def _level_rows(results: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    rows = []
    for result in results:
        for level in result["model"].get("levels", ()):
            refined = level["refined"] or {}
            flows = (level[name] for name in ("flow", "refined", "pooled_truth", "zero"))
            numbers = [
                *((flow["mean"] if flow else None, 2) for flow in flows),
                (refined.get("median"), 2),
                (refined.get("near"), 3),
                (level["visibility_auc"], 3),
                (level["visible_attention"], 3),
                (level["uniform_attention"], 3),
            ]
            cells = [_number(value, digits) for value, digits in numbers]
            rows.append([str(result["sources"]), str(level["stride"]), *cells])
    return rows


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(7, *(len(row[i]) for row in rows)) for i in range(len(rows[0]))]
    return "\n".join(
        " ".join(f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True))
        for row in rows
    )


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    rule = ["---"] * len(rows[0])
    return "\n".join(f"| {' | '.join(row)} |" for row in (rows[0], rule, *rows[1:])) + "\n"


def _columns(lines: Sequence[Line]) -> list[str]:
    return [name for name in TITLES if any(line.scores.get(name) is not None for line in lines)]


def _cells(lines: Sequence[Line], columns: Sequence[str]) -> list[list[str]]:
    rows = []
    for line in lines:
        runs = [] if line.runs is None else [str(line.runs or "-")]
        scores = [_score(line, name) for name in columns]
        rows.append([str(line.sources), line.method, *runs, *scores])
    return rows


def _score(line: Line, name: str) -> str:
    digits, spread = DIGITS.get(name, 4), line.spreads.get(name)
    value = _number(line.scores.get(name), digits)
    return value if spread is None else f"{value} ± {spread:.{digits}f}"


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
