"""The paper's numbers, and tables with ours beside them."""

from __future__ import annotations

import pytest

from rfwarp.data.catalog import DATASETS, dataset_record
from rfwarp.data.paper_results import PAPER, PaperResult
from rfwarp.metrics import Evaluation, Scores
from rfwarp.metrics.tables import markdown_table, score_lines, text_table

RESULTS = [
    Evaluation(k, 5, *(Scores(20.0 + k, 0.9, l1 / 10, fid=10.5) for l1 in (1, 2, 3))).to_dict()
    for k in (1, 2)
]
KNOWN = [PaperResult(2, PAPER, 9.75, 0.1867, table="Table 1"), PaperResult(3, PAPER, 1.0, 0.1)]


REPORTED = [name for name in DATASETS if dataset_record(name).paper_results]


def test_datasets_that_the_paper_reports_on() -> None:
    assert REPORTED == ["deepfashion", "market1501", "shapenet-chairs", "kitti", "voxceleb2"]
    for name in REPORTED:
        lines = dataset_record(name).paper_results
        assert len({(line.sources, line.method) for line in lines}) == len(lines)


@pytest.mark.parametrize("dataset", REPORTED)
def test_the_paper_claims_to_be_best(dataset: str) -> None:
    """In LPIPS and MLPIPS of all methods, and in FID of those that are no ablation: a check that
    the numbers were copied rightly."""
    lines = dataset_record(dataset).paper_results
    for ours in (line for line in lines if line.method == PAPER):
        others = [x for x in lines if x.sources == ours.sources and x.method != PAPER]
        assert others
        for other in others:
            assert ours.lpips < other.lpips
            if "ablation" not in other.method:
                assert ours.fid < other.fid
            if ours.mask_lpips is not None and other.mask_lpips is not None:
                assert ours.mask_lpips < other.mask_lpips


def test_published_lines_follow_ours_of_the_same_k() -> None:
    lines = score_lines(RESULTS, KNOWN)
    assert [(line.sources, line.method) for line in lines] == [
        *((1, method) for method in ("model", "nearest source", "mean source")),
        *((2, method) for method in ("model", "nearest source", "mean source")),
        (2, "the paper, Table 1"),
    ]


def test_markdown() -> None:
    head, rule, *rows = markdown_table(score_lines(RESULTS, KNOWN)).splitlines()
    assert head.startswith("| sources | method | PSNR dB (higher is better) |")
    assert [cell.split(" (")[0] for cell in head.strip("| ").split(" | ")[2:]] == [
        *("PSNR dB", "SSIM", "L1", "LPIPS", "FID")
    ]
    assert rule == "|" + " --- |" * 7
    assert rows[0] == "| 1 | model | 21.00 | 0.9000 | 0.1000 | - | 10.500 |"
    assert rows[-1] == "| 2 | the paper, Table 1 | - | - | - | 0.1867 | 9.750 |"


def test_text_has_columns_of_equal_width() -> None:
    lines = text_table(score_lines(RESULTS, KNOWN)).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert "MLPIPS" not in lines[0]
    assert text_table(score_lines(RESULTS)).splitlines()[0].split() == [
        *("sources", "PSNR", "dB", "SSIM", "L1", "FID")
    ]
