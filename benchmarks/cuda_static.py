"""What the compiler says of the CUDA kernels, without a GPU: registers, spills, instructions.

    python benchmarks/cuda_static.py --out benchmarks/results/cuda-static/<name>.json
    python benchmarks/cuda_static.py --before benchmarks/results/cuda-static/<name>.json

It needs nvcc, cuobjdump and nvdisasm (`pip install nvidia-cuda-cuobjdump nvidia-cuda-nvdisasm` has
the last two) on the PATH. Of every kernel and architecture: registers, bytes of spills, blocks of
256 threads that the registers of a multiprocessor hold, instructions in all, and of its hot loop,
the one that loads the most bytes from global memory in a turn, how many there are and what the
loads are (loads of loops within it belong to those; loops that read the mask work out taps, and do
not count). None of this is a time.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import tyro
from harness.warp.report import markdown

from rfwarp.files import write_atomically

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "csrc"))

from kernel_build.ninja_file import NVCC_FLAGS  # noqa: E402
from kernel_build.toolchain import OLDEST_TORCH, find_torch  # noqa: E402

SCHEMA = "cuda_static 1"
TOOLS = ("nvcc", "cuobjdump", "nvdisasm")
NAMES = re.compile(
    r"(?<=\d)([a-z][a-z_]+)_kernelI(?:NS0_\d+(Packed|Strided)I)?(?:N3c10\d+(\w+?)E|([fd]))(.*)"
)
TYPES = {"f": "float", "d": "double", "Half": "half", "BFloat16": "bfloat16"}


class Instruction(NamedTuple):
    """One line of machine code."""

    address: int
    name: str
    text: str


def compile_file(source: Path, architecture: str, folder: Path) -> tuple[Path, str]:
    """The machine code of a file, and what ptxas says of it."""
    torch, _ = find_torch()
    target = f"-DTORCH_TARGET_VERSION=0x{OLDEST_TORCH[0]:02x}{OLDEST_TORCH[1]:02x}{0:012x}"
    out = folder / f"{source.stem}.{architecture}.cubin"
    command = ["nvcc", "-cubin", f"-arch=sm_{architecture}", *NVCC_FLAGS, target]
    command += ["-DRFWARP_NAMESPACE=rfwarp", "-isystem", str(torch / "include"), "-Xptxas=-v"]
    done = subprocess.run([*command, str(source), "-o", str(out)], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"cuda_static.py: error: {source} does not compile:\n{done.stderr}")
    return out, done.stderr


def kernel_name(symbol: str) -> str:
    """``"backward packed half"`` of a mangled name; with what it is specialised for behind it."""
    match = NAMES.search(symbol)
    if match is None:
        return symbol
    kernel, layout, half, plain, rest = match.groups()
    keeps = " with warped" if "Lb1E" in rest else ""
    layout = f" {layout.lower()}" if layout else ""
    return f"{kernel}{layout} {TYPES[half or plain]}{keeps}"


def resources(ptxas: str) -> dict[str, dict[str, int]]:
    """Registers and bytes of spills, by symbol."""
    found = re.findall(
        r"Function properties for (\S+)\n\s+\d+ bytes stack frame, (\d+) bytes spill stores,"
        r" (\d+) bytes spill loads\n.*?Used (\d+) registers",
        ptxas,
    )
    return {
        symbol: {
            "registers": int(registers),
            "spill_stores": int(stores),
            "spill_loads": int(loads),
        }
        for symbol, stores, loads, registers in found
    }


def blocks_per_multiprocessor(registers: int, threads: int = 256) -> int:
    """Of 65536 registers, given to warps in units of 256; 2048 threads at most."""
    per_warp = -(-registers * 32 // 256) * 256
    return min(65536 // per_warp // (threads // 32), 2048 // threads)


def disassembled(cubin: Path) -> dict[str, list[Instruction]]:
    """Instructions by symbol."""
    command = ["cuobjdump", "-sass", str(cubin)]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    code: dict[str, list[Instruction]] = {}
    for line in text.splitlines():
        if function := re.search(r"Function : (\S+)", line):
            code[function[1]] = []
        elif found := re.match(
            r"\s+/\*([0-9a-f]{4,})\*/\s+(?:@!?U?P\w+ )?\s*([A-Z]\S*)(.*?);", line
        ):
            code[[*code][-1]].append(Instruction(int(found[1], 16), found[2], found[3]))
    return code


def hot_loop(code: list[Instruction]) -> dict[str, Any]:
    """The loop that loads the most: instructions, those of loops within it too, and own loads."""
    loops = []
    for instruction in code:
        target = re.search(r"0x([0-9a-f]+)", instruction.text)
        if instruction.name.startswith("BRA") and target:
            start = int(target[1], 16)
            if start < instruction.address:
                loops.append((start, instruction.address))
    own: dict[tuple[int, int], Counter[int]] = {loop: Counter() for loop in loops}
    for instruction in code:
        around = [loop for loop in own if loop[0] <= instruction.address <= loop[1]]
        if instruction.name.startswith("LDG") and around:
            own[min(around, key=lambda loop: loop[1] - loop[0])][_width(instruction.name)] += 1

    def length(loop: tuple[int, int]) -> int:
        return sum(loop[0] <= i.address <= loop[1] for i in code)

    # The mask alone has elements of one byte.
    candidates = [loop for loop in own if own[loop] and 1 not in own[loop]]
    if not candidates:
        return {"loop": 0, "loads": {}}
    hottest = max(
        candidates, key=lambda loop: (sum(w * n for w, n in own[loop].items()), -length(loop))
    )
    loads = {f"{w} B": n for w, n in sorted(own[hottest].items())}
    return {"loop": length(hottest), "loads": loads}


def _width(name: str) -> int:
    """Bytes that a load reads."""
    bits = re.search(r"\.(128|64|[US]8|[US]16)\b", name)
    return {"128": 16, "64": 8, "8": 1, "16": 2}[bits[1].lstrip("US")] if bits else 4


def examine(source: Path, architecture: str) -> dict[str, dict[str, Any]]:
    """All facts of a file's kernels, by name."""
    with tempfile.TemporaryDirectory() as folder:
        cubin, ptxas = compile_file(source, architecture, Path(folder))
        code = disassembled(cubin)
    return {
        kernel_name(symbol): {
            **facts,
            "blocks": blocks_per_multiprocessor(facts["registers"]),
            "instructions": len(code[symbol]),
            **hot_loop(code[symbol]),
        }
        for symbol, facts in sorted(resources(ptxas).items())
    }


def table(now: dict[str, Any], before: dict[str, Any] | None = None) -> str:
    """A row for each kernel and architecture; ``a > b`` where it was a before."""
    keys = ("registers", "spill_stores", "spill_loads", "blocks", "instructions", "loop", "loads")
    lines = [["sm", "kernel", *(key.replace("_", " ") for key in keys)]]
    for architecture, kernels in now["kernels"].items():
        for name, facts in kernels.items():
            old = (before or now)["kernels"].get(architecture, {}).get(name, facts)
            cells = [(_text(old[key]), _text(facts[key])) for key in keys]
            lines.append([architecture, name, *(b if a == b else f"{a} > {b}" for a, b in cells)])
    return markdown(lines)


def _text(value: Any) -> str:
    return (
        " + ".join(f"{n} x {w}" for w, n in value.items())
        if isinstance(value, dict)
        else str(value)
    )


@dataclass(frozen=True)
class CudaStatic:
    """What the compiler says of the CUDA kernels: registers, spills, instructions."""

    architectures: tuple[str, ...] = ("80", "90", "100")
    files: tuple[str, ...] = ("forward", "backward", "round", "volume")
    csrc: Path = ROOT / "csrc"
    """Folder of the kernels."""
    before: Path | None = None
    """JSON of an earlier run, to show what has changed."""
    out: Path | None = None
    """JSON to write."""
    jobs: int = 2

    def run(self) -> dict[str, Any]:
        if lacks := [tool for tool in TOOLS if shutil.which(tool) is None]:
            sys.exit(f"cuda_static.py: error: there is no {' and no '.join(lacks)} on the PATH")
        version = subprocess.run(["nvcc", "--version"], capture_output=True, text=True, check=True)
        with ThreadPoolExecutor(self.jobs) as pool:
            started = {
                (a, f): pool.submit(examine, self.csrc / "cuda" / f"{f}.cu", a)
                for a in self.architectures
                for f in self.files
            }
            kernels = {
                a: {k: v for f in self.files for k, v in started[a, f].result().items()}
                for a in self.architectures
            }
        nvcc = re.search(r"release \S+ V(\S+)", version.stdout)
        return {"schema": SCHEMA, "nvcc": nvcc and nvcc[1], "kernels": kernels}


def main() -> None:
    config = tyro.cli(CudaStatic)
    before = json.loads(config.before.read_text()) if config.before else None
    found = config.run()
    if config.out is not None:
        text = json.dumps(found, indent=1) + "\n"
        config.out.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(config.out, lambda path: path.write_text(text))
    print(table(found, before))


if __name__ == "__main__":
    main()
