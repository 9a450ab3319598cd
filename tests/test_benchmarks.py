"""The benchmarks themselves: what they refuse to time, what they write, and what they compute."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch

import rfwarp_cuda
from rfwarp.ops import warp_fuse

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import generator as generator_benchmark  # noqa: E402
from harness.timing import Call, Load, Timing, Turn, interleave  # noqa: E402
from harness.warp.candidates import Candidate, Unavailable, baselines  # noqa: E402
from harness.warp.cases import SHAPES, Case, Inputs, Shape, make_inputs  # noqa: E402
from harness.warp.checking import Mismatch, Reference  # noqa: E402
from harness.warp.measure import Settings, measure, runner  # noqa: E402
from harness.warp.plot import render  # noqa: E402
from harness.warp.report import SCHEMA, read_results, rows, write_results  # noqa: E402
from memory import measure as measure_memory  # noqa: E402
from warp_fused import WarpFused  # noqa: E402

TINY = Shape(2, 3, 5, 6, 7)
FLOWS = ("identity", "smooth", "random", "one_pixel", "half_outside")
OURS = Candidate("rfwarp", "ours", warp_fuse)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def candidates(case: Case) -> list[Candidate]:
    return [*baselines(case, compiled=False, max_autotune=False), OURS]


def results_of(case: Case, candidate: Candidate, inputs: Inputs) -> tuple[torch.Tensor, ...]:
    return runner(case, candidate, [inputs])(0)


@pytest.mark.parametrize("flow", FLOWS)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("layout", ["NCHW", "channels_last"])
@pytest.mark.parametrize("shape", [TINY, TINY._replace(shared=True), Shape(1, 1, 1, 2, 2)], ids=str)
def test_every_candidate_passes_the_check(shape, layout, dtype, flow):
    case = Case(shape, layout, dtype, "forward+backward", flow)
    inputs = make_inputs(case, seed=3)
    reference = Reference(case, inputs)
    for candidate in candidates(case):
        reference.check(candidate.name, results_of(case, candidate, inputs))


def shifted_output(*args):
    return warp_fuse(*args) + 0.01


def one_wrong_element(*args):
    out = warp_fuse(*args).clone()
    out[0, 0, 0, 0] += 0.1
    return out


def not_a_number(*args):
    return warp_fuse(*args) * torch.tensor(float("nan"))


def other_layout(*args):
    return warp_fuse(*args).contiguous(memory_format=torch.channels_last)


def scaled_gradient(number):
    """The right output, with 1.01 times the gradient of one argument."""

    def fuse(*args):
        x = args[number]
        scaled = 1.01 * x - 0.01 * x.detach()
        return warp_fuse(*args[:number], scaled, *args[number + 1 :])

    return fuse


@pytest.mark.parametrize(
    ("fuse", "message"),
    [
        (shifted_output, "output is off"),
        (one_wrong_element, "output is off"),
        (not_a_number, "output is off by nan"),
        (other_layout, "laid out as the target"),
        *(
            (scaled_gradient(i), f"gradient of {name} is off")
            for i, name in enumerate(Inputs._fields[:6])
        ),
    ],
    ids=lambda x: getattr(x, "__name__", x),
)
def test_a_wrong_candidate_ends_the_run_before_anything_is_timed(fuse, message):
    case = Case(TINY, passes="forward+backward")
    wrong = Candidate("wrong", "ours", fuse)
    with pytest.raises(Mismatch, match=f"wrong on 2,3,5,6,7 .*{message}"):
        next(measure(case, [OURS, wrong], Settings(seconds=0, cache_bytes=2**14)))


def test_a_case_end_to_end(tmp_path):
    measurements = []
    for passes in ("forward", "forward+backward"):
        case = Case(TINY, "channels_last", passes=passes)
        cold, hot = measure(case, candidates(case), Settings(seconds=0, cache_bytes=2**16))
        assert (cold["caches"], hot["caches"]) == ("cold", "hot")
        assert cold["slots"] * make_inputs(case, 0).bytes >= 3 * 2**16
        assert hot["slots"] == 1
        measurements += [cold, hot]
    machine = {
        "device": "a machine",
        "date": "2026-01-01T00:00:00+00:00",
        "commit": None,
        "versions": {"torch": torch.__version__},
        "cpu": {"rfwarp_capability": None},
    }
    written = {"schema": SCHEMA, "machine": machine, "measurements": measurements}
    write_results(written, tmp_path / "results.json")
    results = read_results(tmp_path / "results.json")
    assert results == json.loads(json.dumps(written))
    for m in results["measurements"]:
        assert set(m["timings"]) == set(m["kinds"]) >= {"eager", "algebra", "rfwarp", "stream"}
        assert set(m["errors"]) == set(m["kinds"]) - {"stream", "copy"}
        assert m["clock"] == "cpu"
        for timing in m["timings"].values():
            assert 0 < timing["cpu"]["p20"] <= timing["cpu"]["median"] <= timing["cpu"]["p80"]
            assert timing["wall"]["calls"] == 9
    render(results, tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["plot.png", "results.json", "table.md"]
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "table.md").read_text().count("forward+backward") == 3


def test_a_run_says_where_it_ran_and_needs_the_kernels(tmp_path):
    run = WarpFused(
        shape=("1,2,16,9,8",),
        layout=("NCHW",),
        passes=("forward",),
        quick=True,
        seconds=0.01,
        llc_mib=1,
        out=tmp_path / "out",
    )
    if rfwarp_cuda.load().cpu is not None:
        with pytest.raises(Unavailable, match="'cpu' is not available"):
            run.run()
        return
    results = run.run()
    assert read_results(tmp_path / "out" / "results.json") == json.loads(json.dumps(results))
    assert results["machine"]["versions"]["torch"] == torch.__version__
    assert results["settings"]["shape"] == ("1,2,16,9,8",)
    assert [m["caches"] for m in results["measurements"]] == ["cold", "hot"]


def a_measurement(ours, *, threads=1, invalid=None, **baselines):
    """Milliseconds of candidates, where the thread's CPU time is half of the wall time."""
    kinds = {name: name for name in baselines} | {"rfwarp": "ours"}
    kinds |= {"stream": "light", "copy": "light"}
    times = {**baselines, "rfwarp": ours, "stream": 1.0, "copy": 0.5}
    return {
        "case": Case(TINY).to_json(),
        "threads": threads,
        "caches": "cold",
        "clock": "cpu" if threads == 1 else "wall",
        "kinds": kinds,
        "timings": {
            n: {"wall": {"median": 2 * t if threads == 1 else t}, "cpu": {"median": t}}
            for n, t in times.items()
        },
        "invalid": invalid,
    }


def test_the_headline_is_the_ratio_to_the_fastest():
    (row,) = rows({"measurements": [a_measurement(2.0, eager=30.0, algebra=14.0, compile=20.0)]})
    assert row.fastest == "algebra"
    assert row.ratios == {"eager": 15.0, "algebra": 7.0, "compile": 10.0, "fastest": 7.0}
    assert (row.over_stream, row.share_of_copy) == (2.0, 0.25)


def test_threads_are_judged_in_wall_time_and_only_on_an_idle_machine():
    one, two = a_measurement(2.0, eager=9.0), a_measurement(2.5, eager=9.0, threads=2)
    assert rows({"measurements": [one, two]})[1].efficiency == pytest.approx(4.0 / (2 * 2.5))
    busy = {**one, "invalid": "others"}
    first, second = rows({"measurements": [busy, two]})
    assert first.invalid is None  # thread CPU time does not count what others do
    assert second.efficiency is None
    _, second = rows({"measurements": [one, {**two, "invalid": "others"}]})
    assert second.invalid == "others"
    assert second.efficiency is None


def test_what_invalidates_a_wall_time():
    assert Load(0.01, 0.0).invalidates is None
    assert "other processes took 50%" in (Load(0.5, 0.0).invalidates or "")
    assert "hypervisor took 10%" in (Load(0.0, 0.1).invalidates or "")
    assert Load(None, None).invalidates


def test_calls_take_turns_and_rotate_through_the_slots():
    log = []
    calls = {n: Call(lambda slot, n=n: log.append((n, slot)), nullcontext) for n in "ab"}
    clock = iter(range(10**6)).__next__
    how = {"clocks": {"ticks": lambda: float(clock())}, "seconds": 0.0, "seed": 1}
    timings = interleave(calls, **how, slots=4, turn=Turn(untimed=1, timed=2))
    assert [slot for _, slot in log] == [(i + 1) % 4 for i in range(3 * 2 * 3)]
    turns = [{name for name, _ in log[i : i + 3]} for i in range(0, len(log), 3)]
    assert all(len(turn) == 1 for turn in turns)
    assert all(turns[i] | turns[i + 1] == {"a", "b"} for i in range(0, 6, 2))
    assert timings["a"]["ticks"] == Timing(1000.0, 1000.0, 1000.0, 3 * 2)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_shapes_are_read_as_they_are_written(shape):
    assert Shape.parse(str(shape)) == shape


@pytest.mark.parametrize(
    "text", ["1,2,3,4", "1,2,3,4,0", "1,2,3,4,5,6", "1,2,3,1,5", "1,2,3,4,5+many", "a"]
)
def test_other_shapes_are_refused(text):
    with pytest.raises(ValueError, match=r"a shape is|one pixel"):
        Shape.parse(text)


def test_what_is_selected():
    every = WarpFused(max_gib=1e9).cases()
    assert {case.shape for case in every} == set(SHAPES)
    assert len(set(every)) == len(every)
    assert {c.flow for c in every} == set(FLOWS)
    chosen = WarpFused(shape=("1,2,3,4,5",), flow=("random",), layout=("NCHW",)).cases()
    assert [case.passes for case in chosen] == ["forward", "forward+backward"]
    assert all(case.flow == "random" for case in chosen)
    assert len(WarpFused(full=True, max_gib=1e9).cases()) == len(SHAPES) * 2 * 3 * 2 * 5


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_memory_is_that_of_temporaries_and_results():
    case = Case(Shape(1, 2, 64, 64, 64), passes="forward+backward")
    eager = measure_memory(case, "eager")
    assert eager.peak >= eager.results >= 4 * 2**20
    assert eager.saved >= 4 * 2**20
    assert measure_memory(case, "rfwarp, torch").saved == 0


def test_other_files_are_refused(tmp_path):
    (tmp_path / "other.json").write_text('{"schema": 7}')
    with pytest.raises(ValueError, match="must have the schema 'warp_fused 1', got 7"):
        read_results(tmp_path / "other.json")
    (tmp_path / "other.json").write_text("no JSON")
    with pytest.raises(ValueError, match="is no JSON"):
        read_results(tmp_path / "other.json")


def test_a_mistake_on_the_command_line_is_one_line():
    command = [sys.executable, str(BENCHMARKS / "warp_fused.py"), "--shape", "1,2,3"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("warp_fused.py: error: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize("script", ["call_overhead.py", "few_channels.py"])
def test_the_scripts_against_grid_sample(script):
    command = [sys.executable, str(BENCHMARKS / script), "--rounds", "1", "--repeats", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "x F.grid_sample" in done.stdout
    refused = subprocess.run(
        [*command, "--rounds", "0"], capture_output=True, text=True, check=False
    )
    assert refused.returncode == 1
    assert refused.stderr.count("\n") == 1


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("passes", ["forward", "forward+backward"])
def test_a_case_on_a_gpu(passes):
    case = Case(Shape(2, 3, 32, 16, 16), "channels_last", passes=passes, device="cuda")
    for m in measure(case, candidates(case), Settings(seconds=0, cache_bytes=2**20)):
        assert m["clock"] == "graph"
        for timing in m["timings"].values():
            assert {"graph", "kernel", "event", "wall"} <= set(timing)
            assert 0 < timing["kernel"]["median"] <= timing["wall"]["median"]


# ------------------------------------------------------------------ benchmarks/generator.py

SMALL = {"k": (1, 2), "n": (1, 2), "size": 64, "width": 1 / 64, "stream": 3, "seconds": 0.0}


def test_the_generator_end_to_end(tmp_path):
    config = generator_benchmark.GeneratorBenchmark(
        **SMALL, compile=False, first_call=False, out=tmp_path
    )
    results = config.run()
    written = json.loads((tmp_path / "generator.json").read_text())
    assert written == json.loads(json.dumps(results))
    jobs = [(m["case"]["job"], m["case"]["n"], m["case"]["k"]) for m in results["measurements"]]
    images = [("image", 1, 1), ("image", 1, 2), ("image", 2, 2)]
    assert jobs == [*images, ("next image", 1, 1), ("next image", 1, 2), ("stream", 1, 2)]
    for m in results["measurements"]:
        assert set(m["timings"]) == {"eager", "rfwarp, torch", "rfwarp"}
        assert max(m["errors"].values()) < 1e-4
    convolutions = [
        sum(part.get("convolution", 0) for part in results["profile"][name].values())
        for name in ("eager", "rfwarp")
    ]
    assert min(convolutions) > 0
    warps = results["profile"]["rfwarp"]["predictor"]["warp and fuse"]
    assert 0 < warps < sum(results["profile"]["rfwarp"]["predictor"].values())
    text = generator_benchmark.render(results, tmp_path)
    assert "| next image | 1 | 2 | float32 |" in text
    assert {path.name for path in tmp_path.iterdir()} == {
        f"generator{end}" for end in (".json", ".md", ".png", "-profile.png")
    }


@pytest.mark.slow
def test_the_generator_in_other_runtimes(tmp_path):
    """In a process of its own: OpenVINO leaves a stack for signals that is too small after AMX."""
    command = [sys.executable, BENCHMARKS / "generator.py", "--out", tmp_path, "--runtimes"]
    command += ["--k", 2, "--n", 1, "--size", 64, "--width", 1 / 64, "--stream", 3, "--seconds", 0]
    command += ["--job", "image", "next image", "--dtype", "float32", "bfloat16"]
    command += ["--no-compile", "--no-first-call"]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / "generator.json").read_text())
    torch_alone = {"eager", "rfwarp, torch", "rfwarp"}
    both = {f"{r}, {f}" for r in ("ONNX Runtime", "OpenVINO") for f in ("plain", "our form")}
    of_16_bits = {"OpenVINO, plain", "OpenVINO, our form", "ONNX Runtime, int8", "OpenVINO, int8"}
    for m in results["measurements"]:
        rivals = both if m["case"]["dtype"] == "float32" else of_16_bits
        assert set(m["timings"]) == set(m["psnr"]) == torch_alone | rivals
        if m["case"]["dtype"] == "float32":
            assert min(m["psnr"].values()) > 80
    table = generator_benchmark.render(results, tmp_path)
    assert re.search(r"\| ONNX Runtime, int8 +\|", table)


def test_a_wrong_generator_ends_the_run(monkeypatch):
    """One whose warp is off by a pixel."""
    import harness.generator.candidates as generators

    warp_fuse = generators.grid_sample.warp_fuse
    monkeypatch.setattr(
        generators.grid_sample,
        "warp_fuse",
        lambda features, flow, *rest: warp_fuse(features, flow + 1, *rest),
    )
    config = generator_benchmark.GeneratorBenchmark(**SMALL, compile=False, first_call=False)
    with pytest.raises(Mismatch, match="eager on image, N=1, K=1, float32 is off by"):
        config.run()


def test_first_calls_are_measured(tmp_path):
    case = generator_benchmark.Case(1, 2, "image", 64)
    found = generator_benchmark.first_call(case, "rfwarp", 1 / 64)
    assert found["seconds"] > 0
    assert found["peak"] > 2 * 8 * 64 * 64 * 4  # the last block's two feature maps
