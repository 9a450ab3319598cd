"""The package as users get it: contents and requirements of wheel and source distribution."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from collections.abc import Sequence
from email.parser import HeaderParser
from pathlib import Path

import pytest

import rfwarp
import rfwarp_cuda

ROOT = Path(__file__).parents[1]
SOURCES = (
    *("rfwarp", "rfwarp_cuda", "csrc", "docs", "examples", "benchmarks", "packaging", "tests"),
    *("pyproject.toml", "setup.py", "MANIFEST.in", "Makefile", "LICENSE", "LICENSE-CC0"),
    ".clang-format",
    *("README.md", "CHANGELOG.md", "CITATION.cff", "CONTRIBUTING.md", "SECURITY.md"),
)


# What this installation was built with, for the tests to build the same from the same objects.
INFO = rfwarp_cuda.build_info()
OBJECTS = Path("build") / f"rfwarp_cuda-{sys.implementation.cache_tag}"

compiled = pytest.mark.skipif(not INFO, reason=f"not compiled: {rfwarp_cuda.load().cpu}")


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution of a clean copy."""
    return build(copy_sources(tmp_path_factory.mktemp("source")), "sdist")


def copy_sources(folder: Path, names: Sequence[str] = SOURCES) -> Path:
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info", "*.so")
    folder.mkdir(exist_ok=True)
    for name in names:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=ignored)
        else:
            shutil.copy2(ROOT / name, folder)
    return folder


def build(source: Path, kind: str, **environment: str) -> Path:
    command = [sys.executable, "-m", "build", "--no-isolation", f"--{kind}", str(source)]
    result = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, **environment}, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    (distribution,) = (source / "dist").iterdir()
    return distribution


def build_wheel(sdist: Path, folder: Path, **environment: str) -> Path:
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    (source,) = folder.iterdir()
    if environment["RFWARP_BUILD"] != "none" and (ROOT / OBJECTS).is_dir():
        shutil.copytree(ROOT / OBJECTS, source / OBJECTS)
    return build(source, "wheel", **environment)


@pytest.fixture(scope="module")
def pure_wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel without compiled kernels."""
    return build_wheel(sdist, tmp_path_factory.mktemp("pure"), RFWARP_BUILD="none")


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel with the compiled kernels that this installation has."""
    archs = ";".join(INFO["cuda_architectures"])
    asked = "cuda" if archs else "cpu"
    folder = tmp_path_factory.mktemp("compiled")
    return build_wheel(sdist, folder, RFWARP_BUILD=asked, RFWARP_CUDA_ARCHS=archs)


def names_in(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def imported_from(wheel: Path, folder: Path) -> list[str]:
    """Import the unpacked wheel in a process: the file of rfwarp_cuda, kind and reason."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    code = (
        "import rfwarp_cuda; from rfwarp.ops import backend;"
        "print(rfwarp_cuda.__file__, *backend().cpu, sep='\\n')"
    )
    environment = {**os.environ, "PYTHONPATH": str(folder), "RFWARP_BACKEND": "auto"}
    return subprocess.check_output(
        [sys.executable, "-c", code], text=True, env=environment, cwd=folder
    ).splitlines()


def test_wheel_holds_the_packages_and_the_weights(pure_wheel: Path) -> None:
    names = names_in(pure_wheel)
    for model in rfwarp.list_models():
        for file in ("config.json", "model.safetensors", "README.md"):
            assert f"rfwarp/weights/{model}/{file}" in names
    assert {"rfwarp/py.typed", "rfwarp/ops/schema.py"} <= names
    assert {"rfwarp_cuda/__init__.py", "rfwarp_cuda/py.typed"} <= names
    tops = {name.split("/")[0] for name in names}
    assert tops == {"rfwarp", "rfwarp_cuda", f"rfwarp-{rfwarp.__version__}.dist-info"}


def test_wheel_asks_for_no_torchvision(pure_wheel: Path) -> None:
    """Beside a CPU build of torch, torchvision would bring a CUDA build of it."""
    with zipfile.ZipFile(pure_wheel) as wheel:
        (name,) = (n for n in wheel.namelist() if n.endswith(".dist-info/METADATA"))
        metadata = HeaderParser().parsestr(wheel.read(name).decode())
    requirements = metadata.get_all("Requires-Dist") or []
    assert any(r.startswith("torch>=") for r in requirements)
    assert not any("torchvision" in r for r in requirements)


def test_wheel_without_kernels_is_for_every_platform(pure_wheel: Path, tmp_path: Path) -> None:
    assert pure_wheel.name == f"rfwarp-{rfwarp.__version__}-py3-none-any.whl"
    assert not any(name.endswith(".so") for name in names_in(pure_wheel))
    file, kind, reason = imported_from(pure_wheel, tmp_path)
    assert Path(file).is_relative_to(tmp_path)
    assert (kind, reason) == ("torch", "rfwarp was installed without compiled CPU kernels")


@compiled
@pytest.mark.slow
def test_wheel_with_kernels_is_for_every_python(wheel: Path, tmp_path: Path) -> None:
    platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
    assert wheel.name == f"rfwarp-{rfwarp.__version__}-py3-none-{platform}.whl"
    binaries = {"rfwarp_cuda/_cpu.so"}
    if INFO["nvcc"]:
        binaries.add("rfwarp_cuda/_cuda.so")
    assert {name for name in names_in(wheel) if name.endswith(".so")} == binaries
    file, kind, _ = imported_from(wheel, tmp_path)
    assert Path(file).is_relative_to(tmp_path)
    assert kind == "compiled"


def test_source_distribution_holds_what_its_tests_need(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"LICENSE", "Makefile", "setup.py", "pyproject.toml", "tests/test_package.py"} <= names
    assert "examples/novel_view.py" in names
    sources = {str(path.relative_to(ROOT)) for path in (ROOT / "csrc").rglob("*.*")}
    assert {name for name in sources if "__pycache__" not in name} <= names


@pytest.fixture(scope="module")
def installed_in_place(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A clone in a folder called rfwarp, and the site directory of an installation of it in place,
    made with the settings of the Makefile."""
    folder = tmp_path_factory.mktemp("in-place")
    names = ("rfwarp", "rfwarp_cuda", "csrc", "pyproject.toml", "setup.py", "LICENSE", "README.md")
    clone, site = copy_sources(folder / "rfwarp", names), folder / "site"
    commands = subprocess.check_output(
        ["make", "--dry-run", "demo", f"VENV={folder / 'venv'}"], cwd=ROOT, text=True
    )
    (install,) = (line for line in commands.splitlines() if "--editable" in line)
    settings = dict(re.findall(r"--config-settings (\S+)=(\S+)", install))
    code = f"from setuptools.build_meta import build_editable; build_editable('..', {settings})"
    environment = {**os.environ, "RFWARP_BUILD": "none"}
    subprocess.run([sys.executable, "-c", code], cwd=clone, env=environment, check=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    return clone, site


@pytest.mark.parametrize("where", ["in the clone", "in its parent", "elsewhere"])
def test_installed_in_place_it_is_found_from_everywhere(
    installed_in_place: tuple[Path, Path], tmp_path: Path, where: str
) -> None:
    """In its parent too, where the folder of the clone has the package's name."""
    clone, site = installed_in_place
    here = {"in the clone": clone, "in its parent": clone.parent, "elsewhere": tmp_path}[where]
    code = f"import site; site.addsitedir({str(site)!r}); import rfwarp; print(rfwarp.__file__)"
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    found = subprocess.check_output(
        [sys.executable, "-S", "-c", code], cwd=here, env=environment, text=True
    )
    assert Path(found.strip()) == clone / "rfwarp" / "__init__.py"


@compiled
def test_a_clone_that_hides_the_installed_package_says_so(tmp_path: Path) -> None:
    """Python looks into the current folder first: ``python -m rfwarp`` in a clone."""
    clone, site = copy_sources(tmp_path / "clone", ("rfwarp", "rfwarp_cuda", "csrc")), "site"
    (tmp_path / site).mkdir()
    for package in ("rfwarp", "rfwarp_cuda"):
        (tmp_path / site / package).symlink_to(ROOT / package)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / site), "RFWARP_BACKEND": "auto"}
    info = subprocess.check_output(
        [sys.executable, "-m", "rfwarp", "info"], cwd=clone, env=environment, text=True
    )
    assert (
        f"cpu tensors: torch, {clone} is a source tree without compiled CPU kernels, and hides the "
        f"rfwarp installed in {tmp_path / site}, which has some: start Python in another folder"
    ) in info


def test_importing_the_package_does_not_import_torch() -> None:
    """So that ``rfwarp --help`` answers at once."""
    code = "import sys, rfwarp, rfwarp.cli; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_subpackages_are_attributes() -> None:
    """Without a further import, and loaded when asked for."""
    code = (
        "import sys, rfwarp\n"
        "assert rfwarp.training.TrainConfig and 'torch' not in sys.modules\n"
        "names = [name for name in dir(rfwarp) if name not in rfwarp.__all__]\n"
        "print(*(getattr(rfwarp, name).__name__ for name in names))"
    )
    found = subprocess.check_output([sys.executable, "-c", code], text=True).split()
    pages = {path.stem for path in (ROOT / "docs" / "api").glob("rfwarp.*.md")}
    assert set(found) == pages - {"rfwarp"}


def test_the_trainer_names_the_missing_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """The losses work without it."""
    monkeypatch.setattr("rfwarp.training.extra.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r'training needs .*: pip install "rfwarp\[train\]"'):
        _ = rfwarp.training.Trainer
    assert rfwarp.training.gram.__module__ == "rfwarp.training.losses"


def test_unknown_attribute_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = rfwarp.nonsense
