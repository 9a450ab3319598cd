"""Draw table.md and plot.png of a benchmark run again, beside its results.json.

python benchmarks/report.py benchmarks/results/<name>/results.json
"""

from pathlib import Path

import tyro
from harness.warp.plot import render
from harness.warp.report import read_results, rows, table


def main(results: tyro.conf.Positional[Path]) -> None:
    """Draw table.md and plot.png again, and print the table.

    Args:
        results: a results.json of warp_fused.py.
    """
    read = read_results(results)
    render(read, results.parent)
    print(table(rows(read)))


if __name__ == "__main__":
    tyro.cli(main)
