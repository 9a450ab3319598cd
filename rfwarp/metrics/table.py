"""Results as tables, with published ones beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from rfwarp.metrics.evaluation import METHODS, Evaluation
from rfwarp.metrics.published import Published

TITLES = {
    "psnr": "PSNR dB",
    "ssim": "SSIM",
    "l1": "L1",
    "lpips": "LPIPS",
    "mask_lpips": "MLPIPS",
    "st_lpips": "ST-LPIPS",
    "fid": "FID",
    "sharpness": "sharpness",
    "hp_r2": "HP-R2",
    "flow_epe": "EPE px",
    "flow_epe_zero": "zero EPE",
    "visibility_auc": "vis. AUC",
}
"""Of the scores by one number, by their names in reports."""
DIGITS = {"psnr": 2, "fid": 3, "flow_epe": 2, "flow_epe_zero": 2}
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
    """Which values of a score are good, in words."""
    if name == "sharpness":
        return "1 is best"
    return f"{'higher' if name in HIGHER_IS_BETTER else 'lower'} is better"


class Line(NamedTuple):
    """Scores of one method, by name."""

    sources: int
    method: str
    scores: Mapping[str, Any]


def table_lines(results: Sequence[Evaluation], published: Sequence[Published] = ()) -> list[Line]:
    """For each K of the results: the model, the baselines, and what is published of this K."""
    return report_lines([result.to_dict() for result in results], published)


def report_lines(
    results: Sequence[Mapping[str, Any]], published: Sequence[Published] = ()
) -> list[Line]:
    """As :func:`table_lines`, of a report's ``results``: see :meth:`Evaluation.to_dict`."""
    lines = []
    for result in results:
        k = result["sources"]
        lines += [Line(k, m.replace("_", " "), result[m]) for m in METHODS if m in result]
        for known in published:
            if known.sources == k:
                values = {"lpips": known.lpips, "mask_lpips": known.mask_lpips, "fid": known.fid}
                given = {name: value for name, value in values.items() if value is not None}
                lines.append(Line(known.sources, f"{known.method}, {known.table}", given))
    return lines


def text_table(lines: Sequence[Line]) -> str:
    """For a terminal: columns of equal width, a dash where there is no number."""
    columns = _columns(lines)
    rows = [["sources", "", *(TITLES[name] for name in columns)], *_cells(lines, columns)]
    method = max(14, *(len(line.method) for line in lines))
    return _aligned([[row[0], f" {row[1]:<{method}}", *row[2:]] for row in rows])


def markdown_table(lines: Sequence[Line]) -> str:
    """In markdown, with what is better in the head."""
    columns = _columns(lines)
    titles = [f"{TITLES[name]} ({better(name)})" for name in columns]
    return _markdown([["sources", "method", *titles], *_cells(lines, columns)])


def level_text_table(results: Sequence[Evaluation]) -> str:
    """What the warp does at each level, for a terminal; empty without true correspondences."""
    rows = _level_rows(results)
    return _aligned([LEVEL_TITLES, *rows]) if rows else ""


def level_markdown_table(results: Sequence[Evaluation]) -> str:
    """As :func:`level_text_table`, in markdown."""
    rows = _level_rows(results)
    return _markdown([LEVEL_TITLES, *rows]) if rows else ""


def _level_rows(results: Sequence[Evaluation]) -> list[list[str]]:
    rows = []
    for result in results:
        for level in () if result.warp is None else result.warp.levels:
            flows = (level.flow, level.refined, level.pooled_truth, level.zero)
            means = [None if errors is None else errors.mean for errors in flows]
            refined = level.refined
            numbers = [
                *((value, 2) for value in means),
                (None if refined is None else refined.median, 2),
                (None if refined is None else refined.near, 3),
                (level.visibility_auc, 3),
                (level.visible_attention, 3),
                (level.uniform_attention, 3),
            ]
            cells = [_number(value, digits) for value, digits in numbers]
            rows.append([str(result.sources), str(level.stride), *cells])
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
    return [
        [
            str(line.sources),
            line.method,
            *(_number(line.scores.get(name), DIGITS.get(name, 4)) for name in columns),
        ]
        for line in lines
    ]


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
