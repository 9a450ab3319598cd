"""What the output of tests and tools says."""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from typing import Any

# Nsight Compute's names of what tells why a kernel is as fast as it is.
METRICS = (
    "gpu__time_duration.sum",
    "launch__registers_per_thread",
    "launch__waves_per_multiprocessor",
    "sm__warps_active.avg.pct_of_peak_sustained_active",
    "dram__throughput.avg.pct_of_peak_sustained_elapsed",
    "smsp__issue_active.avg.pct_of_peak_sustained_active",
    "l1tex__t_sector_hit_rate.pct",
    "lts__t_sector_hit_rate.pct",
    "lts__t_sectors_op_red.sum",
    "smsp__average_warps_issue_stalled_long_scoreboard_per_issue_active.ratio",
    "smsp__average_warps_issue_stalled_lg_throttle_per_issue_active.ratio",
    "smsp__average_warps_issue_stalled_barrier_per_issue_active.ratio",
)


def tests(output: str) -> dict[str, Any]:
    """How many tests had which result, and which failed; `output` is that of ``pytest -v``.

    It is counted test by test, so that a run that was ended says how far it came.
    """
    found = re.findall(r"^(\S+::.*?) (PASSED|FAILED|SKIPPED|ERROR)\b", output, re.MULTILINE)
    counts = Counter(outcome.lower() for _, outcome in found)
    bad = [name for name, outcome in found if outcome in ("FAILED", "ERROR")]
    return {**counts, "failures": bad} if bad else dict(counts)


def sanitizer(output: str) -> dict[str, Any]:
    """The same of tests under compute-sanitizer, and how many errors it counted."""
    facts = tests(output)
    total = re.findall(r"=+ (?:ERROR|RACECHECK) SUMMARY: (\d+)", output)
    return {**facts, "sanitizer_errors": int(total[-1])} if total else facts


def lines(output: str) -> dict[str, Any]:
    """The lines that are JSON objects."""
    found = [line for line in output.splitlines() if line.startswith("{") and line.endswith("}")]
    return {"measurements": [json.loads(line) for line in found]}


def ncu(output: str) -> dict[str, Any]:
    """`METRICS` of every kernel from the table of ``ncu --csv --page raw``, as texts with units."""
    start = output.find('"ID"')
    if start < 0:
        return {"kernels": []}
    table = csv.DictReader(io.StringIO(output[start:]))
    kernels: list[dict[str, str]] = []
    units: dict[str, str] = {}
    for row in table:
        if not row["ID"]:  # the first row has the units
            units = row
            continue
        kernel = {"kernel": row["Kernel Name"]}
        for name in METRICS:
            if row.get(name):
                kernel[name] = f"{row[name]} {units.get(name, '')}".strip()
        kernels.append(kernel)
    return {"kernels": kernels}
