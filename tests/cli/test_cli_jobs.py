"""``rfwarp generate --jobs``: as a command, over two processes, interrupted and killed."""

import csv
import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from rfwarp import Generator
from rfwarp.cli import main
from rfwarp.poses import Viewpoint

Refused = Callable[..., str]

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def write_table(folder: Path, sources: list[str], rows: int) -> Path:
    """Row n shows azimuth 20 n; every third row has one source, the others two."""
    with (folder / "jobs.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["source_0", "pose_0", "source_1", "pose_1", "target", "out"])
        for n in range(rows):
            others = [sources[n // 9 % 2 + 1], ""] if n % 3 else ["", ""]
            pose = "0:10" if n % 2 else ""  # as in the name of the image
            writer.writerow([sources[0], pose, *others, f"{20 * n}:10", f"{n % 7}/{n}.png"])
    return folder / "jobs.csv"


def statuses(out: Path) -> dict[int, Counter[str]]:
    found: dict[int, Counter[str]] = {}
    for log in out.glob("jobs-log-*.jsonl"):
        for line in log.read_text().splitlines():
            entry = json.loads(line)
            if entry["status"] != "begun":
                found.setdefault(entry["row"], Counter())[entry["status"]] += 1
    return found


def assert_done_once(out: Path, rows: int) -> None:
    """Every row is done once by the logs, and all images are whole."""
    assert statuses(out) == {row: Counter(done=1) for row in range(rows)}
    images = sorted(path.relative_to(out).as_posix() for path in out.glob("*/*.png"))
    assert images == sorted(f"{n % 7}/{n}.png" for n in range(rows))
    for name in images:
        with Image.open(out / name) as image:
            image.load()


def start(*arguments: object, program: Sequence[str] = ("-m", "rfwarp")) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *program, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        # Shells let background jobs ignore Ctrl-C, and the tests may run in one.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def wait_for_rows(process: subprocess.Popen[str], out: Path, least: int) -> None:
    deadline = time.monotonic() + 60
    while sum(log.read_bytes().count(b'"done"') for log in out.glob("jobs-log-*")) < least:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_images_are_those_of_generate(
    model: Path, sources: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table, out = write_table(tmp_path, sources, 9), tmp_path / "out"
    command = [
        "generate",
        "--precision",
        "float32",
        "--jobs",
        str(table),
        "-o",
        str(out),
        "-w",
        str(model),
    ]
    assert main([*command, "--workers", "1", "--batch-size", "4"]) == 0
    line = rf"wrote 9 images to {re.escape(str(out))} \(\d+\.\d per second\)\n"
    assert re.fullmatch(line, capsys.readouterr().out)
    assert_done_once(out, 9)
    generator = Generator.from_pretrained(model)
    for n in range(9):
        given = sources[:2] if n % 3 else sources[:1]
        poses = [Viewpoint(0, 10), Viewpoint(100, 0)][: len(given)]
        expected = generator.generate(given, poses, Viewpoint(20 * n, 10))
        with Image.open(out / f"{n % 7}/{n}.png") as image:
            error = np.abs(np.asarray(image, np.int16) - np.asarray(expected, np.int16))
        assert error.max() <= 1  # float32, summed in another order: some round the other way
        assert (error > 0).mean() < 0.01
    assert main([*command, "--workers", "0"]) == 0
    assert capsys.readouterr().out == f"wrote 0 images to {out}; 9 were there already\n"
    assert_done_once(out, 9)


def test_precision_and_size(model: Path, sources: list[str], tmp_path: Path) -> None:
    command = ["generate", "--jobs", str(write_table(tmp_path, sources, 1)), "-w", str(model)]
    command += ["-o", str(tmp_path), "--workers", "0", "--size", "96", "--precision"]
    plain = Generator.from_pretrained(model)
    written = []
    for dtype in (torch.float32, torch.bfloat16):
        assert main([*command, str(dtype).removeprefix("torch.")]) == 0
        expected = plain.optimize(dtype).generate(
            sources[:1], [Viewpoint(0, 10)], Viewpoint(0, 10), size=96
        )
        with Image.open(tmp_path / "0/0.png") as image:
            assert image.size == (96, 96)
            assert np.array_equal(image, expected)
        written.append((tmp_path / "0/0.png").read_bytes())
    assert written[0] != written[1]


def test_failed_rows_are_told(
    model: Path, sources: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table, out = write_table(tmp_path, sources, 3), tmp_path / "out"
    with table.open("a") as file:
        file.write("none_000_10.png,,,,0:10,bad.png\n")
    command = ["generate", "--jobs", str(table), "-o", str(out), "-w", str(model)]
    assert main([*command, "--workers", "0"]) == 1
    captured = capsys.readouterr()
    assert captured.out.startswith("wrote 3 images to ")
    (line,) = captured.err.splitlines()
    assert line.startswith("rfwarp: error: 1 of 4 rows failed, see ")
    assert str(out / "jobs-log-0.jsonl") in line
    assert line.endswith(f"row 3 (bad.png): no image file at {tmp_path / 'none_000_10.png'}")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--sources", "a.png"], "--sources is for a single image, not for --jobs"),
        (["--target", "0:10"], "--target is for a single image"),
        (["--turntable"], "--turntable is for a single image"),
        (["--scale", "2"], "--scale is for a single image"),
        (["--batch-size", "0"], "--batch-size must be at least 1, got 0"),
        (["--workers", "-1"], "--workers must be at least 0, got -1"),
        (["--size", "0"], "--size must lie in 1..4096, got 0"),
        (["--device", "abacus"], "device 'abacus' cannot be used"),
    ],
)
def test_wrong_options(options: list[str], message: str, tmp_path: Path, refused: Refused) -> None:
    out = tmp_path / "out"
    assert message in refused("generate", "--jobs", "jobs.csv", "-o", out, *options)
    assert not out.exists()


def test_options_without_a_table(refused: Refused) -> None:
    for option in (["--batch-size", "4"], ["--workers", "1"]):
        single = ["-s", "a_000_10.png", "-t", "40:10", "-o", "x.png"]
        assert "need --jobs TABLE" in refused("generate", *single, *option)


def test_wrong_tables(model: Path, tmp_path: Path, refused: Refused) -> None:
    (tmp_path / "jobs.csv").write_text("image,target\n")
    for name, message in (("jobs.csv", "unknown column 'image'"), ("none.csv", "no table of")):
        given = ["--jobs", tmp_path / name, "-o", tmp_path / "out", "-w", model]
        assert message in refused("generate", *given, status=1)


def test_wrong_ranks(model: Path, refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "2")
    monkeypatch.setenv("WORLD_SIZE", "2")
    message = refused("generate", "--jobs", "jobs.csv", "-o", "out", "-w", model)
    assert "RANK is 2, but WORLD_SIZE is 2" in message


def test_too_little_shared_memory(model: Path, sources: list[str], tmp_path: Path) -> None:
    """A limit on the size of files stands for it."""
    table, out = write_table(tmp_path, sources, 50), tmp_path / "out"
    command = ["generate", "--jobs", table, "-o", out, "-w", model, "--workers", "1"]
    done = subprocess.run(
        [sys.executable, "-m", "rfwarp", *command],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000)),
        capture_output=True,
        text=True,
        timeout=50,  # it must not wait for its reader processes to give up
    )
    assert done.returncode == 1
    message = "rfwarp: error: a reader process failed, .*File too large.* take fewer --workers .*\n"
    assert re.fullmatch(message, done.stderr)
    assert statuses(out) == {}


# `rfwarp`, slow after ten rows, so that it is not done before a signal arrives.
SLOWLY = """
import itertools, sys, time
from rfwarp import Generator
from rfwarp.cli import main

decode, calls = Generator.decode, itertools.count()

def decode_slowly(*given):
    if next(calls) >= 10:
        time.sleep(0.05)
    return decode(*given)

Generator.decode = decode_slowly
sys.exit(main())
"""


@linux
def test_ctrl_c_resumes(model: Path, sources: list[str], tmp_path: Path) -> None:
    rows = 150
    table, out = write_table(tmp_path, sources, rows), tmp_path / "out"
    command = ["generate", "--jobs", table, "-o", out, "-w", model]
    given = [*command, "--batch-size", "1", "--workers", "1"]
    with start(*given, program=("-c", SLOWLY)) as run:
        wait_for_rows(run, out, 10)
        run.send_signal(signal.SIGINT)
        _, errors = run.communicate()
    assert run.returncode == 130
    done = len(statuses(out))
    assert 10 <= done < rows
    assert errors == f"rfwarp: interrupted: {done} images written; the same command resumes\n"
    assert main(list(map(str, [*command, "--workers", "0"]))) == 0
    assert_done_once(out, rows)


TORCHRUN = ("-m", "torch.distributed.run")
TWO_PROCESSES = ("--nproc-per-node", 2, "-m", "rfwarp")


def workers_of(launcher: int) -> list[int]:
    children = Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split()
    return [
        int(child)
        for child in children
        if b"generate" in Path(f"/proc/{child}/cmdline").read_bytes()
    ]


@linux
@pytest.mark.slow
def test_two_processes_of_which_one_is_killed(
    model: Path, sources: list[str], tmp_path: Path
) -> None:
    """torchrun starts both anew, and they do what is left."""
    rows = 200
    table, out = write_table(tmp_path, sources, rows), tmp_path / "out"
    command = ["generate", "--jobs", table, "-o", out, "-w", model]
    command += ["--batch-size", "2", "--workers", "1"]
    launcher = ("--max-restarts", 1, *TWO_PROCESSES)
    with start(*launcher, *command, program=TORCHRUN) as run:
        wait_for_rows(run, out, 20)
        first, second = workers_of(run.pid)
        os.kill(second, signal.SIGKILL)
        output, errors = run.communicate()
        assert run.returncode == 0, errors
    assert not {first, second} & set(workers_of(os.getpid()))
    assert len(list(out.glob("jobs-log-*"))) == 2
    assert_done_once(out, rows)
    written, there = map(int, re.findall(r"wrote (\d+) .* (\d+) were there already", output)[0])
    assert written + there == rows
    assert there >= 20


@linux
@pytest.mark.slow
def test_another_number_of_processes_resumes(
    model: Path, sources: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without restarts, torchrun ends with the killed process; one process does the rest."""
    rows = 200
    table, out = write_table(tmp_path, sources, rows), tmp_path / "out"
    command = ["generate", "--jobs", table, "-o", out, "-w", model, "--workers", "0"]
    with start(*TWO_PROCESSES, *command, "--batch-size", 2, program=TORCHRUN) as run:
        wait_for_rows(run, out, 20)
        os.kill(workers_of(run.pid)[0], signal.SIGKILL)
        run.communicate()
        assert run.returncode == 1
    done = len(statuses(out))
    assert 20 <= done < rows
    assert main(list(map(str, command))) == 0
    assert f"wrote {rows - done} images" in capsys.readouterr().out
    assert_done_once(out, rows)
    assert {log.name for log in out.glob("*.jsonl")} == {"jobs-log-0.jsonl", "jobs-log-1.jsonl"}
