"""Results that the paper reports (Tables 1 to 4, 8 and 9), to compare ours with.

The numbers themselves are in the records of the datasets: see
:attr:`rfwarp.data.DatasetRecord.paper_results`. Lower is better in all of them.
"""

from __future__ import annotations

from typing import NamedTuple

PAPER = "the paper"
"""The method of the paper's own full network."""


class PaperResult(NamedTuple):
    """One line of one of the paper's tables."""

    sources: int
    method: str
    """As the table has it, but :data:`PAPER` for its "Ours"."""
    fid: float
    lpips: float
    mask_lpips: float | None = None
    table: str = ""


def results_of(
    table: str, *lines: tuple[int, str, float, float] | tuple[int, str, float, float, float]
) -> tuple[PaperResult, ...]:
    """Lines of one table: sources, method, FID, LPIPS and, of some, masked LPIPS."""
    return tuple(PaperResult(*line)._replace(table=table) for line in lines)


def ablations_of(
    table: str, *lines: tuple[int, str, float, float] | tuple[int, str, float, float, float]
) -> tuple[PaperResult, ...]:
    """As :func:`results_of`, of the paper's network with parts left out."""
    return tuple(
        line._replace(method=f"{line.method} (ablation)") for line in results_of(table, *lines)
    )
