"""The generator in other runtimes, against the generator itself."""

import json
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
from rfwarp.cli.export import Export
from rfwarp.data import DataConfig, open_dataset
from rfwarp.export import OPSETS, export_onnx, export_openvino, export_package
from rfwarp.ops import grid_sample, reference
from rfwarp.quantization import export_int8

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
    samplings = [node for node in model.graph.node if node.op_type == "GridSample"]
    assert len(samplings) == 4
    for node in samplings:  # what ONNX Runtime has a fast path for
        found = {x.name: onnx.helper.get_attribute_value(x) for x in node.attribute}
        assert (found["align_corners"], found["padding_mode"]) == (0, b"zeros")


PADDINGS = ("zeros", "border", "reflection")


class Warps(torch.nn.Module):
    def forward(self, features: torch.Tensor, flow: torch.Tensor) -> list[torch.Tensor]:
        return [grid_sample.warp(features, flow, padding_mode) for padding_mode in PADDINGS]


def test_onnxruntime_warps_the_same(tmp_path):
    """Positions inside, far outside, and exactly on the edges, in every padding mode."""
    g = torch.Generator().manual_seed(0)
    features = torch.rand(2, 5, 7, 9, generator=g)
    flow = torch.randn(2, 2, 7, 9, generator=g) * 6
    flow[0, :, 0] = flow[0, :, 0].round()
    flow[1, :, 0], flow[1, :, 1] = 0.0, 1e4
    path = tmp_path / "warps.onnx"
    torch.onnx.export(
        Warps().eval(),
        (features, flow),
        path,
        dynamo=True,
        verbose=False,
        external_data=False,
    )
    session = onnxruntime.InferenceSession(path)
    names = [x.name for x in session.get_inputs()]
    outputs = session.run(None, dict(zip(names, (features.numpy(), flow.numpy()), strict=True)))
    for padding_mode, warped in zip(PADDINGS, outputs, strict=True):
        expected = reference.warp(features.double(), flow.double(), padding_mode)
        # Where the flow is long, float32's grid places samples no better.
        near = (flow.abs() < 100).all(1, keepdim=True).expand_as(expected)
        error = (torch.from_numpy(warped) - expected).abs()
        assert error[near].max() < 2e-5, padding_mode
        if padding_mode != "reflection":
            assert error.max() < 2e-5, padding_mode


@pytest.mark.slow
@pytest.mark.parametrize("opset", [OPSETS[0], OPSETS[-1]])
def test_onnx_in_another_opset(tmp_path, opset):
    generator = randomised(width=1 / 64).requires_grad_(False).optimize()
    path = export_onnx(generator, tmp_path / "x.onnx", (64, 64), opset=opset)
    model = onnx.load(path)
    assert {x.domain: x.version for x in model.opset_import} == {"": opset}
    arguments = inputs(n=1, k=2, dtype=torch.float32)
    names = ("sources", "poses", "target_pose")
    given = {x: a.numpy() for x, a in zip(names, arguments, strict=True)}
    (image,) = onnxruntime.InferenceSession(path).run(None, given)
    assert np.abs(image - generator(*arguments).numpy()).max() < 1e-4


def run(path: Path, known: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What is known, and the outputs of a file."""
    session = onnxruntime.InferenceSession(path)
    given = {x.name: known[x.name] for x in session.get_inputs()}
    outputs = [x.name for x in session.get_outputs()]
    return known | dict(zip(outputs, session.run(outputs, given), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("optimized", [False, True])
def test_encode_and_decode_draw_the_same(tmp_path, optimized):
    generator = randomised(width=1 / 64).requires_grad_(False)
    generator = generator.optimize() if optimized else generator
    parts = {
        part: export_onnx(generator, tmp_path / f"{part}.onnx", (64, 96), part=part)
        for part in ("encode", "decode")
    }
    for k in (1, 2, 3, 5):
        sources, poses, _ = inputs(n=1, k=k, h=64, w=96, dtype=torch.float32)
        known = run(parts["encode"], {"sources": sources.numpy(), "poses": poses.numpy()})
        for m in (1, 3):
            *_, targets = inputs(n=m, k=1, h=64, w=96, dtype=torch.float32)
            image = run(parts["decode"], {**known, "target_pose": targets.numpy()})["image"]
            expected = generator.decode(generator.encode(sources, poses), targets)
            assert image.shape == expected.shape
            assert np.abs(image - expected.numpy()).max() < 1e-4, (k, m)


@pytest.mark.slow
def test_openvino_draws_the_same(tmp_path):
    openvino = pytest.importorskip("openvino")
    generator = randomised(width=1 / 64).requires_grad_(False).optimize()
    path = export_openvino(generator, tmp_path / "generator.xml", (64, 64))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["generator.bin", "generator.xml"]
    exact = {"INFERENCE_PRECISION_HINT": "f32"}  # bfloat16 otherwise, where the CPU has it
    compiled = openvino.Core().compile_model(path, "CPU", exact)
    for n, k in SHAPES:
        arguments = inputs(n=n, k=k, dtype=torch.float32)
        names = ("sources", "poses", "target_pose")
        given = {x: a.numpy() for x, a in zip(names, arguments, strict=True)}
        image = compiled(given)[compiled.output(0)]
        assert np.abs(image - generator(*arguments).numpy()).max() < 1e-4


@pytest.mark.slow
def test_int8_costs_little_and_says_how_much(tmp_path):
    generator = Generator.from_pretrained("chairs-64").optimize()
    held_out = open_dataset(DataConfig("chairs", size=64, count=4), "test")
    paths = {part: tmp_path / f"{part}.onnx" for part in ("encode", "decode")}
    cost = export_int8(generator, paths, (64, 64), held_out, sets=8)
    assert (cost.sources, cost.sets) == (2, 8)
    assert 0.0 < cost.psnr - cost.psnr_int8 < 0.6
    for part, path in paths.items():
        model = onnx.load(path)
        metadata = {x.key: x.value for x in model.metadata_props}
        assert metadata["part"] == part
        assert float(metadata["int8_psnr"]) == pytest.approx(cost.psnr_int8, abs=1e-3)
        assert any(node.op_type == "QuantizeLinear" for node in model.graph.node)
        assert path.stat().st_size < 9e6  # of 18 in all in float32


def test_int8_refuses_other_images(tmp_path):
    generator = Generator.from_pretrained("chairs-64")
    paths = {"forward": tmp_path / "x.onnx"}
    chairs = open_dataset(DataConfig("chairs", size=64, count=1), "test")
    with pytest.raises(ValueError, match="are 64 x 64, not 128 x 64"):
        export_int8(generator, paths, (128, 64), chairs)
    people = open_dataset(DataConfig("people", size=64, count=1), "test")
    with pytest.raises(ValueError, match="posed by keypoints, but this model takes viewpoint"):
        export_int8(generator, paths, (64, 64), people)
    with pytest.raises(ValueError, match="calibrated on the CPU, and this generator is on meta"):
        export_int8(generator.to("meta"), paths, (64, 64), chairs)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError):
        export_int8(
            Generator.from_pretrained("chairs-64"),
            {"forward": tmp_path / "file/x.onnx"},
            (64, 64),
            chairs,
        )


@pytest.mark.parametrize("options", [{}, {"dataset": "folder"}])
def test_int8_is_calibrated_on_images_as_in_training(tmp_path, monkeypatch, options):
    opened = []

    def open_none(config, split):
        opened.append((config, split))
        raise FileNotFoundError

    weights = make(width=1 / 64).save_pretrained(tmp_path / "model")
    given = {"name": "folder", "fit": "crop", "tuples": 2}
    data = {**given, "size": 64, "count": 9, "background": "photographed", "from_later": 1}
    (weights / "README.md").write_text(f"```json\n{json.dumps({'data': data})}\n```\n")
    monkeypatch.setattr("rfwarp.data.open_dataset", open_none)
    export = Export(
        tmp_path / "x.onnx", str(weights), (64, 96), int8=True, root=tmp_path, **options
    )
    with pytest.raises(FileNotFoundError):
        export.run()
    assert opened == [(DataConfig(**given, root=tmp_path, size=(64, 96)), "test")]


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
    with pytest.raises(ValueError, match=r"OpenVINO's form is an .xml file, got .*x.onnx"):
        export_openvino(make(), tmp_path / "x.onnx", (64, 64))
    with pytest.raises(ValueError, match=r"part must be one of forward, .*, got 'both'"):
        export_onnx(make(), tmp_path / "x.onnx", (64, 64), part="both")
    for opset in (17, 26):
        with pytest.raises(ValueError, match=rf"opset must lie in 18\.\.25, got {opset}"):
            export_onnx(make(), tmp_path / "x.onnx", (64, 64), opset=opset)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("export", "name"),
    [(export_onnx, "x.onnx"), (export_openvino, "x.xml"), (export_package, "x.pt2")],
)
def test_folders_are_made_before_any_work(tmp_path, monkeypatch, export, name):
    if export is export_openvino:
        pytest.importorskip("openvino")

    def work(function):
        raise NotImplementedError

    monkeypatch.setattr("rfwarp.export._program", work)
    generator = make(width=1 / 64)
    with pytest.raises(NotImplementedError):
        export(generator, tmp_path / "new" / "folder" / name, (64, 64))
    assert list((tmp_path / "new" / "folder").iterdir()) == []
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError):
        export(generator, tmp_path / "file" / name, (64, 64))


def test_onnx_names_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(ImportError, match=r"onnxscript.*rfwarp\[export\]"):
        export_onnx(make(), tmp_path / "x.onnx", (64, 64))


def test_openvino_names_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(ImportError, match=r"openvino.*rfwarp\[openvino\]"):
        export_openvino(make(), tmp_path / "x.xml", (64, 64))


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
        (["-o", "x.tflite"], "--out must end in .onnx, .xml, .pt2, got x.tflite"),
        (["-o", "x.xml", "--opset", "18"], "--opset is for ONNX, not for x.xml"),
        (["-o", "x.onnx", "--opset", "16"], "--opset must lie in 18..25, got 16"),
        (["-o", "x.pt2", "--int8"], "--int8 is for ONNX and OpenVINO, not for x.pt2"),
        (["-o", "x.onnx", "--dataset", "chairs"], "--dataset and --root are for --int8"),
        (["-o", "x.onnx", "--device", "cuda"], "--device is for a .pt2 package, not for x.onnx"),
        (["-o", "x.xml", "--int8", "--device", "auto"], "--device is for a .pt2 package"),
        (
            ["-o", "x.onnx", "--int8", "--size", "64", "64"],
            "does not say what it was trained on: give --int8 a --dataset",
        ),
        (["-o", "x.onnx", "--size", "32", "64"], "--size must lie in 64..4096, got (32, 64)"),
        (["-o", "x.onnx"], "does not say which --size it was trained at"),
    ],
)
def test_wrong_options(model, options, message, capsys):
    assert main(["export", "-w", str(model), *options]) == 2
    assert message in capsys.readouterr().err
