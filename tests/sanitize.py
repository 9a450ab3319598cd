"""Builds the CPU kernels with AddressSanitizer and UndefinedBehaviorSanitizer, away from those that
are installed, and runs tests on them.

    python tests/sanitize.py [arguments of pytest; where they name no file: all operators' tests]
    python tests/sanitize.py --thread

The second builds them with ThreadSanitizer, into a program that runs them on threads of its own
(tests/ops/threads.cpp), without PyTorch.
"""

from __future__ import annotations

import os
import platform
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
    # Leaks of its own memory are not to be reported.
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


def run_threads() -> int:
    """Build and run the program of threads. Returns its exit status, 66 after a data race."""
    warnings = ["-w", "-Wno-psabi"]
    flags = ["-std=c++17", "-O1", "-g1", *warnings, "-fsanitize=thread", f"-I{ROOT / 'csrc'}"]
    sources: dict[str, list[str]] = {"tests/ops/threads.cpp": [], "csrc/cpu/baseline.cpp": []}
    if platform.machine() == "x86_64":
        flags.append("-DRFWARP_X86")
        sources["csrc/cpu/avx2.cpp"] = ["-mavx2", "-mfma", "-mf16c"]
    compiler = os.environ.get("CXX", "c++")
    with tempfile.TemporaryDirectory() as folder:
        objects = [f"{Path(source).stem}.o" for source in sources]
        for source, own in sources.items():
            command = [compiler, *flags, *own, "-c", str(ROOT / source)]
            subprocess.run(command, cwd=folder, check=True)
        program = Path(folder, "threads")
        link = [compiler, "-fsanitize=thread", *objects, "-pthread", "-o", str(program)]
        subprocess.run(link, cwd=folder, check=True)
        return subprocess.run([program], check=False).returncode


def main() -> int:
    if sys.argv[1:] == ["--thread"]:
        return run_threads()
    files = {word: str(Path(word).resolve()) for word in sys.argv[1:] if Path(word).exists()}
    arguments = [files.get(word, word) for word in sys.argv[1:]]
    if not files:
        arguments += map(str, sorted((ROOT / "tests" / "ops").glob("test_ops*.py")))
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
