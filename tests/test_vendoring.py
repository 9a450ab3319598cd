"""The recipe of docs/guides/vendoring.md: another project carries, builds and uses a copy."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

import rfwarp_cuda

ROOT = Path(__file__).parents[1]
# Unoptimised, as it is only to run: seven seconds of compilation instead of thirty.
ENVIRONMENT = {**os.environ, "RFWARP_BUILD": "cpu", "CXXFLAGS": "-O0", "RFWARP": str(ROOT)}

pytestmark = pytest.mark.skipif(
    rfwarp_cuda.load().cpu is not None, reason=f"no CPU kernels: {rfwarp_cuda.load().cpu}"
)


def block(language: str) -> str:
    """The code in this language of the recipe."""
    page = (ROOT / "docs" / "guides" / "vendoring.md").read_text()
    (code,) = re.findall(rf"^```{language}\b.*?\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    return code


def run(project: Path, *command: str) -> str:
    done = subprocess.run(
        command, cwd=project, env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution of a project that has followed the recipe, twice."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "theirs").mkdir()
    (folder / "theirs" / "__init__.py").touch()
    for _ in range(2):
        run(folder, "sh", "-e", "-c", block("sh"))
    (folder / "setup.py").write_text(block("python"))
    (folder / "MANIFEST.in").write_text(block("text"))
    run(folder, sys.executable, "setup.py", "sdist", "--formats", "gztar")
    (file,) = (folder / "dist").iterdir()
    return file


@pytest.fixture(scope="module")
def project(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked source distribution, built."""
    folder = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    (source,) = folder.iterdir()
    run(source, sys.executable, "setup.py", "build_ext", "--inplace")
    return source


def test_source_distribution_is_one_copy_with_its_licence(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = [name.partition("/")[2] for name in archive.getnames()]
    assert "csrc/rfwarp/LICENSE" in names
    for file in ("csrc/rfwarp/sampler.h", "csrc/rfwarp/kernel_build/toolchain.py"):
        assert [name for name in names if name.endswith(Path(file).name)] == [file]
    schemas = [name for name in names if name.endswith("schema.py")]
    assert schemas == ["theirs/rfwarp_ops/schema.py"]


@pytest.mark.slow
def test_building_again_compiles_nothing(project: Path) -> None:
    again = run(project, sys.executable, "setup.py", "build_ext", "--inplace")
    assert "ninja: no work to do." in again


@pytest.mark.slow
def test_a_copy_computes_the_same_beside_an_installed_rfwarp(project: Path) -> None:
    code = """
import sys
import torch
sys.modules["rfwarp"] = None  # it has to do without
from theirs.rfwarp_ops import backend, use_backend, warp_fuse
del sys.modules["rfwarp"]
import rfwarp.ops, rfwarp_cuda, theirs.rfwarp_cuda

assert "rfwarp" not in theirs.rfwarp_cuda.build_info()["namespace"]
assert backend().cpu.kind == "compiled", backend()
assert theirs.rfwarp_cuda.load.__module__ == "theirs.rfwarp_cuda"
generator = torch.Generator().manual_seed(0)
def draw(*shape): return torch.randn(shape, generator=generator)
inputs = [draw(2, 3, 5, 6, 7), draw(2, 3, 2, 6, 7), draw(2, 3, 2, 6, 7), draw(2, 3, 1, 6, 7),
          draw(2, 3, 1, 6, 7), draw(2, 5, 6, 7)]
results = []
for function in (warp_fuse, rfwarp.ops.warp_fuse):
    leaves = [x.clone().requires_grad_() for x in inputs]
    out = function(*leaves)
    results.append([out, *torch.autograd.grad(out.square().sum(), leaves)])
    with use_backend("torch"):  # of the copy only
        out = function(*leaves)
        results.append([out, *torch.autograd.grad(out.square().sum(), leaves)])
for other in results[1:]:
    for ours, theirs in zip(results[0], other, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
"""
    run(project, sys.executable, "-W", "error::UserWarning", "-c", code)


@pytest.mark.slow
def test_copies_that_share_a_namespace_are_refused(project: Path) -> None:
    package = project / "theirs" / "rfwarp_cuda" / "__init__.py"
    original = package.read_text()
    package.write_text(original.replace('NAMESPACE = "theirs"', 'NAMESPACE = "rfwarp"'))
    try:
        code = """
import rfwarp.ops
try:
    import theirs.rfwarp_ops
except ImportError as error:
    print(error)
"""
        message = run(project, sys.executable, "-c", code)
        assert "torch.ops.rfwarp is already defined, by another copy" in message
        alone = "from theirs.rfwarp_ops import backend; print(backend().cpu)"
        assert "compiled kernels are for torch.ops.theirs" in run(
            project, sys.executable, "-c", alone
        )
    finally:
        package.write_text(original)
