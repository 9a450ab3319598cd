"""Everything that only a GPU can show, unattended: tests, sanitizers, variants, benchmarks.

    python benchmarks/gpu_day.py --out out/gpu                 # four steps of ten minutes at most
    python benchmarks/gpu_day.py --out out/gpu --step 1        # one of them

Run it at the root of a checkout on the machine with the GPU. Each task is a process with its own
limit; what has a result is not run again, so the same command goes on where it was ended.
report.json and report.md say on which card, what passed, failed, ran out of time or was skipped,
and why. No network is needed, nor what `rfwarp` itself needs for its command line (tyro).

Exit status: 0 if all that ran passed, 1 if something did not, 2 if it cannot start.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
BENCHMARKS = ROOT / "benchmarks"
sys.path.insert(0, str(ROOT))


def error(message: str) -> None:
    """End the program with one line."""
    print(f"gpu_day.py: error: {message}", file=sys.stderr)
    sys.exit(2)


def arguments() -> argparse.Namespace:
    # argparse, as images with a GPU have no tyro.
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the report")
    parser.add_argument("--step", type=int, nargs="+", choices=(1, 2, 3, 4), default=[1, 2, 3, 4])
    parser.add_argument(
        "--variant",
        nargs="+",
        default=[],
        metavar="NAME=CSRC",
        help="other versions of csrc whose operators have the same schemas, to compare",
    )
    parser.add_argument("--shape", nargs="+", metavar="N,K,C,H,W", help="to time; default: eight")
    parser.add_argument("--step-seconds", type=float, default=570, help="for each step at most")
    return parser.parse_args()


def variants(given: list[str]) -> dict[str, Path]:
    found = {}
    for variant in given:
        name, _, folder = variant.partition("=")
        if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or name == "rfwarp":
            error(
                f"--variant must be NAME=CSRC, NAME in lower case and not rfwarp, got {variant!r}"
            )
        if not (Path(folder) / "cuda" / "operators.cu").is_file():
            error(f"--variant {name} must be a folder like csrc, got {folder!r}")
        found[name] = Path(folder).resolve()
    return found


def preflight() -> dict[str, Any]:
    """Card and versions; ends the program where something is missing."""
    command = [sys.executable, "-m", "harness.gpu_day.preflight"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.stderr.write(done.stderr)
        sys.exit(2)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    given = arguments()
    chosen = variants(given.variant)
    out = given.out.resolve()
    os.chdir(ROOT)
    paths = [str(ROOT), str(BENCHMARKS), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ |= {"PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1"}
    identity = preflight()

    # Only now, as they import what preflight has just looked for.
    from harness.gpu_day.plan import SHAPES, STEPS, tasks
    from harness.gpu_day.report import render
    from harness.gpu_day.runner import Day, end_with_children_when_terminated
    from harness.warp.cases import Shape

    from rfwarp.files import write_atomically

    work = ROOT / "build" / "gpu_day"
    work.mkdir(parents=True, exist_ok=True)
    try:
        shapes = [str(Shape.parse(text)) for text in given.shape or SHAPES]
        day = Day(out, identity)
    except ValueError as problem:
        error(str(problem))
    end_with_children_when_terminated()
    planned = tasks(work, identity["capability"], chosen, shapes)
    for step in given.step:
        print(f"step {step}: {STEPS[step]}", flush=True)
        day.run([task for task in planned if task.step == step], given.step_seconds)
        text = render(day.report)
        write_atomically(out / "report.md", lambda path, text=text: path.write_text(text))
    states = [result["state"] for result in day.results.values()]
    sys.exit(1 if {"failed", "timed out"} & set(states) else 0)


if __name__ == "__main__":
    main()
