"""Copies of csrc with other launch shapes, for gpu_day.py to time in turns with ours.

    python benchmarks/gpu_day.py --out out/gpu --step 3 \\
        --variant $(python benchmarks/launch_shapes.py out/shapes)

A copy is FOLDER/NAME/csrc, and what is printed names them all as gpu_day.py takes them. What a
shape is: csrc/cuda/shapes.h. Where it pays, put it there.
"""

from __future__ import annotations

import argparse
import re
import shutil
from pathlib import Path

CSRC = Path(__file__).resolve().parents[1] / "csrc"

# Name, then table, its row for so many groups of channels, and that row's shapes: many, few.
ROWS = {
    "forward_packed_8x8": ("kForwardPacked", 16, "{3, 3}, {2, 1}"),
    "forward_packed_4x4": ("kForwardPacked", 16, "{2, 2}, {2, 1}"),
    "forward_packed_16x4": ("kForwardPacked", 16, "{4, 2}, {2, 1}"),
    "forward_packed_few_8x2": ("kForwardPacked", 16, "{3, 2}, {3, 1}"),
    "forward_packed_narrow_16x8": ("kForwardPacked", 1, "{4, 3}, {4, 3}"),
    "forward_strided_32x2": ("kForwardStrided", 8, "{5, 1}, {5, 0}"),
    "backward_packed_8x4": ("kBackwardPacked", 16, "{3, 2}, {2, 2}"),
    "backward_packed_4x4": ("kBackwardPacked", 16, "{2, 2}, {2, 2}"),
    "backward_packed_few_4x2": ("kBackwardPacked", 16, "{3, 3}, {2, 1}"),
}
# Name, then blocks per multiprocessor below which the shape for few is taken; 2 is ours.
ENOUGH = {"enough_4": 4, "enough_8": 8}


def changed(text: str, pattern: str, replacement: str) -> str:
    """The text with the one place that a pattern fits replaced.

    Raises:
        ValueError: if it fits nowhere or more than once, or nothing changes.
    """
    made, count = re.subn(pattern, replacement, text, flags=re.DOTALL)
    if count != 1 or made == text:
        raise ValueError(f"{pattern!r} fits {count} places, and must change one")
    return made


def write_variant(folder: Path, name: str) -> Path:
    """A copy of csrc with one of the changes; returns its folder.

    Raises:
        KeyError: if there is no such change.
        ValueError: if csrc does not have what is to be changed.
    """
    if name in ENOUGH:
        edits = [
            (file, r"2 \* device\.multiprocessors", f"{ENOUGH[name]} * device.multiprocessors")
            for file in ("forward.cu", "backward.cu")
        ]
    else:
        table, groups, shapes = ROWS[name]
        row = rf"({table}\[\] = {{[^;]*?{{{groups}, ){{\d, \d}}, {{\d, \d}}"
        edits = [("shapes.h", row, rf"\g<1>{shapes}")]
    csrc = folder / name / "csrc"
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(CSRC, csrc, ignore=ignore, dirs_exist_ok=True)
    for file, pattern, replacement in edits:
        path = csrc / "cuda" / file
        path.write_text(changed(path.read_text(), pattern, replacement))
    return csrc


def main() -> None:
    # argparse, as images with a GPU have no tyro.
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="of the copies")
    names = (*ROWS, *ENOUGH)
    parser.add_argument("--names", nargs="+", choices=names, default=names, help="default: all")
    given = parser.parse_args()
    print(*(f"{name}={write_variant(given.folder, name)}" for name in given.names))


if __name__ == "__main__":
    main()
