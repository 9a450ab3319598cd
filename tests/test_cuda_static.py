"""benchmarks/cuda_static.py: what it reads from the compiler's output."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import cuda_static  # noqa: E402
from cuda_static import Instruction, blocks_per_multiprocessor, hot_loop  # noqa: E402

SYMBOL = "_ZN6rfwarp4cuda15backward_kernelINS0_6PackedIN3c104HalfELi8EEENS0_10PackedWalkEEEvNS0_14"
PTXAS = f"""ptxas info    : Compiling entry function '{SYMBOL}' for 'sm_80'
ptxas info    : Function properties for {SYMBOL}
    96 bytes stack frame, 148 bytes spill stores, 488 bytes spill loads
ptxas info    : Used 80 registers, used 1 barriers, 96 bytes cumulative stack size
"""


def test_what_ptxas_says():
    facts = {"registers": 80, "spill_stores": 148, "spill_loads": 488}
    assert cuda_static.resources(PTXAS) == {SYMBOL: facts}


@pytest.mark.parametrize(
    ("symbol", "name"),
    [
        (SYMBOL, "backward packed half"),
        (
            "_ZN6rfwarp4cuda14forward_kernelINS0_7StridedIfEELb1EEEvNS0_13ForwardParamsE",
            "forward strided float with warped",
        ),
        (
            "_ZN6rfwarp4cuda40_GLOBAL__N__f004_8_round_cu_9ccb12round_kernelIN3c108BFloat16EEEvNS1",
            "round bfloat16",
        ),
        (
            "_ZN6rfwarp4cuda22volume_backward_kernelIdEEvNS0_12VolumeParamsE",
            "volume_backward double",
        ),
    ],
)
def test_names(symbol, name):
    assert cuda_static.kernel_name(symbol) == name


@pytest.mark.parametrize(
    ("registers", "blocks"), [(32, 8), (64, 4), (65, 3), (80, 3), (81, 2), (128, 2), (129, 1)]
)
def test_blocks(registers, blocks):
    assert blocks_per_multiprocessor(registers) == blocks


def test_the_hot_loop_is_the_one_that_loads_most():
    """Its own loads count, those of a loop within it do not; taps do not count."""
    lines = [
        *["LDG.E.CONSTANT"] * 40,  # 0: taps
        "LDG.E.U8",
        "BRA 0x0",
        *["LDG.E.128.CONSTANT"] * 4,  # 42: channels, with a loop within
        "LDG.E.U16",
        "FFMA",
        "BRA 0x2f0",  # 47 = 0x2f: nothing but this and the line before it
        "BRA 0x2a0",
        *["LDG.E"] * 3,  # once
    ]
    code = []
    for i, line in enumerate(lines):
        name, _, rest = line.partition(" ")
        code.append(Instruction(16 * i, name, rest))
    assert hot_loop(code) == {"loop": 8, "loads": {"2 B": 1, "16 B": 4}}
    assert hot_loop(code[:1]) == {"loop": 0, "loads": {}}


def test_the_table_shows_what_has_changed():
    facts = {"registers": 80, "spill_stores": 8, "spill_loads": 8, "blocks": 3}
    facts |= {"instructions": 900, "loop": 100, "loads": {"16 B": 4}}
    before = {"kernels": {"90": {"forward packed half": facts}}}
    now = {"kernels": {"90": {"forward packed half": {**facts, "spill_stores": 0}}}}
    row = cuda_static.table(now, before).splitlines()[-1]
    assert [cell.strip() for cell in row.split("|")[1:-1]] == [
        *("90", "forward packed half", "80", "8 > 0", "8", "3", "900", "100", "4 x 16 B")
    ]


def test_without_the_tools_it_says_so(tmp_path):
    environment = {"PATH": str(tmp_path), "PYTHONPATH": str(BENCHMARKS.parent)}
    command = [sys.executable, str(BENCHMARKS / "cuda_static.py")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == (
        "cuda_static.py: error: there is no nvcc and no cuobjdump and no nvdisasm on the PATH\n"
    )


@pytest.mark.skipif(
    any(shutil.which(tool) is None for tool in cuda_static.TOOLS), reason="needs CUDA's tools"
)
def test_a_file_of_kernels():
    source = BENCHMARKS.parent / "csrc" / "cuda" / "round.cu"
    facts = cuda_static.examine(source, "90")
    assert set(facts) == {"round half", "round bfloat16"}
    assert facts["round half"]["loads"] == {"16 B": 2}
    assert facts["round half"]["spill_stores"] == 0
