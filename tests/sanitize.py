"""Builds the CPU kernels with AddressSanitizer and UndefinedBehaviorSanitizer, away from those that
are installed, and runs tests on them.

    python tests/sanitize.py [arguments of pytest; where they name no file: all operators' tests]
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
SANITIZERS = "-fsanitize=address,undefined,float-cast-overflow"
COMPILE = f"-O1 -g1 -w -fno-omit-frame-pointer -fno-sanitize-recover=all {SANITIZERS}"
IS_SANITIZED = (
    "import sys, rfwarp_cuda; sys.exit('-fsanitize' not in rfwarp_cuda.build_info()['flags'])"
)


def build(folder: Path) -> None:
    """The package rfwarp_cuda, with sanitized kernels, in a folder."""
    environment = {
        **os.environ,
        "RFWARP_BUILD": "cpu",
        "CXXFLAGS": COMPILE,
        "LDFLAGS": SANITIZERS,
    }
    command = [sys.executable, ROOT / "setup.py", "--quiet", "build_ext", "--build-lib", folder]
    if subprocess.run(command, cwd=folder, env=environment, check=False).returncode != 0:
        sys.exit("the kernels do not build with sanitizers, see above")
    for module in (ROOT / "rfwarp_cuda").glob("*.py"):
        shutil.copy(module, folder / "rfwarp_cuda")


def run(folder: Path, *arguments: str | Path) -> int:
    """Python, where rfwarp_cuda is that of a folder. Returns its exit status."""
    # The sanitizers have to be there before all else, and Python itself is not built with them.
    # Its own memory is not theirs to judge: leaks.
    compiler = os.environ.get("CXX", "c++")
    libraries = [
        subprocess.check_output([compiler, f"-print-file-name={name}.so"], text=True).strip()
        for name in ("libasan", "libubsan")
    ]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)]),
        "RFWARP_BACKEND": "cpu",
        "LD_PRELOAD": " ".join(libraries),
        "ASAN_OPTIONS": "detect_leaks=0",
        "UBSAN_OPTIONS": "print_stacktrace=1",
    }
    # In the folder, as Python looks for modules in the current one first.
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=folder, env=environment, check=False).returncode


def main() -> int:
    files = {word: str(Path(word).resolve()) for word in sys.argv[1:] if Path(word).exists()}
    arguments = [files.get(word, word) for word in sys.argv[1:]]
    if not files:
        arguments += map(str, sorted((ROOT / "tests").glob("test_ops*.py")))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        build(folder)
        if run(folder, "-c", IS_SANITIZED) != 0:
            sys.exit("the kernels that are loaded are not those that were built here")
        # pytest must not capture the file descriptor that the sanitizers report to.
        options = ["-c", ROOT / "pyproject.toml", "--rootdir", ROOT, "--capture=sys"]
        return run(folder, "-m", "pytest", "-p", "no:cacheprovider", *options, *arguments)


if __name__ == "__main__":
    sys.exit(main())
