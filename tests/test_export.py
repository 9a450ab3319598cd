"""The generator in other runtimes, judged by the generator itself."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from test_generator import C, inputs, make
from test_optimize import randomised

from rfwarp import Generator
from rfwarp.cli import main
from rfwarp.export import export_onnx, export_package

SHAPES = [(2, 2), (1, 1), (1, 3), (3, 1), (4, 2)]


@pytest.fixture(
    scope="module",
    params=[pytest.param(False, marks=pytest.mark.slow), True],
    ids=["plain", "optimized"],
)
def exported(request, tmp_path_factory) -> tuple[Generator, Path]:
    generator = randomised(width=1 / 16).requires_grad_(False)
    generator = generator.optimize() if request.param else generator
    path = tmp_path_factory.mktemp("onnx") / "generator.onnx"
    return generator, export_onnx(generator, path, (64, 96))


@pytest.mark.slow
def test_onnx_has_only_standard_operators(exported):
    model = onnx.load(exported[1])
    onnx.checker.check_model(model)
    assert {node.domain for node in model.graph.node} <= {"", "ai.onnx"}
    assert not model.functions
    assert sum(node.op_type == "GridSample" for node in model.graph.node) == 4


@pytest.mark.slow
def test_onnx_says_what_it_takes(exported):
    session = onnxruntime.InferenceSession(exported[1])
    assert {x.name: x.shape for x in session.get_inputs()} == {
        "sources": ["batch", "sources", 3, 64, 96],
        "poses": ["batch", "sources", C, 64, 96],
        "target_pose": ["batch", C, 64, 96],
    }
    assert [(x.name, x.shape) for x in session.get_outputs()] == [("image", ["batch", 3, 64, 96])]


@pytest.mark.slow
@pytest.mark.parametrize(("n", "k"), SHAPES)
def test_onnxruntime_draws_the_same(exported, n, k):
    generator, path = exported
    arguments = inputs(n=n, k=k, h=64, w=96, dtype=torch.float32)
    session = onnxruntime.InferenceSession(path)
    names = ("sources", "poses", "target_pose")
    (image,) = session.run(None, {x: a.numpy() for x, a in zip(names, arguments, strict=True)})
    assert np.abs(image - generator(*arguments).numpy()).max() < 1e-4


@pytest.mark.slow
def test_a_package_draws_the_same(tmp_path):
    generator = randomised(width=1 / 64).requires_grad_(False).optimize()
    path = export_package(generator, tmp_path / "generator.pt2", (64, 64))
    assert [file.name for file in tmp_path.iterdir()] == ["generator.pt2"]
    package = torch._inductor.aoti_load_package(str(path))
    for n, k in SHAPES:
        arguments = inputs(n=n, k=k, dtype=torch.float32)
        torch.testing.assert_close(
            package(*arguments), generator(*arguments), rtol=0, atol=1e-4, msg=f"{n}, {k}"
        )


def test_what_cannot_be_exported_is_an_error_before_any_work(tmp_path):
    with pytest.raises(ValueError, match=r"height and width must be at least 64, got \(64, 32\)"):
        export_onnx(make(), tmp_path / "x.onnx", (64, 32))
    with pytest.raises(ValueError, match=r"is a .pt2 file, got .*x.so"):
        export_package(make(), tmp_path / "x.so", (64, 64))
    assert list(tmp_path.iterdir()) == []


def test_onnx_names_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(ImportError, match=r"onnxscript.*rfwarp\[export\]"):
        export_onnx(make(), tmp_path / "x.onnx", (64, 64))


# ------------------------------------------------------------------ rfwarp export


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return make(width=1 / 64).save_pretrained(tmp_path_factory.mktemp("model"))


@pytest.mark.slow
def test_the_command(model, tmp_path):
    out = tmp_path / "new" / "model.onnx"
    done = subprocess.run(
        [sys.executable, "-m", "rfwarp", "export", "-w", model, "-o", out, "--size", "64", "64"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr, done.stdout) == (0, "", f"wrote {out}\n")
    onnx.checker.check_model(onnx.load(out))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-o", "x.tflite"], "--out must end in .onnx or .pt2, got x.tflite"),
        (["-o", "x.onnx", "--size", "32", "64"], "--size must lie in 64..4096, got (32, 64)"),
        (["-o", "x.onnx"], "does not say which --size it was trained at"),
    ],
)
def test_wrong_options(model, options, message, capsys):
    assert main(["export", "-w", str(model), *options]) == 2
    assert message in capsys.readouterr().err
