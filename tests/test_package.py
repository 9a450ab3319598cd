"""The package as users get it: what a wheel and a source distribution hold, and what they need."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import zipfile
from email.parser import HeaderParser
from pathlib import Path

import pytest

import rfwarp

ROOT = Path(__file__).parents[1]
SOURCES = (
    *("rfwarp", "rfwarp_cuda", "csrc", "examples", "benchmarks", "tests"),
    *("pyproject.toml", "setup.py", "MANIFEST.in", "Makefile", "LICENSE"),
    *("README.md", "CHANGELOG.md", "CONTRIBUTING.md"),
)


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A source distribution of a clean copy, and the wheel built from it."""
    work = tmp_path_factory.mktemp("package")
    copy = work / "source"
    copy.mkdir()
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(
                ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info")
            )
        else:
            shutil.copy(ROOT / name, copy)
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(work / "dist")]
    result = subprocess.run([*command, str(copy)], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    (sdist,) = (work / "dist").glob("*.tar.gz")
    (wheel,) = (work / "dist").glob("*.whl")
    return sdist, wheel


def test_wheel_holds_the_packages_and_the_weights(distributions: tuple[Path, Path]) -> None:
    with zipfile.ZipFile(distributions[1]) as wheel:
        names = set(wheel.namelist())
    for model in rfwarp.list_models():
        for file in ("config.json", "model.safetensors", "README.md"):
            assert f"rfwarp/weights/{model}/{file}" in names
    assert {"rfwarp/py.typed", "rfwarp/ops/schema.py", "rfwarp_cuda/__init__.py"} <= names
    tops = {name.split("/")[0] for name in names}
    assert tops == {"rfwarp", "rfwarp_cuda", f"rfwarp-{rfwarp.__version__}.dist-info"}


def test_wheel_is_pure_and_asks_for_no_torchvision(distributions: tuple[Path, Path]) -> None:
    """Beside a CPU build of torch, torchvision would bring a CUDA build of it."""
    assert distributions[1].name == f"rfwarp-{rfwarp.__version__}-py3-none-any.whl"
    with zipfile.ZipFile(distributions[1]) as wheel:
        (name,) = (n for n in wheel.namelist() if n.endswith(".dist-info/METADATA"))
        metadata = HeaderParser().parsestr(wheel.read(name).decode())
    requirements = metadata.get_all("Requires-Dist") or []
    assert any(r.startswith("torch>=") for r in requirements)
    assert not any("torchvision" in r for r in requirements)


def test_source_distribution_holds_what_its_tests_need(distributions: tuple[Path, Path]) -> None:
    with tarfile.open(distributions[0]) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    assert {"LICENSE", "Makefile", "setup.py", "pyproject.toml", "tests/test_package.py"} <= names
    assert "examples/novel_view.py" in names
    assert "csrc/README.md" in names


def test_importing_the_package_does_not_import_torch() -> None:
    """So that ``rfwarp --help`` answers at once."""
    code = "import sys, rfwarp, rfwarp.cli; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_unknown_attribute_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = rfwarp.nonsense


def test_bundled_weights_stay_within_their_budget() -> None:
    size = sum(file.stat().st_size for file in (ROOT / "rfwarp" / "weights").rglob("*.safetensors"))
    assert size <= 30e6
