"""benchmarks/gpu_day.py: what it runs, how it goes on, and what it reports, without a GPU."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BENCHMARKS = ROOT / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import launch_shapes  # noqa: E402
from gpu_day import variants  # noqa: E402
from harness.gpu_day import reading  # noqa: E402
from harness.gpu_day.plan import STEPS, tasks  # noqa: E402
from harness.gpu_day.preflight import missing, sources_digest  # noqa: E402
from harness.gpu_day.report import render  # noqa: E402
from harness.gpu_day.runner import SCHEMA, Day, Task  # noqa: E402
from harness.timing import Turn, interleave  # noqa: E402
from harness.warp.cases import Case, Shape  # noqa: E402
from harness.warp.checking import Mismatch  # noqa: E402
from harness.warp.report import read_results  # noqa: E402

from rfwarp.ops.schema import operators  # noqa: E402

MACHINE = {"card": "A card", "driver": "1", "torch": "2.11", "kernels": "abc"}


def python(code: str, name: str = "task", seconds: float = 30, **others) -> Task:
    return Task(1, name, (sys.executable, "-c", code), seconds, **others)


def day(folder: Path, *run: Task, seconds: float = 60) -> Day:
    made = Day(folder, MACHINE)
    made.run(run, seconds)
    return made


def test_results_are_kept_and_not_computed_again(tmp_path):
    count = f"open({str(tmp_path / 'runs')!r}, 'a').write('x'); print('{{\"us\": 3.25}}')"
    tasks_ = [python(count, "works", read=reading.lines), python("raise SystemExit(3)", "fails")]
    first = day(tmp_path / "out", *tasks_)
    again = day(tmp_path / "out", *tasks_)
    assert (tmp_path / "runs").read_text() == "x"
    assert first.results == again.results == read_results(again.file, SCHEMA)["tasks"]
    assert first.results["works"]["state"] == "passed"
    assert first.results["works"]["facts"] == {"measurements": [{"us": 3.25}]}
    assert first.results["fails"]["state"] == "failed"
    assert first.results["fails"]["reason"] == "exit status 3"


def test_what_is_skipped_says_why_and_is_tried_again(tmp_path):
    lacks = python("", "lacks", tool="no-such-profiler")
    fails, follows = python("raise SystemExit(1)", "fails"), python("", "follows", after="fails")
    late = python("", "late")
    results = day(tmp_path, lacks, fails, follows).results
    assert results["lacks"]["reason"] == "there is no no-such-profiler"
    assert results["follows"]["reason"] == "fails did not pass"
    assert day(tmp_path, late, seconds=5).results["late"] == {
        "step": 1,
        "state": "skipped",
        "reason": "the 5 s of its step are spent",
    }
    assert day(tmp_path, late).results["late"]["state"] == "passed"


def test_a_task_that_takes_too_long_is_ended_with_its_children_and_what_it_said_is_kept(tmp_path):
    # sh, as Python may take longer to start than the task has.
    command = ("sh", "-c", """sleep 60 & echo $!; echo '{"us": 1}'; sleep 60""")
    start = time.monotonic()
    result = day(tmp_path, Task(1, "task", command, 1, reading.lines)).results["task"]
    assert time.monotonic() - start < 20
    assert (result["state"], result["reason"]) == ("timed out", "ended after 1 s")
    assert result["facts"] == {"measurements": [{"us": 1}]}
    child_id = int(result["tail"].split()[0])
    stat = Path(f"/proc/{child_id}/stat")
    for _ in range(50):  # until init has taken note of its end
        if not stat.exists() or stat.read_text().split()[2] == "Z":
            break
        time.sleep(0.1)
    else:
        pytest.fail("the child of an ended task still runs")


def test_results_of_another_card_are_not_mixed(tmp_path):
    day(tmp_path, python(""))
    with pytest.raises(ValueError, match=r"is of card A card, this is Another: give another --out"):
        Day(tmp_path, {**MACHINE, "card": "Another"})
    (tmp_path / "report.json").write_text("[]")
    with pytest.raises(ValueError, match="must have the schema 'gpu_day 1', got None"):
        Day(tmp_path, MACHINE)


PYTEST = """
tests/gpu/test_a.py::test_x[float32-features channels_last] PASSED [ 25%]
tests/gpu/test_a.py::test_x[float16-contiguous] FAILED           [ 50%]
tests/gpu/test_b.py::test_y SKIPPED (needs two)                  [ 75%]
=========================== short test summary info ============================
SKIPPED [1] tests/gpu/test_b.py:3: needs two
FAILED tests/gpu/test_a.py::test_x[float16-contiguous] - AssertionError
"""


def test_what_output_says():
    failed = "tests/gpu/test_a.py::test_x[float16-contiguous]"
    counts = {"passed": 1, "failed": 1, "skipped": 1, "failures": [failed]}
    assert reading.tests(PYTEST) == counts
    checked = PYTEST + "========= ERROR SUMMARY: 12 errors\n"
    assert reading.sanitizer(checked) == {**counts, "sanitizer_errors": 12}
    races = "========= RACECHECK SUMMARY: 0 hazards displayed (0 errors, 0 warnings)\n"
    assert reading.sanitizer(races) == {"sanitizer_errors": 0}
    assert "sanitizer_errors" not in reading.sanitizer(PYTEST)  # ended before it had counted
    table = (
        "==PROF== Connected\n"
        '"ID","Kernel Name","gpu__time_duration.sum","launch__registers_per_thread","other"\n'
        '"","","us","register/thread",""\n'
        '"0","forward_kernel","12.5","64","7"\n'
    )
    assert reading.ncu(table) == {
        "kernels": [
            {
                "kernel": "forward_kernel",
                "gpu__time_duration.sum": "12.5 us",
                "launch__registers_per_thread": "64 register/thread",
            }
        ]
    }
    assert reading.ncu("==ERROR== no permission") == {"kernels": []}


def test_the_report_says_where_it_ran_what_came_of_it_and_why_not(tmp_path):
    made = day(
        tmp_path,
        python('print(\'{"case": "a", "us": {"rfwarp": 3.25}}\')', "times", read=reading.lines),
        python("print('no such luck'); raise SystemExit(1)", "fails"),
        python("", "profile", tool="no-such-profiler"),
    )
    text = render(made.report)
    assert text.startswith("# A card, driver 1, torch 2.11\n")
    assert "1 passed, 1 failed, 1 skipped." in text
    assert "there is no no-such-profiler" in text
    assert "| us rfwarp |" in text
    assert "| 3.25" in text
    assert "The end of the output of fails:\n\n```text\nno such luck" in text
    assert text.count("Not run.") == 3


def test_the_plan_fits_its_ten_minutes_and_names_what_exists(tmp_path):
    planned = tasks(tmp_path, "9.0", {"base": ROOT / "csrc"})
    names = [task.name for task in planned]
    assert len(set(names)) == len(names)
    assert {task.step for task in planned} == set(STEPS)
    for task in planned:
        assert task.seconds <= 570
        assert task.after is None or names.index(task.after) < names.index(task.name)
        for word in task.command:
            if word.startswith("tests/"):
                assert (ROOT / word.split("::")[0]).exists(), word
    build = next(task for task in planned if task.name == "build base")
    assert build.environment == {"RFWARP_BUILD": "cuda", "RFWARP_CUDA_ARCHS": "9.0"}
    (compare,) = [task for task in planned if task.name == "compare 64,4,128,64,64"]
    assert compare.command[-1] == f"base={tmp_path / 'base' / '_cuda.so'}"
    assert compare.after == "build base"


def test_what_the_sanitizers_run_is_there(monkeypatch):
    checked = [task for task in tasks(Path("w"), "9.0", {}) if task.step == 2]
    names = {word for task in checked for word in task.command if "::" in word}
    assert {name.partition("::")[0] for name in names} == {"tests/gpu/test_operators_on_gpu.py"}
    monkeypatch.syspath_prepend(ROOT / "tests/gpu")
    module = importlib.import_module("test_operators_on_gpu")
    for name in names:
        marks = {mark.name for mark in getattr(module, name.partition("::")[2]).pytestmark}
        assert "parametrize" in marks
        assert "slow" not in marks  # which pytest would leave out


def run(*arguments: str, path: str = "") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    if path:
        environment["PYTHONPATH"] = os.pathsep.join([path, str(ROOT)])
    command = [sys.executable, str(BENCHMARKS / "gpu_day.py"), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_without_a_gpu_it_ends_before_any_work(tmp_path):
    """Also where packages that only the command line needs are missing."""
    for name in ("tyro", "typeguard"):
        (tmp_path / f"{name}.py").write_text(f"raise ImportError('{name}')")
    done = run("--out", str(tmp_path / "out"), path=str(tmp_path))
    assert done.returncode == 2
    assert done.stderr.startswith("gpu_day.py: error: this machine lacks ")
    assert "a GPU that torch" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("variant", "message"),
    [
        ("base", "--variant base must be a folder like csrc, got ''"),
        ("rfwarp=csrc", "NAME in lower case and not rfwarp, got 'rfwarp=csrc'"),
        ("base=docs", "--variant base must be a folder like csrc, got 'docs'"),
    ],
)
def test_other_variants_are_refused(tmp_path, variant, message):
    done = run("--out", str(tmp_path / "out"), "--variant", variant)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_whole_day(tmp_path, monkeypatch, capsys):
    """With other commands than those of a GPU: what a second run does, and the exit status."""
    import gpu_day

    ok = [sys.executable, "-c", "print('ran')"]
    planned = [Task(1, "build", ok, 30), Task(4, "times", [*ok[:2], "raise SystemExit(1)"], 30)]
    monkeypatch.setattr(gpu_day, "preflight", lambda: {**MACHINE, "capability": "9.0"})
    monkeypatch.setattr("harness.gpu_day.plan.tasks", lambda *given: planned)
    monkeypatch.setattr("harness.gpu_day.runner.end_with_children_when_terminated", lambda: None)
    monkeypatch.setattr(os, "environ", os.environ.copy())
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "out"

    def status(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["gpu_day.py", "--out", "out", *arguments])
        with pytest.raises(SystemExit) as ended:
            gpu_day.main()
        monkeypatch.chdir(tmp_path)
        return ended.value.code

    assert status("--step", "1", "2") == 0
    assert "build: passed" in capsys.readouterr().out
    assert list(read_results(out / "report.json", SCHEMA)["tasks"]) == ["build"]
    assert status() == 1
    assert "build: passed" not in capsys.readouterr().out
    assert {path.name for path in out.iterdir()} == {"report.json", "report.md"}
    assert "1 failed." in (out / "report.md").read_text()
    assert status("--shape", "1,2,3") == 2
    assert "a shape is" in capsys.readouterr().err


def test_variants_are_checked_and_timed_in_turns(monkeypatch):
    """On the kernels of the CPU, with the clocks of a CPU in place of those of a GPU."""
    from harness.gpu_day import compare

    def interleave_cuda(calls, *, slots, seconds, seed, profile):
        assert not profile
        clocks = {"graph": time.perf_counter}
        return interleave(calls, clocks, slots=slots, turn=Turn(0, 1), seconds=0, seed=seed)

    monkeypatch.setattr(compare, "interleave_cuda", interleave_cuda)
    monkeypatch.setattr("torch.cuda.synchronize", lambda: None)
    properties = type("Properties", (), {"L2_cache_size": 2**14})
    monkeypatch.setattr("torch.cuda.get_device_properties", lambda device: properties)
    case = Case(Shape(2, 3, 8, 6, 7), "channels_last", "bfloat16", "forward+backward")
    found = compare.measure({"rfwarp": operators, "same": operators}, case, 0.0)
    assert found["case"] == str(case)
    assert found["slots"] > 1
    for what in ("forward_us", "backward_us", "host_us"):
        assert set(found[what]) == {"rfwarp", "same"}
        assert min(found[what].values()) > 0

    class Wrong:
        warp_fuse = operators.warp_fuse

        @staticmethod
        def warp_fuse_backward(*arguments):
            first, *others = operators.warp_fuse_backward(*arguments)
            return (1.1 * first, *others)

    with pytest.raises(Mismatch, match=r"other on 2,3,8,6,7 .*gradient of features is off"):
        compare.measure({"rfwarp": operators, "other": Wrong}, case, 0.0)


def test_the_day_never_holds_the_gpu_itself():
    """Its own modules import no torch."""
    code = "import sys, harness.gpu_day.preflight, harness.gpu_day.runner, harness.gpu_day.plan\n"
    code += "sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=BENCHMARKS, check=False)
    assert done.returncode == 0


def test_the_digest_changes_with_the_sources(tmp_path):
    (tmp_path / "a.h").write_text("1")
    first = sources_digest(tmp_path)
    (tmp_path / "README.md").write_text("words")
    assert sources_digest(tmp_path) == first
    (tmp_path / "a.h").write_text("2")
    assert sources_digest(tmp_path) != first


def test_what_is_missing_is_named(monkeypatch):
    monkeypatch.setattr("harness.gpu_day.preflight.PACKAGES", ("torch", "no_such_package"))
    assert missing() == ["the Python package no_such_package"]


def test_a_variant_has_a_namespace_of_its_own(tmp_path):
    """Its setup reads the other csrc, and not the pyproject.toml of rfwarp."""
    csrc = tmp_path / "csrc"
    (csrc / "kernel_build").mkdir(parents=True)
    (csrc / "kernel_build" / "__init__.py").write_text(
        "from setuptools import Extension\n"
        "from setuptools.command.build_ext import build_ext\n"
        "class BuildKernels(build_ext):\n"
        "    def run(self):\n"
        "        import json; print(json.dumps([e.name for e in self.extensions]))\n"
        "def kernels(package, namespace):\n"
        "    assert package == namespace\n"
        "    return [Extension(f'{package}.{name}', []) for name in ('_C', '_cuda')]\n"
    )
    work = tmp_path / "work"
    work.mkdir()
    command = [sys.executable, "-m", "harness.gpu_day.variant_setup", str(csrc), "base"]
    command += ["build_ext", "--build-lib", str(work)]
    environment = {**os.environ, "PYTHONPATH": str(BENCHMARKS)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == ["base._cuda"]


@pytest.mark.parametrize("name", [*launch_shapes.ROWS, *launch_shapes.ENOUGH])
def test_launch_shapes_differ_from_ours_in_what_they_say(name, tmp_path):
    csrc = launch_shapes.write_variant(tmp_path, name)
    assert variants([f"{name}={csrc}"]) == {name: csrc}
    copied, ours = (
        {
            path.relative_to(root): path.read_text().splitlines()
            for path in sorted(root.rglob("*"))
            if path.is_file() and "__pycache__" not in path.parts
        }
        for root in (csrc, ROOT / "csrc")
    )
    assert copied.keys() == ours.keys()
    differences = [
        (a, b)
        for path, lines in ours.items()
        for a, b in zip(lines, copied[path], strict=True)
        if a != b
    ]
    if name in launch_shapes.ENOUGH:
        assert [b for _, b in differences] == [
            f"  const int64_t enough = {launch_shapes.ENOUGH[name]} * device.multiprocessors;"
        ] * 2
    else:
        _, groups, shapes = launch_shapes.ROWS[name]
        assert [b for _, b in differences] == [f"    {{{groups}, {shapes}}},"]


def test_a_launch_shape_that_is_ours_already():
    with pytest.raises(ValueError, match="fits 1 places, and must change one"):
        launch_shapes.changed("enough = 2", r"= \d", "= 2")
    with pytest.raises(ValueError, match="fits 0 places"):
        launch_shapes.changed("enough = 2", r"= [a-z]", "= 3")
