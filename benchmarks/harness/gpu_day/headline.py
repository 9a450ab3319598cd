"""warp_fused.py on one shape of a GPU, without tyro and without the profiler.

``python -m harness.gpu_day.headline SHAPE DTYPE [--compile]`` prints a line of JSON for each row of
its table.
"""

from __future__ import annotations

import argparse
import json

from warp_fused import WarpFused

from harness.warp.report import rows

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shape")
    parser.add_argument("dtype")
    parser.add_argument("--compile", action="store_true")
    given = parser.parse_args()
    results = WarpFused(
        shape=(given.shape,),
        dtype=(given.dtype,),
        device="cuda",
        compile=given.compile,
        profile=False,
        seconds=1.0,
    ).run()
    for row in rows(results):
        line = {
            "case": row.label,
            "ms": row.time,
            "fastest": row.fastest,
            "times the fastest": row.ratios["fastest"],
            "share of copy": row.share_of_copy,
        }
        print(json.dumps(line))
